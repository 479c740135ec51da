"""Where a dream starts: in a recording, where an environment is reset to, or from pictures; and what then happens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unified.data.heldout import open_dataset, pick_window
from unified.data.lerobot3.pictures import read_picture
from unified.errors import DataError, UserError, unknown_name
from unified.model.batch import Batch, images_to_uint8
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION, PROPRIO, DataSpec, Embodiment
from unified.model.stored.history import TRAINED
from unified.rollout.builtin import Acting
from unified.rollout.episodes import Decision, Observations, describe_body
from unified.rollout.policies import collate
from unified.rollout.stage import Env, make_env


class Recorded:
    """The rest of an episode of a recording.

    Attributes:
        commands: that were executed, step by step, to the episode's end.
        cache, episode: where they are from: the cache, and the episode's place in it.
    """

    def __init__(self, moments: Batch, commands: Float[Tensor, " step env_step action_dim"], cache: Any, episode: int):
        self.commands, self.cache, self.episode = commands, cache, episode
        self._moments = [moments.window(number, number) for number in range(moments.num_moments)]

    def close(self) -> None:
        """Nothing is open."""

    def step(self, commands: Tensor | None) -> Batch | None:
        """The next recorded moment, whatever was commanded."""
        return self._moments.pop(0) if self._moments else None


class Simulated:
    """An environment that executes what the dream is told.

    Args:
        env: just reset.
        observation: of its reset.
        body, stride: as the model knows them.
        model: whose moments are made.
    """

    def __init__(self, env: Env, observation: Observations, body: Embodiment, stride: int, model: UnifiedModel):
        self.env: Any = env.unwrapped
        self._step, self._observation, self._is_over = env.step, observation, False
        self._body, self._stride, self._model = body, stride, model
        self._acted: Float[Tensor, " env_step action_dim"] | None = None

    def moment(self) -> Batch:
        """What is seen now."""
        return one_moment(self._model, self._body, self._stride, self._observation, self.env.task)

    def act(self, acting: Acting) -> Float[Tensor, " env_step action_dim"]:
        """Let a policy that is decided beside the environment act until the next moment."""
        space, spec = self.env.action_space, self._model.spec
        commands = torch.zeros(spec.frame_stride, spec.action_dim)
        for number in range(self._stride if not self._is_over else 0):
            action = np.clip(acting(self._observation), space.low, space.high).astype(space.dtype)
            commands[number, : self._body.action_dim] = torch.from_numpy(action)
            self._execute(action, number == self._stride - 1)
        self._acted = commands
        return commands

    def step(self, commands: Float[Tensor, " env_step action_dim"] | None) -> Batch | None:
        """The moment after these commands, or after those of `act`; None after the end of the episode."""
        if self._acted is None:
            if commands is None:
                return None
            space, width = self.env.action_space, self._body.action_dim
            for number, action in enumerate(commands[: self._stride, :width].cpu().numpy()):
                self._execute(np.clip(action, space.low, space.high).astype(space.dtype), number == self._stride - 1)
        self._acted = None
        return None if self._is_over else self.moment()

    def get_state(self) -> Any:
        """Where it stands, for `set_state`; None if the environment cannot say."""
        return (self.env.get_sim_state(), self._observation, self._is_over) if self.env.sim_state_size else None

    def set_state(self, state: Any) -> None:
        """Go on from there."""
        vector, self._observation, self._is_over = state
        self.env.set_sim_state(vector)

    def close(self) -> None:
        """Give its memory back."""
        self.env.close()

    def _execute(self, action: np.ndarray, will_be_seen: bool) -> None:
        if self._is_over:
            return
        self.env.render_pixels = will_be_seen
        self._observation, _, terminated, truncated, _ = self._step(action)
        self._is_over = bool(terminated or truncated)


@dataclass(frozen=True)
class Start:
    """Where a dream starts.

    Attributes:
        batch: the moments that are known, of one row; the last is the present.
        body: that acts.
        stride: env steps from one moment to the next.
        reality: what happens beside the dream; None: nobody knows.
        about: what is to be said of it.
    """

    batch: Batch
    body: Embodiment
    stride: int
    reality: Recorded | Simulated | None
    about: Mapping[str, Any]

    @property
    def present(self) -> Batch:
        """The last moment that is known, and nothing of what was done before."""
        last = self.batch.num_moments - 1
        return replace(self.batch.window(last, last), between={}, ahead={}, ahead_is_pad=None)


class RecordedStarts:
    """Frames of a recording.

    Args:
        model: that dreams.
        root, embodiment: see `unified.data.heldout.open_dataset`.

    Attributes:
        body, stride: as the model knows them.
        low, high: the least and the largest of every action in the recording.
        episodes: numbers of those that the model held out or never saw; of all, if it was trained on all.

    Raises:
        UserError: if the recording does not fit the model.
    """

    def __init__(self, model: UnifiedModel, root: str, embodiment: str | None = None):
        self._model, self._root = model, root
        self._judged = open_dataset(root, model.spec, model.history, embodiment, every=True)
        (self._source,) = self._judged.windows.sources
        self.body = model.spec.embodiments[model.spec.index(self._source.embodiment)]
        self.stride = self._source.frame_stride
        actions = self._source.cache.columns[ACTION]
        self.low, self.high = np.min(actions, axis=0), np.max(actions, axis=0)
        statuses = self._judged.status
        self.episodes = [number for number in statuses if statuses[number] != TRAINED] or [*statuses]

    def begin(self, episode: int, frame: int, steps: int | None = None, known: int | None = None) -> Start:
        """A frame; as many moments before it are known as the model sees at once, if it has them.

        Args:
            episode, frame: of the present.
            steps: moments that are to be imagined; None: to the episode's end.
            known: moments that are known, the present included; None: as many as the model was trained to see.

        Raises:
            UserError: if there is no such frame.
        """
        source, spec, before = self._source, self._model.spec, frame // self.stride + 1
        known = min(before, max(spec.num_moments - 1, 1)) if known is None else known
        whole = pick_window(self._judged.windows, episode, frame, 0, known)
        (place,) = whole.episode.tolist()
        left = int(source.cache.bounds[place + 1] - whole.present[0] - 1) // self.stride  # moments to the last frame
        ahead = left if steps is None else min(steps, left)
        batch = pick_window(self._judged.windows, episode, frame, ahead * self.stride, known).fetch()
        told = batch.between[ACTION][0, known - 1 :]
        reality = Recorded(batch.window(known, known + ahead - 1), told, source.cache, place)
        status = self._judged.status[episode]
        about = {"data": self._root, "episode": episode, "frame": frame, "episode_was": status}
        return Start(batch.window(0, known - 1), self.body, self.stride, reality, about)

    def recorded(self, episode: int) -> int:
        """How many moments of an episode follow its first."""
        (place,) = np.flatnonzero(self._source.cache.episode_index == episode)
        frames = int(self._source.cache.bounds[place + 1] - self._source.cache.bounds[place])
        return (frames - 1) // self.stride

    def commands(self, episode: int, first: int, steps: int) -> Float[Tensor, " step env_step action_dim"]:
        """What was executed in so many steps of an episode, from a moment of it on."""
        return self.begin(episode, first * self.stride, steps, known=1).reality.commands  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]

    def draw(self, seed: int) -> Start:
        """The beginning of one of `episodes`, without what then happened."""
        return self.begin(int(np.random.default_rng(seed).choice(self.episodes)), 0, steps=0)

    def close(self) -> None:
        """Nothing is open."""


class SimulatedStarts:
    """Where an environment is reset to; it then goes on beside the dream.

    Args:
        model: that dreams.
        env_id, env_kwargs: of the environment.
        embodiment: the model's name of the body, where more than one fits.

    Attributes:
        env: the environment.
        body, stride: as the model knows them.
        low, high: bounds of its actions.

    Raises:
        UserError: if it cannot be made, or its body or cameras are not the model's.
    """

    def __init__(
        self,
        model: UnifiedModel,
        env_id: str,
        env_kwargs: Mapping[str, Any] | None = None,
        embodiment: str | None = None,
    ):
        kwargs = dict(env_kwargs or {})
        probe = make_env(env_id, {**kwargs, "cameras": ()})
        self.body = model.history.find_body(model.spec, describe_body(probe), env_id, embodiment)
        probe.close()
        height, width = model.spec.image_size
        if height != width:
            raise UserError(f"Environments draw squares; this checkpoint sees {height}x{width} pixels.")
        self.env: Any = make_env(env_id, {**kwargs, "cameras": self.body.cameras, "image_size": height})
        self.stride = model.history.frame_stride(model.spec, self.body.name)
        self.low, self.high = self.env.action_space.low, self.env.action_space.high
        self._model, self._env_id = model, env_id

    def draw(self, seed: int) -> Start:
        """Where the environment is reset to with this seed."""
        self.env.unwrapped.render_pixels = True
        reality = Simulated(self.env, self.env.reset(seed=seed)[0], self.body, self.stride, self._model)
        return Start(reality.moment(), self.body, self.stride, reality, {"env": self._env_id, "env_seed": seed})

    def close(self) -> None:
        """Give its memory back."""
        self.env.close()


def pictured_start(
    model: UnifiedModel,
    files: Sequence[str],
    task: str,
    embodiment: str | None,
    proprio: Sequence[float] | None,
) -> Start:
    """One picture file a camera; the body measures the mean of the training data, unless told otherwise.

    Args:
        model: that dreams.
        files: FILE, or CAMERA=FILE where the body has several.
        task: the instruction in words.
        embodiment: the model's name of the body; may be left out if it has but one.
        proprio: what the body measures.

    Raises:
        UserError: for files that are no pictures, or of other cameras or sizes than the model's.
    """
    spec = model.spec
    if embodiment is None and len(spec.embodiments) > 1:
        names = ", ".join(body.name for body in spec.embodiments)
        raise UserError(f"This checkpoint moves {names}; say which the picture is of: --embodiment.")
    index = 0 if embodiment is None else spec.index(embodiment)
    body = spec.embodiments[index]
    pixels = {camera: _read_picture(path, spec.image_size) for camera, path in _by_camera(files, body).items()}
    if proprio is not None and len(proprio) != body.proprio_dim:
        raise UserError(f"--start-proprio must be the {body.proprio_dim} numbers of {body.name!r}, got {len(proprio)}.")
    mean = model.observation.normalizer.mean[index, : body.proprio_dim].cpu().numpy()
    measured = mean if proprio is None else _finite(proprio)
    stride = model.history.frame_stride(spec, body.name)
    batch = one_moment(model, body, stride, {"pixels": pixels, "agent_pos": measured}, task)
    about = {
        "picture": list(files),
        "start_proprio": "the mean of the training data" if proprio is None else list(proprio),
    }
    return Start(batch, body, stride, None, about)


def pixels_of(moment: Batch, cameras: Sequence[str], spec: DataSpec) -> dict[str, UInt8[np.ndarray, " height width 3"]]:
    """The pictures of a moment of one row, by camera."""
    pictures = images_to_uint8(moment.images[0, 0]).movedim(1, -1).cpu().numpy()
    return {camera: pictures[spec.cameras.index(camera)] for camera in cameras}


def observation_of(moment: Batch, body: Embodiment, spec: DataSpec) -> Observations:
    """A moment of one row as an environment would show it; `one_moment` is the other way."""
    measured = moment.at[PROPRIO][0, 0, : body.proprio_dim].cpu().numpy()
    return {"pixels": pixels_of(moment, body.cameras, spec), "agent_pos": measured}


def one_moment(model: UnifiedModel, body: Embodiment, stride: int, observation: Observations, task: str) -> Batch:
    """An observation of an environment as a model takes it."""
    spec = model.spec
    seen = {
        "pixels": {camera: observation["pixels"][camera][None] for camera in body.cameras},
        "agent_pos": observation["agent_pos"][None],
    }
    executed = np.zeros((0, stride, body.action_dim), np.float32)
    decision = Decision(0, 0, seen, executed, task, body.name, body.action_dim)
    return collate([decision], body.name, spec, stride)


def _finite(proprio: Sequence[float]) -> np.ndarray:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        measured = np.array(proprio, np.float32)
    if not np.isfinite(measured).all():
        raise UserError(f"--start-proprio must be finite numbers, got {', '.join(map(str, proprio))}.")
    return measured


def _by_camera(files: Sequence[str], body: Embodiment) -> dict[str, Path]:
    """The file of every camera of a body."""
    named = [file.partition("=") if "=" in file else (body.cameras[0], "=", file) for file in files]
    found = {camera: Path(path) for camera, _, path in named}
    for camera in found:
        if camera not in body.cameras:
            raise unknown_name(f"camera of {body.name!r}", camera, body.cameras)
    if len(found) < len(files) or set(found) != set(body.cameras):
        wanted = " ".join(f"--picture {camera}=FILE" for camera in body.cameras)
        raise UserError(
            f"This checkpoint sees {body.name!r} through {', '.join(body.cameras)}; give one file each: {wanted}."
        )
    return found


def _read_picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        picture = read_picture(path)
    except DataError as error:
        raise UserError(f"{path}: {error}") from error
    if picture.shape[:2] != size:
        got, wanted = f"{picture.shape[1]}x{picture.shape[0]}", f"{size[1]}x{size[0]}"
        raise UserError(
            f"{path} is {got} pixels; this checkpoint sees {wanted} (width x height). Cut and scale it first."
        )
    return picture
