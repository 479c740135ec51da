"""A recording of a toy body, three episodes trained on and four held out, and windows to judge a small model on."""

import dataclasses

import numpy as np
import pytest

from tests.data.recordings import record
from tests.worlds import small_model, small_spec
from unified.data.cache import Cache
from unified.data.heldout import HeldOutWindows, choose_windows
from unified.data.source import Source, open_recording
from unified.data.windows import WindowDataset, WindowSource
from unified.model.config import ModelConfig
from unified.model.model import UnifiedModel
from unified.model.spec import DataSpec, Embodiment
from unified.model.stored.history import History

LENGTHS = (20, 22, 18, 24, 20, 16, 19)
TRAINED = 3
TOY = Embodiment("toy", 3, 2, ("front",), 0.1)
SPEC = small_spec(embodiments=(TOY,))


@pytest.fixture(scope="package")
def source(tmp_path_factory: pytest.TempPathFactory) -> WindowSource:
    root = tmp_path_factory.mktemp("judged") / "toy"
    record(root, LENGTHS, size=(16, 16), has_expert=True)
    cache = Cache.open(open_recording(Source(str(root))), SPEC.image_size)
    is_held = np.arange(len(LENGTHS)) >= TRAINED
    return WindowSource(cache, cache.rows(is_held), "toy", SPEC.frame_stride)


@pytest.fixture
def windows(source: WindowSource) -> HeldOutWindows:
    """Two known moments and four to be imagined, two env steps apart, as many as fit in."""
    return held_out(source)


def held_out(source: WindowSource, spec: DataSpec = SPEC, known: int = 2, steps: int = 4) -> HeldOutWindows:
    is_trained = np.arange(len(LENGTHS)) < TRAINED
    chosen = choose_windows(WindowDataset([source], spec), 1000, known, steps)
    return dataclasses.replace(chosen, trained=(source.cache.rows(is_trained),))


@pytest.fixture
def model() -> UnifiedModel:
    return a_model()


def a_model(spec: DataSpec = SPEC, *learned: str, config: ModelConfig | None = None) -> UnifiedModel:
    """A small model that learned these queries; without any: nobody says which."""
    model = small_model(config, spec)
    stats = {"mean": [0.1] * 3, "std": [0.5, 1.0, 2.0]}
    proprio = {"mean": [0.0] * spec.proprio_dim, "std": [1.0] * spec.proprio_dim}
    model.set_stats({"toy": {"action": stats, "observation.state": proprio}})
    if learned:
        model.history = History({name: model.query(name) for name in learned})
    return model
