# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""The arm that many worlds share: it goes where it is sent, grasps by friction, and comes back to the bit."""

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest
from gymnasium.error import InvalidAction

from sims.arm.env import ArmEnv
from sims.arm.expert import ArmExpert, Style, Waypoint
from sims.arm.ik import ArmKinematics
from sims.arm.looks import draw_colour
from sims.arm.model import HOME, attach_arm, tabletop
from sims.common.sleep import allow_sleep

UP = np.array([0.0, 0.0, 0.1])


class LiftExpert(ArmExpert):
    """Looks where the box is, grasps and lifts it; tries again if it slipped away."""

    def plan(self) -> Iterator[Waypoint]:
        while self.env.box[2] < 0.1:
            above = self.env.box + UP
            yield Waypoint(above, yaw=0.0)
            yield Waypoint(self.env.box, speed=0.6, is_exact=True)
            yield Waypoint(self.env.box, grip=-1.0, wait=4, is_exact=True)
            yield Waypoint(above + UP, grip=-1.0, is_exact=True)


class Lift(ArmEnv):
    """A box to be lifted by 10 cm: the smallest world on the arm."""

    def __init__(self, sleeping=0, **kwargs):
        spec = tabletop()
        for number in range(sleeping):
            other = spec.worldbody.add_body(name=f"other{number}", pos=(0.3 + 0.08 * number, 0.4, 0.02))
            other.add_freejoint()
            other.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.02, 0.02, 0.02), density=400, condim=4)
        if sleeping:
            allow_sleep(spec)
        body = spec.worldbody.add_body(name="box", pos=(0.5, 0, 0.02))
        body.add_freejoint()
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.02, 0.02, 0.02), density=400, condim=4)
        super().__init__(spec, "lift", "Lift the box", **kwargs)
        self.count = 0

    @property
    def box(self):
        return self.data.body("box").xpos.copy()

    def _draw_episode(self, rng):
        self.count = 0
        self.data.joint(self.model.body("box").jntadr[0]).qpos[:2] = rng.uniform((0.4, -0.2), (0.6, 0.2))
        self.looks.light(rng, self.variant == "unseen")
        self.looks.paint("table", draw_colour(rng))
        self.looks.shake_camera("front", rng, 0.02, 0.02)
        self.place_hand((0.45, 0.0, 0.2))

    def _judge(self):
        self.count += 1
        return -1.0, bool(self.box[2] > 0.1), {"metrics": {"count": self.count}}

    def _get_progress(self):
        return np.array([self.count], np.float64)

    def _set_progress(self, progress):
        self.count = int(progress[0])

    def make_expert(self, rng=None):
        return LiftExpert(self, rng)


def run(env, seed, policy=None, rng=None):
    observation, info = env.reset(seed=seed)
    policy = policy or env.make_expert(rng)
    actions = []
    while not info["is_success"] and env.elapsed_steps < env.max_env_steps:
        actions.append(policy(observation))
        observation, _, _, _, info = env.step(actions[-1])
    return info["is_success"], np.array(actions)


@pytest.mark.parametrize("yaw", [-1.2, 0.0, 0.7])
def test_inverse_kinematics_reaches_a_grid_of_poses(yaw):
    kinematics = ArmKinematics()
    spec = mujoco.MjSpec()
    attach_arm(spec)
    model = spec.compile()
    data = mujoco.MjData(model)
    for x in (0.35, 0.5, 0.65):
        for y in (-0.3, 0.0, 0.3):
            for z in (0.02, 0.3):
                data.qpos[:7] = kinematics.solve(np.array([x, y, z]), yaw, HOME, max_iterations=100)
                mujoco.mj_kinematics(model, data)
                matrix = data.site("arm/tcp").xmat.reshape(3, 3)
                assert np.abs(data.site("arm/tcp").xpos - (x, y, z)).max() < 2e-4
                assert np.allclose(matrix[:, 2], (0, 0, -1), atol=1e-3), "the hand looks down"
                assert np.allclose(matrix[:, 1], (np.sin(yaw), -np.cos(yaw), 0), atol=1e-3)


