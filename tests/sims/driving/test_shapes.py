# pyright: reportAttributeAccessIssue=false
"""Meshes are closed, look outwards, and fill the boxes that scores and conditions know."""

import numpy as np
import pytest
import shapely

from sims.driving.looks.builder import static_meshes
from sims.driving.looks.meshes import CELL_M, ball, block, flat, joined, prism, regular
from sims.driving.looks.shapes import actor_parts, box_part
from sims.driving.looks.surfaces import Surfaces
from sims.driving.map.topologies import NAMES, build_map
from sims.driving.traffic.actors import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_shape_fills_its_box_and_no_more(kind):
    for scale in (1.0, 1.4):
        length, width, height = scale * np.array(KINDS[kind][0])
        corners = joined(list(actor_parts(kind, length, width, height).values())).corners.reshape(-1, 3)
        assert np.allclose(corners.min(axis=0), [-length / 2, -width / 2, 0], atol=1e-9)
        assert np.allclose(corners.max(axis=0), [length / 2, width / 2, height], atol=1e-9)


@pytest.mark.parametrize(
    ("mesh", "volume"),
    [
        (box_part(2.0, 3.0, 4.0)["paint"], 24.0),
        (block((-1, -1, 0), (1, 1, 3), (-0.5, 0.5, -0.5, 0.5)), 7.0),
        (prism(regular(4, 1.0), 0, 0.0, 2.0), 4.0),
        (prism(regular(4, 1.0), 1, 0.0, 2.0), 4.0),
        (prism(regular(4, 1.0), 2, 0.0, 3.0, top_scale=0.0), 2.0),
    ],
)
def test_faces_close_and_look_outwards(mesh, volume):
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    assert np.einsum("ij,ij->", a, np.cross(b, c)) / 6 == pytest.approx(volume)
    edges = {tuple(np.round((*face[k], *face[(k + 1) % 3]), 6)) for face in mesh.corners for k in range(3)}
    assert all((*edge[3:], *edge[:3]) in edges for edge in edges), "every edge has a face on both sides"


def test_a_ball_looks_outwards_everywhere():
    mesh = ball((1.0, 2.0, 3.0), 5.0)
    assert (np.einsum("ij,ij->i", mesh.corners.mean(axis=1) - [0, 0, 5], mesh.normals) > 0).all()


def test_flat_areas_keep_their_size_look_up_and_are_cut_small():
    ring = shapely.Point(3.3, 4.4).buffer(40).difference(shapely.Point(0, 0).buffer(11))
    mesh = flat(ring, 0.25)
    assert (mesh.normals[:, 2] > 0.999).all()
    assert (mesh.corners[..., 2] == 0.25).all()
    sides = mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0]
    assert np.cross(*sides)[:, 2].sum() / 2 == pytest.approx(ring.area, rel=1e-6)
    assert np.ptp(mesh.corners, axis=1).max() <= CELL_M + 1e-9


@pytest.mark.parametrize("name", NAMES[::3])
def test_paint_lies_on_the_asphalt_and_houses_do_not(name):
    surfaces = Surfaces(build_map(name))
    reach = surfaces.asphalt.buffer(0.2)
    shapely.prepare(reach)
    for shapes in surfaces.paint.values():
        assert shapely.contains(reach, np.array(shapes)).all()
    for part, mesh in static_meshes(surfaces.road_map).items():
        if part.startswith(("house", "trunk")):
            on_ground = mesh.corners[mesh.corners[..., 2] < 0][:, :2]
            assert shapely.distance(surfaces.asphalt, shapely.MultiPoint(on_ground)) > 1.0


def test_a_border_that_two_lanes_share_is_painted_once():
    surfaces = Surfaces(build_map("street-straight"))
    area = shapely.union_all(surfaces.yellow).area
    assert area == pytest.approx(sum(shape.area for shape in surfaces.yellow))
    assert len(surfaces.yellow) > 20, "dashes between the directions"
