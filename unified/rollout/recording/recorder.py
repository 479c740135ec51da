"""What a recording keeps of an episode: every step, with the noise that was asked for and the label beside it."""

import zlib
from typing import Any

import numpy as np
from jaxtyping import Float32

from unified.data.lerobot3.writer import prepare_episode
from unified.rollout.builtin import Acting, make_builtin
from unified.rollout.episodes import Action, Description, Episode, Observations, Recorded
from unified.rollout.recording.noise import ActionNoise


class Recorder:
    """Keeps the steps of one episode; what it adds depends on the episode alone.

    Row t holds what was seen, the action then executed, the clean label at that state (an expert's `advice` where it
    has one), and the reward and success that followed.

    Args:
        env: just reset, without wrappers.
        episode: with what is to be recorded of it.
        acting: the policy beside the environment, if it is one.
        rng: where a policy beside the environment draws from.
    """

    def __init__(self, env: Any, episode: Episode, acting: Acting | None, rng: np.random.Generator) -> None:
        assert episode.recording is not None
        self._env, self._recording, self._acting = env, episode.recording, acting
        rules, noise = episode.recording.rules, episode.recording.noise
        needs_expert = rules.label == "expert" or rules.expert_share
        self._expert = make_builtin("expert", env, rng, demonstrates=True) if needs_expert else None
        self._noise = ActionNoise(noise, env.noise_size, acting_rng(episode, 1), rules.shoves)
        self._share_rng = acting_rng(episode, 2)
        self._description = describe(env, episode.env_id)
        self._rows: list[dict[str, Any]] = []

    def before(self, seen: Observations, chosen: Action) -> Action:
        """Note a state and what was chosen in it; returns what is executed."""
        env, rules = self._env, self._recording.rules
        truth = _truth(env)
        label: Any = getattr(self._acting, "advice", chosen)
        if self._expert is not None:
            shown = self._clipped(self._expert(seen))
            label = getattr(self._expert, "advice", shown) if rules.label == "expert" else label
            chosen = shown if self._share_rng.random() < rules.expert_share else chosen
        noise = self._recording.noise
        action = np.asarray(env.perturbed(chosen, self._noise()), np.float32) if noise else chosen
        row: dict[str, Any] = {f"observation.images.{camera}": picture for camera, picture in seen["pixels"].items()}
        row |= {"observation.state": np.asarray(seen["agent_pos"], np.float32)}
        row |= {"action": action, "expert_action": self._clipped(label)}
        self._rows.append(row | {f"observation.{name}": value for name, value in truth.items()})
        return action

    def after(self, reward: Any, success: bool) -> None:
        """Note what followed."""
        self._rows[-1] |= {"next.reward": np.array([reward], np.float32), "next.success": np.array([success])}

    def result(self) -> Recorded:
        """The whole episode, its films encoded."""
        frames = {key: np.stack([row[key] for row in self._rows]) for key in self._rows[0]}
        about, recording = self._description, self._recording
        encoding = recording.rules.encoding
        return Recorded(about, prepare_episode(frames, about.features, about.fps, recording.folder, encoding))

    def _clipped(self, action: Any) -> Float32[np.ndarray, " action"]:
        return np.clip(np.asarray(action, np.float32), self._env.action_space.low, self._env.action_space.high)


def acting_rng(episode: Episode, stream: int = 0) -> np.random.Generator:
    """Chance in a recorded episode: stream 0 for who acts, 1 for noise, 2 for when the expert steps in."""
    return np.random.default_rng([episode.seed, zlib.crc32(episode.env_id.encode()), stream])


def describe(env: Any, env_id: str) -> Description:
    """Features, rate and versions of an environment without wrappers; it must have been reset."""
    proprio, action = env.observation_space["agent_pos"].shape[0], env.action_space.shape[0]
    size = (env.image_size, env.image_size, 3)
    picture = {"dtype": "video", "shape": size, "names": ["height", "width", "channels"]}
    features: dict[str, dict[str, Any]] = {f"observation.images.{camera}": dict(picture) for camera in env.cameras}
    vectors = {
        "observation.state": ("float32", proprio),
        "action": ("float32", action),
        "expert_action": ("float32", action),
        "next.reward": ("float32", 1),
        "next.success": ("bool", 1),
    }
    vectors |= {f"observation.{name}": (str(value.dtype), len(value)) for name, value in _truth(env).items()}
    features |= {key: {"dtype": kind, "shape": (n,), "names": None} for key, (kind, n) in vectors.items()}
    return Description(env_id, round(1 / env.control_dt), env.embodiment, features, dict(env.versions))


def _truth(env: Any) -> dict[str, np.ndarray]:
    """What is kept beside the observation: the simulator's state, if it can be had, and what is measured."""
    state = {"sim_state": env.get_sim_state()} if env.sim_state_size else {}
    return {**state, **env.measurements()}
