# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""The parts alone, without an arm: they keep their lengths, rest, yield and spring back."""

import mujoco
import numpy as np
import pytest

from sims.deformable.cloth import Cloth, ClothState, add_cloth, folded_over
from sims.deformable.irregular import add_irregular, reshape_irregular
from sims.deformable.rope import Rope, RopeState, add_rope, wandering_line
from sims.deformable.scene import near_table
from sims.deformable.soft import SoftBody, add_soft_body, icosphere


def compiled(add, *args):
    """A table with one part on it."""
    spec = near_table()
    spec.add_material(name="plain")
    add(spec, *args)
    model = spec.compile()
    return model, mujoco.MjData(model)


@pytest.fixture
def rope():
    model, data = compiled(add_rope, Rope(), "plain", "plain")
    return model, data, RopeState(model, Rope())


@pytest.fixture
def cloth():
    model, data = compiled(add_cloth, Cloth(), "plain")
    return model, data, ClothState(model, Cloth())


def shifted(points, *offset):
    return points + np.array(offset)


def edge_lengths(vertices, triangles):
    return np.concatenate(
        [np.linalg.norm(vertices[triangles[:, a]] - vertices[triangles[:, b]], axis=1) for a, b in ((0, 1), (1, 2))]
    )


def test_a_rope_is_where_it_was_laid(rope):
    model, data, state = rope
    plane = shifted(wandering_line(np.random.default_rng(3), 12, state.rope.link_length, 0.6), 0.5, 0.1)
    line = np.column_stack([plane, np.full(13, state.rope.radius)])
    state.place(data, line)
    mujoco.mj_forward(model, data)
    assert np.allclose(state.line(data), line, atol=1e-9)
    assert np.allclose(np.linalg.norm(np.diff(line, axis=0), axis=1), state.rope.link_length)


def test_a_dropped_rope_comes_to_rest_on_the_table_and_does_not_stretch(rope):
    model, data, state = rope
    plane = shifted(wandering_line(np.random.default_rng(1), 12, state.rope.link_length, 0.5), 0.5, 0.0)
    state.place(data, np.column_stack([plane, np.full(13, 0.05)]))
    mujoco.mj_step(model, data, 600)
    line = state.line(data)
    assert np.abs(line[:, 2] - state.rope.radius).max() < 0.002
    assert np.linalg.norm(np.diff(line, axis=0), axis=1).sum() == pytest.approx(state.rope.length, rel=0.01)
    assert np.abs(data.qvel).max() < 0.3  # links may still turn about their own axes


def test_a_hanging_cloth_keeps_its_edges(cloth):
    model, data, state = cloth
    flat = np.column_stack([shifted(state.cloth.flat(), 0.5, 0.0), np.full(49, state.cloth.radius)])
    state.place(data, flat)
    mujoco.mj_forward(model, data)
    assert np.allclose(state.vertices(data), flat)
    rest = edge_lengths(flat, state.triangles)
    corner = model.body(f"{state.cloth.name}_0").id
    data.xfrc_applied[corner, 2] = 1.5 * state.cloth.mass * 9.81
    mujoco.mj_step(model, data, 150)
    vertices = state.vertices(data)
    assert vertices[0, 2] - vertices[-1, 2] > 0.15
    stretch = np.abs(edge_lengths(vertices, state.triangles) / rest - 1)
    assert stretch.max() < 0.2  # the one edge at the hand, which carries everything
    assert np.median(stretch) < 0.03


def test_a_cloth_rests_flat_and_covers_its_area(cloth):
    model, data, state = cloth
    state.place(data, np.column_stack([shifted(state.cloth.flat(), 0.5, 0.0), np.full(49, 0.03)]))
    mujoco.mj_step(model, data, 400)
    assert np.abs(state.vertices(data)[:, 2] - state.cloth.radius).max() < 0.001
    assert np.abs(data.qvel).max() < 0.01


def test_folding_over_mirrors_one_side_and_leaves_the_other(cloth):
    flat = np.column_stack([cloth[2].cloth.flat(), np.zeros(49)])
    folded = folded_over(flat, np.zeros(2), np.array([1.0, 0.0]), 0.02)
    turned = flat[:, 0] > 0
    assert np.allclose(folded[turned], flat[turned] * (-1, 1, 1) + (0, 0, 0.02))
    assert np.array_equal(folded[~turned], flat[~turned])


def test_the_shell_is_a_closed_surface_that_faces_outwards():
    vertices, triangles = icosphere()
    edges = {tuple(sorted(pair)) for t in triangles for pair in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    assert len(vertices) - len(edges) + len(triangles) == 2
    assert np.allclose(np.linalg.norm(vertices, axis=1), 1)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a + b + c) > 0).all()


def test_a_soft_body_yields_to_a_press_and_springs_back():
    soft = SoftBody()
    model, data = compiled(add_soft_body, soft, "plain")
    body = model.body(soft.name).id
    data.qpos[:2] = 0.5, 0.0
    mujoco.mj_step(model, data, 400)
    rest = data.xpos[body, 2]
    assert 0.8 * soft.radii[2] < rest < 1.1 * soft.radii[2]
    data.xfrc_applied[body, 2] = -5.0
    mujoco.mj_step(model, data, 300)
    assert data.xpos[body, 2] < rest - 0.004
    data.xfrc_applied[body, 2] = 0.0
    mujoco.mj_step(model, data, 600)
    assert data.xpos[body, 2] == pytest.approx(rest, abs=0.002)


@pytest.mark.parametrize("is_unseen", [False, True])
def test_a_reshaped_body_equals_one_compiled_that_way(is_unseen):
    model, _ = compiled(add_irregular, is_unseen, "plain", np.random.default_rng(0))
    wanted, _ = compiled(add_irregular, is_unseen, "plain", np.random.default_rng(7))
    before = model.geom_size.copy()
    reshape_irregular(model, is_unseen, np.random.default_rng(7))
    assert not np.array_equal(before, model.geom_size)
    for field in ("geom_size", "geom_pos", "geom_quat", "body_mass", "body_inertia", "body_ipos", "dof_invweight0"):
        assert np.allclose(getattr(model, field), getattr(wanted, field), rtol=1e-6), field