def test_the_hand_follows_its_command_and_stays_still_without_one():
    env = Lift(cameras=())
    env.reset(seed=0)
    start = env.hand_position
    for _ in range(4):
        env.step(np.array([0, 1, -0.5, 0, 1], np.float32))
    for _ in range(6):
        env.step(np.array([0, 0, 0, 0, 1], np.float32))
    assert np.allclose(env.hand_position - start, (0, 0.1, -0.05), atol=2e-3)
    assert env.hand_yaw == pytest.approx(0.0, abs=0.01)
    rest = env.hand_position
    for _ in range(40):
        env.step(np.array([0, 0, 0, 0, 1], np.float32))
    assert np.abs(env.hand_position - rest).max() < 5e-4


def test_the_expert_lifts_the_box_by_friction_in_every_episode_and_never_twice_alike():
    env = Lift(cameras=())
    runs = [run(env, seed) for seed in range(12)]
    assert all(success for success, _ in runs)
    assert env.model.neq == 0, "nothing is welded"
    _, first = run(env, 0, rng=np.random.default_rng(1))
    _, other = run(env, 0, rng=np.random.default_rng(2))
    shared = min(len(first), len(other))
    assert np.abs(first[:shared] - other[:shared]).max() > 0.1
    assert max(len(actions) for _, actions in runs) < 120


def test_slips_are_recovered_from():
    class Clumsy(LiftExpert):
        style = Style(slip=0.5, pause=0.3, wobble=0.3)

    env = Lift(cameras=(), max_env_steps=300)
    for seed in range(4):
        env.reset(seed=seed)
        assert run(env, seed, Clumsy(env))[0]


@pytest.mark.parametrize("sleeping", [0, 4])
def test_a_state_comes_back_to_the_bit_with_the_looks_of_its_episode(sleeping):
    env, fresh = Lift(sleeping, image_size=32), Lift(sleeping, image_size=32)
    env.reset(seed=4)
    expert = env.make_expert()
    for _ in range(20):
        env.step(expert({}))
    assert np.count_nonzero(env.data.tree_asleep >= 0) == sleeping
    state, picture = env.get_sim_state(), env.render_frame("front", 32)
    fresh.reset(seed=9)
    assert not np.array_equal(fresh.render_frame("front", 32), picture)
    fresh.set_sim_state(state)
    assert fresh.count == 20
    assert np.array_equal(fresh.get_sim_state(), state)
    assert np.array_equal(fresh.render_frame("front", 32), picture)
    action = np.array([0.3, -0.2, 0.5, 0.1, -1], np.float32)
    for _ in range(5):
        one, two = env.step(action), fresh.step(action)
        assert np.array_equal(one[0]["agent_pos"], two[0]["agent_pos"])
    assert np.array_equal(env.get_sim_state(), fresh.get_sim_state())
    env.close()
    fresh.close()


def test_random_actions_leave_the_energy_bounded():
    env = Lift(cameras=(), max_env_steps=10**6)
    env.model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(800):
        env.step(rng.uniform(-1, 1, 5).astype(np.float32))
        worst = max(worst, float(env.data.energy[1]))
    assert worst < 50, "joules of motion"
    assert np.isfinite(env.data.qpos).all()


def test_the_unseen_variant_has_other_light_and_a_wrong_name_is_refused():
    train, unseen = Lift(cameras=()), Lift(cameras=(), variant="unseen")
    ambients = []
    for env in (train, unseen):
        found = []
        for seed in range(20):
            env.reset(seed=seed)
            found.append(float(env.model.vis.headlight.ambient[1]))
        ambients.append(np.array(found))
    low, high = ambients[0].min(), ambients[0].max()
    assert not ((ambients[1] >= low) & (ambients[1] <= high)).any()
    with pytest.raises(ValueError, match="another task than 'lift'"):
        train.set_sim_state(unseen.get_sim_state())
    with pytest.raises(ValueError, match="Unknown variant 'unsen'. Did you mean 'unseen'"):
        Lift(variant="unsen")


def test_a_wrong_action_moves_nothing():
    env = Lift(cameras=())
    env.reset(seed=0)
    before = env.get_sim_state()
    with pytest.raises(InvalidAction, match=r"shape \(5,\), got \(4,\)"):
        env.step(np.zeros(4, np.float32))
    assert np.array_equal(before, env.get_sim_state())
