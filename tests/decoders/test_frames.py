"""Patches of pixels: exact inverses."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoders.pixels import patchify, unpatchify
from tests.worlds import small_config, small_spec
from unified.errors import UserError
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
