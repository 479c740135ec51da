"""Codecs: streamed equals whole, latents of a frame tell nothing of others, folders that are none are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from decoders.codec import CONFIG, WEIGHTS, ConvCodec, VideoCodec
from decoders.pretrained import load_codec
from unified.errors import UserError


def make_codec(frames_per_latent: int = 1, **options: Any) -> ConvCodec:
    """A small one with random weights and statistics, whose every part has a say."""
    torch.manual_seed(0)
    codec = ConvCodec(channels=3, width=8, frames_per_latent=frames_per_latent, **options).eval().requires_grad_(False)
    for parameter in codec.parameters():
        parameter.copy_(torch.randn(parameter.shape) * max(parameter[0].numel(), 4) ** -0.5 * 1.5)
    codec.mean.fill_(0.3)
    codec.std.fill_(2.0)
    return codec


def film(time: int, size: int = 16, batch: int = 2) -> Tensor:
    """Pictures of noise, a part of which stands still."""
    torch.manual_seed(time)
    frames = torch.rand(batch, time, 3, size, size) * 2 - 1
    frames[..., : size // 2] = frames[:, :1, ..., : size // 2]
    return frames


def in_blocks(stream: Any, whole: Tensor, sizes: list[int], state: Any = None) -> Tensor:
    """What a stream gives for these blocks of the whole, the last size as often as needed."""
    parts: list[Tensor] = []
    begin = 0
    while begin < whole.shape[1]:
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        part, state = stream(whole[:, begin : begin + size], state)
        parts.append(part)
        begin += size
    return torch.cat(parts, dim=1)


def assert_streams_equal_whole(codec: VideoCodec, frames: Tensor, sizes: list[int]) -> None:
    latents = codec.encode(frames)
    close: dict[str, Any] = {"atol": 1e-5, "rtol": 0.0}
    torch.testing.assert_close(in_blocks(codec.encode_stream, frames, [*sizes]), latents, **close)
    torch.testing.assert_close(in_blocks(codec.decode_stream, latents, [*sizes]), codec.decode(latents), **close)
    state = codec.decoder_state(frames[:, 0])
    going_on = in_blocks(codec.decode_stream, latents[:, 1:], [*sizes], state)
    torch.testing.assert_close(going_on, codec.decode(latents[:, 1:], frames[:, 0]), **close)
    assert going_on.shape[1] == frames.shape[1] - 1


@given(st.sampled_from([1, 2, 4]), st.lists(st.integers(1, 5), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_films_in_blocks_of_any_sizes_equal_whole_ones(frames_per_latent: int, sizes: list[int]) -> None:
    assert_streams_equal_whole(make_codec(frames_per_latent), film(1 + 2 * 4), sizes)


def test_a_hundred_frames_one_by_one_equal_a_whole_film() -> None:
    assert_streams_equal_whole(make_codec(), film(101, size=8), [1])


@pytest.mark.parametrize("frames_per_latent", [1, 2, 4])
def test_a_single_picture_is_a_film(frames_per_latent: int) -> None:
    codec = make_codec(frames_per_latent)
    latents = codec.encode(film(1))
    assert latents.shape == (2, 1, 3, 2, 2)
    assert codec.decode(latents).shape == (2, 1, 3, 16, 16)


@pytest.mark.parametrize("frames_per_latent", [1, 2, 4])
def test_a_latent_sees_its_own_frames_alone(frames_per_latent: int) -> None:
    codec, frames = make_codec(frames_per_latent), film(9)
    others = frames.clone()
    others[:, 5:] *= -1
    number = 1 + 4 // frames_per_latent
    assert torch.equal(codec.encode(frames)[:, :number], codec.encode(others)[:, :number]), "the future"
    past = frames.clone()
    past[:, :5] *= -1
    torch.testing.assert_close(codec.encode(past)[:, number:], codec.encode(frames)[:, number:], atol=1e-6, rtol=0)


def test_decoded_frames_depend_on_the_past_and_not_on_the_future() -> None:
    codec, frames = make_codec(), film(6)
    latents = codec.encode(frames)
    changed = latents.clone()
    changed[:, 3] += 1
    before, after = codec.decode(latents), codec.decode(changed)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 4], after[:, 4], atol=1e-4), "frame 4 sees frame 3 as it was decoded"
    assert not torch.allclose(codec.decode(latents, frames[:, 0])[:, 0], before[:, 0], atol=1e-4)


def test_cameras_are_rows_of_the_batch() -> None:
    codec, frames = make_codec(), film(3, batch=6)
    apart = torch.cat([codec.decode(codec.encode(part)) for part in frames.split(2)])
    torch.testing.assert_close(apart, codec.decode(codec.encode(frames)), atol=1e-5, rtol=0)


def test_latents_get_unit_variance_from_statistics_that_are_stored(tmp_path: Path) -> None:
    codec = make_codec()
    frames = film(1, batch=64)
    for _ in range(3):
        codec.observe(codec.compress(frames))
    latents = load_codec(str(codec.save_pretrained(tmp_path / "codec"))).encode(frames)
    torch.testing.assert_close(latents.mean((0, 1, 3, 4)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std((0, 1, 3, 4)), torch.ones(3), atol=0.01, rtol=0)


def test_a_folder_gives_back_the_same_codec(tmp_path: Path) -> None:
    codec = make_codec(2, image_size=(16, 16), cameras=("front",))
    codec.save_pretrained(tmp_path / "codec")
    codec.save_pretrained(tmp_path / "codec")
    loaded = load_codec(str(tmp_path / "codec"))
    assert torch.equal(loaded.encode(film(3)), codec.encode(film(3)))
    assert (loaded.fingerprint, loaded.image_size, loaded.cameras) == (codec.fingerprint, (16, 16), ("front",))
    codec.std.mul_(1.01)
    assert codec.fingerprint != loaded.fingerprint, "statistics count"
    assert [path.name for path in tmp_path.iterdir()] == ["codec"]


@pytest.mark.parametrize(
    "damage", ["no folder", "no config", "no json", "list", "strange", "option", "cut", "flip", "shape"]
)
def test_what_is_no_codec_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "codec"
    make_codec().save_pretrained(folder)
    config, weights = folder / CONFIG, folder / WEIGHTS
    if damage == "no folder":
        folder = tmp_path / "nowhere"
    elif damage == "no config":
        config.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "flip":
        content = bytearray(weights.read_bytes())
        content[-5] ^= 1
        weights.write_bytes(content)
    else:
        text = config.read_text()
        changes = {"no json": "{", "list": "[]", "strange": '{"model_type": "bert"}'}
        changes |= {"option": text.replace('"width"', '"breadth"'), "shape": text.replace('"width": 8', '"width": 16')}
        config.write_text(changes[damage])
    with pytest.raises(UserError, match=folder.name):
        load_codec(str(folder))


def test_pictures_latents_and_cameras_of_another_codec_are_refused() -> None:
    codec = make_codec(image_size=(16, 16), cameras=("front",))
    with pytest.raises(UserError, match=r"trained on pictures of 16 x 16 pixels, got 24 x 24"):
        codec.encode(film(1, size=24))
    with pytest.raises(UserError, match=r"must have 3 channels of 2 x 2, got 4 channels"):
        codec.decode(torch.zeros(1, 1, 4, 2, 2))
    with pytest.raises(UserError, match=r"must have 3 channels of 2 x 2, got 3 channels of 3 x 3"):
        codec.decode(torch.zeros(1, 1, 3, 3, 3))
    with pytest.raises(UserError, match=r"not trained on camera wrist; it knows front"):
        codec.check_cameras(("front", "wrist"))
    with pytest.raises(UserError, match=r"multiple of the codec's downsampling \(8\), got 20 x 20"):
        make_codec().encode(film(1, size=20))
    with pytest.raises(UserError, match=r"one frame and then 4 for each further latent, got 4 frames"):
        make_codec(4).encode(film(4))


@pytest.mark.parametrize(
    "options", [{"frames_per_latent": 3}, {"width": 12}, {"channels": 0}, {"image_size": (20, 16)}]
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        ConvCodec(**options)


# ---------------------------------------------------------------------- autoencoders of diffusers


def make_pretrained(kind: str, folder: Path) -> Any:
    """A tiny autoencoder of diffusers with random weights, saved; 8 pixels a cell."""
    import diffusers

    torch.manual_seed(0)
    wan = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 1, 2, 2], "num_res_blocks": 1}
    wan |= {"latents_mean": [0.1, 0.2, 0.3, 0.4], "latents_std": [2.0, 1.0, 0.5, 1.5]}
    patches = {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16}
    image = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4, "latent_channels": 4}
    image |= {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    cosmos = {"latent_channels": 2, "num_layers": 1, "resolution": 16, "patch_size": 2, "attention_resolutions": (4,)}
    cosmos |= {"encoder_block_out_channels": (8, 8, 8, 8), "decode_block_out_channels": (8, 8, 8, 8)}
    cosmos |= {
        "latents_mean": [0.1, 0.3, 0.2, 0.4],
        "latents_std": [1.0, 3.0, 0.5, 0.5],
        "temporal_compression_ratio": 4,
    }
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "image": ("AutoencoderKL", image),
        "wan": ("AutoencoderKLWan", wan),
        "wan with patches": ("AutoencoderKLWan", wan | patches),
        "cosmos": ("AutoencoderKLCosmos", cosmos),
        "other": ("AutoencoderTiny", {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}),
    }
    name, options = made[kind]
    if kind == "other":
        options |= {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    model = getattr(diffusers, name)(**options).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("kind", "sizes"), [("image", [2]), ("wan", [3, 1]), ("wan with patches", [2]), ("cosmos", [1, 3])]
)
def test_pretrained_films_in_blocks_equal_whole_ones(kind: str, sizes: list[int], tmp_path: Path) -> None:
    make_pretrained(kind, tmp_path / "pretrained")
    codec = load_codec(str(tmp_path / "pretrained"))
    assert (codec.frames_per_latent, codec.downsampling) == (
        1 if kind == "image" else 4,
        16 if "patches" in kind else 8,
    )
    assert_streams_equal_whole(codec, film(9), sizes)


@pytest.mark.parametrize("kind", ["wan", "wan with patches", "cosmos"])
def test_pretrained_films_are_those_of_diffusers(kind: str, tmp_path: Path) -> None:
    model, frames = make_pretrained(kind, tmp_path / "pretrained"), film(9)
    codec = load_codec(str(tmp_path / "pretrained"))
    latents = codec.encode(frames)
    raw = model.encode(frames.transpose(1, 2)).latent_dist.mode()
    config = model.config
    mean, std = (
        torch.tensor(values).reshape(codec.channels, -1).mean(1) for values in (config.latents_mean, config.latents_std)
    )
    expected = (raw - mean[:, None, None, None]) / std[:, None, None, None]
    torch.testing.assert_close(latents, expected.transpose(1, 2), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        codec.decode(latents), model.decode(raw).sample.transpose(1, 2).clamp(-1, 1), atol=1e-4, rtol=0
    )


def test_a_pretrained_codec_has_the_same_fingerprint_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("a", "b"):
        model = make_pretrained("wan", tmp_path / name)
    assert load_codec(str(tmp_path / "a")).fingerprint == load_codec(str(tmp_path / "b")).fingerprint
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    model.save_pretrained(tmp_path / "b")
    assert load_codec(str(tmp_path / "a")).fingerprint != load_codec(str(tmp_path / "b")).fingerprint


def test_other_autoencoders_are_refused_with_those_that_are_allowed(tmp_path: Path) -> None:
    make_pretrained("other", tmp_path / "tiny")
    with pytest.raises(UserError, match=r"is a AutoencoderTiny; codecs are made of AutoencoderKL, AutoencoderKLWan"):
        load_codec(str(tmp_path / "tiny"))


def test_a_pretrained_codec_in_pickled_weights_is_not_read(tmp_path: Path) -> None:
    model = make_pretrained("image", tmp_path / "image")
    (tmp_path / "image" / "diffusion_pytorch_model.safetensors").unlink()
    model.save_pretrained(tmp_path / "image", safe_serialization=False)
    with pytest.raises(UserError, match="cannot be loaded"):
        load_codec(str(tmp_path / "image"))
