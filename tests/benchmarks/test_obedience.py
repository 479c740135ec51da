"""What counts as obeyed, and that forked states give films of their own."""

import numpy as np
import torch

from tests.benchmarks.obedience import World, is_obeyed
from tests.rollout.dreams.test_env import REACH, a_model


def test_the_right_assignment_must_be_the_nearer_one() -> None:
    one, other = torch.zeros(2, 1, 3, 4, 4), torch.ones(2, 1, 3, 4, 4)
    assert is_obeyed((one + 0.1, other - 0.3), (one, other))
    assert not is_obeyed((other, one), (one, other))
    assert not is_obeyed((one, one), (one, other)), "who ignores what is told has no films of their own"


def test_films_from_a_state_depend_on_what_is_done_and_on_nothing_else() -> None:
    world = World(a_model(), REACH, {})
    start, state = world.play(seed=3, steps=5)
    assert start.num_moments == 3
    assert start.between["action"].shape == (1, 2, 2, 4)
    left, right = (torch.full((3, 2, 4), push) for push in (-1.0, 1.0))
    films = [world.film(state, commands) for commands in (left, right, left)]
    assert torch.equal(films[0], films[2])
    assert not torch.equal(films[0], films[1])
    before = start.images[0, -1].numpy()
    still = world.film(state, torch.zeros(1, 2, 4))[0].numpy()
    assert np.abs(still - before).mean() < np.abs(films[1][-1].numpy() - before).mean()
