"""What the pixel decoder copies, and from where."""

import pytest
import torch

from decoders.pixels import FLOW_SCALE, PixelDecoder, warp
from tests.rollout.test_policies import SAWYER
from unified.errors import UserError
from unified.model.batch import Observation
from unified.model.spec import DataSpec

SPEC = DataSpec(embodiments=(SAWYER,), cameras=("corner2",), image_size=(32, 32), num_frames=2)


def test_warping_takes_each_pixel_from_where_the_flow_points_and_repeats_the_edge():
    now = torch.randn(1, 1, 1, 3, 8, 16)
    flow = torch.zeros(1, 1, 2, 2, 8, 16)
    flow[:, :, 1, 0], flow[:, :, 1, 1] = 2 * 3 / 16, -2 * 1 / 8  # from three pixels to the right and one above
    still, moved = warp(now, flow)[0, 0]
    picture = now[0, 0, 0]
    torch.testing.assert_close(still, picture)
    torch.testing.assert_close(moved[:, 1:, :-3], picture[:, :-1, 3:])
    torch.testing.assert_close(moved[:, 1:, -1], picture[:, :-1, -1])


def test_a_decoder_that_copies_along_a_flow_moves_the_last_picture():
    decoder = PixelDecoder(16, SPEC, patch_size=16, copy_gate=True, copy_flow=True)
    images = torch.rand(2, 1, 1, 3, 32, 32) * 2 - 1
    observation = Observation(images, torch.ones(2, 1, 4), torch.zeros(2, dtype=torch.long), ("reach", "reach"))
    tokens = torch.randn(2, 8, 16)
    with torch.no_grad():
        decoder.decode_linear.bias.view(-1, 16 * 16)[3:] = 20.0  # the gates: everything is copied
        torch.testing.assert_close(decoder.decode(tokens, observation), images.expand(-1, -1, 2, -1, -1, -1))
        assert decoder.flow_linear is not None
        decoder.flow_linear.bias[0] = 2 * 4 / 32 / FLOW_SCALE
        moved = decoder.decode(tokens, observation)
    torch.testing.assert_close(moved[..., :-4], images.expand_as(moved)[..., 4:], atol=1e-4, rtol=0)


def test_a_flow_without_a_gate_is_refused():
    with pytest.raises(UserError, match="set copy_gate to true"):
        PixelDecoder(16, SPEC, copy_flow=True)
