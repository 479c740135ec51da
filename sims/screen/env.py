# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""The arm at a desk, working a mouse to solve a puzzle on the screen."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import ImageDraw

from sims.arm.env import ArmEnv
from sims.arm.looks import draw_colour
from sims.common.base import FILM_SIZE, Policy
from sims.common.camera import CameraView
from sims.common.errors import unknown_name
from sims.common.raycast import texture_pixels
from sims.common.versions import package_version
from sims.screen import PUZZLES
from sims.screen.desk import BUTTON, HOLD_HEIGHT, MOUSE, MOUSE_CENTRE, SCREEN, MouseSensor, desk
from sims.screen.puzzle import Puzzle

_GAINS = (700.0, 1000.0)  # pixels per metre
_UNSEEN_GAINS = ((550.0, 680.0), (1020.0, 1200.0))
_DESK_VIEW = CameraView(lookat=(0.67, 0.03, 0.13), distance=0.86, azimuth=45.0, elevation=-27.0)
# Large and of a colour that nothing else has, as people set it who must find it at a glance; 12 pixels high at 64.
_ARROW = ((0, 0), (0, 22), (5, 17), (9, 25), (13, 23), (9, 16), (16, 16))
_CURSOR, _CURSOR_PRESSED = (255, 0, 200), (255, 240, 0)
_FRAME = (20, 20, 25)


