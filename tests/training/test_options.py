from pathlib import Path
from typing import Any

import pytest

from unified.training.options import UsageError, merge, parse


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_later_files_are_laid_over_earlier_ones_and_keys_over_all(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml", "data: {image_size: 64, batch_size: 8}\ntrainer: {max_steps: 5}\n")
    second = write(tmp_path / "b.yaml", "data: {batch_size: 16}\n")
    options = parse(["fit", "-c", first, "--config", second, "--data.image_size=32", "--trainer.fast_dev_run"])
    assert options.tree["data"] == {"image_size": 32, "batch_size": 16}
    assert options.tree["trainer"] == {"max_steps": 5, "fast_dev_run": True}
    assert options.where("data.batch_size") == f"{second}:1: "
    assert options.where("trainer.max_steps") == f"{first}:2: "
    assert options.where("data.image_size") == "command line: "


def test_interpolation_follows_the_command_line_and_crosses_files(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml", 'model: {class_path: X, init_args: {size: "${data.image_size}"}}\n')
    second = write(tmp_path / "b.yaml", "data: {image_size: 64}\n")
    tree = parse(["fit", "-c", first, "-c", second, "--data.image_size", "96"]).resolve()
    assert tree["model"]["init_args"]["size"] == tree["data"]["image_size"] == 96


def test_an_interpolation_that_leads_nowhere_names_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", 'data:\n  image_size: "${dta.size}"\n')
    with pytest.raises(UsageError, match=r"a.yaml:2: data.image_size: .*dta.size"):
        parse(["fit", "-c", path]).resolve()


def test_keys_step_into_init_args_of_what_names_a_class(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "model:\n  class_path: T\n  init_args: {optimizer: Muon}\n")
    tree = parse(["fit", "-c", path, "--model.optimizer.lr", "1e-3", "--model.network.dim=64"]).tree
    assert tree["model"]["init_args"]["optimizer"] == {"class_path": "Muon", "init_args": {"lr": 1e-3}}
    assert tree["model"]["init_args"]["network"] == {"dim": 64}


def test_a_class_is_set_before_its_options_in_whatever_order_they_are_typed() -> None:
    tree = parse(["fit", "--model.optimizer.lr", "0.1", "--model.optimizer", "AdamW"]).tree
    assert tree["model"]["init_args"]["optimizer"] == {"class_path": "AdamW", "init_args": {"lr": 0.1}}


@pytest.mark.parametrize(
    ("base", "overlay", "result"),
    [
        ({"flat": 1}, {"class_path": "S", "init_args": {"a": 1}}, {"class_path": "S", "init_args": {"a": 1}}),
        ({"class_path": "A", "init_args": {"lr": 1}}, {"class_path": "B"}, {"class_path": "B"}),
        (
            {"class_path": "A", "init_args": {"lr": 1}},
            {"class_path": "A", "init_args": {"b": 2}},
            {"class_path": "A", "init_args": {"lr": 1, "b": 2}},
        ),
        (
            {"class_path": "A", "init_args": {"lr": 1}},
            {"b": 2},
            {"class_path": "A", "init_args": {"lr": 1, "b": 2}},
        ),
        ("A", {"lr": 1}, {"class_path": "A", "init_args": {"lr": 1}}),
        ({"flat": 1}, {"warmup": 2}, {"flat": 1, "warmup": 2}),
    ],
)
def test_options_go_with_their_class(base: Any, overlay: Any, result: Any) -> None:
    tree = {"optimizer": base}
    merge(tree, {"optimizer": overlay})
    assert tree == {"optimizer": result}


def test_another_task_keeps_the_options_that_all_tasks_have() -> None:
    tree = {"model": {"class_path": "A", "init_args": {"network": {"dim": 8}}}}
    merge(tree, {"model": {"class_path": "B"}})
    assert tree == {"model": {"class_path": "B", "init_args": {"network": {"dim": 8}}}}


def test_one_seed_goes_everywhere() -> None:
    tree = parse(["fit", "--seed", "3"]).tree
    assert tree == {"seed_everything": 3, "model": {"init_args": {"seed": 3}}, "data": {"seed": 3}}


def test_null_takes_a_block_away() -> None:
    base = {"decoders": {"video": {"class_path": "V"}, "action": {"class_path": "A"}}, "x": 1}
    merge(base, {"decoders": {"video": None}, "x": None})
    assert base == {"decoders": {"action": {"class_path": "A"}}, "x": None}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a:\n  b: 1\n c: 2\n", r"a.yaml:3: not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", r"a.yaml:3: a is given twice"),
        ("- 1\n", r"a.yaml:1: a config is a mapping"),
        ("a: !!python/object/apply:os.getcwd []\n", r"a.yaml:1: not valid YAML"),
    ],
)
def test_bad_yaml_names_file_and_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path / "a.yaml", text)
    with pytest.raises(UsageError, match=complaint):
        parse(["fit", "-c", path])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-c", "a.yaml", "fit"], "The command comes first"),
        (["fit", "--model", "m.yaml"], "write `fit -c m.yaml`"),
        (["fit", "extra"], "Unexpected 'extra'"),
        (["fit", "-c", "tiney"], "Unknown config file 'tiney'. Did you mean 'tiny'"),
    ],
)
def test_wrong_usage_says_what_is_right(arguments: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse(arguments)


def test_numbers_mean_what_they_look_like(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "a: 1e-3\nb: 3\nc: -2.5\nd: 00:00:10:00\ne: .inf\nf: 1_000\n")
    tree = parse(["fit", "-c", path]).tree
    assert tree == {"a": 1e-3, "b": 3, "c": -2.5, "d": "00:00:10:00", "e": float("inf"), "f": 1000}
    assert isinstance(tree["b"], int)
