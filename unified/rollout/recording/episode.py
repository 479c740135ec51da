"""One recorded episode: everything that was seen and done, from the job alone."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from unified.rollout.recording.actors import EXPLORING, Action, ActionNoise, make_actor
from unified.rollout.recording.plan import Job, Rules


@dataclass(frozen=True)
class Description:
    """What an environment says about itself, as a dataset stores it."""

    env_id: str
    fps: int
    embodiment: str
    features: dict[str, dict[str, Any]]
    versions: dict[str, str]


def describe(env: gymnasium.Env[Any, Any], env_id: str) -> Description:
    """Features, rate and versions of an environment; it must have been reset."""
    inner: Any = env.unwrapped
    proprio, action = inner.observation_space["agent_pos"].shape[0], inner.action_space.shape[0]
    size = (inner.image_size, inner.image_size, 3)
    picture = {"dtype": "video", "shape": size, "names": ["height", "width", "channels"]}
    features: dict[str, dict[str, Any]] = {f"observation.images.{camera}": dict(picture) for camera in inner.cameras}
    vectors = {
        "observation.state": ("float32", proprio),
        "action": ("float32", action),
        "expert_action": ("float32", action),
        "next.reward": ("float32", 1),
        "next.success": ("bool", 1),
        "observation.sim_state": ("float64", len(inner.get_sim_state())),
    }
    vectors |= {f"observation.{name}": (str(value.dtype), len(value)) for name, value in inner.measurements().items()}
    features |= {key: {"dtype": kind, "shape": (n,), "names": None} for key, (kind, n) in vectors.items()}
    return Description(env_id, round(1 / inner.control_dt), inner.embodiment, features, dict(inner.versions))


def run_episode(env: gymnasium.Env[Any, Any], job: Job, rules: Rules) -> tuple[dict[str, np.ndarray], bool]:
    """Act through one episode; what it gives depends on the job and the rules alone.

    Returns:
        Every feature, first axis the frame, and whether the task was ever solved. Row t holds what was seen, the
        action then executed, the clean label at that state (an expert's `advice` where it has one), and the reward and
        success that followed.
    """
    inner: Any = env.unwrapped
    low, high = inner.action_space.low, inner.action_space.high
    salt, key = zlib.crc32(job.env_id.encode()), zlib.crc32(f"{job.env_id}:{job.seed}".encode())
    acting_rng, noise_rng = (np.random.default_rng([job.seed, salt, stream]) for stream in (0, 1))
    observation, _ = env.reset(seed=job.seed)
    act, label = make_actor(inner, rules.policy, acting_rng, key)
    noise = ActionNoise(job.noise, inner.noise_size, noise_rng, rules.shoves)
    rows: list[dict[str, Any]] = []
    steps_left, solved = (rules.play_steps if rules.policy in EXPLORING else None), False
    while steps_left is None or steps_left > 0:
        truth = {"sim_state": inner.get_sim_state(), **inner.measurements()}
        clean = np.clip(np.asarray(act(observation), np.float32), low, high)
        advised = getattr(act, "advice", clean) if label is act else label(observation)
        advice = np.clip(np.asarray(advised, np.float32), low, high)
        action = np.asarray(inner.perturbed(clean, noise()), np.float32) if job.noise else clean
        seen, (observation, reward, terminated, truncated, info) = observation, env.step(action)
        success = bool(info["is_success"])
        rows.append(_row(seen, action, advice, reward, success, truth))
        if steps_left is not None:
            steps_left -= 1
        elif success and not solved:
            steps_left = rules.hold_steps
        solved = solved or success
        is_lost = steps_left is None and bool(info.get("is_over"))  # success is out of reach
        if terminated or truncated or is_lost:
            break
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}, solved


def _row(
    seen: Any, action: Action, advice: Action, reward: Any, success: bool, truth: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    row: dict[str, Any] = {f"observation.images.{camera}": picture for camera, picture in seen["pixels"].items()}
    row |= {"observation.state": np.asarray(seen["agent_pos"], np.float32), "action": action, "expert_action": advice}
    row |= {"next.reward": np.array([reward], np.float32), "next.success": np.array([success])}
    return row | {f"observation.{name}": value for name, value in truth.items()}
