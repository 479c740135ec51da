# pyright: reportAttributeAccessIssue=false
"""Pictures: right content, cheap tricks that do not show, and ray casting where OpenGL is missing."""

import logging
import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from sims.common import gl
from sims.common.camera import CameraView
from sims.common.decimate import decimate
from sims.common.raycast import RayRenderer, texture_pixels
from sims.common.renderer import GLRenderer, box_average, make_renderer
from tests.sims.registry import make

SCENE = """
<mujoco><worldbody>
  <light pos="0 0 3" dir="0 0 -1"/>
  <camera name="above" pos="0 0 2" fovy="45"/>
  <geom type="plane" size="2 2 .1" rgba=".5 .5 .5 1"/>
  <geom type="box" size=".2 .2 .2" pos=".4 0 .2" rgba="1 0 0 1"/>
  <geom type="sphere" size=".2" pos="-.4 0 .2" rgba="0 1 0 1"/>
  <site name="goal" pos="0 .5 .2" size=".1" rgba="0 0 1 1"/>
</worldbody></mujoco>
"""
ABOVE = CameraView(fixed="above")


def needs_gl():
    try:
        gl.shared_context()
    except gl.GLUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["gl", "raycast"])
def renderer_class(request):
    if request.param == "gl":
        needs_gl()
        return GLRenderer
    return RayRenderer


def scene():
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def psnr(first, second):
    return 10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2))


def dominant(picture, row, column):
    """Which colour channel is strongest at a pixel."""
    return int(np.argmax(picture[row, column]))


def test_things_are_where_they_are_and_have_their_colours(renderer_class):
    model, data = scene()
    renderer = renderer_class(model)
    picture = renderer.render(data, ABOVE, 64)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert dominant(picture, 32, 48) == 0, "the red box is on the right"
    assert dominant(picture, 32, 16) == 1, "the green ball is on the left"
    assert dominant(picture, 11, 32) == 2, "the blue marker is at the top"
    turned = renderer.render(data, CameraView(fixed="above", flip=True), 64)
    assert np.array_equal(turned[::-1, ::-1], picture)
    renderer.close()


MONITOR = """
<mujoco><asset>
  <texture name="picture" type="2d" builtin="flat" rgb1="0 0 0" width="8" height="8"/>
  <material name="picture" texture="picture" emission="1" specular="0"/>
</asset><worldbody>
  <camera name="straight" pos="0 -1 0" xyaxes="1 0 0 0 0 1" fovy="53.13"/>
  <geom name="picture" type="plane" size=".5 .5 .1" zaxis="0 -1 0" material="picture"/>
</worldbody></mujoco>
"""


def test_a_live_texture_is_shown_upright_and_as_it_is_now(renderer_class):
    model = mujoco.MjModel.from_xml_string(MONITOR)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    live, frozen = renderer_class(model, live_textures=("picture",)), renderer_class(model)
    pixels = texture_pixels(model, "picture").reshape(8, 8, 3)
    straight = CameraView(fixed="straight")
    before = [renderer.render(data, straight, 32) for renderer in (live, frozen)]
    pixels[:4, :4] = (255, 0, 0)  # top left
    pixels[4:, 4:] = (0, 0, 255)  # bottom right
    for size in (32, 160):  # the second is drawn by another graphics context
        picture = live.render(data, straight, size).astype(int)
        corner = size // 4
        assert picture[corner, corner, 0] - picture[corner, corner, 2] > 100
        assert picture[-corner, -corner, 2] - picture[-corner, -corner, 0] > 100
        assert picture[corner, -corner].max() < 60
    assert np.array_equal(frozen.render(data, straight, 32), before[1]), "other textures are read once"
    pixels[:] = 0
    assert np.array_equal(live.render(data, straight, 32), before[0])
    live.close()
    frozen.close()


def test_rays_refuse_a_live_texture_on_anything_but_a_plane():
    model = mujoco.MjModel.from_xml_string(MONITOR.replace('type="plane"', 'type="box"'))
    with pytest.raises(ValueError, match="on planes only; 'picture' is on geom 0"):
        RayRenderer(model, ("picture",))


