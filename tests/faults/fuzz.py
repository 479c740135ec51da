"""Malformed files and options, drawn from a seed: whatever is wrong, a command says so in one line and ends."""

import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.faults.forks import run_command
from tests.faults.world import EVALUATE, FIT, RECORD, copy_world

VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 0.5, 1e308, float("nan"), float("inf"), 2**70, "", "x", "-1", "\u2028", "../../x", "/"),
    *(
        [],
        {},
        [None],
        ["x", 1],
        {"a": 1},
        "0" * 3000,
        [[[[]]]],
        {"class_path": "os.system", "init_args": {"c": "true"}},
    ),
)
TEXTS: tuple[bytes, ...] = (
    *(b"", b"null", b"[]", b"{}", b"7", b'"text"', b"\xff\xfe\x00\x01", b"[" * 5000, b"{" * 3000, b'{"a": ' * 2000),
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12\n",
)
_MULTIPLIED = b"".join(f"x{n}: &x{n} [{','.join([f'*x{n - 1}'] * 9)}]\n".encode() for n in range(1, 12))
YAML_TEXTS: tuple[bytes, ...] = (
    *(b"&a [*a]", b"a: &a\n  b: *a\n", b"trainer: &t\n  x: *t\n", b"x0: &x0 [1,1,1,1,1,1,1,1,1]\n" + _MULTIPLIED),
    *(b"!!python/object/apply:os.system ['true']", b"a: b: c", b"\t- x", b"? {a: 1}\n: 2", b"1: 2", b"? [1, 2]\n: 3"),
    *(b"trainer: 2020-01-01", b"trainer: 2020-99-99", b"trainer: *nobody"),
)
MORE_OPTIONS = (
    *("trainer.devices", "trainer.accelerator", "trainer.precision", "trainer.strategy", "trainer.max_time", "seed"),
    *("trainer.accumulate_grad_batches", "trainer.limit_train_batches", "trainer.num_nodes", "trainer.callbacks"),
    *(
        "trainer.logger",
        "trainer.plugins",
        "trainer.profiler",
        "ema.decay",
        "films.rows",
        "checkpoints.keep",
        "run_dir",
    ),
    *("ckpt_path", "model.network.compile", "model.loss_weights", "model.optimizer", "data.holdout", "checkpoints"),
)


@dataclass(frozen=True)
class Target:
    """A file, or a folder of files, that a command reads; `after` mends digests so that the content is looked at."""

    path: str
    argv: tuple[str, ...]
    kind: str
    after: Callable[[Path], None] | None = None


def _mend_manifest(folder: Path) -> None:
    model = folder / "run" / "pretrained"
    names = ("model.safetensors", "stats.safetensors", "config.yaml")
    with contextlib.suppress(OSError, ValueError, RecursionError, TypeError):  # it may be what was damaged
        manifest = json.loads((model / "manifest.json").read_text())
        manifest |= {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in names}
        (model / "manifest.json").write_text(json.dumps(manifest))


_LOOK = ("fit", "-c", "run.yaml", "--run_dir", "new", "--print-model")
_GENERATE = ("generate", "--checkpoint", "run", "--data", "set", "--output", "film")
_RESUME = (*RECORD, "--episodes", "1", "--output", "sim", "--resume")
_ARM = ("import", "robot_franka_usb", "--output", "out", "--repair", "all", "--cameras", "wrist_cam")
_CAR = ("import", "driving_rc_car", "--output", "out", "--repair", "timestamps")
TARGETS = (
    Target("run.yaml", _LOOK, "yaml"),
    Target("run.yaml", _LOOK, "yaml"),
    Target("set/meta/info.json", _LOOK, "json"),
    Target("set/meta/unified.json", _LOOK, "json"),
    Target("set", (*FIT[:-1], "new", "--trainer.limit_val_batches", "0"), "binary"),
    Target("run/pretrained/config.yaml", _GENERATE, "yaml", _mend_manifest),
    Target("run/pretrained/config.yaml", _GENERATE, "yaml", _mend_manifest),
    Target("run/pretrained/config.yaml", _GENERATE, "yaml", _mend_manifest),
    Target("run/pretrained/manifest.json", _GENERATE, "json"),
    Target("run/pretrained/manifest.json", _GENERATE, "json"),
    Target("run/pretrained", _GENERATE, "binary", _mend_manifest),
    Target(
        "run/checkpoints", ("generate", "--checkpoint", "run/checkpoints/step-00000001.ckpt", "--data", "set"), "binary"
    ),
    Target("run/checkpoints", (*FIT, "--ckpt_path", "last"), "binary"),
    Target("suite.yaml", (*EVALUATE, "--output", "new"), "yaml"),
    Target("suite.yaml", (*EVALUATE, "--output", "new"), "yaml"),
    Target("sim/meta/unified.json", _RESUME, "json"),
    Target("sim/meta/info.json", _RESUME, "json"),
    Target("sim/meta/stats.json", _RESUME, "json"),
    Target("sim", _RESUME, "binary"),
    Target("robot_franka_usb/meta/info.json", _ARM, "json"),
    Target("robot_franka_usb/meta/info.json", _ARM, "json"),
    Target("robot_franka_usb/meta/tasks.jsonl", _ARM, "jsonl"),
    Target("robot_franka_usb/meta/episodes.jsonl", _ARM, "jsonl"),
    Target("robot_franka_usb/data", _ARM, "binary"),
    Target("robot_franka_usb/videos", _ARM, "binary"),
    Target("driving_rc_car/catalog.jsonl", _CAR, "jsonl"),
    Target("driving_rc_car/images", _CAR, "binary"),
)


