"""What every test may use. Shapes and types in annotations are checked while tests run (UNIFIED_TYPECHECK=0: not)."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# One thread a process: the suite runs several processes at once, and tiny models gain nothing from more.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A suite started in the background (`make test &`) inherits an ignored Ctrl-C, and so would the programs under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

if os.environ.get("UNIFIED_TYPECHECK", "1") != "0":
    from jaxtyping import install_import_hook

    install_import_hook(("unified", "decoders", "tasks"), "beartype.beartype")

settings.register_profile("shared", deadline=None)  # on a shared machine any example may take its time
settings.load_profile("shared")

ROOT = Path(__file__).resolve().parents[1]
# Half a minute and more each. Begun last, one would run alone while the other processes have nothing left to do.
LONGEST = (
    "test_every_example_of_every_command",
    "test_trained_network_is_within_twice",
    "test_quick_demo_ends",
    "test_a_killed_run_goes_on",
    "test_compiled_backbone",
    "test_real_robot_data",
    "test_a_run_that_is_asked_to_stop",
    "test_two_processes",
    "test_training_reports_success",
    "test_the_wheel_imports",
)


def pytest_configure() -> None:
    """Draw with the renderer that the commands would choose here."""
    from unified.rollout.rendering import configure_rendering

    configure_rendering(announce=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests; skip what needs a GPU where there is none (torch is imported only for such)."""
    items.sort(key=lambda item: not item.name.startswith(LONGEST))
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if not needing:
        return
    import torch

    if not torch.cuda.is_available():
        for item in needing:
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working tree."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the repository: `UNIFIED_SHARED_DATA`, else `../shared/data`."""
    place = Path(os.environ.get("UNIFIED_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no shared data at {place}; set UNIFIED_SHARED_DATA")
    return place
