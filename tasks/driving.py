"""Driving: what is seen, the route and the instruction given, pedals or a whole plan wanted."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tasks.base import GenerativeTask
from tasks.metrics import METRICS, Metric, action_metrics
from unified.model.batch import Batch
from unified.model.model import UnifiedModel
from unified.model.queries import Query
from unified.model.spec import ACTION, PROPRIO

PLANNING_BODY = "car_trajectory"
POSES, POSE_DT_S = 40, 0.1
AFTER_S = (1, 2, 4)
SPEED = 0  # column of a car's proprio, m/s


def trajectory_errors(
    plan: Float[Tensor, " row pose 3"], truth: Float[Tensor, " row pose 3"], keep: Bool[Tensor, " row"]
) -> dict[str, Float[Tensor, ""]]:
    """How far planned poses (x, y in m, heading in rad, 0.1 s apart) lie from the true ones.

    Returns:
        ade_m_<T>s: mean distance over all poses up to T s; fde_m_<T>s: distance of the pose at T s; heading_rad_<T>s:
        size of the heading's error there. Means over the rows to keep; each name is of one fixed T, because papers
        mean either of the first two by "L2 at T".
    """
    distance = torch.hypot(*(plan - truth)[keep, :, :2].unbind(-1))
    turn = (plan - truth)[keep, :, 2]
    turn = torch.atan2(turn.sin(), turn.cos()).abs()
    errors: dict[str, Tensor] = {}
    for seconds in AFTER_S:
        count = round(seconds / POSE_DT_S)
        errors[f"ade_m_{seconds}s"] = distance[:, :count].mean()
        errors[f"fde_m_{seconds}s"] = distance[:, count - 1].mean()
        errors[f"heading_rad_{seconds}s"] = turn[:, count - 1].mean()
    return errors


def constant_velocity(speed_mps: Float[Tensor, " row"]) -> Float[Tensor, " row pose 3"]:
    """Plans that go straight on at the present speed."""
    ahead = speed_mps[:, None] * POSE_DT_S * torch.arange(1, POSES + 1, device=speed_mps.device)
    return torch.stack([ahead, torch.zeros_like(ahead), torch.zeros_like(ahead)], dim=-1)


def plan_metrics(model: UnifiedModel, batch: Batch, query: Query, answer: Tensor, now: int) -> dict[str, Tensor]:
    """`action_metrics`; and where a body's actions are trajectories, displacement and heading errors of the first one.

    Beside them stand the errors of constant velocity. Rows of other bodies, of play and past an episode's end are left
    out of these.
    """
    values = action_metrics(model, batch, query, answer, now)
    bodies = [body.name for body in model.spec.embodiments]
    if PLANNING_BODY not in bodies:
        return values
    is_pad = model.decoder("plan").is_pad(batch)[:, now, 0, 0]
    keep = (batch.embodiment == bodies.index(PLANNING_BODY)) & ~is_pad
    if not keep.any():
        return values
    truth = batch.ahead[ACTION][:, now]
    plan, truth = (actions[:, 0, : 3 * POSES].reshape(-1, POSES, 3) for actions in (answer, truth))
    straight = constant_velocity(batch.at[PROPRIO][:, now, SPEED])
    for name, planned in ((query.name, plan), ("constant_velocity", straight)):
        values |= {f"{key}_{name}": value for key, value in trajectory_errors(planned, truth, keep).items()}
    return values


class Driving(GenerativeTask):
    """Learns to drive from demonstrations, by pedals or by trajectories, or both in one network.

    Its policy sees the moment before the present one too, since one picture shows no speeds of others.
    """

    default_queries: Mapping[str, Any] = {"policy": {"history": 1}}
    metrics: Mapping[str, Metric] = {**METRICS, "plan": plan_metrics}
