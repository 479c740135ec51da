# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""What counts as success in the deformable worlds, and that nothing in them is held by other means than friction."""

import mujoco
import numpy as np
import pytest

from sims.deformable import TASKS
from sims.deformable.cloth import folded_over
from tests.sims.registry import make

every_task = pytest.mark.parametrize("task", list(TASKS))
_HAND_AWAY = np.array([0.3, -0.3, 0.3])


def world(task, **kwargs):
    env = make(f"Deformable-{task}-v0", cameras=(), **kwargs)
    env.reset(seed=1)
    return env


def shifted(points, *offset):
    return points + np.array(offset)


def judged(env):
    """Success and metrics of the scene as it has been put."""
    env.place_hand(_HAND_AWAY)
    mujoco.mj_forward(env.model, env.data)
    _, success, info = env._judge()
    return success, info["metrics"]


def laid(env, plane, height=0.0):
    """The rope of an environment put along a line."""
    env.rope.place(env.data, np.column_stack([plane, np.full(len(plane), env.rope.rope.radius + height)]))
    return judged(env)


def straight(env, length=1.0):
    """A straight line of the rope's corners, shortened into a bend if `length` is below 1."""
    rope = env.rope.rope
    angle = np.arccos(length) * np.where(np.arange(rope.links) < rope.links / 2, 1, -1)
    steps = rope.link_length * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return shifted(np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]), 0.4, 0.0)


@every_task
def test_nothing_is_welded_and_nothing_is_moved_but_by_the_arm(task):
    env = world(task)
    kinds = {int(kind) for kind in env.model.eq_type}
    assert kinds <= {int(mujoco.mjtEq.mjEQ_CONNECT), int(mujoco.mjtEq.mjEQ_FLEX)}
    assert env.model.nmocap == 0
    assert not env.data.xfrc_applied.any()
    assert "arm" not in {env.model.body(int(body)).name.split("/")[0] for body in env.model.eq_obj1id}
    state = env.get_sim_state()
    rest = env.step(np.array([0, 0, 0, 0, 1], np.float32))
    assert rest[4]["is_success"] is False
    assert not np.array_equal(state, env.get_sim_state())


@every_task
def test_unseen_episodes_differ_in_sizes_or_shapes(task):
    models = [world(task, variant=variant).model for variant in ("train", "unseen")]
    same = [
        np.array_equal(getattr(models[0], field), getattr(models[1], field))
        for field in ("geom_size", "geom_type", "body_mass", "tendon_stiffness", "jnt_stiffness")
    ]
    assert not all(same)


def test_a_straight_rope_is_straight_and_a_bent_or_raised_one_is_not():
    env = world("RopeStraighten")
    assert laid(env, straight(env))[0]
    success, metrics = laid(env, straight(env, 0.9))
    assert not success
    assert metrics["chord_share"] == pytest.approx(0.9, abs=0.01)
    assert not laid(env, straight(env), height=0.06)[0]


def test_a_rope_on_the_drawn_curve_counts_from_either_end_and_half_of_it_does_not():
    env = world("RopeCurve")
    corners = np.linspace(0, len(env.curve) - 1, env.rope.rope.links + 1).astype(int)
    for line in (env.curve[corners], env.curve[corners][::-1]):
        success, metrics = laid(env, line)
        assert success
        assert metrics["mean_distance_m"] < 0.004
    assert not laid(env, env.curve[corners] + (0.03, 0.0))[0]


def test_a_rope_through_the_ring_counts_and_one_beside_it_does_not():
    env = world("RopeThread")
    drop = np.linspace(-0.1, 0.14, env.rope.rope.links + 1)[:, None] * (0, 0, 1)
    for aside, wanted in ((0.0, True), (0.06, False)):
        env.rope.place(env.data, env.ring_centre() + drop + (aside, 0, 0))
        success, metrics = judged(env)
        assert success is wanted
        assert metrics["length_through_m"] == (pytest.approx(0.1, abs=0.01) if wanted else 0)
    env.rope.place(env.data, env.ring_centre() + drop[::-1])  # the tip below: pushed through from beneath
    assert not judged(env)[0]


@pytest.mark.parametrize(("corner", "wanted"), [((1, 1), True), ((1, -1), True), ((1, 0), False)])
def test_a_cloth_counts_as_folded_along_a_diagonal_only(corner, wanted):
    env = world("ClothFold")
    flat = env._flat((0.5, 0.0), 0.0)
    assert not judged(env)[0]
    normal = np.array(corner) / np.linalg.norm(corner)
    env.cloth.place(env.data, folded_over(flat, np.array([0.5, 0.0]), normal, 0.016))
    success, metrics = judged(env)
    assert success is wanted
    assert metrics["coverage"] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("task", "count"), [("ClothFold", 1), ("ClothCover", 1), ("ClothSpread", 0)])
def test_a_bead_is_seen_and_felt_and_where_there_is_none_neither(task, count):
    env = world(task)
    corners = env.cloth.cloth.corners
    beads = [env.model.geom(f"bead_{corner}") for corner in corners]
    vertices = env.cloth.vertices(env.data).copy()
    vertices[list(corners), 2] = beads[0].size[0] - 0.002  # beads would be pressed into the table, vertices float
    env.cloth.place(env.data, vertices)
    env.place_hand(_HAND_AWAY)
    mujoco.mj_forward(env.model, env.data)
    touching = {int(geom) for geom in env.data.contact.geom.ravel()}
    felt = [corner for corner, bead in zip(corners, beads, strict=True) if bead.id in touching]
    shown = [corner for corner, bead in zip(corners, beads, strict=True) if bead.group[0] == 0]
    assert felt == shown
    assert len(felt) == count
    if task == "ClothCover":
        assert felt == [env.corner_towards_thing(vertices)]