def test_rays_see_new_colours():
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = RayRenderer(model)
    renderer.render(data, ABOVE, 16)
    model.geom_rgba[0] = (1, 0, 0, 1)
    corner = renderer.render(data, ABOVE, 16)[0, 0].astype(int)
    assert corner[0] > 100 > corner[1]


def test_pictures_may_be_wide_and_show_more_to_the_sides(renderer_class):
    model, data = scene()
    renderer = renderer_class(model)
    square, wide = renderer.render(data, ABOVE, 64), renderer.render(data, ABOVE, (64, 128))
    assert wide.shape == (64, 128, 3)
    assert np.abs(wide[:, 32:96].astype(int) - square).mean() < 2, "the middle is the square picture"
    narrow = renderer.render(data, CameraView(fixed="above", fovy=20.0), 64)
    assert dominant(narrow, 32, 60) == 0, "a smaller field of view brings the red box nearer to the edge"
    assert model.cam_fovy[0] == 45
    renderer.close()


def test_measuring_gives_depth_and_geom_of_every_pixel(renderer_class):
    model, data = scene()
    renderer = renderer_class(model)
    depth, geom = renderer.measure(data, ABOVE, (48, 64))
    assert depth.shape == geom.shape == (48, 64)
    assert [geom[24, 44], geom[24, 20], geom[40, 32]] == [1, 2, 0], "box, ball, plane"
    assert depth[24, 44] == pytest.approx(2.0 - 0.4, abs=1e-4)
    assert depth[40, 32] == pytest.approx(2.0, abs=1e-4)
    away, nothing = renderer.measure(data, CameraView(lookat=(0, 0, 50.0), elevation=45.0), 16)
    assert (nothing == -1).all()
    assert np.isinf(away).all()
    turned = renderer.measure(data, CameraView(fixed="above", flip=True), (48, 64))[1]
    assert np.array_equal(turned[::-1, ::-1], geom)
    before = renderer.render(data, ABOVE, 32)
    renderer.measure(data, ABOVE, 32)
    assert np.array_equal(before, renderer.render(data, ABOVE, 32)), "measuring leaves no trace"
    renderer.close()


def test_a_view_can_hide_groups_of_geoms(renderer_class):
    model, data = scene()
    model.geom_group[1] = 2
    renderer = renderer_class(model)
    assert (renderer.measure(data, ABOVE, 32)[1] == 1).any()
    assert not (renderer.measure(data, CameraView(fixed="above", hidden_groups=(2,)), 32)[1] == 1).any()
    assert (renderer.measure(data, ABOVE, 32)[1] == 1).any(), "only in that view"
    renderer.close()


def test_colours_may_change_between_pictures(renderer_class):
    model, data = scene()
    renderer = renderer_class(model)
    assert dominant(renderer.render(data, ABOVE, 64), 32, 48) == 0
    model.geom_rgba[1] = [0, 0, 1, 1]
    assert dominant(renderer.render(data, ABOVE, 64), 32, 48) == 2
    renderer.close()


def test_both_renderers_see_the_same_shapes():
    needs_gl()
    env = make("MetaWorld-drawer-open-v3", cameras=())
    env.reset(seed=0)
    drawn, cast = GLRenderer(env.model), RayRenderer(env.model)
    for view in ("corner2", "left", "far"):
        first = drawn.render(env.data, env.views[view], 64).astype(int)
        second = cast.render(env.data, env.views[view], 64).astype(int)
        for channel, name in ((0, "the red arm"), (1, "the green drawer")):
            others = [other for other in range(3) if other != channel]
            seen = [
                (p[..., channel] > p[..., others].max(axis=-1) * 1.6) & (p[..., channel] > 60) for p in (first, second)
            ]
            overlap = (seen[0] & seen[1]).sum() / (seen[0] | seen[1]).sum()
            assert overlap > 0.75, f"{name} from {view}"
    drawn.close()


def test_size_and_camera_may_change_at_every_call():
    needs_gl()
    model, data = scene()
    renderer = GLRenderer(model)
    first = renderer.render(data, ABOVE, 48)
    for size in (200, 16, 129):
        assert renderer.render(data, CameraView(distance=2.0), size).shape == (size, size, 3)
    assert np.array_equal(first, renderer.render(data, ABOVE, 48))
    renderer.close()
    assert np.array_equal(first, renderer.render(data, ABOVE, 48)), "a closed renderer opens again when asked"
    renderer.close()


