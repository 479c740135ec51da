"""Displacement errors by hand, and that only plans of demonstrations are measured."""

from dataclasses import replace

import pytest
import torch

from tasks.driving import PLANNING_BODY, POSES, constant_velocity, plan_metrics, trajectory_errors
from tests.worlds import random_batch, small_config, small_spec
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION, PROPRIO, Embodiment

PEDALS, PLANS = Embodiment("car", 2, 3, ("front",), 0.1), Embodiment(PLANNING_BODY, 3 * POSES, 3, ("front",), 0.1)


def straight(speed: float, rows: int = 1) -> torch.Tensor:
    return constant_velocity(torch.full((rows,), speed))


def test_a_plan_that_falls_behind_evenly_has_the_errors_of_its_lag() -> None:
    errors = trajectory_errors(straight(9.0), straight(10.0), torch.tensor([True]))
    assert errors["fde_m_1s"] == pytest.approx(1.0, abs=1e-5)
    assert errors["fde_m_4s"] == pytest.approx(4.0, abs=1e-5)
    assert errors["ade_m_1s"] == pytest.approx(0.55, abs=1e-5), "the mean of 0.1 to 1.0"
    assert errors["ade_m_4s"] == pytest.approx(2.05, abs=1e-5)
    assert errors["heading_rad_2s"] == 0


def test_headings_are_compared_around_the_circle_and_rows_can_be_left_out() -> None:
    plan, truth = straight(5.0, 2), straight(5.0, 2)
    plan[0, :, 2], truth[0, :, 2] = 3.1, -3.1
    plan[1] += 100
    errors = trajectory_errors(plan, truth, torch.tensor([True, False]))
    assert errors["heading_rad_4s"] == pytest.approx(2 * torch.pi - 6.2, abs=1e-5)
    assert errors["ade_m_4s"] == 0


def test_only_plans_of_demonstrations_are_measured_beside_constant_velocity() -> None:
    spec = small_spec(embodiments=(PEDALS, PLANS), action_horizon=1)
    model, batch, now = UnifiedModel(small_config(), spec), random_batch(spec, size=4), 1
    proprio = batch.at[PROPRIO].clone()
    proprio[:, now, 0] = 10.0
    expert = torch.full((4, 3, 1, 3 * POSES), 5.0)
    expert[1:, now, 0] = straight(8.0).flatten()
    is_pad = torch.zeros(4, 3, 1, dtype=torch.bool)
    is_pad[3, now] = True
    batch = replace(
        batch,
        at={PROPRIO: proprio},
        ahead={ACTION: expert},
        embodiment=torch.tensor([0, 1, 1, 1]),
        is_demonstration=torch.tensor([True, True, False, True]),
        ahead_is_pad=is_pad,
    )
    answer = expert[:, now].clone()
    answer[[0, 2, 3]] = 1e3  # pedals, play, and past the end: none of it counts
    policy = model.query("policy")
    values = plan_metrics(model, batch, policy, answer, now)
    assert values["ade_m_4s_policy"] == 0
    assert values["fde_m_2s_constant_velocity"] == pytest.approx(4.0, abs=1e-4)
    assert "action_mse_policy" in values
    nobody = replace(batch, is_demonstration=torch.zeros(4, dtype=torch.bool))
    assert set(plan_metrics(model, nobody, policy, answer, now)) == {"action_mse_policy"}
    of_pedals = replace(batch, embodiment=torch.zeros(4, dtype=torch.long))
    assert set(plan_metrics(model, of_pedals, policy, answer, now)) == {"action_mse_policy"}