@pytest.mark.parametrize("task", ["RopeStraighten", "RopeCurve", "RopeThread", "ClothFold", "ClothCover"])
def test_the_expert_advises_by_what_is_there_and_not_by_how_it_came_there(task):
    env, rng = make(f"Deformable-{task}-v0", cameras=()), np.random.default_rng(0)
    observation, info = env.reset(seed=3)
    expert = env.make_expert()
    while not info["is_success"] and env.elapsed_steps < 80:
        action = expert(observation)
        stranger = env.make_expert()
        stranger(observation)
        np.testing.assert_array_equal(stranger.advice, expert.advice)
        if rng.random() < 0.1:
            action = rng.uniform(-0.6, 0.6, 5).astype(np.float32)
        observation, _, _, _, info = env.step(action)


def test_fingers_closed_on_nothing_are_opened_and_come_again():
    env = make("Deformable-RopeStraighten-v0", cameras=())
    observation, info = env.reset(seed=3)
    aside = env.link(-2) + np.array([0.0, 0.05, 0.005])
    env.place_hand(aside, opening=-1.0)
    mujoco.mj_forward(env.model, env.data)
    expert = env.make_expert()
    expert(observation)
    assert expert.advice[4] == 1.0, "open"
    assert expert.advice[2] > 0, "up"
    while not info["is_success"] and env.elapsed_steps < 200:
        observation, _, _, _, info = env.step(expert(observation))
    assert info["is_success"]


def test_the_expert_misjudges_now_and_then_and_its_advice_does_not():
    env = make("Deformable-RopeStraighten-v0", cameras=())
    apart = []
    for seed in range(12):
        observation, info = env.reset(seed=seed)
        expert = env.make_expert()
        while not info["is_success"] and env.elapsed_steps < 200:
            action = expert(observation)
            apart.append(np.abs(action - expert.advice).max())
            observation, _, _, _, info = env.step(action)
        assert info["is_success"]
    assert 0.005 < np.mean(np.array(apart) > 0.4) < 0.3


def test_a_cloth_is_spread_when_it_covers_its_area_and_is_not_held():
    env = world("ClothSpread")
    success, metrics = judged(env)
    assert not success
    assert metrics["coverage"] < 0.9
    env.cloth.place(env.data, env._flat((0.5, 0.0), 0.3))
    assert judged(env)[0]
    env.cloth.place(env.data, shifted(env._flat((0.5, 0.0), 0.3), 0, 0, 0.1))
    assert not judged(env)[0]


def test_an_object_is_covered_by_a_cloth_above_it_not_beneath_it_or_beside_it():
    env = world("ClothCover")
    assert judged(env)[1]["covered"] == 0
    over = env._flat(env.thing_position()[:2], 0.2)
    env.cloth.place(env.data, shifted(over, 0, 0, 0.07))
    success, metrics = judged(env)
    assert success
    assert metrics["covered"] == 1
    env.cloth.place(env.data, over)
    assert not judged(env)[0]
    env.cloth.place(env.data, shifted(over, 0.1, 0, 0.07))
    assert not judged(env)[0]


def test_what_was_dropped_cannot_succeed_any_more():
    env = world("IrregularLift")
    height = env._thing_qpos + 2
    rest = env.data.qpos[height]

    def hold(rise, steps):
        env.data.qpos[height] = rest + rise
        return [judged(env)[0] for _ in range(steps)][-1]

    assert not hold(0.1, env.HOLD_STEPS - 1)
    assert hold(0.1, 1)
    assert not hold(0.0, 1)
    assert not hold(0.1, env.HOLD_STEPS + 1)
    env.reset(seed=2)
    rest = env.data.qpos[height]
    assert hold(0.1, env.HOLD_STEPS)


def test_drops_are_part_of_the_state():
    env, other = world("IrregularLift"), world("IrregularLift")
    env._held, env._was_off, env._was_dropped = 4, True, True
    other.set_sim_state(env.get_sim_state())
    assert (other._held, other._was_off, other._was_dropped) == (4, True, True)


@every_task
def test_an_unknown_variant_gets_the_nearest_name(task):
    with pytest.raises(ValueError, match="Did you mean 'unseen'"):
        make(f"Deformable-{task}-v0", cameras=(), variant="unsen")


def test_a_state_of_another_variant_is_refused():
    state = world("ClothFold").get_sim_state()
    with pytest.raises(ValueError, match="another task than 'cloth-fold-unseen'"):
        world("ClothFold", variant="unseen").set_sim_state(state)


@pytest.mark.slow
@every_task
def test_the_energy_does_not_explode_over_ten_thousand_random_physics_steps(task):
    env = world(task, max_env_steps=10_000)
    env.model.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    rng = np.random.default_rng(0)
    highest = 0.0
    for _ in range(10_000 // 12):
        action = rng.uniform(-1, 1, 5) * (1, 1, 0.6, 1, 1) - (0, 0, 0.2, 0, 0)  # keeps to the table, and grasps
        env.step(np.clip(action, -1, 1).astype(np.float32))
        assert np.isfinite(env.data.qvel).all()
        highest = max(highest, float(env.data.energy[1]))
    assert highest < 25  # joules; the arm itself moves with about 10
    assert sum(int(warning.number) for warning in env.data.warning) == 0


@pytest.mark.slow
@every_task
def test_random_actions_do_not_solve_the_task(task):
    env = world(task)
    rng = np.random.default_rng(1)
    solved = 0
    for seed in range(3):
        env.reset(seed=seed)
        solved += any(env.step(rng.uniform(-1, 1, 5).astype(np.float32))[4]["is_success"] for _ in range(120))
    assert solved == 0
