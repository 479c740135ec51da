"""The scripted drivers, cheaply: paths into spots, and one decision of each kind."""

import numpy as np
import pytest

from sims.highway.parking import plan
from tests.sims.registry import make

pytest.importorskip("highway_env")


@pytest.mark.parametrize("heading", np.linspace(0, 2 * np.pi, 7, endpoint=False))
@pytest.mark.parametrize("spot", [(-26.0, 14.0), (2.0, -14.0), (26.0, 14.0)])
def test_a_path_begins_and_ends_as_asked_without_corners_or_walls(heading, spot):
    outward = np.sign(spot[1]) * np.pi / 2
    path = plan((0.0, 0.0, heading), (*spot, outward))
    assert np.allclose(path[0], 0)
    steps = np.diff(path, axis=0)
    steps = steps[np.hypot(*steps.T) > 1e-9]
    headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    turns = np.diff(headings)
    assert np.abs(turns).max() < 0.06, "a corner"
    assert np.cos(headings[0] - heading) > 0.99
    assert np.cos(headings[-1] - outward) > 0.99
    assert np.hypot(*(path - spot).T).min() < 0.2
    assert (np.abs(path) < (31.5, 17.5)).all()


def test_the_racers_aim_goes_on_in_the_next_lane():
    env = make("Highway-racetrack-v0", cameras=())
    env.reset(seed=0)
    expert = env.make_expert()
    for _ in range(40):
        info = env.step(expert({}))[4]
        assert not info["is_over"]
    lane = env.world.vehicle.lane
    assert env.world.vehicle.lane_index[:2] != ("a", "b"), "still on the first straight"
    assert abs(lane.local_coordinates(env.world.vehicle.position)[1]) < 0.5
