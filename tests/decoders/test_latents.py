"""A frozen codec in the place of pixels: learned from, decoded with, and refused when it changed or does not fit."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from decoders.codec import ConvCodec
from decoders.latents import LatentDecoder
from tests.decoders.test_codec import make_codec, make_pretrained
from tests.worlds import random_batch, small_config, small_spec
from unified.errors import UserError
from unified.model.config import ClassSpec
from unified.model.model import UnifiedModel
from unified.model.stream import Present


def latent_model(codec: Path, **spec: Any) -> UnifiedModel:
    latents = ClassSpec("decoders.latents.LatentDecoder", {"codec": str(codec)})
    return UnifiedModel(small_config(decoders={**small_config().decoders, "video": latents}), small_spec(**spec))


def latents_of(model: UnifiedModel) -> LatentDecoder:
    decoder = model.decoders["video"]
    assert isinstance(decoder, LatentDecoder)
    return decoder


@pytest.mark.parametrize("frames_per_latent", [1, 2])
def test_video_may_be_latents_of_our_own_codec(frames_per_latent: int, tmp_path: Path) -> None:
    make_codec(frames_per_latent).save_pretrained(tmp_path / "codec")
    model = latent_model(tmp_path / "codec")
    batch = random_batch(model.spec)
    assert model.sample(batch, "world_model", num_steps=2)["video"].shape == (3, 1, 3, 16, 16)
    errors = model.loss(
        batch, [(model.query("joint"),)], torch.zeros(3, dtype=torch.long), model.draw([(row,) for row in range(3)])
    )
    torch.stack([error.sum() for error, _ in errors.values()]).sum().backward()
    assert not any("codec" in name or "frozen" in name for name, _ in model.named_parameters()), (
        "the codec stays out of the checkpoint"
    )


def test_decoded_films_go_on_from_the_present_picture(tmp_path: Path) -> None:
    codec = make_codec()
    codec.save_pretrained(tmp_path / "codec")
    decoder = latents_of(latent_model(tmp_path / "codec"))
    batch = random_batch(small_spec())
    now, following = batch.images[:, 1], batch.images[:, 2]
    film = decoder.to_data(decoder.encode(batch)[:, 1], Present(now, batch.embodiment))
    expected = codec.decode(codec.encode(following), now[:, 0])
    torch.testing.assert_close(film, expected, atol=1e-5, rtol=0)


def test_latents_are_those_of_the_pictures_as_they_are_shown(tmp_path: Path) -> None:
    make_codec().save_pretrained(tmp_path / "codec")
    decoder = latents_of(latent_model(tmp_path / "codec"))
    batch = random_batch(small_spec())
    augmented = replace(batch, images=batch.images.flip(-1))
    assert not torch.allclose(decoder.encode(augmented), decoder.encode(batch), atol=1e-3)


@pytest.mark.parametrize("kind", ["image", "wan"])
def test_video_may_be_latents_of_an_autoencoder_of_diffusers(kind: str, tmp_path: Path) -> None:
    codec = make_pretrained(kind, tmp_path / "pretrained")
    model = latent_model(tmp_path / "pretrained")
    batch = random_batch(model.spec)
    assert model.sample(batch, "video")["video"].shape == (3, 1, 3, 16, 16)
    if kind == "image":
        expected = codec.encode(batch.images[0, 1]).latent_dist.mode() * codec.config["scaling_factor"]
        torch.testing.assert_close(latents_of(model).encode(batch)[0, 0], expected)


def test_a_model_refuses_a_codec_that_changed_since_it_was_trained(tmp_path: Path) -> None:
    codec = make_codec()
    codec.save_pretrained(tmp_path / "codec")
    weights = latent_model(tmp_path / "codec").state_dict()
    latent_model(tmp_path / "codec").load_state_dict(weights)
    codec.std[0] *= 1.01
    codec.save_pretrained(tmp_path / "codec")
    with pytest.raises(UserError, match=r"codec changed since this model was trained .* Put the old codec back"):
        latent_model(tmp_path / "codec").load_state_dict(weights)


def test_a_model_carries_its_codec_wherever_it_goes(tmp_path: Path) -> None:
    make_codec().save_pretrained(tmp_path / "codec")
    model = latent_model(tmp_path / "codec").eval()
    model.save_pretrained(tmp_path / "model")
    shutil.rmtree(tmp_path / "codec")
    shutil.move(tmp_path / "model", tmp_path / "elsewhere")
    again = UnifiedModel.from_pretrained(tmp_path / "elsewhere")
    again.save_pretrained(tmp_path / "once more")
    shutil.rmtree(tmp_path / "elsewhere")
    batch = random_batch(model.spec)
    noise = {name: model.noise_of(name, [(row,) for row in range(len(batch))]) for name in model.decoders}
    films = [
        each.sample(batch, "video", noise=noise)["video"]
        for each in (model, UnifiedModel.from_pretrained(tmp_path / "once more"))
    ]
    torch.testing.assert_close(*films, rtol=0, atol=0)
    (tmp_path / "once more" / "codec-video" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"codec-video/config.json is damaged or was changed"):
        UnifiedModel.from_pretrained(tmp_path / "once more")


def test_a_codec_of_other_pictures_or_cameras_is_refused(tmp_path: Path) -> None:
    ConvCodec(width=8, image_size=(16, 16), cameras=("front",)).save_pretrained(tmp_path / "codec")
    with pytest.raises(UserError, match=r"trained on pictures of 16 x 16 pixels, got 32 x 32. Set data.image_size"):
        latent_model(tmp_path / "codec", image_size=(32, 32))
    body = replace(small_spec().embodiments[0], cameras=("front", "wrist"))
    with pytest.raises(UserError, match=r"not trained on camera wrist; it knows front. Train one"):
        latent_model(tmp_path / "codec", cameras=("front", "wrist"), embodiments=(body,))
