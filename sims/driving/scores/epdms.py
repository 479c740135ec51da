"""EPDMS: the score of NAVSIM v2 (release 2.2, with the human filter as corrected in September 2025).

`epdms_one_stage` scores a plan in a recorded scene. `epdms_two_stage` combines such scores with those of scenes that
start near where the plan would have ended; it needs scenes that were made for it, which navtest does not have.

Where texts and code disagree, the code is followed:
- Driving direction is documented as driving against traffic; the code counts every motion off the route.
- Progress is documented as the ratio to the reference's; the code divides by the largest raw progress times
  multipliers of both drives and clips, and gives 1 to all where none exceeds 5 m, even to a drive that crashed.
- The human filter is documented for driving direction only; the code applies it to every term.
- Extended comfort is left out of the mean (14 instead of 16) where no plan precedes.
- Its log replay, which no text mentions, leaves out of the whole scene every track that touches the ego at the start.
  The scores take the scene as it is given; `log_replayed` does that step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from sims.driving.scores import checks
from sims.driving.scores import navsim_terms as terms
from sims.driving.scores.areas import footprint
from sims.driving.scores.comfort import (
    EXTENDED_LIMITS,
    ExtendedComfort,
    comfort_events,
    comfort_series,
    history_padded,
    within_bounds,
)
from sims.driving.scores.navsim_terms import Drive, Scores
from sims.driving.scores.result import Event, ScoreResult, sorted_events
from sims.driving.scores.scene import STATE_SIZE, EgoTrajectories, ScoredScene

WEIGHTS = {"EP": 5.0, "TTC": 5.0, "LK": 2.0, "HC": 2.0}
EC_WEIGHT = 2.0
SIGMA_SQUARED = 0.1  # of the kernel that weighs second-stage scenes, m^2
ONE_STAGE, PROPOSAL = "EPDMS one-stage (NAVSIM v2.2)", "EPDMS of a proposal (NAVSIM v2.2)"


def log_replayed(scene: ScoredScene, start: Float64[np.ndarray, " state"]) -> tuple[ScoredScene, tuple[str, ...]]:
    """The scene as NAVSIM v2's log replay hands it to the scorer, and the ids of the tracks that it leaves out.

    Args:
        start: the ego's first state; which tracks touch its box at step 0 does not depend on the plan.

    Raises:
        ValueError: a state of another size, NaN.

    Source: NAVSIM, `LogReplayTrafficAgents.simulate_environment`.
    """
    start = checks.frozen(start, np.float64, (STATE_SIZE,), "the ego's first state")
    box = footprint(start[None, None], scene.vehicle).polygons[0, 0]
    touching = [polygons[0] is not None and polygons[0].intersects(box) for polygons in scene.track_polygons]
    kept = tuple(track for track, is_hit in zip(scene.tracks, touching, strict=True) if not is_hit)
    dropped = tuple(track.id for track, is_hit in zip(scene.tracks, touching, strict=True) if is_hit)
    return replace(scene, tracks=kept), dropped


def epdms_one_stage(
    scene: ScoredScene,
    plan: EgoTrajectories,
    reference: EgoTrajectories,
    human: ScoreResult | None = None,
    comfort: ExtendedComfort | None = None,
) -> ScoreResult:
    """Score one simulated plan as NAVSIM v2 does in a recorded scene.

    Args:
        scene: with `history` for history comfort (HC is 1 without it); NAVSIM scores `log_replayed` scenes.
        plan, reference: one drive each of 41 states at 10 Hz, simulated; the reference is PDM-Closed.
        human: `human_score` of the recorded drive; terms in which the human scores exactly 0 are forgiven. Leave it out
            in second-stage (synthetic) scenes, where NAVSIM does not filter.
        comfort: `extended_comfort` against the plan made up to 0.55 s before; without it EC is left out of the mean.

    Raises:
        ValueError: trajectories of another length, rate or number; a scene too short or of another rate.
    """
    if len(plan) != 1 or len(reference) != 1:
        raise ValueError(f"epdms_one_stage takes one plan and one reference, got {len(plan)} and {len(reference)}.")
    result = epdms_proposals(scene, reference.joined(plan))[1]
    if human is not None:
        result = forgive(result, human)
    return _with_comfort(result, comfort)


def epdms_proposals(scene: ScoredScene, ego: EgoTrajectories) -> tuple[ScoreResult, ...]:
    """Score drives together, without human filter and extended comfort: what PDM-Closed ranks its proposals by."""
    drive = Drive(scene, ego)
    nc, nc_events = terms.no_collision(drive)
    dac, dac_events = terms.drivable_area(drive)
    tlc, tlc_events = terms.traffic_lights(drive)
    ddc, ddc_events = terms.driving_direction(drive, terms.off_route_metres(drive, True))
    ttc, ttc_events = terms.time_to_collision(drive, terms.TTC_STEPS_V2)
    lk, lk_events = terms.lane_keeping(drive)
    hc, hc_events = _history_comfort(drive)
    raw = terms.progress_metres(drive)
    earned = raw * (nc * dac * tlc * ddc)
    ep = _progress_score(raw, earned)
    groups = (nc_events, dac_events, tlc_events, ddc_events, ttc_events, lk_events, hc_events)
    return tuple(
        ScoreResult(
            name=PROPOSAL,
            multipliers={"NC": nc[i], "DAC": dac[i], "DDC": ddc[i], "TLC": tlc[i]},
            weighted={"EP": ep[i], "TTC": ttc[i], "LK": lk[i], "HC": hc[i]},
            weights=WEIGHTS,
            events=sorted_events(event for group in groups for event in group[i]),
            details={"progress_m": raw[i], "best_progress_m": earned.max()},
        )
        for i in range(len(drive))
    )


def human_score(scene: ScoredScene, human: EgoTrajectories) -> ScoreResult:
    """The recorded drive (simulated like a plan) scored alone and without history, as the human filter wants it.

    Its history comfort is therefore always 1, and an uncomfortable human forgives nobody's discomfort.
    """
    if len(human) != 1:
        raise ValueError(f"human_score takes one drive, got {len(human)}.")
    return epdms_proposals(replace(scene, history=None), human)[0]


def forgive(result: ScoreResult, human: ScoreResult) -> ScoreResult:
    """Set to 1 every term in which the human scores exactly 0 (0.5 forgives nothing); the score follows."""
    forgiven = [term for term, value in human.terms.items() if value == 0.0 and term in result.terms]
    kept = tuple(event for event in result.events if event.term not in forgiven)
    changed = result.replaced(dict.fromkeys(forgiven, 1.0))
    details = {**result.details, **{f"forgiven_{term}": result.terms[term] for term in forgiven}}
    return ScoreResult(changed.name, changed.multipliers, changed.weighted, changed.weights, kept, details)


@dataclass(frozen=True)
class StageGroup:
    """A first-stage plan and the second-stage plans that start near where it would have ended.

    Attributes:
        first, second: one-stage scores, extended comfort included.
        endpoint: x, y of the last PLANNED pose of the first plan (not of the simulated one), m.
        starts: x, y of the rear axle at the start of each second-stage scene, m.
    """

    first: ScoreResult
    endpoint: tuple[float, float]
    second: tuple[ScoreResult, ...]
    starts: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.second or len(self.second) != len(self.starts):
            raise ValueError(
                f"a stage group needs at least one second-stage score and one start each, "
                f"got {len(self.second)} scores and {len(self.starts)} starts."
            )
        checks.frozen([self.endpoint, *self.starts], np.float64, (None, 2), "StageGroup endpoint and starts")

    @property
    def weights(self) -> np.ndarray:
        """Gaussian of the distance from the endpoint, summing to one; equal where all are too far to tell apart."""
        squared = ((np.asarray(self.starts) - np.asarray(self.endpoint)) ** 2).sum(axis=-1)
        weights = np.exp(-squared / (2.0 * SIGMA_SQUARED))
        if np.isclose(weights.sum(), 0.0):
            return np.full(len(weights), 1.0 / len(weights))
        return weights / weights.sum()

    @property
    def second_score(self) -> float:
        return float(sum(weight * result.score for weight, result in zip(self.weights, self.second, strict=True)))

    @property
    def score(self) -> float:
        return self.first.score * self.second_score


@dataclass(frozen=True)
class TwoStageResult:
    """EPDMS two-stage over scenes; `groups` holds for each scene the group of "now" and that of "previous"."""

    groups: tuple[tuple[StageGroup, StageGroup], ...]
    name: str = "EPDMS two-stage (NAVSIM v2.2)"

    @property
    def score(self) -> float:
        return float(np.mean([(now.score + previous.score) / 2.0 for now, previous in self.groups]))

    @property
    def stage_scores(self) -> tuple[float, float]:
        """Mean score of the first and of the second stage."""
        flat = [group for pair in self.groups for group in pair]
        return float(np.mean([g.first.score for g in flat])), float(np.mean([g.second_score for g in flat]))

    def to_dict(self) -> dict[str, Any]:
        first, second = self.stage_scores
        pairs = [[_group_dict(group) for group in pair] for pair in self.groups]
        return {"name": self.name, "score": self.score, "first_stage": first, "second_stage": second, "scenes": pairs}


def epdms_two_stage(scenes: Sequence[tuple[StageGroup, StageGroup]]) -> TwoStageResult:
    """Combine first- and second-stage scores: in each group first times weighted mean of second, averaged.

    Args:
        scenes: for each recorded scene the group that starts now and the group that starts 0.5 s before. NAVSIM filters
            both first-stage scores by the human and no second-stage score, and gives the two plans of a pair (now and
            0.5 s before) one and the same extended comfort.

    Source: NAVSIM, `SceneAggregator.aggregate_scores`, `run_pdm_score.calculate_individual_mapping_scores`.
    """
    if not scenes:
        raise ValueError("epdms_two_stage needs at least one scene.")
    return TwoStageResult(tuple((now, previous) for now, previous in scenes))


def _group_dict(group: StageGroup) -> dict[str, Any]:
    return {
        "score": group.score,
        "first": group.first.to_dict(),
        "second": [result.to_dict() for result in group.second],
        "weights": [float(weight) for weight in group.weights],
    }


def _progress_score(raw: Scores, earned: Scores) -> Scores:
    best = earned.max()
    if best > terms.MIN_PROGRESS_M:
        return np.clip(raw / best, 0.0, 1.0)
    return np.ones(len(raw))


def _history_comfort(drive: Drive) -> tuple[Scores, terms.Events]:
    history = drive.scene.history
    if history is None:
        return np.ones(len(drive)), [[] for _ in range(len(drive))]
    states = history_padded(drive.ego.states, history)
    times_s = np.arange(states.shape[1]) * terms.CONTROL_DT_S
    series = comfort_series(states, times_s, drive.scene.vehicle)
    events = [comfort_events("HC", series, i, -len(history), terms.CONTROL_DT_S) for i in range(len(drive))]
    return within_bounds(series).astype(np.float64), events


def _with_comfort(result: ScoreResult, comfort: ExtendedComfort | None) -> ScoreResult:
    weighted, weights, events = dict(result.weighted), dict(result.weights), list(result.events)
    details = dict(result.details)
    if comfort is not None:
        weighted["EC"], weights["EC"] = float(comfort.comfortable), EC_WEIGHT
        details |= {f"EC_{name}_rms": value for name, value in comfort.rms.items()}
        if not comfort.comfortable:
            name, step = comfort.worst
            detail = f"{name} differs from the plan before by {comfort.rms[name]:.4g} rms, > {EXTENDED_LIMITS[name]}"
            events.append(Event("EC", step, step * terms.CONTROL_DT_S, None, detail))
    return ScoreResult(ONE_STAGE, result.multipliers, weighted, weights, sorted_events(events), details)