def fuzz(world: Path, folder: Path, cases: int, seed: int) -> Iterator[tuple[str, str]]:
    """Damage one thing after the other; yields what was done and what was wrong with the answer ("" if nothing)."""
    names = [name for name in leaves(yaml.safe_load((world / "run" / "config.yaml").read_text())) if name]
    for number in range(cases):
        rng = random.Random(f"{seed}-{number}")
        if rng.random() < 0.25:
            what, argv = _odd_option(rng, [*names, *MORE_OPTIONS, *MORE_OPTIONS])
            copy_world(world, "run.yaml", folder)
        else:
            target = rng.choice(TARGETS)
            copy_world(world, target.path, folder)
            what, argv = damage(folder / target.path, target.kind, rng), target.argv
            if target.after is not None:
                target.after(folder)
        yield f"#{number} {argv[0]} {what}", run_command(argv, folder).fault


def _odd_option(rng: random.Random, names: list[str]) -> tuple[str, tuple[str, ...]]:
    from unified.cli import build_parser

    value = rng.choice(VALUES)
    text = value if isinstance(value, str) else json.dumps(value)
    verb = rng.choice(("fit", "fit", "record", "import", "evaluate", "generate"))
    base = {"fit": _LOOK, "record": _RESUME, "import": _ARM, "generate": _GENERATE}.get(
        verb, (*EVALUATE, "--output", "new")
    )
    if verb == "fit":
        option = f"--{rng.choice(names)}"
    else:
        known = [action for action in build_parser(verb)._actions if action.option_strings and action.nargs != 0]
        option = rng.choice(known).option_strings[-1]
    return f"{option}={text:.40}", (*base, f"{option}={text}")


def damage(path: Path, kind: str, rng: random.Random) -> str:
    """Change a file so that it may no longer be what it should; returns what was done."""
    if path.is_dir():
        path = rng.choice(sorted(item for item in path.rglob("*") if item.is_file()))
    hows = (
        ("text", "cut", "flip", "folder", "gone")
        if kind == "binary"
        else ("tree", "tree", "tree", "text", "cut", "flip")
    )
    how, content = rng.choice(hows), path.read_bytes()
    if how == "tree":
        how = _damage_tree(path, kind, rng)
    elif how == "text":
        new = rng.choice(TEXTS + (YAML_TEXTS if kind == "yaml" else ()))
        path.write_bytes(new)
        how = f"is {new[:30]!r}"
    elif how == "cut":
        how = cut(path, content, rng)
    elif how == "flip":
        how = flip(path, content, rng)
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
    return f"{path.name} {how}"


def cut(path: Path, content: bytes, rng: random.Random) -> str:
    """Leave the beginning only."""
    size = rng.randrange(max(1, len(content)))
    path.write_bytes(content[:size])
    return f"cut to {size} of {len(content)} bytes"


def flip(path: Path, content: bytes, rng: random.Random) -> str:
    """Turn one bit over."""
    changed, place = bytearray(content or b"\0"), rng.randrange(max(1, len(content)))
    changed[place] ^= 1 << rng.randrange(8)
    path.write_bytes(changed)
    return f"a bit of byte {place} flipped"


def _damage_tree(path: Path, kind: str, rng: random.Random) -> str:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if kind == "jsonl" else [text]
    number = rng.randrange(len(lines))
    tree = [yaml.safe_load(lines[number]) if kind == "yaml" else json.loads(lines[number])]
    node, key, name = rng.choice(list(_places(tree))[1:] or list(_places(tree)))
    how = rng.choice(("replaced", "replaced", "replaced", "deleted", "renamed", "wrapped"))
    if how == "deleted" and isinstance(node, dict):
        del node[key]
    elif how == "renamed" and isinstance(node, dict):
        node[f"{key}x"] = node.pop(key)
    elif how == "wrapped":
        node[key] = [node[key]]
    else:
        node[key] = rng.choice(VALUES)
        how = f"= {node[key]!r:.40}"
    lines[number] = yaml.safe_dump(tree[0], sort_keys=False) if kind == "yaml" else json.dumps(tree[0])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"{name.removeprefix('.0')} {how}"


def leaves(tree: Any) -> list[str]:
    """Dotted names of everything in a config."""
    return [name.removeprefix(".") for node, _, name in _places(tree) if isinstance(node, dict)]


def _places(tree: Any, name: str = "") -> Iterator[tuple[Any, Any, str]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key, f"{name}.{key}"
        yield from _places(value, f"{name}.{key}")
