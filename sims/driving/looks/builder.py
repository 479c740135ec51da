# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""Meshes, materials and light of a driving scene put into a MuJoCo specification."""

import functools
from collections.abc import Sequence

import mujoco
import numpy as np
import shapely

from sims.driving.looks.meshes import Mesh, flat, joined
from sims.driving.looks.palette import MATERIALS, RGB, facade, sky_colours, speckled
from sims.driving.looks.scenery import scenery
from sims.driving.looks.surfaces import Surfaces
from sims.driving.looks.weather import Weather
from sims.driving.map.roads import RoadMap

# Geom groups: what cameras and LiDAR see, and the own car, which is not in its own cameras.
SEEN, OWN = 0, 2
EXTENT_M, NEAR_M, FAR_M = 100.0, 0.1, 1200.0
# Layers on the ground, metres; one centimetre keeps them apart in the depth buffer and out of sight.
GROUND_Z, SIDEWALK_Z, ROAD_Z, CARPARK_Z, SLIPPERY_Z, PAINT_Z = -0.03, -0.02, 0.0, 0.005, 0.006, 0.01
_PAINT = ("white_line", "yellow_line", "stop_line", "crosswalk")
_MARGIN_M = 500.0
CLEAR_M = 900.0  # how far one sees on a clear day: everything, so no fog is drawn


@functools.lru_cache(maxsize=16)
def surfaces_of(road_map: RoadMap) -> Surfaces:
    """The painted surfaces of a map; maps are shared by all episodes on them."""
    return Surfaces(road_map)


@functools.lru_cache(maxsize=16)
def static_meshes(road_map: RoadMap) -> dict[str, Mesh]:
    """Everything that never moves, by name; names begin with a class of `palette.CLASSES` or a scenery's name."""
    surfaces = surfaces_of(road_map)
    meshes = {
        "road": flat(surfaces.asphalt, ROAD_Z),
        "sidewalk": flat(surfaces.sidewalks, SIDEWALK_Z),
        "carpark": flat(surfaces.carparks, CARPARK_Z),
    }
    for name in _PAINT:
        meshes[name] = joined([flat(shape, PAINT_Z) for shape in surfaces.paint[name]])
    meshes |= scenery(surfaces)
    return {name: mesh for name, mesh in meshes.items() if len(mesh.corners)}


def add_static(spec: mujoco.MjSpec, road_map: RoadMap, slippery: Sequence[shapely.Polygon]) -> dict[str, str]:
    """Ground, roads, paint and scenery; returns the class of every geom by its name."""
    low_x, low_y, high_x, high_y = surfaces_of(road_map).asphalt.bounds
    spec.worldbody.add_geom(
        name="ground",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[(low_x + high_x) / 2, (low_y + high_y) / 2, GROUND_Z],
        size=[(high_x - low_x) / 2 + _MARGIN_M, (high_y - low_y) / 2 + _MARGIN_M, 1.0],
        material="ground",
        rgba=[*MATERIALS["ground"], 1.0],
        contype=0,
        conaffinity=0,
        group=SEEN,
    )
    classes = {"ground": "ground"}
    meshes = dict(static_meshes(road_map))
    if slippery:
        meshes["slippery"] = joined([flat(shape, SLIPPERY_Z) for shape in slippery])
    for name, mesh in meshes.items():
        material = {"road": "asphalt", "carpark": "asphalt"}.get(name, "facade" if "house" in name else "plain")
        add_mesh(spec, spec.worldbody, name, mesh, MATERIALS[name], material)
        classes[name] = "building" if "house" in name else "vegetation" if name in ("trunk", "crown") else name
    return classes


def add_mesh(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    mesh: Mesh,
    colour: RGB,
    material: str = "plain",
    group: int = SEEN,
) -> None:
    """A geom of its own mesh that touches nothing and weighs nothing."""
    asset = spec.add_mesh(name=name)
    count = len(mesh.corners)
    index = np.arange(3 * count, dtype=np.int32)
    asset.uservert = mesh.corners.astype(np.float32).ravel()
    asset.usernormal = mesh.normals.astype(np.float32).repeat(3, axis=0).ravel()
    asset.usertexcoord = mesh.texture.astype(np.float32).ravel()
    asset.userface = asset.userfacenormal = asset.userfacetexcoord = index
    asset.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        material=material,
        rgba=[*colour, 1.0],
        contype=0,
        conaffinity=0,
        density=0.0,
        group=group,
    )


def add_materials(spec: mujoco.MjSpec) -> None:
    """Textures and materials; colours come from the geoms."""
    rng = np.random.default_rng(0)
    for name, picture in (("ground", speckled(rng, 0.22)), ("asphalt", speckled(rng, 0.16)), ("facade", facade())):
        texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D)
        texture.width, texture.height, texture.nchannel = picture.shape[1], picture.shape[0], 3
        texture.data = picture.tobytes()
        material = spec.add_material(name=name, specular=0.0, shininess=0.0)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    spec.material("ground").texuniform = True
    spec.material("ground").texrepeat = [0.08, 0.08]
    spec.add_material(name="plain", specular=0.05, shininess=0.1)
    spec.add_material(name="paint", specular=0.3, shininess=0.5)
    spec.add_material(name="lamp", specular=0.0, shininess=0.0, emission=1.0)


def set_light(spec: mujoco.MjSpec, weather: Weather) -> None:
    """Sky, sun, diffuse light and fog as the weather has them."""
    overhead, horizon = sky_colours(weather)
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=overhead,
        rgb2=horizon,
        width=128,
        height=128 * 6,
    )
    day = 1.0 - 0.93 * weather.darkness
    clearness = (1.0 - 0.75 * weather.rain) * float(np.clip(weather.fog_range_m / 300.0, 0.25, 1.0))
    sunshine = day * clearness
    sun = spec.worldbody.add_light(name="sun", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=False)
    sun.pos, sun.dir = [0.0, 0.0, 100.0], -sun_direction(weather)
    warmth = float(np.clip(1 - weather.sun_elevation / 0.3, 0.0, 1.0))
    sun.diffuse = 0.55 * sunshine * np.array([1.0, 1.0 - 0.15 * warmth, 1.0 - 0.4 * warmth])
    sun.ambient = sun.specular = [0.0, 0.0, 0.0]
    spec.visual.headlight.ambient = [(0.48 + 0.3 * (1 - clearness)) * day + 0.34 * weather.darkness] * 3
    spec.visual.headlight.diffuse = [0.30 * day + 0.30 * weather.darkness] * 3
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.stat.extent, spec.stat.center = EXTENT_M, [0.0, 0.0, 0.0]
    spec.visual.map.znear, spec.visual.map.zfar = NEAR_M / EXTENT_M, FAR_M / EXTENT_M
    start, end = fog_edges_m(weather)
    spec.visual.map.fogstart, spec.visual.map.fogend = start / EXTENT_M, end / EXTENT_M
    spec.visual.rgba.fog = [*horizon, 1.0]


def sun_direction(weather: Weather) -> np.ndarray:
    """Unit vector towards the sun."""
    elevation, azimuth = weather.sun_elevation, weather.sun_azimuth
    return np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(max(elevation, 0.05))]
    )


def fog_edges_m(weather: Weather) -> tuple[float, float]:
    """Where things begin to fade and where they are gone: by fog, rain, or beyond the reach of light at night."""
    end = min(weather.fog_range_m, CLEAR_M - 600.0 * weather.rain, CLEAR_M - 780.0 * weather.darkness)
    return 0.05 * end, end
