"""A model is judged on episodes that it never trained on, however its data set was split, named or changed since."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.recordings import record, rename_columns
from unified.data.heldout import open_dataset, pick_window
from unified.data.module import WindowDataModule
from unified.data.source import Source
from unified.errors import UserError
from unified.model.spec import PROPRIO
from unified.model.stored.history import History

LENGTHS = (7, 12, 9, 8, 6, 10, 11, 5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    record(tmp_path / "arm", LENGTHS)
    return tmp_path / "arm"


def train(*sources: Source, **options: Any) -> tuple[WindowDataModule, History]:
    data = WindowDataModule([*sources], image_size=8, frame_stride=2, **options)
    data.setup()
    return data, History({}, data.history)


def judged(root: Path, data: WindowDataModule, history: History, **options: Any) -> list[int]:
    """Numbers of the episodes that are judged."""
    (source,) = open_dataset(root, data.spec, history, **options).windows.sources
    episode = np.unique(np.searchsorted(source.cache.bounds, source.frames, side="right") - 1)
    return source.cache.episode_index[episode].tolist()


def held_out(data: WindowDataModule) -> list[int]:
    return sorted(set(data.history[0].held_out.values()))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_split_is_that_of_the_training(root: Path, seed: int) -> None:
    data, history = train(Source(str(root)), seed=seed, holdout=0.25)
    assert judged(root, data, history) == held_out(data)
    assert len(held_out(data)) == 2


def test_different_seeds_hold_out_different_episodes(root: Path) -> None:
    splits = {tuple(held_out(train(Source(str(root)), seed=seed)[0])) for seed in range(4)}
    assert len(splits) > 1


def test_a_folder_that_was_renamed_or_grew_is_known_by_its_episodes(root: Path, tmp_path: Path) -> None:
    data, history = train(Source(str(root)), seed=1)
    shutil.move(root, tmp_path / "elsewhere")
    assert judged(tmp_path / "elsewhere", data, history) == held_out(data)
    record(tmp_path / "longer", (*LENGTHS, 9, 6))
    assert judged(tmp_path / "longer", data, history) == held_out(data)
    assert judged(tmp_path / "longer", data, history, unseen=True) == sorted([*held_out(data), 8, 9])


def test_where_nothing_was_held_out_nothing_is_judged_but_what_is_new(root: Path, tmp_path: Path) -> None:
    data, history = train(Source(str(root)), holdout=0.0)
    with pytest.raises(UserError, match=r"trained on 8 of the 8 episodes .* held none of them out"):
        judged(root, data, history)
    with pytest.raises(UserError, match="held none of them out"):
        judged(root, data, history, unseen=True)
    record(tmp_path / "longer", (*LENGTHS, 9))
    with pytest.raises(UserError, match="judge the 1 that it does not know: --unseen"):
        judged(tmp_path / "longer", data, history)
    assert judged(tmp_path / "longer", data, history, unseen=True) == [8]


def test_a_recording_that_the_model_does_not_know_is_judged_whole_and_said_to_be(root: Path, tmp_path: Path) -> None:
    data, history = train(Source(str(root)))
    record(tmp_path / "other", (6, 7), seed=5)
    assert judged(tmp_path / "other", data, history) == [0, 1]
    assert open_dataset(tmp_path / "other", data.spec, history).to_dict() == {"judged": "never seen", "never_seen": 2}


def test_a_folder_that_was_recorded_again_is_refused(root: Path) -> None:
    data, history = train(Source(str(root)))
    shutil.rmtree(root)
    record(root, LENGTHS, seed=5)
    with pytest.raises(UserError, match=r"none of its episodes is what it was then"):
        judged(root, data, history)


def test_episodes_that_a_source_left_out_are_not_those_that_it_held_out(root: Path) -> None:
    data, history = train(Source(str(root), episodes=[0, 1, 2, 3]), holdout=0.25)
    assert judged(root, data, history) == held_out(data)
    assert judged(root, data, history, unseen=True) == sorted([*held_out(data), 4, 5, 6, 7])


def test_an_episode_that_is_trained_on_in_another_source_is_not_held_out(root: Path) -> None:
    half, all_of_it = Source(str(root), episodes=[0, 1, 2, 3]), Source(str(root))
    data, history = train(half, all_of_it, holdout=0.25)
    trained = {index for source in history.sources for index in source.trained.values()}
    assert trained.isdisjoint(index for source in history.sources for index in source.held_out.values())
    shown = [] if data.val_windows is None else data.val_windows.sources
    for source in shown:
        episode = np.unique(np.searchsorted(source.cache.bounds, source.frames, side="right") - 1)
        assert trained.isdisjoint(source.cache.episode_index[episode].tolist())


def test_a_second_body_of_the_same_name_is_judged_as_what_it_was_trained_as(root: Path, tmp_path: Path) -> None:
    record(tmp_path / "fast", LENGTHS, fps=20, seed=3)
    other = Source(str(tmp_path / "fast"), embodiment="toy2", frame_stride=1)
    data, history = train(Source(str(root)), other)
    for folder, name, stride in ((root, "toy", 2), (tmp_path / "fast", "toy2", 1)):
        (source,) = open_dataset(folder, data.spec, history).windows.sources
        assert (source.embodiment, source.frame_stride) == (name, stride)
    record(tmp_path / "new", (6, 7), fps=20, seed=9)  # unknown to the model, but of the second body's rate
    assert open_dataset(tmp_path / "new", data.spec, history).windows.sources[0].embodiment == "toy2"
    record(tmp_path / "slow", (6, 7), fps=5, seed=9)
    with pytest.raises(UserError, match=r"slow has 5 steps a second; this checkpoint's 'toy' was trained at 10"):
        open_dataset(tmp_path / "slow", data.spec, history)


def test_bodies_that_nothing_tells_apart_must_be_named(root: Path, tmp_path: Path) -> None:
    record(tmp_path / "twin", LENGTHS, seed=3)
    record(tmp_path / "new", (6, 7), seed=9)
    data, history = train(Source(str(root)), Source(str(tmp_path / "twin"), embodiment="toy2"))
    with pytest.raises(UserError, match=r"knows 'toy' as toy and toy2; say which: --embodiment"):
        open_dataset(tmp_path / "new", data.spec, history)
    assert open_dataset(tmp_path / "new", data.spec, history, "toy2").windows.sources[0].embodiment == "toy2"


def test_a_window_is_picked_by_the_frame_of_its_present(root: Path) -> None:
    data, history = train(Source(str(root)))
    dataset = open_dataset(root, data.spec, history, every=True).windows
    cache = dataset.sources[0].cache
    window = pick_window(dataset, episode=1, frame=4, steps_ahead=6, known=3)
    assert (window.known, window.steps, window.present.tolist()) == (3, 3, [7 + 4])
    batch = window.fetch()
    assert batch.num_moments == 6
    np.testing.assert_array_equal(batch.at[PROPRIO][0], cache.columns[PROPRIO][7 : 7 + 12 : 2])
    assert pick_window(dataset, episode=1, frame=11, steps_ahead=0).fetch().num_moments == 1
    for frame in (3, 6):
        with pytest.raises(UserError, match=rf"12 frames; with 4 env steps before and 6 ahead .* 4 and 5, got {frame}"):
            pick_window(dataset, episode=1, frame=frame, steps_ahead=6, known=3)


def test_windows_know_which_episodes_were_trained_on(root: Path) -> None:
    data, history = train(Source(str(root)), holdout=0.25)
    windows = open_dataset(root, data.spec, history).choose(count=5, known=2, steps=1)
    cache = windows.dataset.sources[0].cache
    episodes = cache.episode_index[np.searchsorted(cache.bounds, windows.trained[0], side="right") - 1]
    assert set(episodes.tolist()) == set(data.history[0].trained.values())
    assert (np.bincount(episodes, minlength=8)[episodes] == np.array(LENGTHS)[episodes]).all(), "every row of them"
    assert len(windows) == 5


def test_columns_that_a_model_was_trained_on_are_read_again(root: Path) -> None:
    record(root.parent / "felt", LENGTHS, has_expert=True)
    rename_columns(root.parent / "felt", {"expert_action": "effort"})
    data, history = train(Source(str(root.parent / "felt")), columns=["effort"])
    windows = open_dataset(root.parent / "felt", data.spec, history).choose(count=3, known=2, steps=1)
    assert windows.fetch().at["effort"].any()


def test_a_model_of_which_nobody_says_what_it_learned_is_judged_only_if_asked(root: Path) -> None:
    data, _ = train(Source(str(root)))
    with pytest.raises(UserError, match=r"does not say what it was trained on.*--unseen"):
        judged(root, data, History())
    assert len(judged(root, data, History(), unseen=True)) == len(LENGTHS)


def test_an_episode_recorded_again_on_another_machine_is_known_by_where_it_came_from(tmp_path: Path) -> None:
    details = [{"env_id": "reach", "seed": seed, "noise": 0.0} for seed in range(len(LENGTHS))]
    for name, seed in (("here", 0), ("there", 1)):  # other numbers, the same origins
        record(tmp_path / name, LENGTHS, seed=seed)
        path = tmp_path / name / "meta" / "unified.json"
        path.write_text(json.dumps({"policy": "expert", "episodes": details}), encoding="utf-8")
    data, history = train(Source(str(tmp_path / "here")))
    assert judged(tmp_path / "there", data, history) == held_out(data)


def test_a_resumed_run_holds_out_nothing_that_was_trained_on_before(root: Path) -> None:
    before, _ = train(Source(str(root)), seed=0, holdout=0.5)
    after, _ = train(Source(str(root)), seed=1, holdout=0.5)
    meant = set(held_out(after))
    after.load_state_dict(before.state_dict())
    trained = set(before.history[0].trained.values())
    assert meant & trained, "the two splits differ"
    assert set(held_out(after)) == meant - trained
    assert after.val_windows is not None
    (source,) = after.val_windows.sources
    episode = np.unique(np.searchsorted(source.cache.bounds, source.frames, side="right") - 1)
    assert set(source.cache.episode_index[episode].tolist()) == meant - trained
