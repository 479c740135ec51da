"""`unified generate` from end to end: a real recording, a real environment, real pictures, a tiny model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.recordings import vast_png
from tests.worlds import small_model, small_spec
from unified.cli import main
from unified.model.spec import DataSpec, Embodiment
from unified.model.stored.history import History
from unified.report.video import read_video

STRIDE = 4
SAWYER = Embodiment("metaworld", 4, 4, ("corner2",), 0.0125)
TWO_EYES = Embodiment("metaworld", 4, 4, ("corner2", "topview"), 0.0125)


def a_spec(body: Embodiment = SAWYER, **changes: Any) -> DataSpec:
    values = {"image_size": (32, 32), "frame_stride": STRIDE, "num_moments": 4, **changes}
    return small_spec(embodiments=(body,), cameras=body.cameras, **values)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of play (play), and models of one camera and of two (model, two)."""
    folder = tmp_path_factory.mktemp("workshop")
    small_model(spec=a_spec()).save_pretrained(folder / "model")
    small_model(spec=a_spec(TWO_EYES)).save_pretrained(folder / "two")
    record = "record --env sims:MetaWorld-reach-v3 --policy play --episodes 2 --play-steps 30 --workers 1"
    options = ["--cameras", "corner2", "--image-size", "32", "--output", str(folder / "play")]
    assert main([*record.split(), *options]) == 0
    Image.new("RGB", (32, 32), "red").save(folder / "red.png")
    Image.new("RGB", (48, 32), "red").save(folder / "wide.png")
    Image.fromarray(np.full((32, 32), 1200, np.uint16)).save(folder / "deep.png")
    (folder / "vast.png").write_bytes(vast_png())
    return folder


def generate(workshop: Path, output: Path, *options: str, model: str = "model") -> int:
    places = [str(workshop / option) if (workshop / option).exists() else option for option in options]
    return main(
        ["generate", "--checkpoint", str(workshop / model), "--output", str(output), "--num-steps", "1", *places]
    )


def made(output: Path) -> dict[str, Any]:
    return json.loads((output / "generate.json").read_text())


def test_a_recording_goes_on_beside_its_truth(workshop: Path, tmp_path: Path) -> None:
    assert (
        generate(workshop, tmp_path, "--data", "play", "--episode", "1", "--frame", "9", "--steps", "5", "--size", "64")
        == 0
    )
    numbers = made(tmp_path)
    assert (numbers["actions"], numbers["proprio"], numbers["truth"]) == ("recorded", "imagined", "truth")
    assert (numbers["known_moments"], numbers["frame_stride"], numbers["fps"]) == (3, STRIDE, 20.0)
    assert len(numbers["psnr_per_frame"]) == len(numbers["copy_psnr_per_frame"]) == 5
    assert numbers["copy_psnr"] > numbers["psnr"]  # the model never learned
    film = read_video(tmp_path / "film.mp4")
    assert film.shape[0] == 6
    assert film.shape[2] == 3 * 64 + 2 * 4, "truth, dream, error"
    difference = film[:, -64:, :64].astype(int) - film[:, -64:, 68:132]
    assert np.abs(difference[0]).mean() < 5, "both begin with the present"
    assert np.abs(difference[-1]).mean() > 10
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.size[0] > 6 * 96


def test_a_dream_goes_on_beyond_its_recording_and_the_truth_ends_there(workshop: Path, tmp_path: Path) -> None:
    assert generate(workshop, tmp_path, "--data", "play", "--frame", "20", "--actions", "plan", "--steps", "12") == 0
    numbers = made(tmp_path)
    assert numbers["truth"] == "recorded"  # under other commands
    assert (numbers["steps"], len(numbers["psnr_per_frame"])) == (12, 2)
    assert len(read_video(tmp_path / "film.mp4")) == 13


