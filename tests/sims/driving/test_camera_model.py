"""The camera model and the pictures agree: boxes, lines and ranges, for every camera of every rig."""

import numpy as np
import pytest
import shapely
from scipy.ndimage import binary_dilation, binary_erosion

from sims.driving.looks.builder import PAINT_Z, surfaces_of
from sims.driving.looks.palette import CLASSES
from sims.driving.map.topologies import build_map
from sims.driving.sensors import conditions
from sims.driving.sensors.lidar import Lidar, cast
from sims.driving.sensors.projection import View
from sims.driving.sensors.rigs import RIGS
from tests.sims.common.test_renderer import needs_gl
from tests.sims.driving.staged import ALL_CAMERAS, EGO, ring, staged

FACES = ((0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))
SQUARE = np.ones((3, 3), bool)  # one pixel in every direction


@pytest.fixture(scope="module")
def boxes():
    """One scene for each rig, in which everybody is a plain box."""
    needs_gl()
    return _scenes(as_boxes=True)


@pytest.fixture(scope="module")
def drawn():
    """One scene for each rig with nobody in it."""
    needs_gl()
    actors, table = ring(0)
    return {name: (*staged(rig, actors, table), table) for name, rig in RIGS.items()}


def _scenes(**kwargs):
    actors, table = ring()
    return {name: (*staged(rig, actors, table, **kwargs), table) for name, rig in RIGS.items()}


def pixel_centres(view: View) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5)
    return columns, rows


def box_mask(view: View, corners: np.ndarray) -> np.ndarray:
    """Pixels whose centre the camera model puts on one of a box's faces."""
    outlines = [conditions.project_polygon(view, corners[list(face)]) for face in FACES]
    faces = [shapely.make_valid(shapely.Polygon(outline)) for outline in outlines if len(outline) > 2]
    return shapely.contains_xy(shapely.union_all(faces), *pixel_centres(view))


def resolution(rig: str, camera: str) -> tuple[int, int]:
    return next(mounted.resolution for mounted in RIGS[rig] if mounted.name == camera)


@pytest.mark.parametrize(("rig", "camera"), ALL_CAMERAS)
def test_boxes_lie_where_the_wireframes_are_to_one_pixel(boxes, rig, camera):
    _, sensors, table = boxes[rig]
    size = resolution(rig, camera)
    view, truth = sensors.view(camera, size), sensors.truth(camera, size)
    seen = 0
    for row, corners in enumerate(conditions.box_corners_3d(table)):
        measured = truth.actors == row
        predicted = box_mask(view, corners)
        others = (truth.actors >= 0) & ~measured  # a neighbour may stand before it
        wrong = (measured & ~binary_dilation(predicted, SQUARE)) | (
            binary_erosion(predicted, SQUARE) & ~measured & ~others
        )
        assert not wrong.any(), f"{table.kind[row]}: {wrong.sum()} of {measured.sum()} pixels are off"
        seen += measured.sum()
    assert seen > 20, "this camera sees no box, so nothing was checked"


@pytest.mark.parametrize(("rig", "camera"), ALL_CAMERAS)
def test_lane_lines_lie_where_the_camera_model_says_to_one_pixel(drawn, rig, camera):
    _, sensors, _ = drawn[rig]
    size = resolution(rig, camera)
    view, truth = sensors.view(camera, size), sensors.truth(camera, size)
    expected_depth = ground_depth(view)
    is_visible = (truth.depth > 0.95 * expected_depth) & (expected_depth < 100)
    checked = 0
    for name, shapes in surfaces_of(build_map("highway-straight")).paint.items():
        outlines = [conditions.project_polygon(view, raised(shape)) for shape in shapes]
        areas = [shapely.make_valid(shapely.Polygon(outline)) for outline in outlines if len(outline) > 2]
        area = shapely.union_all(areas)
        columns, rows = pixel_centres(view)
        measured = (truth.classes == CLASSES.index(name)) & is_visible
        predicted = shapely.contains_xy(area.buffer(-0.05), columns, rows) & is_visible  # of lines thinner than a pixel
        distance = shapely.distance(area, shapely.points(columns[measured], rows[measured]))
        assert (distance <= 1.0).all(), f"{name}: a pixel is {distance.max():.2f} pixels off"
        assert not (predicted & ~binary_dilation(measured, SQUARE)).any(), f"{name}: predicted but not drawn"
        checked += measured.sum()
    assert checked > 20, "this camera sees no line, so nothing was checked"


