"""What the encoder makes of pictures and of the body."""

from typing import Any

import pytest
import torch

from decoders.observation import ObservationEncoder
from tests.worlds import random_batch, small_spec
from unified.data.stats import FARTHEST
from unified.errors import UserError
from unified.model.spec import PROPRIO

SPEC = small_spec(image_size=(32, 32))


def encode(brightness: float = 0.0, measured: float = 1.0, **options: Any) -> dict[str, torch.Tensor]:
    """The tokens of two moments of one colour, by the same weights each time."""
    torch.manual_seed(0)
    encoder = ObservationEncoder(16, SPEC, width=8, **options)
    images = torch.full((2, 1, 3, 32, 32), brightness)
    return encoder(images, torch.full((2, 3), measured), torch.zeros(2, dtype=torch.long))


@pytest.mark.parametrize("is_blind", [False, True])
def test_a_blind_encoder_sees_the_same_in_every_picture_and_still_feels_the_body(is_blind: bool) -> None:
    one, other = (encode(brightness, is_blind=is_blind) for brightness in (-1.0, 1.0))
    assert torch.equal(one["images"], other["images"]) == is_blind
    assert not torch.equal(one["proprio"], encode(measured=2.0, is_blind=is_blind)["proprio"])


def test_what_is_measured_far_outside_of_the_data_is_as_far_as_it_gets() -> None:
    farthest = encode(measured=FARTHEST)["proprio"]
    assert torch.equal(encode(measured=1e6)["proprio"], farthest)
    assert not torch.equal(encode(measured=FARTHEST / 2)["proprio"], farthest)


def test_every_segment_has_as_many_tokens_as_it_says() -> None:
    batch = random_batch(SPEC)
    for keypoints in (0, 4):
        encoder = ObservationEncoder(16, SPEC, width=8, keypoints=keypoints)
        parts = encoder(batch.images.flatten(0, 1), batch.at[PROPRIO].flatten(0, 1), batch.embodiment.repeat(3))
        assert {name: part.shape[1] for name, part in parts.items()} == {s.name: len(s) for s in encoder.segments()}


def test_patches_of_fine_features_are_a_convolution_as_large_as_its_stride() -> None:
    stem = ObservationEncoder(16, small_spec(image_size=(64, 32)), patch_size=32, width=8, keypoints=4).stem
    assert isinstance(stem, torch.nn.Conv2d)
    features = torch.randn(2, 16, 16, 8)
    torch.testing.assert_close(stem(features), torch.nn.Conv2d.forward(stem, features))


def test_pictures_that_patches_do_not_fill_are_refused() -> None:
    with pytest.raises(UserError, match=r"must be a multiple of patch_size \(16\), got 24x32"):
        ObservationEncoder(16, small_spec(image_size=(24, 32)))