def test_what_is_told_changes_what_is_dreamt_and_true_proprio_is_shown_only_if_asked_for(
    workshop: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "own.npy", np.ones((24, 4), np.float32))
    (tmp_path / "own.json").write_text(json.dumps([[1.0] * 4] * 12))
    told = {
        "recorded": (),
        "shuffled": ("--actions", "shuffled"),
        "file": ("--actions", str(tmp_path / "own.npy")),
        "json": ("--actions", str(tmp_path / "own.json")),
        "constant": ("--actions", "1,1,1,1"),
        "plan": ("--actions", "plan"),
        "measured": ("--proprio", "recorded"),
        "known": ("--known", "1"),
        "joint": ("--query", "joint"),
        "video": ("--query", "video"),
    }
    psnr = {}
    for name, options in told.items():
        assert generate(workshop, tmp_path / name, "--data", "play", "--frame", "8", "--steps", "3", *options) == 0
        psnr[name] = made(tmp_path / name)["psnr"]
        assert made(tmp_path / name)["proprio"] == ("recorded" if name == "measured" else "imagined")
    assert psnr["file"] == psnr["json"] == psnr["constant"]
    assert len(set(psnr.values())) == len(told) - 2


def test_an_environment_executes_what_the_dream_is_told(workshop: Path, tmp_path: Path) -> None:
    env = ("--env", "sims:MetaWorld-reach-v3", "--steps", "4")
    for name, options in {"plan": (), "expert": ("--actions", "expert"), "hold": ("--actions", "0,0,0,0")}.items():
        assert generate(workshop, tmp_path / name, *env, "--seed", "3", *options) == 0
        numbers = made(tmp_path / name)
        assert (numbers["truth"], numbers["known_moments"], len(numbers["psnr_per_frame"])) == ("truth", 1, 4)
        assert numbers["task"] == "Reach a goal position"
    films = {name: read_video(tmp_path / name / "film.mp4")[:, :, :256].astype(int) for name in ("expert", "hold")}
    assert np.abs(films["expert"][0] - films["hold"][0]).mean() < 1
    assert np.abs(films["expert"][-1] - films["hold"][-1]).mean() > 1, "the arm moved"
    measured = ("--proprio", "recorded", "--actions", "expert", "--seed", "3")
    assert generate(workshop, tmp_path / "measured", *env, *measured) == 0
    assert made(tmp_path / "measured")["psnr"] != made(tmp_path / "expert")["psnr"]


def test_a_checkpoint_acts_in_the_dream(workshop: Path, tmp_path: Path) -> None:
    options = ("--picture", "red.png", "--task", "reach the goal", "--steps", "6")
    for name in ("model", "plan"):
        assert generate(workshop, tmp_path / name, *options, "--actions", name) == 0
    acted = read_video(tmp_path / "model" / "film.mp4")
    assert len(acted) == 7
    assert acted.shape[2] == 256  # the dream alone: of a picture nobody knows how it goes on
    assert made(tmp_path / "model")["psnr"] is None


