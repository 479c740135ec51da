"""Weather, lamps and lights change what is seen, and equal states look equal."""

from dataclasses import replace

import numpy as np
import pytest

from sims.driving.environment import DrivingEnv
from sims.driving.looks.palette import CLASSES, EGO_PAINT
from sims.driving.looks.weather import Weather
from sims.driving.sensors.rigs import RIGS
from tests.sims.common.test_renderer import needs_gl
from tests.sims.driving.staged import EGO, ring, staged

CLEAR = Weather()


@pytest.fixture(autouse=True)
def _gl():
    needs_gl()


def seen(weather, time_step=0, count=1, camera="front", **kwargs):
    """The picture of a staged scene in a weather, as floats."""
    actors, table = ring(count, radius=14.0)
    _, sensors = staged(RIGS["surround6"], actors, table, weather=weather, **kwargs)
    picture = sensors.picture(camera, (96, 96), time_step).astype(float)
    sensors.close()
    return picture


def test_a_clear_day_is_left_as_it_was_drawn():
    assert np.array_equal(seen(CLEAR, 0), seen(CLEAR, 5))


def test_fog_hides_what_is_far_and_leaves_what_is_near():
    clear, fog = seen(CLEAR), seen(Weather(fog_range_m=40.0))
    assert fog[30:45].std() < 0.5 * clear[30:45].std(), "houses at the horizon"
    assert np.abs(fog[90:] - clear[90:]).mean() < 0.3 * np.abs(fog[50:56] - clear[50:56]).mean(), "road below the car"


def test_night_is_dark_but_lamps_and_the_road_ahead_are_seen():
    day, night = seen(CLEAR), seen(Weather(darkness=1.0))
    assert night.mean() < 0.35 * day.mean()
    ahead, aside = night[60:80, 40:56], seen(Weather(darkness=1.0), camera="back_left")[60:80]
    assert ahead.mean() > 2 * aside.mean(), "headlights shine ahead"
    lamps = (night[..., 0] > 120) & (night[..., 1] < 60)
    assert lamps.any()


def test_rain_falls_anew_in_every_step_and_equally_in_equal_steps():
    wet = Weather(rain=1.0)
    assert np.array_equal(seen(wet, 3), seen(wet, 3))
    assert (np.abs(seen(wet, 3) - seen(wet, 4)).max(axis=2) > 10).mean() > 0.02
    light = np.abs(seen(Weather(rain=0.2), 3) - seen(Weather(rain=0.2), 4)).mean()
    assert light < 0.5 * np.abs(seen(wet, 3) - seen(wet, 4)).mean()


def test_a_low_sun_blinds_the_camera_that_looks_into_it_unless_something_stands_before_it():
    low = Weather(sun_elevation=0.12, sun_azimuth=EGO[2])
    away = replace(low, sun_azimuth=EGO[2] + np.pi)
    assert (seen(low, count=0) > 250).all(axis=2).mean() > 0.01
    assert (seen(away, count=0) > 250).all(axis=2).mean() == 0
    hidden = staged(RIGS["front1"], *ring(1, radius=7.5), weather=low, as_boxes=True)[1]
    assert hidden._sees_sun(hidden.view("front", 64))
    steep = staged(RIGS["front1"], *ring(1, radius=7.5), weather=replace(low, sun_elevation=-0.1), as_boxes=True)[1]
    assert not steep._sees_sun(steep.view("front", 64)), "the car ahead is higher than a sun on the horizon"


def test_braking_lights_up_the_car_ahead():
    actors, table = ring(1, radius=12.0)
    pictures = []
    for braking in (False, True):
        behind = replace(table, heading=np.array([EGO[2]]), braking=np.array([braking]))
        _, sensors = staged(RIGS["front1"], actors, behind)
        pictures.append(sensors.picture("front", 96, 0).astype(int))
    change = pictures[1] - pictures[0]
    assert change[..., 0].max() > 100
    assert change[..., 0].sum() > 3 * np.abs(change[..., 1]).sum()


def test_traffic_lights_show_the_colour_of_their_phase():
    env = DrivingEnv("red-light", cameras=())
    found = set()
    for seed in range(4):
        env.reset(seed=seed)
        for _ in range(25):
            env.step(np.zeros(2, np.float32))
        colour = env.world.lights[str(env.world.scenario.route.signal)]
        picture, size = env.picture("front", (256, 256)).astype(float), (256, 256)
        red, green, _ = picture[env.truth("front", size).classes == CLASSES.index("light")].T
        shown = {"red": ((red > 1.5 * green) & (red > 90)).sum(), "green": ((green > 1.5 * red) & (green > 90)).sum()}
        other = "green" if colour == "red" else "red"
        assert shown[colour] > 5
        assert shown[colour] > 2 * shown[other], "the other street's lights face another way"
        found.add(colour)
    assert found == {"red", "green"}
    env.close()


def test_the_own_car_is_filmed_but_not_in_its_own_cameras():
    actors, table = ring(0)
    _, sensors = staged(RIGS["surround11"], actors, table)
    for camera in RIGS["surround11"]:
        assert not (sensors.truth(camera.name, 32).classes == CLASSES.index("ego")).any()
    env = DrivingEnv("follow", cameras=())
    env.reset(seed=0)
    film = env.render_frame("chase", 64).astype(float)
    hue = film / np.maximum(film.max(axis=2, keepdims=True), 1)
    paint = np.array(EGO_PAINT) / max(EGO_PAINT)
    assert (np.abs(hue - paint).max(axis=2) < 0.1).mean() > 0.02
    env.close()


def test_absent_actors_are_not_seen():
    actors, table = ring(8)
    for present, expected in ((True, True), (False, False)):
        _, sensors = staged(RIGS["surround6"], actors, replace(table, present=np.full(8, present)))
        assert (sensors.truth("front", 64).actors >= 0).any() == expected


def test_scenes_of_one_scenario_are_equal_whenever_they_are_built():
    actors, table = ring(3)
    first, second = (staged(RIGS["front1"], actors, table)[0].model for _ in range(2))
    assert np.array_equal(first.mesh_vert, second.mesh_vert)
    assert np.array_equal(first.tex_data, second.tex_data)
