# pyright: reportPossiblyUnboundVariable=false, reportArgumentType=false
# Loops here always run, and experts read the state instead of the observation.
"""The games' boards: moves are read from the physics, rules are enforced, counts tell planning from motor errors."""

import itertools

import numpy as np
import pytest

from sims.arm.expert import Waypoint
from sims.games.board_parts import FINGERTIP, HAND_YAW
from sims.games.catalog import GAMES
from sims.games.hanoi import HanoiEnv, HanoiExpert
from sims.games.lights_out import LightsOutEnv, LightsOutExpert
from sims.games.nim import NimEnv, NimExpert
from sims.games.nim_rules import Take
from sims.games.puzzle import LEVEL_NAMES
from sims.games.sliding import SlidingEnv
from sims.games.sliding_rules import GAP
from sims.games.sokoban import SokobanEnv, SokobanExpert
from sims.games.sokoban_rules import Push
from tests.sims.registry import make

every_game = pytest.mark.parametrize("game", GAMES)


def make_game(game, **kwargs):
    return make(f"Games-{game}-v0", **{"cameras": (), **kwargs})


def play(env, expert, steps=10**6):
    """Follow an expert until it has won or lost, its plan is at an end, or so many steps; the last metrics."""
    info, observation = {"metrics": {}}, env.observe()
    for _ in range(steps):
        if env.is_over or expert(observation) is None or env.elapsed_steps >= env.max_env_steps:
            break
        observation, _, _, _, info = env.step(expert(observation))
    return info["metrics"]


def follow(env, waypoints, steps):
    """Carry out some waypoints, with an expert's feedback and without its wobble; the last info."""

    class Script(type(env.make_expert())):
        def plan(self):
            yield from waypoints(self)

    script, info = Script(env), {}
    for _ in range(steps):
        info = env.step(script(None))[-1]
    return info


def press(script, piece):
    """Down on a button or peg until it counts, and up again."""
    while not script.env.is_down(piece):
        yield script.press(piece)
    here, top = script.env.hand_position, script.env.away_height
    while not script.env._is_away():
        yield Waypoint(np.array([*here[:2], here[2] + 3 * top]), HAND_YAW, -1.0, max_steps=1, is_exact=True)


@every_game
@pytest.mark.parametrize("variant", ["train", "unseen"])
def test_the_expert_wins_without_a_superfluous_or_illegal_move(game, variant):
    env = make_game(game, variant=variant)
    for seed in (20_000, 20_001):
        env.reset(seed=seed)
        metrics = play(env, env.make_expert())
        assert metrics["solved"] == 1
        assert metrics["lost"] == metrics["illegal_moves"] == metrics["motor_failures"] == 0
        assert metrics["planning_success"] == metrics["motor_success"] == metrics["move_success"] == 1
        if game != "Nim":  # a weak opponent may resist shorter or longer
            assert metrics["moves"] == metrics["shortest"]
            assert metrics["moves_over_shortest"] == 0


@every_game
@pytest.mark.parametrize("level", LEVEL_NAMES)
def test_every_level_and_variant_builds_and_fits_into_a_state(game, level):
    tasks = set()
    for variant in ("train", "unseen"):
        env = make_game(game, level=level, variant=variant)
        env.reset(seed=1)
        assert env.tally.shortest in range(env.puzzle.shortest_range[0], env.puzzle.shortest_range[1] + 1)
        assert not env.is_over
        other = make_game(game, level=level, variant=variant)
        other.set_sim_state(env.get_sim_state())
        assert other.state == env.state
        assert np.array_equal(other.get_sim_state(), env.get_sim_state())
        tasks.add(env.task)
    assert len(tasks) == 1


@every_game
def test_a_state_of_another_level_or_variant_is_refused(game):
    env = make_game(game)
    env.reset(seed=0)
    for kwargs in ({"level": "medium"}, {"variant": "unseen"}):
        with pytest.raises(ValueError, match="another task"):
            make_game(game, **kwargs).set_sim_state(env.get_sim_state())


