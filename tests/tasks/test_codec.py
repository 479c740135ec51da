"""The task that trains codecs: it learns, keeps what it needs for use, and measures what it claims."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from decoders.pretrained import load_codec
from tasks.codec import Codec, film_of
from tests.data.recordings import record
from tests.worlds import random_batch, small_spec
from unified.data.module import WindowDataModule
from unified.data.source import Source
from unified.errors import UserError
from unified.model.spec import Embodiment
from unified.training.cli import main


def fit(root: Path, folder: Path, *options: str) -> dict[str, Any]:
    """Train a tiny codec on three short recordings and give its last metrics."""
    if not root.exists():
        record(root, lengths=(20, 20, 20), size=(16, 16), cameras=("front", "wrist"), provenance={"embodiment": "toy"})
    arguments = ["fit", "-c", "codec", "--data.sources", f"[{{root: {root}}}]", "--run_dir", str(folder)]
    arguments += ["--data.image_size", "16", "--model.width", "8", "--trainer.precision", "32-true"]
    arguments += ["--data.val_batches", "1", "--trainer.max_steps", "40", "--trainer.val_check_interval", "40"]
    arguments += ["--model.schedule.warmup_steps", "5"]
    assert main([*arguments, *options]) == 0
    return json.loads((folder / "fit.json").read_text())


def test_a_codec_learns_and_its_folder_is_ready_for_use(tmp_path: Path) -> None:
    metrics = fit(tmp_path / "data", tmp_path / "run")
    assert metrics["val/psnr_alone"] > 14, "grey has 8"
    codec = load_codec(str(tmp_path / "run" / "pretrained"))
    assert (codec.image_size, codec.cameras) == ((16, 16), ("front", "wrist"))
    data = WindowDataModule([Source(str(tmp_path / "data"))], image_size=16, batch_size=32)
    latents = codec.encode(film_of(data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)))
    assert 0.7 < float(latents.std((0, 1, 3, 4)).mean()) < 1.4
    assert metrics["val/loss"] == pytest.approx(4 * 10 ** (-metrics["val/psnr"] / 10), rel=1e-4)


def test_windows_that_do_not_fit_the_codec_are_refused() -> None:
    spec = small_spec(num_moments=3).to_dict()
    with pytest.raises(UserError, match=r"multiple of 4, got data.num_moments = 3"):
        Codec(spec, frames_per_latent=4)
    with pytest.raises(UserError, match=r"got data.num_moments = 1"):
        Codec(small_spec(num_moments=1).to_dict())


def test_films_are_the_pictures_of_every_camera_that_is_there() -> None:
    both = Embodiment("arm", 4, 3, ("front", "wrist"), 0.1)
    batch = random_batch(small_spec(cameras=("front", "wrist"), embodiments=(both,)), size=2)
    films = film_of(batch)
    assert films.shape == (4, 3, 3, 16, 16)
    assert torch.equal(films[1], batch.images[0, :, 1])
    one_eyed = random_batch(small_spec(cameras=("front", "wrist")), size=2)
    assert torch.equal(film_of(one_eyed), one_eyed.images[:, :, 0])


def drawn(task: Codec, film: Tensor, is_given: bool) -> Tensor:
    latents = task.model.compress(film)
    return task._draw_film(latents, film[:, 0], torch.full((len(film),), is_given))


def test_training_draws_what_the_codec_will_decode() -> None:
    task = Codec(small_spec().to_dict(), width=8)
    film = torch.rand(2, 4, 3, 16, 16) * 2 - 1
    latents = task.model.encode(film)
    torch.testing.assert_close(drawn(task, film, False).clamp(-1, 1), task.model.decode(latents), atol=1e-5, rtol=0)
    given = task.model.decode(latents[:, 1:], film[:, 0])
    torch.testing.assert_close(drawn(task, film, True)[:, 1:].clamp(-1, 1), given, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames_per_latent", [1, 2])
def test_at_first_every_latent_is_drawn_by_itself(frames_per_latent: int) -> None:
    task = Codec(small_spec(num_moments=5).to_dict(), width=8, frames_per_latent=frames_per_latent)
    film = torch.rand(2, 5, 3, 16, 16) * 2 - 1
    latents = task.model.compress(task.model.with_start(film))
    alone = task._draw_alone(latents)
    assert alone.shape == film.shape
    begun = task._draw_film(latents, film[:, 0], torch.zeros(2, dtype=torch.bool))
    torch.testing.assert_close(alone[:, 0], begun[:, 0], atol=1e-5, rtol=0)
    assert not torch.allclose(alone[:, -1], begun[:, -1], atol=1e-3)