class ScreenEnv(ArmEnv):
    """A mouse held by friction moves the cursor; pushing its shell down clicks.

    The hand begins around the mouse with open fingers. Cameras: `screen` looks straight at the monitor, `desk` over
    the arm's shoulder, `hand` at the mouse, and those of every world of the arm.
    """

    live_textures = (SCREEN,)
    main_views = (SCREEN, "hand")
    noise_axes = (0, 1, 2)
    workspace = ((0.31, -0.19, 0.018), (0.59, 0.19, 0.2))

    def __init__(
        self,
        puzzle: str,
        variant: str = "train",
        cameras: Sequence[str] = ("screen",),
        image_size: int = 64,
        max_env_steps: int = 200,
        render_mode: str | None = None,
    ):
        """Build the desk.

        Args:
            puzzle: a task of `sims.screen.PUZZLES`.
            variant: `train`, or `unseen` for other icons, fonts, layouts, gains, colours and light.
            cameras, image_size, max_env_steps, render_mode: see `SimEnv`.
        """
        if puzzle not in PUZZLES:
            raise unknown_name("puzzle", puzzle, PUZZLES)
        module, name = PUZZLES[puzzle].split(":")
        self._puzzle_class: type[Puzzle] = getattr(importlib.import_module(module), name)
        super().__init__(
            desk(),
            task_name=f"screen-{puzzle}",
            task=f"Solve the puzzle {puzzle} on the screen",
            variant=variant,
            cameras=cameras,
            image_size=image_size,
            max_env_steps=max_env_steps,
            render_mode=render_mode,
            views={"desk": _DESK_VIEW},
        )
        self._pixels = texture_pixels(self.model, SCREEN)
        self._mouse_body = self.model.body(MOUSE).id
        self._mouse_joint = self.data.joint(MOUSE)
        self._button = self.data.joint(BUTTON).qpos
        self.puzzle = self._puzzle_class(np.random.default_rng(0), False)
        self.mouse = MouseSensor(_GAINS[0], np.zeros(2), 0.0, 0.0)
        self._num_clicks, self._error_sum = 0, 0.0

    @property
    def versions(self) -> dict[str, str]:
        """Pillow draws the puzzles, so its version decides the pictures."""
        return {**super().versions, "pillow": package_version("pillow")}

    @property
    def mouse_yaw(self) -> float:
        """Turn of the mouse about the vertical, radians."""
        matrix = self.data.xmat[self._mouse_body]
        return float(np.arctan2(matrix[3], matrix[0]))

    @property
    def mouse_position(self) -> Float64[np.ndarray, " 3"]:
        """Middle of the mouse's base, metres."""
        return self.data.xpos[self._mouse_body].copy()

    def render_frame(self, camera: str, size: int = FILM_SIZE) -> UInt8[np.ndarray, " size size 3"]:
        """A picture from any camera, with the screen as it is now."""
        picture = self.puzzle.picture().copy()
        x, y = (round(float(place)) for place in self.mouse.cursor)
        draw = ImageDraw.Draw(picture)
        box = self.puzzle.hovered(self.mouse.cursor)
        if box is not None:
            draw.rectangle(box, outline=_FRAME, width=3)
        fill = _CURSOR_PRESSED if self.mouse.is_pressed else _CURSOR
        draw.polygon([(x + dx, y + dy) for dx, dy in _ARROW], fill=fill, outline=_FRAME)
        self._pixels[:] = np.frombuffer(picture.tobytes(), np.uint8)
        return super().render_frame(camera, size)

    def make_expert(self, rng: np.random.Generator | None = None) -> Policy:
        """Grips the mouse, moves the cursor by feedback and clicks what the puzzle asks for."""
        from sims.screen.expert import ScreenExpert

        return ScreenExpert(self, rng)

    def _draw_episode(self, rng: np.random.Generator) -> None:
        is_unseen = self.variant == "unseen"
        self.puzzle = self._puzzle_class(rng, is_unseen)
        self.instruct(self.puzzle.instruction)
        self._draw_looks(rng, is_unseen)
        gain = rng.uniform(*(_UNSEEN_GAINS[int(rng.integers(2))] if is_unseen else _GAINS))
        cursor = rng.uniform(16, 112, 2)
        # As if the mouse had come from the middle of the pad, so that the whole screen is within the hand's reach.
        left, forward = (64 - cursor) / gain
        x, y = MOUSE_CENTRE + np.array([forward, left]) + rng.uniform(-0.015, 0.015, 2)
        yaw = rng.uniform(-0.12, 0.12)
        self._mouse_joint.qpos[:] = x, y, 0.005, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
        self.mouse = MouseSensor(gain, cursor, x, y)
        self.place_hand((x + rng.uniform(-0.005, 0.005), y + rng.uniform(-0.01, 0.01), HOLD_HEIGHT), yaw)
        self._num_clicks, self._error_sum = 0, 0.0

    def _draw_looks(self, rng: np.random.Generator, is_unseen: bool) -> None:
        looks = self.looks
        looks.light(rng, is_unseen)
        looks.paint("table", draw_colour(rng, value=(0.3, 0.45) if is_unseen else (0.5, 0.8)))
        looks.paint("pad", draw_colour(rng, value=(0.5, 0.6) if is_unseen else (0.1, 0.25)))
        looks.paint(MOUSE, draw_colour(rng, saturation=(0.5, 0.7) if is_unseen else (0.0, 0.2), value=(0.6, 0.9)))
        looks.shake_camera(SCREEN, rng, 0.004, 0.015 if is_unseen else 0.005)

    def _judge(self) -> tuple[float, bool, dict[str, Any]]:
        puzzle, mouse, before = self.puzzle, self.mouse, self.puzzle.progress
        was_pressed = mouse.is_pressed
        x, y, z = self.mouse_position
        mouse.read(x, y, z, self.mouse_yaw, float(self._button[0]))
        if mouse.is_pressed and not was_pressed:
            self._measure_click()
            puzzle.wrong_clicks += not puzzle.press(mouse.cursor.copy())
        elif was_pressed and not mouse.is_pressed:
            puzzle.wrong_clicks += not puzzle.release(mouse.cursor.copy())
        puzzle.tick(mouse.cursor.copy(), mouse.is_pressed)
        metrics = {
            "wrong_clicks": puzzle.wrong_clicks,
            "progress": puzzle.progress,
            "time_s": round((self.elapsed_steps + 1) * self.control_dt, 3),
        }
        if self._num_clicks:
            metrics["cursor_error_px"] = self._error_sum / self._num_clicks
        return puzzle.progress - before, puzzle.is_solved, {"metrics": metrics}

    def _measure_click(self) -> None:
        """How far the click is from what was to be clicked next."""
        goal = self.puzzle.goal()
        if goal is not None:
            self._num_clicks += 1
            self._error_sum += float(np.linalg.norm(self.mouse.cursor - goal.point))

    def _get_progress(self) -> Float64[np.ndarray, " progress"]:
        mouse = self.mouse
        own = [*mouse.cursor, mouse.x, mouse.y, mouse.is_pressed, self._num_clicks, self._error_sum]
        return np.concatenate([own, self.puzzle.get_state()])

    def _set_progress(self, progress: Float64[np.ndarray, " padded"]) -> None:
        self.mouse.cursor = progress[:2].copy()
        self.mouse.x, self.mouse.y, self.mouse.is_pressed = float(progress[2]), float(progress[3]), bool(progress[4])
        self._num_clicks, self._error_sum = int(progress[5]), float(progress[6])
        self.puzzle.set_state(progress[7:])