@every_game
def test_doing_nothing_changes_nothing_by_the_rules(game):
    env = make_game(game)
    env.reset(seed=3)
    before = env.state
    for _ in range(30):
        _, reward, _, _, info = env.step(np.array([0, 0, 0, 0, -1], np.float32))
    assert env.state == before
    assert reward == 0
    assert info["metrics"]["moves"] == info["metrics"]["illegal_moves"] == info["metrics"]["motor_failures"] == 0
    assert "move_success" not in info["metrics"]


@every_game
def test_a_wrong_level_is_named(game):
    with pytest.raises(ValueError, match="Unknown level 'hrd'. Did you mean 'hard'"):
        make_game(game, level="hrd")


@pytest.mark.slow
@every_game
def test_ten_thousand_random_physics_steps_do_not_explode(game):
    env = make_game(game, level="medium", max_env_steps=200)
    rng = np.random.default_rng(0)
    for seed in range(4):
        env.reset(seed=seed)
        for _ in range(200):  # at least 20 physics steps each
            low = (0.3, 0.3, -0.6 if env.hand_position[2] > 0.08 else 0.0, 0.2, 0.5)  # mostly down among the pieces
            action = np.clip(rng.normal(size=5) * 0.6 + np.array(low) * rng.uniform(-1, 1, 5), -1, 1)
            env.step(action.astype(np.float32))
            assert np.isfinite(env.data.qpos).all()
            assert np.abs(env.data.qvel).max() < 60
    assert not env.data.warning.number.any()


def test_lights_out_a_press_switches_neighbours_and_a_long_press_counts_once():
    env = LightsOutEnv(cameras=())
    env.reset(seed=2)
    before = env.state
    info = follow(env, lambda script: (script.press(4) for _ in itertools.count()), steps=60)  # and stay
    assert info["metrics"]["moves"] == 1
    assert env.state == env.puzzle.apply(before, 4)


def test_lights_out_two_buttons_at_once_are_an_illegal_move():
    env = LightsOutEnv(cameras=())
    env.reset(seed=2)
    before = env.state

    def press_both(script):
        spot = (env.button_place(1) + env.button_place(4)) / 2 + np.array([0, 0, FINGERTIP])
        spread = -0.1  # the fingers' middles as far apart as two buttons
        yield Waypoint(spot + np.array([0, 0, 0.03]), HAND_YAW, grip=spread, is_exact=True, wait=4)
        yield Waypoint(spot - np.array([0, 0, 0.014]), HAND_YAW, grip=spread, is_exact=True, wait=10)

    metrics = follow(env, press_both, steps=30)["metrics"]
    assert metrics["illegal_moves"] >= 1
    assert metrics["moves"] <= 1
    assert env.state in (before, env.puzzle.apply(before, 1), env.puzzle.apply(before, 4))


def test_lights_out_is_lost_when_the_moves_allowed_are_used_up_and_stays_so():
    env = LightsOutEnv(cameras=(), max_env_steps=500)
    env.reset(seed=1)

    class Waster(LightsOutExpert):
        def plan(self):
            corner = next(cell for cell in (0, 2, 6, 8) if cell not in env.puzzle.shortest(env.state))
            while True:
                yield from press(self, corner)

    metrics = play(env, Waster(env))
    assert metrics["lost"] == 1
    assert metrics["moves"] == env.tally.shortest + env.puzzle.slack
    assert metrics["planning_success"] < 0.6
    assert metrics["motor_success"] == 1
    assert play(env, env.make_expert(), steps=5) == {}  # nothing is played any more
    _, reward, _, _, info = env.step(np.zeros(5, np.float32))
    assert reward == 0
    assert not info["is_success"]


