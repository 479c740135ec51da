"""Patches of frames: exact inverses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoders.frames import patchify, unpatchify
from decoders.pixels import PixelDecoder
from tests.worlds import small_spec
from unified.errors import UserError


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


def test_frames_that_patches_do_not_fill_are_refused() -> None:
    with pytest.raises(UserError, match=r"must be a multiple of patch_size \(16\), got 24x32"):
        PixelDecoder(16, small_spec(image_size=(24, 32)))