def test_pictures_of_every_camera_start_a_dream(workshop: Path, tmp_path: Path) -> None:
    options = ("--task", "reach", "--steps", "2", "--start-proprio", "0,0.5,0.2,1")
    eyes = [f"{camera}={workshop / 'red.png'}" for camera in TWO_EYES.cameras]
    assert generate(workshop, tmp_path, "--picture", eyes[0], "--picture", eyes[1], *options, model="two") == 0
    numbers = made(tmp_path)
    assert numbers["cameras"] == ["corner2", "topview"]
    assert numbers["start_proprio"] == [0, 0.5, 0.2, 1]
    film = read_video(tmp_path / "film.mp4")
    assert film.shape[1] > 2 * 256  # a row a camera
    assert np.abs(film[0, 24:280].astype(int) - (255, 0, 0)).mean() < 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "play", "--query", "video", "--actions", "shuffled"), "is told nothing"),
        (("--data", "play", "--actions", "nowhere.npy"), "nowhere.npy holds no actions that can be read"),
        (("--data", "play", "--actions", "expart"), "Did you mean 'expert'"),
        (("--data", "play", "--actions", "expert"), "start the dream there (--env)"),
        (("--data", "play", "--actions", "1,1"), "4 numbers for each of at least 28 env steps"),
        (("--data", "play", "--actions", "1,nan,1,1"), "finite actions"),
        (("--data", "play", "--episode", "40"), "There is no episode 40; there are 2"),
        (("--data", "play", "--frame", "31"), "got 31"),
        (("--data", "play", "--frame", "30", "--known", "9"), "frame must be between 32"),
        (("--data", "play", "--frame", "20", "--steps", "9"), "goes on for 2 moments, 4 env steps apart"),
        (
            ("--data", "play", "--frame", "20", "--steps", "9", "--proprio", "recorded", "--actions", "plan"),
            "--steps 2",
        ),
        (("--data", "play", "--steps", "0"), "--steps must be at least 1"),
        (("--data", "play", "--window", "4"), "window must be at least 1 and at most 3, got 4"),
        (("--data", "play", "--steps", "999999999", "--actions", "plan"), "this machine has memory for"),
        (("--data", "play", "--env-kwargs", "{}"), "--env-kwargs says where to start with --env"),
        (("--env", "sims:MetaWorld-reach-v3", "--actions", "recorded"), "start the dream in one (--data)"),
        (
            (
                "--env",
                "sims:Driving-red-light-v0",
            ),
            "embodiment",
        ),
        (("--picture", "red.png"), "say it in words: --task"),
        (("--picture", "wide.png", "--task", "reach"), "is 48x32 pixels; this checkpoint sees 32x32"),
        (("--picture", "side=red.png", "--task", "reach"), "Unknown camera of 'metaworld' 'side'"),
        (("--picture", "model", "--task", "reach"), "the picture cannot be read"),
        (("--picture", "deep.png", "--task", "reach"), "the picture has 16 bits a channel"),
        (("--picture", "vast.png", "--task", "reach"), "3600000000 pixels) exceeds limit"),
        (("--picture", "red.png", "--task", "reach", "--start-proprio", "1,2"), "must be the 4 numbers"),
        (("--picture", "red.png", "--task", "reach", "--start-proprio", "1,2,nan,4"), "must be finite numbers"),
        (("--picture", "red.png", "--task", "reach", "--start-proprio", "1,2,3,1e300"), "must be finite numbers"),
        (("--picture", "red.png", "--task", "reach", "--proprio", "recorded"), "nothing more is measured"),
    ],
)
def test_what_cannot_be_dreamt_is_answered_in_one_line(
    workshop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert generate(workshop, tmp_path / "out", *options) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((28, 4), "0.5"), "must hold finite actions"),
        (np.full((28, 4), 0.5j), "got complex128 of shape (28, 4)"),
        (np.full((28, 4), None), "holds no actions that can be read"),
        (np.full((28, 4), 1e300), "must hold finite actions"),
        (b"", "holds no actions that can be read"),
    ],
    ids=["text", "complex", "objects", "too large", "empty file"],
)
def test_arrays_that_are_no_actions_are_refused(
    workshop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], values: Any, message: str
) -> None:
    path = tmp_path / "own.npy"
    if isinstance(values, bytes):
        path.write_bytes(values)
    else:
        np.save(path, values, allow_pickle=True)
    assert generate(workshop, tmp_path / "out", "--data", "play", "--actions", str(path)) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("unified: error: ")
    assert message in said


def test_checkpoints_that_cannot_dream_are_refused(
    workshop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small_model(spec=a_spec())
    model.history = History({"policy": model.query("policy")})
    model.save_pretrained(tmp_path / "policy")
    assert generate(workshop, tmp_path / "out", "--data", "play", model=str(tmp_path / "policy")) == 1
    assert "'world_model' was not trained" in capsys.readouterr().err
    small_model(spec=a_spec(num_moments=1)).save_pretrained(tmp_path / "single")
    assert generate(workshop, tmp_path / "out", "--data", "play", model=str(tmp_path / "single")) == 1
    assert "trained on single moments" in capsys.readouterr().err
