"""Flipped bits and cut files: what is then read is what was written, or it is refused by name.

Tables, films, weights, checkpoints and caches must be told from damaged ones. A flipped letter of a text that people
write (YAML, the words of results.json) may be another valid text; of these only the answer is looked at.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.forks import run_in_fork
from tests.faults.fuzz import cut, flip
from tests.faults.world import copy_world

_DIFFERENT = 3


def read_recording(folder: Path) -> str:
    """Everything that training reads of the data set, as one digest."""
    from unified.data.cache import Cache
    from unified.data.source import Source, open_recording

    recording = open_recording(Source(str(folder / "set")))
    cache = Cache.open(recording, (16, 16))
    arrays = [*cache.images.values(), *cache.columns.values(), cache.task, cache.bounds, cache.episode_index]
    return _digest([recording.fps, recording.embodiment, cache.tasks, *arrays])


def read_model(folder: Path) -> str:
    """A model's weights and what it is."""
    from unified.model.model import UnifiedModel

    model = UnifiedModel.from_pretrained(folder / "run" / "pretrained")
    return _digest([model.spec.to_dict(), model.config.to_dict(), *model.state_dict().values()])


def read_training(folder: Path) -> str:
    """The weights and counters of a training checkpoint."""
    from unified.training.checkpoints import read_checkpoint

    stored = read_checkpoint(folder / "run" / "checkpoints" / "step-00000001.ckpt")
    return _digest([stored["global_step"], *stored["state_dict"].values()])


def read_results(folder: Path) -> str:
    """Nothing that a digest could tell: only that it is read or refused."""
    from unified.judging.results import read_results

    read_results(folder / "judged")
    return ""


def read_suite(folder: Path) -> str:
    """The same of a suite."""
    from unified.rollout.suites import load_suite

    load_suite(folder / "suite.yaml")
    return ""


Reader = Callable[[Path], str]
# Part of the world, where in it, and who reads it. A data set's cache is built anew unless the cache is what rots.
PARTS: tuple[tuple[str, str, Reader], ...] = (
    ("set", "data", read_recording),
    ("set", "videos", read_recording),
    ("set", "meta", read_recording),
    ("set", ".cache", read_recording),
    ("run", "pretrained", read_model),
    ("run", "checkpoints", read_training),
    ("judged", "results.json", read_results),
    ("suite.yaml", "", read_suite),
)


def rot(world: Path, folder: Path, cases: int, seed: int) -> Iterator[tuple[str, str]]:
    """Flip or cut one file after the other; yields what was done and what was wrong ("" if nothing)."""
    wanted = {reader: reader(world) for _, _, reader in PARTS}
    for number in range(cases):
        rng = random.Random(f"{seed}-rot-{number}")
        part, inside, reader = PARTS[number % len(PARTS)]
        copy_world(world, part, folder)
        place = folder / part / inside if inside else folder / part
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        path = rng.choice([path for path in files if path.name not in ("lock", "source.json", "README.md")])
        what = rng.choice((flip, flip, cut))(path, path.read_bytes(), rng)
        outcome = run_in_fork(lambda reader=reader: _compare(reader, folder, wanted[reader]), folder)
        fault = "silently wrong" if outcome.status == _DIFFERENT else outcome.fault
        yield f"#{number} {path.relative_to(folder)} {what}", fault


def _compare(reader: Reader, folder: Path, wanted: str) -> int:
    import sys

    from unified.errors import UserError

    try:
        return 0 if reader(folder) == wanted else _DIFFERENT
    except UserError as error:
        sys.stderr.write(f"unified: error: {error}\n")
        return 1


def _digest(items: list[Any]) -> str:
    hashed = hashlib.sha256()
    for item in items:
        array = np.asarray(item) if hasattr(item, "shape") else None
        hashed.update(repr(item).encode() if array is None else np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()
