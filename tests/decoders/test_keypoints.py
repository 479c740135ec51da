"""Feature points: where a detector responds, as numbers and as a token."""

import pytest
import torch

from decoders.keypoints import Keypoints, trunk
from decoders.observation import ObservationEncoder
from tests.decoders.test_observation import SPEC
from unified.errors import UserError


def test_a_point_is_where_its_detector_responds():
    points = Keypoints(channels=1, number=1, dim=8)
    torch.nn.init.constant_(points.detect.weight, 50.0)
    features = torch.zeros(2, 1, 5, 9)
    features[0, 0, 1, 8] = features[1, 0, 4, 0] = 1.0
    torch.testing.assert_close(points.places(features), torch.tensor([[[-0.5, 1.0]], [[1.0, -1.0]]]))
    features[0, 0, 1, 0] = 1.0  # two responses: their middle
    torch.testing.assert_close(points.places(features)[0, 0], torch.tensor([-0.5, 0.0]))


def test_a_token_knows_its_detector_and_what_is_there():
    points = Keypoints(channels=2, number=3, dim=8)
    features = torch.zeros(1, 2, 4, 4)
    blank = points(features)
    assert not torch.allclose(blank[0, 0], blank[0, 1])  # grey everywhere: only the detectors differ
    features[0, 1] = 1.0  # the same everywhere, so the places stay in the middle
    torch.testing.assert_close(points.places(features), torch.zeros(1, 3, 2), atol=1e-6, rtol=0)
    assert not torch.allclose(points(features)[0, 0], blank[0, 0])


def test_an_encoder_with_feature_points_gives_a_token_a_point_and_one_of_all_their_places_and_learns_through_it():
    encoder = ObservationEncoder(16, SPEC, width=8, keypoints=4)
    parts = encoder(torch.randn(2, 1, 3, 32, 32), torch.ones(2, 3), torch.zeros(2, dtype=torch.long))
    assert [segment.name for segment in encoder.segments()] == ["images", "keypoints", "proprio"]
    assert parts["keypoints"].shape[1] == 5 * len(SPEC.cameras)
    parts["keypoints"].square().sum().backward()
    first = next(encoder.trunk.parameters()).grad
    assert first is not None
    assert first.abs().sum() > 0


@pytest.mark.parametrize("first_stride", [2, 4])
def test_features_stand_at_a_quarter_of_the_picture_and_in_their_places(first_stride: int):
    torch.manual_seed(0)
    layers = trunk(3, 8, first_stride)
    blank, spot = torch.zeros(1, 3, 64, 32), torch.zeros(1, 3, 64, 32)
    spot[..., 40:44, 12:16] = 1.0  # what the cell in row 10, column 3 covers
    features = layers[0](spot) - layers[0](blank)
    assert layers(spot).shape == (1, 16, 16, 8)
    strength = features.square().sum(dim=1)[0]
    rows, columns = torch.nonzero(strength > 0, as_tuple=True)
    cell = 4 // first_stride
    assert (rows.float().mean() + 0.5) / cell == pytest.approx(10.5, abs=0.3)
    assert (columns.float().mean() + 0.5) / cell == pytest.approx(3.5, abs=0.3)


def test_another_first_stride_is_refused():
    with pytest.raises(UserError, match="first_stride must be 2 or 4, got 3"):
        ObservationEncoder(16, SPEC, width=8, keypoints=4, first_stride=3)


def test_feature_points_are_finer_than_patches():
    with pytest.raises(UserError, match="at least 4, got 2"):
        ObservationEncoder(16, SPEC, patch_size=2, width=8, keypoints=4)
