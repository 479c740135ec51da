"""The measures against closed forms."""

import numpy as np
import pytest

from sims.deformable import measures

SQUARE = np.array([[0.0, 0.0], [0.2, 0.0], [0.2, 0.1], [0.0, 0.1]])
TWO = np.array([[0, 1, 2], [0, 3, 2]])  # one of each orientation


def test_a_sheet_covers_its_own_area_and_what_overlaps_counts_once():
    assert measures.covered_area(SQUARE, TWO, cell=0.001) == pytest.approx(0.02, rel=0.01)
    doubled = np.concatenate([TWO, TWO[:, ::-1]])
    assert measures.covered_area(SQUARE, doubled, cell=0.001) == pytest.approx(0.02, rel=0.01)


def test_a_folded_sheet_covers_half():
    grid = np.stack(np.meshgrid([0.0, 0.1, 0.2], [0.0, 0.1]), -1).reshape(-1, 2)
    triangles = np.array([[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4]])
    flat = measures.covered_area(grid, triangles, 0.001)
    folded = grid.copy()
    folded[folded[:, 0] > 0.15, 0] = 0.0
    assert measures.covered_area(folded, triangles, 0.001) == pytest.approx(flat / 2, rel=0.02)


def test_cells_are_counted_row_by_row_as_one_by_one():
    rng, cell = np.random.default_rng(0), 0.01
    index = np.arange(16).reshape(4, 4)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    centres = cell * (0.5 + np.stack(np.meshgrid(np.arange(-40, 60), np.arange(-40, 60)), -1).reshape(-1, 2))
    for _ in range(20):  # crumpled sheets
        vertices = rng.uniform(-0.3, 0.5, (16, 2))
        one_by_one = measures.covered(centres, vertices, triangles).sum() * cell**2
        assert measures.covered_area(vertices, triangles, cell) == pytest.approx(one_by_one)


def test_points_inside_on_the_diagonal_and_outside_are_told_apart():
    points = np.array([[0.1, 0.05], [0.15, 0.02], [0.21, 0.05], [0.1, -0.001]])
    assert measures.covered(points, SQUARE, TWO).tolist() == [True, True, False, False]


def test_a_sheet_without_area_covers_nothing():
    assert not measures.covered(np.zeros((1, 2)), np.zeros((3, 2)), np.array([[0, 1, 2]])).any()


def test_distance_to_a_polyline_uses_ends_and_sides():
    line = np.array([[0.0, 0.0], [1.0, 0.0]])
    points = np.array([[0.5, 0.3], [1.3, 0.4], [-0.2, 0.0]])
    assert measures.distance_to_polyline(points, line) == pytest.approx([0.3, 0.5, 0.2])


def test_half_a_curve_is_not_the_curve():
    line = np.array([[0.0, 0.0], [1.0, 0.0]])
    mean, largest = measures.distance_between_polylines(line, line * 0.5)
    assert largest == pytest.approx(0.5)
    assert mean == pytest.approx(0.125 / 2, rel=0.05)
    assert measures.distance_between_polylines(line, line)[1] == pytest.approx(0, abs=1e-12)


def test_straightness_of_a_line_and_of_a_right_angle():
    assert measures.straightness(np.array([[0, 0], [1, 1], [2, 2.0]])) == pytest.approx((1, 0))
    share, bow = measures.straightness(np.array([[0, 0], [1, 0], [1, 1.0]]))
    assert share == pytest.approx(np.sqrt(2) / 2)
    assert bow == pytest.approx(np.sqrt(2) / 2)


def test_fold_error_is_the_mean_gap_seen_from_above():
    vertices = np.array([[0, 0, 0], [0.03, 0.04, 0.5], [1, 1, 0], [1, 1, 2.0]])
    assert measures.fold_error(vertices, np.array([[0, 1], [2, 3]])) == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ([[0, 0, 1], [0, 0, -1]], -1),
        ([[0, 0, -1], [0, 0, 1]], 1),
        ([[0, 0, -1], [0, 0, 1], [0.1, 0, -1]], 0),
        ([[0, 0, -1], [0, 0, 1], [5, 0, 1], [5, 0, -1], [0, 0.1, -2], [0, 0, 1]], 2),
        ([[2, 0, -1], [2, 0, 1]], 0),
        ([[0, 0, 1], [0, 0, 2]], 0),
    ],
)
def test_crossings_of_a_ring_have_a_sign(corners, expected):
    line = np.array(corners, float)
    assert measures.signed_crossings(line, np.zeros(3), np.array([0, 0, 1.0]), 0.5) == expected


def test_the_part_past_a_plane_is_measured_along_the_line():
    line = np.array([[0, 0, 0.3], [0, 0, -0.1]])
    assert measures.length_past_plane(line, np.zeros(3), np.array([0, 0, 1.0])) == pytest.approx(0.1, abs=0.005)


def test_resampling_keeps_ends_and_equal_steps():
    points = measures.resampled(np.array([[0, 0], [1, 0], [1, 3.0]]), 9)
    assert np.allclose(points[[0, -1]], [[0, 0], [1, 3]])
    assert np.allclose(np.linalg.norm(np.diff(points, axis=0), axis=1), 0.5)


def test_a_rigid_fit_finds_turn_and_shift_from_the_points_that_count_and_makes_no_mirror_image():
    rng = np.random.default_rng(0)
    template = rng.normal(size=(9, 2))
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    seen = template @ turn + (3.0, -1.0)
    counts = np.arange(9) < 6
    seen[~counts] += 10
    assert np.allclose(measures.rigid_fit(template, seen, counts), template @ turn + (3.0, -1.0))
    mirrored = measures.rigid_fit(template, template * (1, -1), np.ones(9, bool))
    edges = (
        [points[2] - points[0] for points in (template, mirrored)],
        [points[1] - points[0] for points in (template, mirrored)],
    )
    signs = [np.sign(u[0] * v[1] - u[1] * v[0]) for u, v in zip(*edges, strict=True)]
    assert signs[0] == signs[1]
