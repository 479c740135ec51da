"""PDMS: the score of NAVSIM v1.

Version "v1.1" is the score of the paper and of the navtest leaderboard. Version "v1.0" is the first release, in which
driving direction (DDC) multiplied, measured by a sum that ran over the proposals instead of over time (navsim issue
14): in a call with the reference and one plan it adds the two drives' off-route steps at equal times. It is here only
to reproduce old numbers.

Where documents and code disagree, the code of branch v1.1 is followed: the documents say that progress is divided by
the reference's; the code multiplies each raw progress by its drive's own multipliers, divides by the largest of these
products (the agent's included), and gives 1 to every drive with a non-zero multiplier where none exceeds 5 m. The
windows that its comfort filters are given as defaults (8 and 15 samples) are overridden by the length of the drive.
"""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64

from sims.driving.scores import navsim_terms as terms
from sims.driving.scores.comfort import comfort_events, comfort_series_v1, within_bounds
from sims.driving.scores.navsim_terms import Drive, Scores
from sims.driving.scores.result import ScoreResult, sorted_events
from sims.driving.scores.scene import EgoTrajectories, ScoredScene

Version = Literal["v1.1", "v1.0"]
WEIGHTS = {"EP": 5.0, "TTC": 5.0, "C": 2.0}
STEPS_NEEDED = terms.TTC_STEPS_V1 + 9  # the look-ahead of the last step


def pdms(
    scene: ScoredScene, plan: EgoTrajectories, reference: EgoTrajectories, version: Version = "v1.1"
) -> ScoreResult:
    """Score one simulated plan as NAVSIM v1 does, with progress relative to the reference drive (PDM-Closed).

    Args:
        scene: with tracks for at least 50 steps.
        plan, reference: one drive each of 41 states at 10 Hz, simulated (see `tracking.simulate`).
        version: "v1.1", or "v1.0" with its multiplying DDC.

    Raises:
        ValueError: trajectories of another length, rate or number; a scene too short; an unknown version.
    """
    if len(plan) != 1 or len(reference) != 1:
        raise ValueError(f"pdms takes one plan and one reference, got {len(plan)} and {len(reference)}.")
    return pdms_proposals(scene, reference.joined(plan), version)[1]


def pdms_proposals(scene: ScoredScene, ego: EgoTrajectories, version: Version = "v1.1") -> tuple[ScoreResult, ...]:
    """Score drives together; the progress of each is relative to the best of them."""
    if version not in get_args(Version):
        raise ValueError(f"version must be one of {', '.join(get_args(Version))}; got {version!r}.")
    drive = Drive(scene, ego, STEPS_NEEDED)
    nc, nc_events = terms.no_collision(drive)
    dac, dac_events = terms.drivable_area(drive)
    metres = _off_route_metres_v1_0(drive) if version == "v1.0" else terms.off_route_metres(drive, False)
    ddc, ddc_events = terms.driving_direction(drive, metres)
    ttc, ttc_events = terms.time_to_collision(drive, terms.TTC_STEPS_V1)
    series = comfort_series_v1(ego.states, np.arange(terms.NUM_STEPS) * terms.CONTROL_DT_S)
    comfortable = within_bounds(series).astype(np.float64)
    product = nc * dac * ddc if version == "v1.0" else nc * dac
    raw = terms.progress_metres(drive)
    ep = _progress_score(raw, product)
    results = []
    for i in range(len(drive)):
        multipliers = {"NC": nc[i], "DAC": dac[i]} | ({"DDC": ddc[i]} if version == "v1.0" else {})
        comfort = comfort_events("C", series, i, 0, terms.CONTROL_DT_S)
        direction = ddc_events[i] if version == "v1.0" else []
        results.append(
            ScoreResult(
                name=f"PDMS (NAVSIM {version})",
                multipliers=multipliers,
                weighted={"EP": ep[i], "TTC": ttc[i], "C": comfortable[i]},
                weights=WEIGHTS,
                events=sorted_events([*nc_events[i], *dac_events[i], *direction, *ttc_events[i], *comfort]),
                details={"progress_m": raw[i], "best_progress_m": (raw * product).max(), "DDC": ddc[i]},
            )
        )
    return tuple(results)


def _progress_score(raw: Scores, product: Scores) -> Scores:
    earned = raw * product
    best = earned.max()
    if best > terms.MIN_PROGRESS_M:
        return earned / best
    return (product != 0.0).astype(np.float64)


def _off_route_metres_v1_0(drive: Drive) -> Float64[np.ndarray, " proposals time"]:
    """The first release's sum over the up to ten drives before, not the ten steps before."""
    centre = drive.place.centre
    moved = np.zeros(centre.shape[:2])
    moved[:, 1:] = ((centre[:, 1:] - centre[:, :-1]) ** 2.0).sum(axis=-1) ** 0.5
    moved[~drive.areas.off_route] = 0.0
    rows = range(len(moved))
    return np.stack([sum(moved[max(0, row - terms.DIRECTION_WINDOW) : row + 1]) for row in rows])