@pytest.mark.parametrize(("rig", "camera"), ALL_CAMERAS)
def test_condition_images_show_every_line_that_is_seen(drawn, rig, camera):
    _, sensors, table = drawn[rig]
    size = resolution(rig, camera)
    view, truth = sensors.view(camera, size), sensors.truth(camera, size)
    picture = conditions.map_image(view, surfaces_of(build_map("highway-straight")))
    assert np.array_equal(picture, sensors.conditions(camera, size, table))
    is_near = ground_depth(view) < 100
    for name in ("white_line", "yellow_line"):
        shown = binary_dilation((picture == conditions.COLOURS[name]).all(axis=2), SQUARE)
        measured = (truth.classes == CLASSES.index(name)) & is_near
        assert not (measured & ~shown).any()


def test_detailed_shapes_stay_inside_their_boxes_and_reach_all_sides():
    needs_gl()
    actors, table = ring()
    _, sensors = staged(RIGS["surround6"], actors, table)
    checked = 0
    for camera in RIGS["surround6"]:
        size = (256, 512)
        view, truth = sensors.view(camera.name, size), sensors.truth(camera.name, size)
        for row, corners in enumerate(conditions.box_corners_3d(table)):
            measured = truth.actors == row
            assert not (measured & ~binary_dilation(box_mask(view, corners), SQUARE)).any(), table.kind[row]
            checked += measured.sum()
    assert checked > 5000


@pytest.mark.parametrize(("rig", "camera"), ALL_CAMERAS)
def test_ranges_of_rays_agree_with_depth_of_pixels(boxes, rig, camera):
    scene, sensors, _ = boxes[rig]
    size = tuple(side // 2 for side in resolution(rig, camera))
    view, truth = sensors.view(camera, size), sensors.truth(camera, size)
    rays = view.rays().reshape(-1, 3)
    lengths = np.linalg.norm(rays, axis=1)
    ranges, geoms = cast(scene.model, scene.data, view.position, rays / lengths[:, None], 1e4, size)
    depth = ranges / lengths.reshape(size)
    same = (scene.geom_class[geoms] == truth.classes) & (truth.depth < 100)
    share = same.sum() / (truth.depth < 100).sum()
    assert share > 0.98, "edges apart, both see the same things"
    off = np.abs(depth[same] / truth.depth[same] - 1)
    assert np.quantile(off, 0.99) < 2e-3
    assert off.max() < 0.05


def test_the_range_image_of_flat_ground_is_a_closed_form():
    actors, table = ring(0)
    lidar = Lidar(rows=6, columns=90, elevation_deg=(-6.0, -20.0), position=(1.4, 0.0, 1.8))
    _, sensors = staged(RIGS["front1"], actors, table)
    ranges, classes = sensors.scan(lidar)
    expected = 1.8 / np.sin(np.radians(np.linspace(6.0, 20.0, 6)))
    ahead = ranges[:, 46:50]  # along the road
    assert np.isin(classes[:, 46:50], [CLASSES.index(name) for name in ("road", "white_line", "yellow_line")]).all()
    assert np.abs(ahead - expected[:, None]).max() < 0.011 * 20, "paint is a centimetre thick"
    assert np.abs(ahead - expected[:, None])[classes[:, 46:50] == CLASSES.index("road")].max() < 1e-3
    assert np.isinf(sensors.scan(Lidar(max_range_m=0.5))[0]).all()


def test_the_range_image_shows_a_box_where_it_is():
    actors, table = ring(8)
    _, sensors = staged(RIGS["front1"], actors, table, as_boxes=True)
    lidar = Lidar(rows=1, columns=360, elevation_deg=(-3.0, -3.0))
    ranges, classes = sensors.scan(lidar)
    ahead = ranges[0, 178:182]
    assert (classes[0, 178:182] == CLASSES.index("car")).all(), "the first of the ring stands ahead"
    assert (np.abs(ahead - (11.0 - 2.3)) < 0.6).all()
    left = ranges[0, 90]
    assert classes[0, 90] == CLASSES.index("truck")
    assert left < 11.0


def ground_depth(view: View) -> np.ndarray:
    """Depth at which the painted ground would lie in every pixel; inf above the horizon."""
    down = view.rays()[..., 2]
    with np.errstate(divide="ignore"):
        return np.where(down < 0, (PAINT_Z - view.position[2]) / down, np.inf)


def raised(shape: shapely.Polygon) -> np.ndarray:
    corners = shapely.get_coordinates(shape.exterior)[:-1]
    return np.column_stack([corners, np.full(len(corners), PAINT_Z)])


def test_the_staged_ego_stands_askew():
    assert EGO[2] % (np.pi / 2) > 0.1, "or the tests above could not see a transposed rotation"
