import pytest

from unified.errors import UserError
from unified.judging.evaluation import episodes_of, suite_episodes
from unified.rollout.suites import load_suite, suite_names

GOOD = """
name: two
env_kwargs: {cameras: [corner2], image_size: 64}
max_env_steps: 100
episodes_per_task: 5
first_seed: {train: 0, validation: 5, test: 10}
tasks: [{env_id: "sims:MetaWorld-reach-v3", group: easy}, "sims:MetaWorld-push-v3"]
"""


def write(path, text):
    path.write_text(text)
    return path


def test_a_suite_file_gives_tasks_groups_and_seeds(tmp_path):
    suite = load_suite(write(tmp_path / "two.yaml", GOOD))
    assert suite.groups == {"sims:MetaWorld-reach-v3": "easy", "sims:MetaWorld-push-v3": "all"}
    assert list(suite.seeds("test")) == [10, 11, 12, 13, 14]
    assert list(suite.seeds("validation")) == [5, 6, 7, 8, 9]
    assert list(suite.seeds("train", 2)) == [0, 1]


@pytest.mark.parametrize("name", suite_names() or ["none"])
def test_every_suite_of_the_project_loads_and_carries_its_file_name(name):
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description
    assert [list(part.first_seed.items()) for part in suite.leaves] == [
        [("train", 0), ("validation", 5000), ("test", 10_000)]
    ] * len(suite.leaves)


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'metaworld-demo'"):
        load_suite("metaworld-demp")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_env_steps", "max_env_stepz", "Did you mean 'max_env_steps'"),
        ("max_env_steps: 100", "max_env_steps: many", "max_env_steps must be a positive number, got 'many'"),
        ("test: 10", "test: 8", r"split 'validation' holds 3 seeds, 5 episodes per task would share"),
        ("validation: 5", "validation: 0", "split 'train' holds 0 seeds"),
        ('"sims:MetaWorld-push-v3"', '"sims:MetaWorld-reach-v3"', "listed twice"),
        ("env_id", "env", "every task needs env_id"),
        ("tasks:", "task:", "Did you mean 'tasks'"),
        ("name: two", "name: [two", "not valid YAML"),
    ],
)
def test_a_wrong_suite_file_is_refused_naming_the_file(tmp_path, old, new, message):
    path = write(tmp_path / "bad.yaml", GOOD.replace(old, new))
    with pytest.raises(UserError, match=message) as error:
        load_suite(path)
    assert "bad.yaml" in str(error.value)


def test_a_missing_file_an_unknown_split_and_no_episodes_are_refused(tmp_path):
    with pytest.raises(UserError, match="There is no suite file"):
        load_suite(tmp_path / "absent.yaml")
    suite = load_suite(write(tmp_path / "two.yaml", GOOD))
    with pytest.raises(UserError, match="Did you mean 'test'"):
        suite.seeds("tset")
    with pytest.raises(UserError, match="at least 1"):
        suite.seeds("test", 0)
    with pytest.raises(UserError, match=r"Suite two: split 'train' holds 5 seeds, 6 episodes per task would share"):
        suite.seeds("train", 6)


def test_a_suite_can_be_made_of_others_which_keep_their_cameras_steps_and_seeds(tmp_path):
    write(tmp_path / "two.yaml", GOOD)
    text = f"include: [{tmp_path / 'two.yaml'}, metaworld-demo]\nepisodes_per_task: 3\ndescription: both\n"
    with pytest.raises(UserError, match="MetaWorld-reach-v3 is listed twice"):
        load_suite(write(tmp_path / "both.yaml", text))
    write(tmp_path / "two.yaml", GOOD.replace("reach", "hammer"))
    suite = load_suite(tmp_path / "both.yaml")
    assert [part.name for part in suite.leaves] == ["two", "metaworld-demo"]
    assert suite.groups["sims:MetaWorld-hammer-v3"] == "two"
    episodes = suite_episodes(suite, "test")
    assert len(episodes) == 3 * len(suite.tasks) == 3 * 7
    assert [(episode.seed, episode.env_kwargs["cameras"]) for episode in episodes[:1]] == [(10, ["corner2"])]
    assert {episode.seed for episode in episodes_of(suite.leaves[1], episodes)} == {10_000, 10_001, 10_002}


def test_what_included_suites_say_of_themselves_cannot_be_said_again(tmp_path):
    path = write(tmp_path / "bad.yaml", "include: [metaworld-demo]\nmax_env_steps: 5\n")
    with pytest.raises(UserError, match="max_env_steps is the included suites' own"):
        load_suite(path)