def test_sliding_reaching_for_a_blocked_tile_is_illegal():
    env = SlidingEnv(cameras=(), level="medium")
    env.reset(seed=0)
    state = env.state
    row, column = divmod(state.index(GAP), 3)
    blocked = next(tile for cell, tile in enumerate(state) if cell // 3 != row and cell % 3 != column)

    def reach(script):
        spot, low = env.tile_place(blocked).copy(), env.away_height - 0.009 + FINGERTIP
        for height, aside in ((0.07, 0.0), (low, 0.0), (low, 0.01), (0.07, 0.0)):
            yield Waypoint(env.on_board(spot + aside, height), HAND_YAW, grip=-1, is_exact=True, max_steps=10)

    metrics = follow(env, reach, steps=40)["metrics"]
    assert env.state == state
    assert metrics["illegal_moves"] == 1
    assert metrics["moves"] == 0


def test_sliding_a_whole_row_counts_a_move_for_every_tile():
    env = SlidingEnv(cameras=(), level="medium")
    for seed in range(20):
        env.reset(seed=seed)
        row, column = divmod(env.state.index(GAP), 3)
        if column == 0:
            break
    assert column < 2
    cells = [row * 3 + 2 - number for number in range(2 - column)]  # from the far end of the row to the gap
    tiles = [env.state[cell] for cell in cells]

    def push_row(script):
        spot = env.tile_place(tiles[0])
        for height in (0.07, env.away_height - 0.009 + FINGERTIP):
            yield Waypoint(env.on_board(spot, height), HAND_YAW, grip=-1, is_exact=True)
        beside = env.cell_place(cells[0]) - np.array([0, 0.06])
        yield Waypoint(env.on_board(beside, env.away_height - 0.009 + FINGERTIP), HAND_YAW, grip=-1, is_exact=True)

    metrics = follow(env, push_row, steps=40)["metrics"]
    assert metrics["moves"] == len(tiles)
    assert env.state.index(GAP) == cells[0]


def test_hanoi_a_larger_plate_on_a_smaller_one_loses_the_game():
    env = HanoiEnv(cameras=())
    for seed in range(20):
        env.reset(seed=seed)
        if env.state.places[0] != env.state.places[1]:
            break

    class Rulebreaker(HanoiExpert):
        def decide(self):
            return self.carry(1, env.state.places[0])

    before = env.state
    metrics = play(env, Rulebreaker(env), steps=80)
    assert metrics["illegal_moves"] == metrics["lost"] == 1
    assert metrics["moves"] == 0
    assert env.state == before


def test_hanoi_carrying_two_plates_at_once_loses_the_game():
    env = HanoiEnv(cameras=())
    for seed in range(20):
        env.reset(seed=seed)
        if env.state.places[0] == env.state.places[1]:
            break
    other = (env.state.places[0] + 1) % 3
    metrics = follow(env, lambda script: (script.carry(1, other) for _ in itertools.count()), steps=90)["metrics"]
    assert abs(env.piece_position(0)[1] - env.place_of(other)[1]) < 0.03, "the plate on top did not come along"
    assert metrics["illegal_moves"] == metrics["lost"] == 1
    assert metrics["moves"] == 0


def test_hanoi_a_plate_put_back_is_no_move_but_a_failed_attempt():
    env = HanoiEnv(cameras=())
    env.reset(seed=0)
    place = env.state.places[0]
    before = env.state

    def lift_and_put_back(script):
        height = env.piece_position(0)[2]
        while env.piece_position(0)[2] < height + 0.03:
            yield script.carry(0, (place + 1) % 3)
        while True:
            yield script.carry(0, place)

    metrics = follow(env, lift_and_put_back, steps=100)["metrics"]
    assert env.state == before
    assert metrics["moves"] == metrics["illegal_moves"] == 0
    assert metrics["motor_failures"] == 1


def test_sokoban_a_box_pushed_into_a_corner_loses_the_game():
    env = SokobanEnv(cameras=(), max_env_steps=600)
    env.reset(seed=0)

    class Careless(SokobanExpert):
        def decide(self):
            pushes = env.puzzle.legal_moves(env.state)
            box, step = next((push for push in pushes if push.step == (1, 0)), pushes[0])
            return self.push(env.box_at(box), step, env.puzzle.cell(box, step))

    metrics = play(env, Careless(env))
    assert metrics["lost"] == 1
    assert metrics["planning_success"] < 1
    assert metrics["solved"] == 0


def test_sokoban_dragging_a_box_is_illegal_and_loses():
    env = SokobanEnv(cameras=())
    env.reset(seed=1)
    box, push = 0, env.puzzle.legal_moves(env.state)[0]
    assert isinstance(push, Push)

    def drag(script):
        spot = env.piece_position(box)[:2]
        for height, grip in ((0.08, 1.0), (0.04, 1.0), (0.04, -1.0)):
            yield Waypoint(env.on_board(spot, height), HAND_YAW, grip=grip, is_exact=True, wait=4)
        goal = env.cell_place(env.puzzle.cell(push.box, push.step))
        yield Waypoint(env.on_board(goal, 0.04), HAND_YAW, grip=-1.0, is_exact=True, wait=4)

    metrics = follow(env, drag, steps=60)["metrics"]
    assert metrics["illegal_moves"] == metrics["lost"] == 1
    assert metrics["moves"] == 0


def test_nim_a_turn_in_two_rows_loses():
    env = NimEnv(cameras=(), level="medium")
    for seed in range(20):
        env.reset(seed=seed)
        if min(env.state) > 0:
            break

    class Rulebreaker(NimExpert):
        def plan(self):
            yield from press(self, env.standing(0)[0])
            yield from press(self, env.standing(1)[0])

    metrics = play(env, Rulebreaker(env), steps=80)
    assert metrics["illegal_moves"] == metrics["lost"] == 1
    assert metrics["moves"] == 0


def test_nim_ringing_before_a_peg_was_pushed_is_illegal_and_passes_nothing():
    env = NimEnv(cameras=(), level="medium")
    env.reset(seed=0)
    before = env.state
    metrics = follow(env, lambda script: press(script, env.bell), steps=30)["metrics"]
    assert metrics["illegal_moves"] == 1
    assert metrics["lost"] == metrics["moves"] == 0
    assert env.state == before
    assert not env.is_opponents_turn


def test_nim_the_opponents_pegs_are_pulled_down_in_the_physics_and_its_turn_is_restored_to_the_bit():
    env = NimEnv(cameras=(), level="medium", opponent_strength=1.0)
    env.reset(seed=0)
    expert = env.make_expert()
    while not env.is_opponents_turn:
        env.step(expert(None))
    expected = env.puzzle.apply(env.state, env.reply)
    state = env.get_sim_state()
    waiting = np.array([0, 0, 0, 0, -1], np.float32)
    ends = []
    for world in (env, NimEnv(cameras=(), level="medium", opponent_strength=1.0)):
        world.set_sim_state(state)
        while world.is_opponents_turn:
            world.step(waiting)
        assert world.state == expected
        heights = [world.piece_position(peg)[2] for peg in range(world.bell)]
        assert sum(np.array(heights) > np.max(heights) - 0.003) == sum(expected)
        ends.append(world.get_sim_state())
    assert np.array_equal(*ends)


def test_nim_pushing_while_the_opponent_plays_loses():
    env = NimEnv(cameras=(), level="medium")
    env.reset(seed=0)
    rows = [row for row in range(3) if env.standing(row)]
    env.reply = Take(rows[0], 1)  # it is the opponent's turn, and its magnet has not yet pulled
    metrics = follow(env, lambda script: press(script, env.standing(rows[0])[0]), steps=30)["metrics"]
    assert metrics["illegal_moves"] == metrics["lost"] == 1
    assert not env.data.ctrl[env._magnets].any()


def test_nim_a_perfect_opponent_beats_a_greedy_hand():
    env = NimEnv(cameras=(), level="medium", opponent_strength=1.0, max_env_steps=600)

    class Greedy(NimExpert):
        def choose(self):
            standing = env.standing(env.turn.row if env.turn.pegs else self._longest_row())
            return standing[0] if standing and env.turn.pegs < env.puzzle.max_take else env.bell

    lost = 0
    for seed in range(4):
        env.reset(seed=seed)
        metrics = play(env, Greedy(env))
        assert metrics["solved"] + metrics["lost"] == 1
        lost += metrics["lost"]
    assert lost >= 2


def test_nim_a_strength_that_is_no_probability_is_refused():
    with pytest.raises(ValueError, match=r"opponent_strength must lie in \[0, 1\], got 2"):
        NimEnv(opponent_strength=2)
