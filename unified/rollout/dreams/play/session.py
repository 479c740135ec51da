"""One dream that somebody steers: moment by moment, back again, beside the real world where there is one."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from unified.atomic import write_text
from unified.errors import UserError, unknown_name
from unified.model.batch import Batch
from unified.model.model import UnifiedModel
from unified.report.video import write_mp4
from unified.rollout.dreams.env import DreamEnv, DreamState
from unified.rollout.dreams.play.controls import action_of, controls_of, to_dicts
from unified.rollout.dreams.starts import RecordedStarts, Simulated, pixels_of

Picture = UInt8[np.ndarray, " height width 3"]
_STEPS_BACK = 200
_LONGEST_FILM = 3000  # moments


@dataclass(frozen=True)
class Moment:
    """What is shown.

    Attributes:
        pictures: by name; "real" ones are the simulator's.
        said: numbers and words about it.
    """

    pictures: Mapping[str, Picture]
    said: Mapping[str, Any]


class Worlds:
    """What can be started: environments and recordings, by name, each opened when first asked for.

    Args:
        model: dreams.
        envs, recordings: ids and folders.
        env_kwargs: other arguments of the environments.
        options: of `DreamEnv`.
    """

    def __init__(
        self,
        model: UnifiedModel,
        envs: Sequence[str] = (),
        recordings: Sequence[str] = (),
        env_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ):
        if not envs and not recordings:
            raise UserError("Say where dreams start: --env ID or --data DATASET.")
        self.model, self._options = model, {"needs_judge": False, **options}
        self._sources = {env: {"env": env, "env_kwargs": env_kwargs} for env in envs}
        self._sources |= {str(root): {"data": str(root)} for root in recordings}

    @property
    def names(self) -> list[str]:
        """Of everything that can be started."""
        return [*self._sources]

    def open(self, name: str) -> DreamEnv:
        """A dream of one's own.

        Raises:
            UserError: for an unknown name, or if the model does not fit.
        """
        if name not in self._sources:
            raise unknown_name("start", name, self._sources)
        return DreamEnv(self.model, **self._sources[name], **self._options)

    def check(self) -> None:
        """Begin everything once.

        Raises:
            UserError: if something does not fit the model.
        """
        for name in self.names:
            env = self.open(name)
            env.reset(seed=0)
            env.close()


class Session:
    """What one visitor plays.

    Args:
        worlds: what can be started.
        folder: where films go.
    """

    def __init__(self, worlds: Worlds, folder: Path):
        self._worlds, self._folder = worlds, folder
        self._envs: dict[str, DreamEnv] = {}
        self._past: deque[tuple[DreamState, Any, Moment]] = deque(maxlen=_STEPS_BACK)
        self._film: list[Picture] | None = None
        self._actions: list[list[float]] = []
        self.env: DreamEnv | None = None

    def start(self, name: str, seed: int = 0, episode: int | None = None, task: str | None = None) -> Moment:
        """Begin anew.

        Raises:
            UserError: for a start that is not there.
        """
        if name not in self._envs:
            self._envs[name] = self._worlds.open(name)
        env = self._envs[name]
        options: dict[str, Any] = {} if episode is None else {"episode": episode}
        env.reset(seed=seed, options=options | ({"task": task} if task else {}))
        self.env, self._number = env, 0
        self._past.clear()
        self._actions.clear()
        self._now = self._moment({}, [0.0] * len(controls_of(env.body)))
        return self._now

    @property
    def fps(self) -> float:
        """Moments a second, if the dream goes on at the world's own pace."""
        env = self._started()
        return 1 / (env.frame_stride * env.control_dt)

    def describe(self) -> dict[str, Any]:
        """What a page needs to know of the body."""
        env = self._started()
        starts = env.starts
        return {
            "controls": to_dicts(controls_of(env.body)),
            "task": env.task,
            "episodes": starts.episodes if isinstance(starts, RecordedStarts) else None,
        }

    def step(self, pushes: Sequence[float]) -> Moment:
        """The next moment, with the controls pushed so far, each in [-1, 1]."""
        env = self._started()
        real = env.start.reality if isinstance(env.start.reality, Simulated) else None
        self._past.append((env.get_sim_state(), real.get_state() if real is not None else None, self._now))
        action = action_of(pushes, env.starts.low, env.starts.high)
        commands, reward, info, is_over = None, 0.0, {}, False
        for _ in range(env.frame_stride):
            _, gained, terminated, truncated, info = env.step(action)
            self._actions.append(action.tolist())
            commands, reward, is_over = env.commands, reward + gained, terminated or truncated
            if is_over:
                break
        shown = None if real is None or commands is None else real.step(commands[0])
        truth = {} if shown is None else self._pictures(shown, "real ")
        self._number += 1
        self._now = self._moment(truth, list(pushes), reward, info, is_over)
        if self._film is not None and len(self._film) < _LONGEST_FILM:
            self._film.append(np.concatenate([*self._now.pictures.values()], axis=1))
        return self._now

    def back(self) -> Moment:
        """The moment before; whatever is done then, begins from there. The first stays."""
        env = self._started()
        if self._past:
            state, real, self._now = self._past.pop()
            env.set_sim_state(state)
            if real is not None and isinstance(env.start.reality, Simulated):
                env.start.reality.set_state(real)
            self._number -= 1
            del self._actions[-env.frame_stride :]
        return self._now

    def record(self, is_on: bool) -> Path | None:
        """Begin a film, or write the one that was begun, with its actions beside it; returns where."""
        film, fps = self._film, self.fps
        if is_on:
            self._film = [np.concatenate([*self._now.pictures.values()], axis=1)]
            self._first_action = len(self._actions)
            return None
        self._film = None
        if not film:
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"play-{len([*self._folder.glob('play-*.mp4')]) + 1:03d}.mp4"
        width = min(picture.shape[1] for picture in film)  # the real world may have ended before the dream
        write_mp4(path, np.stack([picture[:, :width] for picture in film]), max(2.0, fps), quality=18)
        write_text(path.with_suffix(".json"), f"{self._actions[self._first_action :]}\n")
        return path

    def close(self) -> None:
        """Give back what is open."""
        for env in self._envs.values():
            env.close()

    def _started(self) -> DreamEnv:
        if self.env is None:
            raise UserError("Nothing has begun yet; send a start first.")
        return self.env

    def _moment(
        self,
        truth: Mapping[str, Picture],
        pushes: Sequence[float],
        reward: float = 0.0,
        info: Mapping[str, Any] | None = None,
        is_over: bool = False,
    ) -> Moment:
        env, info = self._started(), info or {}
        pictures = self._pictures(env.dream.present, "dream ")
        if not self._number and isinstance(env.start.reality, Simulated):
            truth = self._pictures(env.dream.present, "real ")
        said = {
            "number": self._number,
            "seconds": self._number * env.frame_stride * env.control_dt,
            "pushes": [float(push) for push in pushes],
            "reward": float(reward) if "next.reward" in env.judge else None,
            "success": info.get("success_probability") if "next.success" in env.judge else None,
            "drift": info.get("drift"),
            "is_over": is_over,
        }
        return Moment({**pictures, **truth}, said)

    def _pictures(self, moment: Batch, prefix: str) -> dict[str, Picture]:
        env = self._started()
        pixels = pixels_of(moment, env.cameras, env.model.spec)
        return {f"{prefix}{camera}": picture for camera, picture in pixels.items()}
