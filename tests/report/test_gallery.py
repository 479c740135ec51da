"""The gallery shows what the expert did, on one page that needs nothing else."""

import json

import numpy as np
from PIL import Image

from tests.report.test_page import Reader
from unified.cli import main
from unified.report.video import read_video

SUITE = """
name: two
env_kwargs: {cameras: [corner2], image_size: 32}
max_env_steps: 200
tasks: ["sims:MetaWorld-reach-v3", "sims:MetaWorld-drawer-close-v3"]
"""


def test_a_gallery_has_a_film_a_still_and_numbers_of_every_environment(tmp_path, capsys):
    suite = tmp_path / "two.yaml"
    suite.write_text(SUITE)
    output = tmp_path / "gallery"
    options = ["--episodes", "2", "--size", "64", "--output", str(output), "--workers", "1"]
    assert main(["gallery", "--suites", str(suite), *options]) == 0
    numbers = json.loads((output / "gallery.json").read_text())["environments"]
    assert [(row["env_id"], row["episodes"]) for row in numbers] == [
        ("sims:MetaWorld-reach-v3", 2),
        ("sims:MetaWorld-drawer-close-v3", 2),
    ]
    assert all(row["successes"] == 2 and row["steps_per_second"] > 1 for row in numbers)
    film = read_video(output / "films" / "MetaWorld-reach.mp4")
    assert film.shape[1:] == (64, 64, 3)
    assert not np.array_equal(film[0], film[-1])
    with Image.open(output / "stills.png") as sheet:
        assert sheet.size[0] >= 6 * 64
    page = Reader((output / "gallery.html").read_text())
    assert page.tags.count("video") == 2
    assert all(source.startswith("data:") for source in page.sources)
    assert "2/2" in capsys.readouterr().out


def test_an_unknown_suite_is_answered_with_the_nearest(tmp_path, capsys):
    assert main(["gallery", "--suites", "metaworld-demp", "--output", str(tmp_path / "g")]) == 1
    assert "metaworld-demo" in capsys.readouterr().err
