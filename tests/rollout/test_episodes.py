"""The bookkeeping of episodes, in an environment whose every picture and reward is known."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from tests.rollout.conforming import Conforming
from unified.errors import UserError
from unified.rollout.episodes import Decision, Episode, FilmRequest, Finished, PolicyNeeds
from unified.rollout.rollout import run_episodes


class CountingEnv(Conforming):
    """Pictures and proprio show the env step they were made at; succeeds at step `seed`, pays its action."""

    task = "count to the seed"

    def __init__(self, cameras=("front",), image_size=4, end="success"):
        super().__init__(cameras, image_size)
        self.end = end
        self.drawn: list[int] = []

    def reset(self, *, seed=None, options=None) -> Any:
        self.goal, self.count, self.picture = seed or 0, 0, None
        return self.observe(), {}

    def observe(self) -> dict[str, Any]:
        if self.render_pixels and self.cameras:
            self.picture = np.full((self.image_size, self.image_size, 3), self.count, np.uint8)
            self.drawn.append(self.count)
        pixels = dict.fromkeys(self.cameras, self.picture)
        return {"pixels": pixels, "agent_pos": np.array([self.count], np.float32)}

    def render_frame(self, camera, size=None) -> Any:
        size = size or self.image_size
        return np.full((size, size, 3), self.count, np.uint8)

    def step(self, action) -> Any:
        self.count += 1
        DRAWN[:] = self.drawn
        success, over = self.end == "success" and self.count == self.goal, self.count == self.goal
        info = {} if self.end == "silent" else {"is_success": success, "metrics": {"distance": self.goal - self.count}}
        return (
            self.observe(),
            float(action[0]),
            self.end == "terminated" and over,
            self.end == "truncated" and over,
            info,
        )


DRAWN: list[int] = []
gymnasium.register("Counting-v0", f"{__name__}:CountingEnv")


class Recorder:
    """A policy that keeps what it was asked and answers with the number of the decision."""

    def __init__(self, n_action_steps=4, history=0, stride=1):
        self.needs = PolicyNeeds(None, ("front",), 4, n_action_steps, history, stride)
        self.asked: list[Decision] = []
        self.batches: list[list[int]] = []

    def act(self, decisions, keys):
        self.asked += decisions
        self.batches.append([decision.index for decision in decisions])
        return [np.full((self.needs.n_action_steps, 2), 0.1, np.float32) for _ in decisions]


def run(policy, *seeds, end="success", film=None, **kwargs):
    episodes = [Episode("Counting-v0", seed, {"end": end}, film) for seed in seeds]
    return run_episodes(episodes, policy, num_workers=0, **kwargs)


def test_an_episode_stops_at_its_first_success_in_the_middle_of_a_chunk():
    (result,) = run(Recorder(), 6)
    assert (result.success, result.length, result.failure) == (True, 6, None)
    assert result.env_return == pytest.approx(0.6)
    assert result.metrics.pop("decision_ms") > 0
    assert result.metrics == {"decisions": 2, "distance": 0}


@pytest.mark.parametrize(
    ("end", "failure", "length"),
    [("never", "time_limit", 9), ("truncated", "time_limit", 5), ("terminated", "terminated", 5)],
)
def test_a_failure_says_how_the_episode_ended(end, failure, length):
    (result,) = run(Recorder(), 5, end=end, max_env_steps=9)
    assert (result.success, result.failure, result.length) == (False, failure, length)


@pytest.mark.parametrize(
    ("history", "stride", "frames"),
    [
        (0, 4, [[0], [4], [8]]),
        (1, 2, [[0], [2, 4], [6, 8]]),
        (1, 5, [[0], [4], [3, 8]]),
        (3, 4, [[0], [0, 4], [0, 4, 8]]),
    ],
)
def test_a_policy_sees_the_moments_that_there_have_been_and_no_others_are_drawn(history, stride, frames):
    policy = Recorder(history=history, stride=stride)
    run(policy, 12)
    seen = [decision.observation["pixels"]["front"][:, 0, 0, 0].tolist() for decision in policy.asked]
    assert seen == frames
    assert [decision.observation["agent_pos"][:, 0].tolist() for decision in policy.asked] == frames
    wanted = {step for step in range(13) for back in range(history + 1) if (step + back * stride) % 4 == 0}
    assert set(DRAWN) <= wanted | {0}


@pytest.mark.parametrize(
    ("history", "stride", "steps"),
    [
        (1, 2, [[], [[2, 3]], [[6, 7]]]),
        (1, 5, [[], [], [[3, 4, 5, 6, 7]]]),
        (2, 3, [[], [[1, 2, 3]], [[2, 3, 4], [5, 6, 7]]]),
    ],
)
def test_a_policy_is_told_the_actions_between_the_moments_as_they_were_executed(history, stride, steps):
    class Counter(Recorder):
        def act(self, decisions, keys) -> Any:
            super().act(decisions, keys)
            steps = [4 * decision.number + np.arange(4) for decision in decisions]
            return [np.stack([numbers / 100, np.full(4, 7.0)], axis=1) for numbers in steps]  # 7 is clipped to 1

    policy = Counter(history=history, stride=stride)
    run(policy, 12)
    for decision, expected in zip(policy.asked, steps, strict=True):
        assert decision.executed.shape == (len(expected), stride, 2)
        assert (100 * decision.executed[..., 0]).round().tolist() == expected
        assert (decision.executed[..., 1] == 1.0).all()


def test_an_episode_is_not_told_of_the_one_before_it():
    policy = Recorder(history=2, stride=2)
    run(policy, 8, 8, envs_per_worker=1)
    assert [decision.observation["agent_pos"][:, 0].tolist() for decision in policy.asked] == 2 * [[0], [0, 2, 4]]


def test_environments_are_asked_together_and_a_free_one_takes_the_next_episode():
    policy = Recorder()
    results = run(policy, 4, 12, 8, 4, envs_per_worker=2)
    assert policy.batches == [[0, 1], [1, 2], [1, 2], [3]]
    assert [result.length for result in results] == [4, 12, 8, 4]


def test_a_film_shows_every_stride_and_the_end():
    made: list[Finished] = []
    run(Recorder(), 6, film=FilmRequest("front", size=8, fps=2.5), on_result=lambda _, finished: made.append(finished))
    film = made[0].film
    assert film is not None
    assert film.shape == (3, 8, 8, 3)
    assert film[:, 0, 0, 0].tolist() == [0, 4, 6]
    assert made[0].fps == pytest.approx(2.5)


def test_environments_may_be_made_by_the_caller():
    made: list[CountingEnv] = []

    def make(env_id, kwargs):
        made.append(CountingEnv(cameras=kwargs["cameras"], end=kwargs["end"]))
        return made[-1]

    (result,) = run(Recorder(), 6, make_env=make)
    assert (result.success, made[0].count, len(made)) == (True, 6, 1)


def test_an_environment_that_breaks_is_named_in_this_process_too():
    class Fragile(CountingEnv):
        def step(self, action):
            raise RuntimeError("a motor has burnt out")

    with pytest.raises(UserError, match=r"Counting-v0 seed 6 failed: RuntimeError: a motor has burnt out"):
        run(Recorder(), 6, make_env=lambda env_id, kwargs: Fragile(kwargs["cameras"]))


def test_built_in_policies_draw_nothing():
    (result,) = run("hold", 5)
    assert result.length == 5
    assert DRAWN == []


def test_random_actions_depend_on_the_episode_alone():
    together, alone = run("random", 5, 7), run("random", 7)
    assert together[1].env_return == alone[0].env_return
    assert together[0].env_return != alone[0].env_return


def test_actions_outside_the_bounds_are_clipped_before_they_are_executed():
    class Strong(Recorder):
        def act(self, decisions, keys):
            return [np.full((4, 2), 7.0, np.float32) for _ in decisions]

    (result,) = run(Strong(), 3)
    assert result.env_return == pytest.approx(3.0)


def test_an_environment_that_does_not_report_success_is_refused():
    with pytest.raises(UserError, match="does not report info"):
        run(Recorder(), 5, end="silent")


def test_an_unknown_built_in_policy_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'expert'"):
        run("expart", 5)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.full((4, 2), np.nan, np.float32), r"not finite in episode Counting-v0 seed 5, decision 0"),
        (np.zeros((4, 3), np.float32), r"shape \(4, 3\) in episode Counting-v0 seed 5.*takes \(4, 2\)"),
        (np.zeros((2, 2), np.float32), r"shape \(2, 2\) in episode Counting-v0 seed 5"),
    ],
)
def test_bad_actions_are_refused_naming_the_episode(chunk, message):
    class Bad(Recorder):
        def act(self, decisions, keys):
            return [chunk for _ in decisions]

    with pytest.raises(UserError, match=message):
        run(Bad(), 5)
