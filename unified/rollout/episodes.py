"""What is asked of an episode, what it asks and what comes of it: plain data that crosses between processes."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from unified.data.lerobot3.writer import PreparedEpisode
from unified.judging.results import EpisodeResult
from unified.model.spec import Embodiment

Action = Float[np.ndarray, " action_dim"]
ActionChunk = Float[np.ndarray, " n_action_steps action_dim"]
Observations = dict[str, Any]

EXPLORING = ("play", "random", "hold")  # recorded for a fixed number of steps; no success is expected of them


def describe_body(env: Any) -> Embodiment:
    """What an environment says of the body that it moves."""
    inner = env.unwrapped
    actions, measured = inner.action_space.shape[0], inner.observation_space["agent_pos"].shape[0]
    return Embodiment(inner.embodiment, actions, measured, (), inner.control_dt)


@dataclass(frozen=True)
class FilmRequest:
    """Record this episode: pictures of `size` x `size` pixels from `camera`, about `fps` for a second of its time."""

    camera: str
    size: int = 192
    fps: float = 20.0

    def stride(self, control_dt: float) -> int:
        """Env steps from one picture to the next."""
        return max(1, round(1 / (self.fps * control_dt)))


@dataclass(frozen=True)
class Rules:
    """How episodes are recorded, the same for all of a dataset.

    Attributes:
        policy: a name in `builtin`, or where a checkpoint is.
        env_kwargs: for `gymnasium.make`.
        hold_steps: env steps kept after the first success.
        play_steps: length of an episode of play, random actions or none.
        encoding: name in `unified.data.mp4.ENCODINGS`.
        shoves: chance at every env step of episodes with noise that a shove begins, see `recording.noise.ActionNoise`.
        label: whose action is `expert_action`: "own", the policy's, or "expert", the expert's advice in its place.
        expert_share: share of the env steps at which the expert acts instead of the policy.
    """

    policy: str
    env_kwargs: Mapping[str, Any]
    hold_steps: int = 9
    play_steps: int = 150
    encoding: str = "lossless"
    shoves: float = 0.0
    label: str = "own"
    expert_share: float = 0.0

    @property
    def explores(self) -> bool:
        """Whether an episode has a fixed length and success ends nothing."""
        return self.policy in EXPLORING


@dataclass(frozen=True)
class Recording:
    """Keep every step of this episode, as a dataset does.

    Attributes:
        folder: where its films are encoded; no other episode's.
        noise: standard deviation of what is added to the actions.
    """

    folder: Path
    rules: Rules
    noise: float = 0.0


@dataclass(frozen=True)
class Episode:
    """One thing to run: an environment, the seed of its reset, and what is to be kept of it."""

    env_id: str
    seed: int
    env_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    film: FilmRequest | None = None
    recording: Recording | None = None

    @property
    def key(self) -> int:
        """A number that stands for this episode and no other, the same in every process and run."""
        return zlib.crc32(f"{self.env_id}:{self.seed}".encode())

    def __str__(self) -> str:
        return f"{self.env_id} seed {self.seed}"


@dataclass(frozen=True)
class PolicyNeeds:
    """What an environment has to provide for a policy, and how often.

    Attributes:
        builtin: name of a policy in `builtin`, decided beside the environment: no picture is drawn for it. Otherwise
            None, and what follows is the policy's.
        history: moments that are seen before the present one, where the episode has them.
        stride: env steps from one moment to the next.
    """

    builtin: str | None = None
    cameras: tuple[str, ...] = ()
    image_size: int | None = None
    n_action_steps: int = 1
    history: int = 0
    stride: int = 1


@dataclass(frozen=True)
class Free:
    """A place is free for an episode, best of the environment that it has already."""

    env_id: str | None


@dataclass(frozen=True)
class Decision:
    """Episode `index` waits for its next actions; `number` counts its decisions from 0.

    Attributes:
        observation: {"pixels": {camera: uint8 (moment, H, W, 3)}, "agent_pos": float32 (moment, P)}, the present last;
            fewer moments than the policy sees where the episode has just begun.
        executed: the actions between these moments, as the environment got them.
        task: the instruction in words.
        embodiment: name of the body.
        action_dim: length of the action vector.
    """

    index: int
    number: int
    observation: Observations
    executed: Float[np.ndarray, " step env_step action_dim"]
    task: str
    embodiment: str
    action_dim: int

    @property
    def num_moments(self) -> int:
        """How many moments are seen, the present with them."""
        return len(self.observation["agent_pos"])


@dataclass(frozen=True)
class Description:
    """What an environment says about itself, as a dataset stores it."""

    env_id: str
    fps: int
    embodiment: str
    features: dict[str, dict[str, Any]]
    versions: dict[str, str]


@dataclass(frozen=True)
class Recorded:
    """Every step of an episode, ready to be saved."""

    description: Description
    episode: PreparedEpisode


@dataclass(frozen=True)
class Finished:
    """Episode `index` is over.

    Attributes:
        film: its pictures, if they were asked for; `fps` plays them in real time, `stride` env steps lie between two.
        recorded: its steps, if they were asked for.
    """

    index: int
    result: EpisodeResult
    film: UInt8[np.ndarray, " frame height width 3"] | None = None
    fps: float = 0.0
    stride: int = 1
    recorded: Recorded | None = None
