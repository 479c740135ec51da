"""What the pixel decoder copies, and from where."""

import pytest
import torch

from decoders.pixels import FLOW_SCALE, PixelDecoder, warp
from tests.worlds import random_batch, small_config, small_model, small_spec
from unified.errors import UserError
from unified.model.config import ClassSpec
from unified.model.stream import Present

SPEC = small_spec(image_size=(32, 32))


def test_warping_takes_each_pixel_from_where_the_flow_points_and_repeats_the_edge() -> None:
    now = torch.randn(2, 1, 3, 8, 16)
    flow = torch.zeros(2, 1, 2, 8, 16)
    flow[1, :, 0], flow[1, :, 1] = 2 * 3 / 16, -2 * 1 / 8  # from three pixels to the right and one above
    still, moved = warp(now, flow)[:, 0]
    torch.testing.assert_close(still, now[0, 0])
    torch.testing.assert_close(moved[:, 1:, :-3], now[1, 0, :, :-1, 3:])
    torch.testing.assert_close(moved[:, 1:, -1], now[1, 0, :, :-1, -1])


def test_a_decoder_that_copies_along_a_flow_moves_the_present_picture() -> None:
    decoder = PixelDecoder(16, SPEC, patch_size=16, copy_gate=True, copy_flow=True)
    images = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    present = Present(images, torch.zeros(2, dtype=torch.long))
    tokens = torch.randn(2, 4, 16)
    with torch.no_grad():
        decoder.decode_linear.bias.view(-1, 16 * 16)[3:] = 20.0  # the gates: everything is copied
        torch.testing.assert_close(decoder.decode(tokens, present), images)
        assert decoder.flow_linear is not None
        decoder.flow_linear.bias[0] = 2 * 4 / 32 / FLOW_SCALE
        moved = decoder.decode(tokens, present)
    torch.testing.assert_close(moved[..., :-4], images[..., 4:], atol=1e-4, rtol=0)


def test_each_next_picture_is_copied_from_the_one_before_it_and_not_from_the_windows_last() -> None:
    pixels = ClassSpec("decoders.pixels.PixelDecoder", {"patch_size": 8, "copy_gate": True})
    model = small_model(small_config(decoders={"video": pixels}))
    decoder = model.decoders["video"]
    assert isinstance(decoder, PixelDecoder)
    torch.nn.init.zeros_(decoder.decode_linear.weight)
    decoder.decode_linear.bias.data.view(-1, 8 * 8)[3:] = 50.0
    batch = random_batch(model.spec)
    for now in (0, 1):
        torch.testing.assert_close(model.sample(batch, "video", now)["video"], batch.images[:, now])
    draws, asked = model.draw([(row,) for row in range(3)]), torch.zeros(3, dtype=torch.long)
    error, _ = model.loss(batch, [(model.query("video"),)], asked, draws)["video"]
    copying = (batch.images[:, 1:] - batch.images[:, :-1]).square().flatten(2).mean(2)
    torch.testing.assert_close(error, copying)


def test_a_flow_without_a_gate_is_refused() -> None:
    with pytest.raises(UserError, match="set copy_gate to true"):
        PixelDecoder(16, SPEC, copy_flow=True)
