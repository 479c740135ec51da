"""Rigs are data that fit together."""

import numpy as np
import pytest

from sims.driving.sensors.projection import View
from sims.driving.sensors.rigs import RIGS, Camera, rig

MIN_OVERLAP_DEG = 15.0  # of neighbours in a rig that looks all round


def test_there_are_rigs_of_1_3_6_7_and_11_cameras():
    assert sorted(len(cameras) for cameras in RIGS.values()) == [1, 3, 6, 7, 11]
    for cameras in RIGS.values():
        assert len({camera.name for camera in cameras}) == len(cameras)


def neighbour_overlaps_deg(cameras: tuple[Camera, ...]) -> list[float]:
    """Degrees of azimuth that each camera shares with the next one round the vehicle; a camera that lies within
    another one's view (a telephoto lens) is left out. Negative: a gap."""
    spans = sorted((camera.yaw_deg % 360 - camera.fov_deg / 2, camera.fov_deg) for camera in cameras)
    widest = [span for span in spans if not any(_is_within(span, other) for other in spans if other != span)]
    following = [*widest[1:], (widest[0][0] + 360, widest[0][1])]
    return [start + width - after for (start, width), (after, _) in zip(widest, following, strict=True)]


def _is_within(inner: tuple[float, float], outer: tuple[float, float]) -> bool:
    offset = (inner[0] - outer[0]) % 360
    return offset + inner[1] <= outer[1]


@pytest.mark.parametrize("name", ["surround6", "surround7", "surround11"])
def test_neighbours_of_a_surround_rig_share_15_degrees(name):
    overlaps = neighbour_overlaps_deg(RIGS[name])
    assert len(overlaps) >= 4
    assert min(overlaps) >= MIN_OVERLAP_DEG
    for cameras in (RIGS["surround11"][7:],):  # the four that look down see all round by themselves
        assert min(neighbour_overlaps_deg(cameras)) >= MIN_OVERLAP_DEG


def test_a_gap_between_cameras_is_seen():
    assert min(neighbour_overlaps_deg(RIGS["front3"])) < 0


@pytest.mark.parametrize("camera", [camera for cameras in RIGS.values() for camera in cameras])
def test_extrinsics_turn_the_optical_axis_to_where_the_camera_looks(camera):
    turn = camera.extrinsics[:3, :3]
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1)
    forward = turn @ [0, 0, 1]
    assert np.degrees(np.arctan2(forward[1], forward[0])) % 360 == pytest.approx(camera.yaw_deg % 360)
    assert np.degrees(np.arcsin(forward[2])) == pytest.approx(camera.pitch_deg)
    assert (turn @ [0, -1, 0])[2] > 0.8, "up in the picture is up in the world"


def test_the_field_of_view_ends_at_the_edge_of_the_picture():
    camera = Camera("test", (0.0, 0.0, 1.0), 0.0, 0.0, 90.0)
    view = View.of(camera, np.eye(3), np.zeros(3), 100, 200)
    pixels, is_inside = view.project(np.array([[10.0, 9.999, 1.0], [10.0, 10.001, 1.0], [10.0, 0.0, 1.0], [-5, 0, 1]]))
    assert is_inside.tolist() == [True, False, True, False]
    assert pixels[0, 0] == pytest.approx(0.0, abs=0.02), "left is left"
    assert pixels[2].tolist() == [100.0, 50.0]
    assert np.isnan(pixels[3]).all()
    assert camera.vertical_fov_deg(100, 200) == pytest.approx(2 * np.degrees(np.arctan(0.5)))


def test_an_unknown_rig_gets_the_nearest_name():
    with pytest.raises(ValueError, match="Unknown camera rig 'surround8'. Did you mean 'surround"):
        rig("surround8")
