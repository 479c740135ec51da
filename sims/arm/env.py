# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""What all worlds of the arm share: one body, one action space, one proprio, seeded episodes, exact restoring.

A world subclasses `ArmEnv`, hands it a scene, and fills in `_draw_episode`, `_judge` and its expert; if it keeps
anything that MuJoCo does not (clicks, moves, a puzzle's state), also `_get_progress` and `_set_progress`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Float32, Float64

from sims.arm.ik import ArmKinematics
from sims.arm.looks import Looks
from sims.arm.model import (
    FINGER_SQUEEZE,
    FINGER_TRAVEL,
    FINGERS,
    HOME,
    JOINTS,
    TCP,
    WRIST_CAMERA,
    Position,
    attach_arm,
)
from sims.common.base import Policy, SimEnv
from sims.common.camera import CameraView
from sims.common.errors import unknown_name
from sims.common.sleep import forward_awake, get_sleep, set_sleep

CONTROL_DT = 0.05
MAX_MOVE = 0.025  # metres per action and axis
MAX_TURN = 0.2  # radians per action
YAW_LIMIT = 1.6  # radians to both sides
_LEASH = np.array([0.04] * 3 + [0.4])  # how far the commanded hand may be ahead of the real one, metres and radians
_SETTLE_ITERATIONS = 100
_State = mujoco.mjtState
_HEADER = 6  # the episode's key (2), the commanded hand (4)


class ArmEnv(SimEnv):
    """The arm in a scene: actions move the hand (x, y, z, yaw) and set the gripper, 20 times a second.

    Action, each in [-1, 1]: change of the commanded hand position (`MAX_MOVE` m), of its yaw (`MAX_TURN` rad), and the
    opening of the gripper (-1 closed with force, 1 open). Proprio: hand position (m), yaw (rad), opening (m), joints
    (rad), and by how much the commanded hand is ahead of the real one (m, rad), without which one picture could not
    tell a hand that is under way from one that has stopped short.

    Attributes:
        workspace: lowest and highest corner of where the hand may be sent, metres.
        variants: names of the sets that episodes are drawn from; `unseen` holds what `train` never shows.
        variant: the one in use.
        noise_axes: the parts of an action that recordings may disturb: the hand's place and turn, not its grip.
        looks: what draws light and colours anew in `_draw_episode`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / CONTROL_DT)}  # noqa: RUF012 - Gymnasium's way
    embodiment = "arm"
    proprio_size = 16
    sim_state_size = 768
    # Everything that integration reads, less the external forces, which no world of the arm applies.
    sim_state_spec = int(_State.mjSTATE_INTEGRATION) & ~int(_State.mjSTATE_QFRC_APPLIED | _State.mjSTATE_XFRC_APPLIED)
    variants: ClassVar[tuple[str, ...]] = ("train", "unseen")
    main_views = ("front", "side")
    noise_axes: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    workspace: ClassVar[tuple[Position, Position]] = ((0.25, -0.45, 0.0), (0.75, 0.45, 0.55))

    def __init__(
        self,
        spec: mujoco.MjSpec,
        task_name: str,
        task: str,
        variant: str = "train",
        cameras: Sequence[str] = ("front",),
        image_size: int = 64,
        max_env_steps: int = 250,
        render_mode: str | None = None,
        views: Mapping[str, CameraView] | None = None,
        grip_newton: float = 20.0,
    ):
        """Add the arm to the scene and compile it.

        Args:
            spec: the scene without the arm, such as `arm_model.tabletop()` with more in it.
            task_name, task: see `SimEnv`; a world may set `instruction` anew in every episode.
            variant: one of `variants`.
            cameras, image_size, max_env_steps, render_mode: see `SimEnv`.
            views: further cameras; those of the scene (`front`, `side`) and `wrist` are there by themselves.
            grip_newton: greatest force of each finger.

        Raises:
            ValueError: unknown variant, and what `SimEnv` refuses.
        """
        if variant not in self.variants:
            raise unknown_name("variant", variant, self.variants)
        self.variant = variant
        attach_arm(spec, grip_newton=grip_newton)
        model = spec.compile()
        fixed = [model.camera(index).name for index in range(model.ncam)]
        super().__init__(
            model=model,
            data=mujoco.MjData(model),
            views={name.removeprefix("arm/"): CameraView(fixed=name) for name in fixed} | dict(views or {}),
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (5,), np.float32),
            # A state belongs to its variant: the same seed draws another episode in another one.
            task_name=task_name if variant == "train" else f"{task_name}-{variant}",
            task=task,
            control_dt=CONTROL_DT,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
        )
        assert WRIST_CAMERA in fixed
        self.looks = Looks(model)
        self._kinematics = ArmKinematics()
        self._substeps = round(CONTROL_DT / model.opt.timestep)  # a scene may choose a coarser step than the table's
        tcp = model.site(TCP).id
        self._tcp_position, self._tcp_matrix = self.data.site_xpos[tcp], self.data.site_xmat[tcp]  # views
        self._qpos, self._ctrl = self.data.qpos, self.data.ctrl
        self._joint_qpos = np.array([model.joint(name).qposadr[0] for name in JOINTS])
        self._finger_qpos = np.array([model.joint(name).qposadr[0] for name in FINGERS])
        self._arm_ctrl = np.array([model.actuator(name).id for name in JOINTS])
        self._finger_ctrl = np.array([model.actuator(name).id for name in FINGERS])
        self._low = np.array([*self.workspace[0], -YAW_LIMIT])
        self._high = np.array([*self.workspace[1], YAW_LIMIT])
        self._key = np.zeros(2)
        self._command = np.zeros(4)
        self._restored_sleep = np.empty(0)

    def _draw_episode(self, rng: np.random.Generator) -> None:
        """Everything that belongs to the episode's start: what is where, how it looks, what is asked (`instruct`).

        Called after the physics was reset and the arm brought home; it must depend on `rng` and the variant alone,
        since restoring a state repeats it. It may write to the model, if it writes the same fields every time.
        """
        raise NotImplementedError

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        """Look at the scene after the physics of one action; returns reward, success, further info.

        Numbers in `info["metrics"]` at the end of an episode go into the results of an evaluation.
        """
        raise NotImplementedError

    def _get_progress(self) -> Float64[np.ndarray, " progress"]:
        """What has changed since `_draw_episode` and is not in MuJoCo's state; empty by default."""
        return np.empty(0)

    def _set_progress(self, progress: Float64[np.ndarray, " padded"]) -> None:
        """Take back what `_get_progress` gave; zeros may follow it."""

    def instruct(self, text: str) -> None:
        """Set the instruction of this episode."""
        self.task = self.task_description = text

    def place_hand(self, position: npt.ArrayLike, yaw: float = 0.0, opening: float = 1.0) -> None:
        """Put the resting arm somewhere at the start of an episode; `opening` from -1 (closed) to 1."""
        angles = self._kinematics.solve(np.asarray(position, np.float64), yaw, HOME, _SETTLE_ITERATIONS)
        self._qpos[self._joint_qpos] = self._ctrl[self._arm_ctrl] = angles
        self._qpos[self._finger_qpos] = FINGER_TRAVEL * (opening + 1) / 2
        self._set_gripper(opening)
        self._command[:3], self._command[3] = np.asarray(position), yaw

    @property
    def episode_key(self) -> tuple[int, int]:
        """Two numbers that stand for this episode's seed."""
        return int(self._key[0]), int(self._key[1])

    @property
    def commanded_hand(self) -> Float64[np.ndarray, " 4"]:
        """Where the hand was sent: position in metres and yaw in radians; the real one follows within 0.2 s."""
        return self._command.copy()

    @property
    def hand_position(self) -> Float64[np.ndarray, " 3"]:
        """Tool centre point, metres; the fingertips are 1 cm further."""
        return self._tcp_position.copy()

    @property
    def hand_yaw(self) -> float:
        """Turn of the hand about the vertical, radians; 0 at home, where the fingers open along y."""
        return math.atan2(self._tcp_matrix[3], self._tcp_matrix[0])

    @property
    def hand_opening(self) -> float:
        """Distance between the fingers' pads, metres, 0 to 0.08."""
        return float(self._qpos[self._finger_qpos].sum())

    @property
    def noise_size(self) -> int:
        """Length of the noise that `perturbed` takes."""
        return len(self.noise_axes)

    def perturbed(
        self, action: Float32[np.ndarray, " 5"], noise: Float32[np.ndarray, " noise"]
    ) -> Float32[np.ndarray, " 5"]:
        """The hand goes a little elsewhere; see `noise_axes`."""
        moved = action.copy()
        moved[list(self.noise_axes)] += noise
        return np.clip(moved, -1.0, 1.0)

    def make_play(self, rng: np.random.Generator) -> Policy:
        """Smooth exploring of the workspace with a gripper that opens and closes at will."""
        from sims.arm.play import ArmPlay

        return ArmPlay(self, rng)

    def _reset_world(self, seed: int) -> None:
        self._key = np.random.SeedSequence(seed).generate_state(2).astype(np.float64)
        self._begin_episode()

    def _begin_episode(self) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self._qpos[self._joint_qpos] = self._ctrl[self._arm_ctrl] = HOME
        self._qpos[self._finger_qpos] = FINGER_TRAVEL
        self._set_gripper(1.0)
        mujoco.mj_kinematics(self.model, self.data)
        self._command[:3], self._command[3] = self.hand_position, self.hand_yaw
        self._draw_episode(np.random.default_rng(self._key.astype(np.uint32)))
        forward_awake(self.model, self.data)

    def _step_world(self, action: Float32[np.ndarray, " 5"]) -> tuple[float, bool, dict[str, Any]]:
        self._drive(action)
        mujoco.mj_step(self.model, self.data, self._substeps)
        mujoco.mj_kinematics(self.model, self.data)  # poses of the state reached, not of the last substep's start
        mujoco.mj_flex(self.model, self.data)
        return self._judge()

    def _drive(self, action: Float32[np.ndarray, " 5"]) -> None:
        """Move the commanded hand, hold it near the real one, and send the joints there."""
        here = np.append(self.hand_position, self.hand_yaw)
        command = self._command + action[:4] * (MAX_MOVE, MAX_MOVE, MAX_MOVE, MAX_TURN)
        command = np.minimum(np.maximum(command, here - _LEASH), here + _LEASH)
        command = np.minimum(np.maximum(command, self._low), self._high)
        self._command = command
        present = self._ctrl[self._arm_ctrl]
        self._ctrl[self._arm_ctrl] = self._kinematics.solve(command[:3], float(command[3]), present)
        self._set_gripper(float(action[4]))

    def _set_gripper(self, opening: float) -> None:
        self._ctrl[self._finger_ctrl] = (FINGER_TRAVEL + FINGER_SQUEEZE) * (opening + 1) / 2 - FINGER_SQUEEZE

    def _proprio(self) -> Float[np.ndarray, " 16"]:
        here = np.append(self.hand_position, self.hand_yaw)
        return np.concatenate([here, [self.hand_opening], self._qpos[self._joint_qpos], self._command - here])

    def _get_extra_state(self) -> Float64[np.ndarray, " extra"]:
        sleep = get_sleep(self.model, self.data)
        return np.concatenate([self._key, self._command, sleep, self._get_progress()])

    def _set_extra_state(self, extra: Float64[np.ndarray, " extra"]) -> None:
        self._key = extra[:2].copy()
        self._begin_episode()
        self._command = extra[2:_HEADER].copy()
        self._restored_sleep = extra[_HEADER:].copy()
        self._set_progress(extra[_HEADER + len(get_sleep(self.model, self.data)) :])

    def _after_restore(self) -> None:
        set_sleep(self.model, self.data, self._restored_sleep)
