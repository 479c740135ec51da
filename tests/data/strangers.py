"""Small data sets of other people's kinds, under the names that examples use, where the published ones are absent."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from unified.data.lerobot3 import layout
from unified.data.lerobot3.mp4 import ENCODINGS, write_mp4

FPS, ROWS, EPISODES = 20, 40, 6
CAMERAS = ("front_cam", "wrist_cam")
DATA = "data/chunk-000/episode_{:06d}.parquet"
FILM = "videos/chunk-000/observation.images.{}/episode_{:06d}.mp4"


def write_stand_ins(folder: Path, episodes: int = EPISODES, rows: int = 900) -> None:
    """`robot_franka_usb`, LeRobot v2.1 with a lie in its metadata, and `driving_rc_car`, a Donkeycar tub."""
    write_arm(folder / "robot_franka_usb", episodes)
    write_car(folder / "driving_rc_car", rows)


def write_arm(root: Path, episodes: int) -> None:
    """An arm that moves to and fro under two cameras; its metadata state half the true rate."""
    film: dict[str, Any] = {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"]}
    film["info"] = {"video.codec": "h264", "video.pix_fmt": "gbrp", "video.fps": FPS}
    vector: dict[str, Any] = {"dtype": "float32", "shape": [7], "names": None}
    features = {f"observation.images.{name}": film for name in CAMERAS} | layout.INDEX_FEATURES
    features |= {"observation.state": vector, "action": vector}
    info: dict[str, Any] = {"codebase_version": "v2.1", "robot_type": "toy", "fps": FPS // 2, "features": features}
    info |= {
        "total_episodes": episodes,
        "total_frames": episodes * ROWS,
        "total_tasks": 1,
        "splits": {"train": f"0:{episodes}"},
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    (root / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "plug it in"}\n')
    rows = [{"episode_index": number, "tasks": ["plug it in"], "length": ROWS} for number in range(episodes)]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = np.arange(ROWS)
    for number in range(episodes):
        state = np.sin(steps[:, None] / 5 + np.arange(7) + number).astype(np.float32)
        columns = {"observation.state": state.tolist(), "action": np.roll(state, -1, axis=0).tolist()}
        columns |= {"timestamp": (steps / FPS).astype(np.float32), "frame_index": steps, "index": steps + number * ROWS}
        columns |= {"episode_index": np.full(ROWS, number), "task_index": np.zeros(ROWS, np.int64)}
        (root / DATA.format(number)).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), root / DATA.format(number))
        for camera in CAMERAS:
            path = root / FILM.format(camera, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mp4(path, np.stack([_scene(value, (48, 64)) for value in state[:, 0]]), FPS, ENCODINGS["lossless"])


def write_car(folder: Path, rows: int) -> None:
    """A drive at twenty rows a second."""
    (folder / "images").mkdir(parents=True)
    lines: list[str] = []
    for index in range(rows):
        angle = float(np.sin(index / 15))
        Image.fromarray(_scene(angle, (24, 32))).save(folder / "images" / f"{index}.jpg")
        row = {"_index": index, "_session_id": "a", "_timestamp_ms": 1_000_000 + 50 * index, "user/mode": "user"}
        row |= {"cam/image_array": f"{index}.jpg", "user/angle": angle, "user/throttle": 0.3}
        lines.append(json.dumps(row) + "\n")
    (folder / "catalog.jsonl").write_text("".join(lines))


def _scene(place: float, size: tuple[int, int]) -> np.ndarray:
    """A bright column, between -1 and 1, on a ramp."""
    picture = np.tile(np.linspace(30, 120, size[1]).astype(np.uint8)[None, :, None], (size[0], 1, 3))
    centre = round((place + 1) / 2 * (size[1] - 8))
    picture[:, centre : centre + 8] = (240, 200, 60)
    return picture
