import copy
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.judging.test_results import results
from unified.judging.evaluation import loss_curves
from unified.judging.results import write_results
from unified.report.html import data_uri
from unified.report.page import render, write_report
from unified.report.tables import print_scores, print_tables, summaries
from unified.report.video import encode_png, write_mp4

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("src", "href", "action", "data", "poster")


class Reader(html.parser.HTMLParser):
    """Collects what a browser would load and checks that every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.open, self.tags, self.text, self.attributes = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        self.sources += [value for name, value in attrs if name in SOURCES and not str(value).startswith("#")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        """What a reader sees, in one line."""
        return " ".join(" ".join(self.text).split())


def scores():
    level = {"psnr": 25.0, "psnr_ci95": [24.0, 26.0], "moving_psnr": 18.0, "moving_psnr_ci95": [17.0, 19.0]}
    level |= {"ssim": 0.875, "ssim_ci95": [0.85, 0.9], "psnr_per_frame": [27.25, 25.0]}
    names = ("copy_last", "true_actions", "no_actions", "shuffled_actions", "own")
    gain = {"value": 5.5, "ci95": [5.0, 6.0]}
    gains = ("gain_over_copy_db", "shuffled_cost_db", "no_actions_cost_db")
    film = {"arms": dict.fromkeys(names, level), "moving_share": 0.13, "windows": 100, "episodes": 7, "num_steps": 1}
    film |= {"env_steps": [4, 8], "steps_ahead": 8, "proprio": "imagined"}
    film |= {prefix + name: gain for name in gains for prefix in ("", "moving_")} | {"shuffled_windows": 90}
    arms = {"mean_predictor": 1.0, "linear_proprio": 0.3, "inverse_dynamics": 0.1, "policy": 0.2, "joint": 0.21}
    action: dict[str, Any] = {
        "arms": {name: {"mse": value, "mse_ci95": [value, value]} for name, value in arms.items()}
    }
    action["arms"]["inverse_by_sight"] = {"mse": 0.4, "mse_ci95": [0.3, 0.5], "trained": False}
    action["on_expert"] = {"policy": {"mse": 0.125, "mse_ci95": [0.1, 0.15]}}
    action |= {"sight_over_mean": {"value": 0.375, "ci95": [0.25, 0.5]}}
    action |= {"inverse_over_policy": {"value": 0.5, "ci95": [0.4, 0.6]}, "windows": 100, "episodes": 7, "num_steps": 1}
    asked = {"known_moments": 4, "frame_stride": 4, "not_trained": ["inverse_by_sight"], "not_scored": ["measure"]}
    return {"film": film, "action": action, "strip": "films/strip.png", "episodes": {"judged": "held out"}, **asked}


def full_results(folder):
    film = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    for name in ("good.mp4", "bad.mp4", "plan.mp4"):
        write_mp4(folder / "films" / name, film, 10.0)
    (folder / "films" / "strip.png").write_bytes(encode_png(film[0]))
    made = copy.deepcopy(results())
    made["episodes"][0]["film"], made["episodes"][6]["film"] = "films/good.mp4", "films/bad.mp4"
    made["episodes"][1]["film"] = "films/removed-since.mp4"
    made["baselines"] = {"expert": {"summary": made["summary"], "episodes": 12}}
    made["queries"] = {"play": scores()}
    made["plans"] = [
        {"env_id": "a", "seed": 3, "steps_ahead": 8, "psnr": 25.5, "copy_psnr": 20.1, "film": "films/plan.mp4"}
    ]
    return made


def test_a_policy_called_like_a_baseline_does_not_take_its_place():
    made = {**results(), "policy": "runs/expert", "baselines": {"expert": {"summary": {"is": "the expert"}}}}
    assert summaries(made) == {"runs/expert": made["summary"], "expert": {"is": "the expert"}}


def test_the_page_holds_every_number_and_film_and_asks_no_other_address(tmp_path):
    write_results(tmp_path / "results.json", full_results(tmp_path))
    path = write_report(tmp_path)
    reader = Reader(path.read_text())
    assert all(source.startswith("data:") for source in reader.sources)
    assert not {"script", "iframe", "form", "object"} & set(reader.tags)
    assert reader.tags.count("video") == 3
    assert reader.tags.count("img") == 1
    text = " ".join(reader.text)
    for wanted in (
        "50 %",
        "do b",
        "mean over groups",
        "+5.50 dB",
        "0.500 [0.400",
        "20.1 dB",
        "unified evaluate",
        "mujoco",
    ):
        assert wanted in text, wanted
    assert "removed-since" not in text


def test_films_say_how_far_ahead_they_are_and_queries_what_was_trained(tmp_path, capsys):
    made = full_results(tmp_path)
    words = Reader(render(made, tmp_path)).words
    for wanted in (
        "8 env steps ahead: +5.50 dB",
        "What the body measures is imagined, never recorded",
        "4 known moments every 4 env steps",
        "env steps ahead 4 8",
        "27.25 dB 25.00 dB",
        "own query 25.00 dB",
        "By sight alone over the mean action: 0.375 [0.250",
        "0.875 [0.850",
        "inverse dynamics by sight alone not trained 0.400",
        "Against the expert's own actions the policy query (sees no future) is off by 0.125",
    ):
        assert wanted in words, wanted
    assert words.index("linear regression on measured states") < words.index("policy query (sees no future) 0.2")
    print_scores(made["queries"])
    printed = capsys.readouterr().out
    assert "play: action error of inverse_by_sight 0.4000, not trained" in printed
    assert "play: film of true_actions 25.00 dB, moving pixels 18.00 dB, SSIM 0.875, 8 env steps ahead" in printed
    assert "play: the measure query wants nothing that is scored" in printed


def test_scores_of_one_episode_are_shown_without_an_interval(tmp_path):
    made = full_results(tmp_path)
    film = made["queries"]["play"]["film"]
    film["episodes"] = 1
    film["gain_over_copy_db"] = {"value": 5.5, "ci95": None}
    film["arms"] = {name: {**arm, "psnr_ci95": None} for name, arm in film["arms"].items()}
    text = render(made, tmp_path)
    assert "one episode, so no intervals" in text
    assert ">25.00 dB<" in text
    assert "Against copying: +5.50 dB, moving" in text


def test_sections_without_data_are_left_out(tmp_path):
    bare = {key: value for key, value in results().items() if key not in ("queries", "plans")}
    made = render(bare, tmp_path)
    assert made.count("<section>") == 3, "verdict, groups and provenance"
    assert "world it imagines" not in made


def test_text_from_data_cannot_become_markup(tmp_path):
    made = results()
    made["policy"] = "<script>alert(1)</script>"
    made["summary"]["per_task"]["a"]["task"] = 'open "the" <b>drawer</b> & close'
    text = render(made, tmp_path)
    assert "<script" not in text
    assert "&lt;b&gt;drawer&lt;/b&gt; &amp; close" in text


def test_no_markup_is_shown_as_text(tmp_path):
    for page in (
        render(full_results(tmp_path), tmp_path),
        *(path.read_text() for path in (ROOT / "docs").glob("*.html")),
    ):
        assert not re.search(r"<\s*/?\s*(br|b|span|small|i|a|td)\b", " ".join(Reader(page).text))


def test_a_film_can_be_stopped_and_a_failure_leads_to_its_bad_step(tmp_path):
    made = full_results(tmp_path)
    made["episodes"][6] |= {"facts": {"bad_step": 57, "failure": "off_road", "moment": "films/plan.mp4"}}
    reader = Reader(render(made, tmp_path))
    assert all({"controls", "muted"} <= set(attributes) for name, attributes in reader.attributes if name == "video")
    links = {attributes["href"] for name, attributes in reader.attributes if name == "a"}
    targets = {attributes.get("id") for name, attributes in reader.attributes if name == "figure"}
    assert links == {f"#{made['episodes'][6]['env_id']}-{made['episodes'][6]['seed']}"}
    assert links <= {f"#{target}" for target in targets}
    assert "first wrong at step 57" in reader.words


def test_the_page_begins_with_the_verdict_under_the_name_of_the_console(tmp_path, capsys):
    made = full_results(tmp_path)
    made["policy"] = "runs/demo/train/pretrained"
    words = Reader(render(made, tmp_path)).words
    print_tables(made)
    assert "train" in capsys.readouterr().out
    assert "pretrained" not in words.split("Provenance")[0]
    verdict = words.index("train solved 6 of 12 episodes (50 %, 95 % interval [25\N{EN DASH}75]); expert 6 of 12.")
    assert (
        verdict < words.index("+5.50 dB [+5.00 to +6.00] against a copy of the last frame") < words.index("Closed-loop")
    )


def test_the_losses_of_training_are_drawn(tmp_path):
    (tmp_path / "run" / "pretrained").mkdir(parents=True)
    rows = [{"step": step, "train/loss": 1 / (1 + step), "val/loss": None} for step in range(0, 1000, 2)]
    log = "".join(json.dumps(row) + "\n" for row in [*rows, {"step": 999, "val/loss": 0.25}, {"step": 500, "lr": 1.0}])
    (tmp_path / "run" / "metrics.jsonl").write_text(log + '{"step": 10')
    curves = loss_curves(str(tmp_path / "run" / "pretrained"))
    assert curves["training"][0] == (0, 1.0)
    assert len(curves["training"]) <= 200
    assert curves["held-out"] == [(999, 0.25)]
    page = render({**full_results(tmp_path), "training": curves}, tmp_path)
    assert "Loss from step 0 to 999" in Reader(page).words
    assert 'class="training" points="0.0,0.0 ' in page
    (tmp_path / "run" / "metrics.jsonl").write_text('[1]}\n"}')
    assert loss_curves(str(tmp_path / "run" / "pretrained")) == {}


def test_a_file_that_browsers_do_not_show_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be one of"):
        data_uri(tmp_path / "film.avi")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
@pytest.mark.slow
def test_a_browser_draws_the_page_from_a_file(tmp_path):
    write_results(tmp_path / "results.json", full_results(tmp_path))
    write_report(tmp_path)
    picture = tmp_path / "page.png"
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    subprocess.run(
        [
            "chromium",
            *flags.split(),
            "--disable-component-update",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={picture}",
            "--window-size=1000,2600",
            f"file://{tmp_path / 'report.html'}",
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    drawn = np.asarray(Image.open(picture).convert("RGB"))
    assert drawn.shape == (2600, 1000, 3)
    green = (drawn[..., 1].astype(int) - drawn[..., 0] > 60).sum()
    assert green > 500, "the expert's bars are drawn"
