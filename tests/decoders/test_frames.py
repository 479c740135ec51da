"""Patches and latents: exact inverses, and a frozen autoencoder in the place of pixels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoders.autoencoder import ConvAutoencoder
from decoders.frames import patchify, unpatchify
from decoders.latents import LatentDecoder
from tests.worlds import random_batch, small_config, small_spec
from unified.errors import UserError
from unified.model.config import ClassSpec
from unified.model.model import UnifiedModel


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(1, 3))
def test_unpatchify_undoes_patchify(batch: int, rows: int, columns: int, patch_size: int, channels: int) -> None:
    frames = torch.randn(batch, 2, channels, rows * patch_size, columns * patch_size)
    patches = patchify(frames, patch_size)
    assert patches.shape == (batch, 2, rows * columns, channels * patch_size**2)
    assert torch.equal(unpatchify(patches, patch_size, *frames.shape[-2:]), frames)


def test_first_patch_is_the_top_left_corner() -> None:
    frames = torch.randn(1, 3, 8, 8)
    assert torch.equal(patchify(frames, 4)[0, 0].reshape(3, 4, 4), frames[0, :, :4, :4])
    assert torch.equal(patchify(frames, 4)[0, 1].reshape(3, 4, 4), frames[0, :, :4, 4:])


def test_a_decoder_of_frames_asks_for_data_that_has_some() -> None:
    with pytest.raises(UserError, match=r"data.num_frames must be at least 1, got 0"):
        UnifiedModel(small_config(), replace(small_spec(), num_frames=0))


def latent_model(autoencoder: Path, patch_size: int) -> UnifiedModel:
    options = {"autoencoder": str(autoencoder), "patch_size": patch_size}
    decoders = {
        "action": ClassSpec("decoders.actions.ActionDecoder"),
        "video": ClassSpec("decoders.latents.LatentDecoder", options),
    }
    return UnifiedModel(small_config(decoders=decoders), small_spec())


def test_video_may_be_latents_of_our_own_autoencoder(tmp_path: Path) -> None:
    ConvAutoencoder(width=8, latent_channels=4, downsampling=4).save_pretrained(tmp_path / "codec")
    model = latent_model(tmp_path / "codec", patch_size=2)
    batch = random_batch(model.spec)
    assert model.sample(batch, "world_model", num_steps=2)["video"].shape == (3, 1, 2, 3, 16, 16)
    losses = model.loss(batch, "joint")
    torch.stack([loss.sum() for loss in losses.values()]).sum().backward()
    assert not any("codec" in name for name, _ in model.named_parameters()), (
        "the autoencoder stays out of the checkpoint"
    )


def test_video_may_be_latents_of_an_autoencoder_of_diffusers(tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    options: dict[str, Any] = {"block_out_channels": (8, 8, 8), "norm_num_groups": 4, "latent_channels": 4}
    options |= {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    codec = AutoencoderKL(**options)
    codec.save_pretrained(tmp_path / "kl")
    model = latent_model(tmp_path / "kl", patch_size=2)
    batch = random_batch(model.spec)
    assert model.sample(batch, "video", num_steps=1)["video"].shape == (3, 1, 2, 3, 16, 16)
    decoder = model.decoders["video"]
    assert isinstance(decoder, LatentDecoder)
    assert batch.video is not None
    latents = decoder.encode(batch)
    config: Any = codec.config
    posterior: Any = codec.encode(batch.video[0, 0])  # pyright: ignore[reportArgumentType]
    expected = posterior.latent_dist.mode() * config["scaling_factor"]
    torch.testing.assert_close(latents[0, 0], expected)
