"""What the worlds of the arm cost on top of the same MuJoCo calls made by hand.

    python tests/benchmarks/arm_worlds.py --envs Screen-TypeCode-v0 Screen-FollowTarget-v0

"Raw" is one `mj_step` call over the same substeps with the same controls, followed by the same `mjr_render` and
`mjr_readPixels` calls on the same scene, and `mjr_uploadTexture` where the world has a live texture. Both take turns,
measured in CPU seconds of this process, so that a busy machine slows both alike. Ours has on top: inverse
kinematics, checks, the puzzle or game and its drawing, averaging of the pictures, the observation.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sims.common.renderer import GLRenderer

STEPS = 150
Run = tuple[Callable[[], None], Callable[[int], object]]  # back to the start; step number so and so


def make(env_id: str, cameras: tuple[str, ...], size: int) -> Any:
    """An environment that never ends, at the start of an episode."""
    return gymnasium.make(f"sims:{env_id}", cameras=cameras, image_size=size, max_env_steps=10**9).unwrapped


def expert_actions(env: Any) -> np.ndarray:
    """What the expert does in one episode: contacts as in real use."""
    observation, _ = env.reset(seed=0)
    expert, actions = env.make_expert(), []
    info = {"is_success": False}
    while not info["is_success"] and len(actions) < STEPS:
        actions.append(expert(observation))
        observation, _, _, _, info = env.step(actions[-1])
    return np.array(actions, np.float32)


def ours(env: Any, actions: np.ndarray) -> Run:
    """Our own step, action by action."""
    start = _state(env)
    return (lambda: env.set_sim_state(start)), (lambda index: env.step(actions[index]))


def by_hand(env: Any, actions: np.ndarray, draw: Callable[[], None] | None = None) -> Run:
    """The same controls through bare MuJoCo, and the bare drawing calls."""
    start, controls = _state(env), []
    for action in actions:
        env.step(action)
        controls.append(env.data.ctrl.copy())
    substeps = round(env.control_dt / env.model.opt.timestep)

    def step(index: int) -> None:
        env.data.ctrl[:] = controls[index]
        mujoco.mj_step(env.model, env.data, substeps)
        if draw is not None:
            draw()

    return (lambda: env.set_sim_state(start)), step


def _state(env: Any) -> np.ndarray:
    env.reset(seed=0)
    return env.get_sim_state()


def cpu_ms(runs: tuple[Run, Run], steps: int, rounds: int) -> tuple[float, float]:
    """Milliseconds of CPU per step of two runs that take turns.

    Of every step the least over the rounds, since other processes can only add; then the mean over the steps.
    """
    spent = np.empty((2, rounds, steps))
    for turn in range(rounds):
        for which, (restart, step) in enumerate(runs):
            restart()
            for index in range(steps):
                begin = time.process_time()
                step(index)
                spent[which, turn, index] = time.process_time() - begin
    first, second = spent.min(axis=1).mean(axis=1) * 1e3
    return float(first), float(second)


def raw_frame(env: Any, camera: str, size: int) -> Callable[[], None]:
    """The bare MuJoCo calls that draw one camera at the size our renderer draws at."""
    renderer = GLRenderer(env.model)
    drawn = size * renderer.supersample
    context = renderer._activated(is_detailed=False, size=(drawn, drawn))
    view, option = env.views[camera].to_mujoco(env.model), mujoco.MjvOption()
    scene = mujoco.MjvScene(env.model, maxgeom=2000)
    rect, pixels = mujoco.MjrRect(0, 0, drawn, drawn), np.empty((drawn, drawn, 3), np.uint8)
    live = [env.model.texture(name).id for name in env.live_textures]

    def draw() -> None:
        for texture in live:
            mujoco.mjr_uploadTexture(env.model, context, texture)
        mujoco.mjv_updateScene(env.model, env.data, option, None, view, mujoco.mjtCatBit.mjCAT_ALL, scene)
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        mujoco.mjr_render(rect, scene, context)
        mujoco.mjr_readPixels(pixels, None, rect, context)

    return draw


def rows(env_id: str, sizes: list[int], rounds: int) -> list[tuple[str, float, float]]:
    """(what, raw ms, our ms) for one environment."""
    bare, other = make(env_id, (), 64), make(env_id, (), 64)
    actions = expert_actions(bare)
    raw, mine = cpu_ms((by_hand(other, actions), ours(bare, actions)), len(actions), rounds)
    table = [("state only", raw, mine)]
    camera = gymnasium.make(f"sims:{env_id}").unwrapped.cameras[0]  # pyright: ignore[reportAttributeAccessIssue]
    for size in sizes:
        env = make(env_id, (camera,), size)
        runs = by_hand(other, actions, raw_frame(other, camera, size)), ours(env, actions)
        raw, mine = cpu_ms(runs, len(actions), rounds)
        table.append((f"camera {camera!r} at {size} px", raw, mine))
        env.close()
    return table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", default=["Screen-TypeCode-v0", "Screen-FollowTarget-v0"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 96])
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    print(
        f"mujoco {mujoco.__version__}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, CPU time"
    )
    for env_id in arguments.envs:
        print(f"\n{env_id:36s} {'raw ms':>8s} {'our ms':>8s} {'steps/s':>8s} {'on top':>7s}")
        for name, raw, ours in rows(env_id, arguments.sizes, arguments.rounds):
            print(f"{name:36s} {raw:8.3f} {ours:8.3f} {1000 / ours:8.0f} {ours / raw - 1:7.1%}")


if __name__ == "__main__":
    main()