def test_two_models_share_the_context_without_disturbing_each_other():
    needs_gl()
    (model, data), env = scene(), make("MetaWorld-reach-v3", cameras=())
    env.reset(seed=0)
    renderer = GLRenderer(model)
    first = renderer.render(data, ABOVE, 32), env.render_frame("left", 32)
    again = renderer.render(data, ABOVE, 32), env.render_frame("left", 32)
    renderer.close()
    after = env.render_frame("left", 32)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert np.array_equal(first[1], after)
    env.close()


def test_another_librarys_context_does_not_disturb_ours():
    needs_gl()
    model, data = scene()
    renderer = GLRenderer(model)
    first = renderer.render(data, ABOVE, 32)
    with mujoco.Renderer(model, 32, 32) as other:
        other.update_scene(data)
        other.render()
        assert np.array_equal(first, renderer.render(data, ABOVE, 32))
    assert np.array_equal(first, renderer.render(data, ABOVE, 32))
    renderer.close()


def test_merged_triangles_hardly_show_and_the_simulated_model_keeps_all():
    needs_gl()
    env = make("MetaWorld-pick-place-v3", cameras=())
    env.reset(seed=0)
    faces = env.model.mesh_facenum.sum()
    coarse = env.render_frame("right", 64)
    full = box_average(env.render_frame("right", 256), 4)
    assert psnr(coarse, full) > 30
    assert env.model.mesh_facenum.sum() == faces
    env.close()


def test_decimation_keeps_the_shape_and_few_faces():
    env = make("MetaWorld-pick-place-v3", cameras=())
    before = env.model.mesh_facenum.sum()
    decimate(env.model)
    assert env.model.mesh_facenum.sum() < before / 4
    for mesh in range(env.model.nmesh):
        start, count = env.model.mesh_faceadr[mesh], env.model.mesh_facenum[mesh]
        assert count > 10
        assert env.model.mesh_face[start : start + count].max() < env.model.mesh_vertnum[mesh]


def test_box_average_rounds_the_mean():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2, :2, 0] = [[0, 1], [1, 1]]
    picture[2:, 2:, 2] = 255
    expected = np.zeros((2, 2, 3), np.uint8)
    expected[0, 0, 0], expected[1, 1, 2] = 1, 255
    assert np.array_equal(box_average(picture, 2), expected)


def test_asking_for_ray_casting_gives_it(monkeypatch):
    monkeypatch.setenv("UNIFIED_RENDERER", "raycast")
    assert isinstance(make_renderer(scene()[0]), RayRenderer)


def test_without_a_graphics_library_ray_casting_takes_over_and_says_so_once():
    script = (
        "import logging; logging.basicConfig(format='%(message)s');"
        "import gymnasium, numpy;"
        "envs = [gymnasium.make('sims:MetaWorld-reach-v3', image_size=32).unwrapped for _ in range(2)];"
        "pictures = [env.reset(seed=0)[0]['pixels']['left'] for env in envs];"
        "assert envs[0]._renderer.name == 'raycast' and pictures[0].std() > 10 and (pictures[0] == pictures[1]).all()"
    )
    variables = {**os.environ, "MUJOCO_GL": "disable"}
    variables.pop("UNIFIED_RENDERER", None)
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("ray casting") == 1
    assert "libegl1" in done.stderr


def test_the_renderer_is_announced_once(caplog, monkeypatch):
    needs_gl()
    monkeypatch.delenv("UNIFIED_RENDERER", raising=False)
    monkeypatch.setattr("sims.common.renderer._announced", set())
    caplog.set_level(logging.INFO, logger="sims")
    for _ in range(2):
        make_renderer(scene()[0]).close()
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == ["Pictures by OpenGL"]


def test_a_process_that_drew_ends_without_noise():
    needs_gl()
    script = "import gymnasium; gymnasium.make('sims:MetaWorld-reach-v3', image_size=16).reset(seed=0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
