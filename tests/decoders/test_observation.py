"""What the encoder makes of pictures."""

import dataclasses

import torch

from decoders.observation import ObservationEncoder
from tests.rollout.test_policies import SAWYER
from unified.model.batch import Observation
from unified.model.spec import DataSpec

SPEC = DataSpec(embodiments=(SAWYER,), cameras=("corner2",), image_size=(32, 32))


def make_observation(brightness: float) -> Observation:
    return Observation(
        images=torch.full((2, 1, 1, 3, 32, 32), brightness),
        proprio=torch.ones(2, 1, 4),
        embodiment=torch.zeros(2, dtype=torch.long),
        task=("reach", "reach"),
    )


def test_a_blind_encoder_sees_the_same_in_every_picture_and_still_feels_the_body():
    dark, light = make_observation(-1.0), make_observation(1.0)
    for is_blind in (False, True):
        encoder = ObservationEncoder(16, SPEC, width=8, is_blind=is_blind)
        one, other = encoder(dark), encoder(light)
        assert torch.equal(one["images"], other["images"]) == is_blind
        assert torch.equal(one["now"], other["now"]) == is_blind
        assert one["proprio"].abs().sum() > 0


def test_without_its_history_only_the_last_proprio_is_felt():
    spec = dataclasses.replace(SPEC, n_obs_steps=2)
    pictures, body = torch.zeros(2, 1, 2, 3, 32, 32), torch.zeros(2, dtype=torch.long)
    earlier = torch.tensor([0.0, 1.0])[:, None, None].expand(2, 1, 4)
    proprio = torch.cat([earlier, torch.ones(2, 1, 4)], dim=1)  # the two samples differ in the first step alone
    for history in (True, False):
        encoder = ObservationEncoder(16, spec, width=8, proprio_history=history)
        tokens = encoder(Observation(pictures, proprio, body, ("reach", "reach")))["proprio"]
        assert tokens.shape[1] == len(encoder.segments()[1].kinds) == (2 if history else 1)
        assert torch.equal(tokens[0], tokens[1]) != history


def test_patches_of_fine_features_are_a_convolution_as_large_as_its_stride():
    spec = dataclasses.replace(SPEC, image_size=(64, 32))
    stem = ObservationEncoder(16, spec, patch_size=32, width=8, keypoints=4).stem
    assert isinstance(stem, torch.nn.Conv2d)
    features = torch.randn(2, 16, 16, 8)
    torch.testing.assert_close(stem(features), torch.nn.Conv2d.forward(stem, features))
