"""The smoothed series behind comfort: version 1 fits the whole drive, version 2 and nuPlan some samples around each."""

import numpy as np

from sims.driving.scores.comfort import comfort_series, comfort_series_v1
from sims.driving.scores.epdms import epdms_proposals
from sims.driving.scores.pdms import pdms_proposals
from sims.driving.scores.scene import AX, AY, STEER, VehicleParameters
from tests.sims.driving.scores.scenes import STEPS, cruise, ego, random_drive, scene

TIMES = np.arange(STEPS) * 0.1


def parabola(values: np.ndarray) -> np.ndarray:
    return np.polyfit(TIMES, values, 2)


def test_version_one_bounds_one_parabola_through_all_accelerations_and_its_slope() -> None:
    """Savitzky and Golay's filter as long as the drive is a least-squares fit, here done by numpy."""
    for seed in range(10):
        states = random_drive(np.random.default_rng(seed))
        series = {name: values[0] for name, values in comfort_series_v1(states[None], TIMES).items()}
        for name, column in (("longitudinal_acceleration", AX), ("lateral_acceleration", AY)):
            assert np.abs(series[name] - np.polyval(parabola(states[:, column]), TIMES)).max() < 1e-7
        smooth = comfort_series(without_turning(states)[None], TIMES, VehicleParameters())["longitudinal_acceleration"]
        slope = np.polyval(np.polyder(parabola(smooth[0])), TIMES)
        assert np.abs(series["longitudinal_jerk"] - slope).max() < 1e-7


def without_turning(states: np.ndarray) -> np.ndarray:
    """The same accelerations at the rear axle, which are then those of the centre too."""
    straight = states.copy()
    straight[:, [AY, STEER, 9, 10]] = 0.0
    return straight


def test_a_short_push_is_uncomfortable_in_version_two_and_unnoticed_in_version_one() -> None:
    drive, past = cruise(10.0), cruise(10.0)[:14]
    drive[18:24, AX] = 3.0  # above 2.40 m/s^2 for more than half a second
    assert pdms_proposals(scene(), ego(drive))[0].terms["C"] == 1.0
    result = epdms_proposals(scene(history=past), ego(drive))[0]
    assert result.terms["HC"] == 0.0
    assert any(event.detail.startswith("longitudinal_acceleration") for event in result.events)


def test_the_parabola_overshoots_where_the_drive_itself_stays_within_the_bound() -> None:
    """From -1 to 2.3 m/s^2 within 1.2 s: below 2.40 at every step, and gentle enough for the bound on jerk."""
    drive, past = cruise(10.0), cruise(10.0)[:14].copy()
    drive[:, AX] = -1.0 + 3.3 * np.clip((TIMES - 0.2) / 1.2, 0.0, 1.0)
    past[:, AX] = -1.0
    result = pdms_proposals(scene(), ego(drive))[0]
    assert result.terms["C"] == 0.0
    assert [event.detail.split()[0] for event in result.events] == ["longitudinal_acceleration"]
    assert epdms_proposals(scene(history=past), ego(drive))[0].terms["HC"] == 1.0
