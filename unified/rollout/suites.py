"""Suites: named lists of environments and seeds that policies are judged on, one YAML file each in configs/suites."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from unified.errors import UserError, unknown_name
from unified.model.plain import conform, parse_yaml, read_yaml
from unified.rollout.environments import ADAPTERS

_KINDS: dict[str, tuple[type, str]] = {
    "name": (str, "a text"),
    "description": (str, "a text"),
    "env_kwargs": (dict, "a mapping such as {cameras: [corner2], image_size: 64}"),
    "adapter": (dict, "a mapping such as {task: ..., success: info.success} (docs/environments.md)"),
    "max_env_steps": (int, "a positive number"),
    "episodes_per_task": (int, "a positive number"),
    "first_seed": (dict, "a mapping such as {train: 0, validation: 5000, test: 10000}"),
    "include": (list, "a list of suites such as [screen, games]"),
}


class _Fields(TypedDict, total=False):
    first_seed: dict[str, int]
    env_kwargs: dict[str, Any]


_OF_PARTS = ("tasks", "env_kwargs", "adapter", "max_env_steps", "first_seed")


@dataclass(frozen=True)
class SuiteTask:
    """One environment of a suite; `group` is its difficulty or family, for the means per group."""

    env_id: str
    group: str = "all"


@dataclass(frozen=True)
class Suite:
    """What a policy is judged on.

    Attributes:
        name, description: how people call it and what it is for.
        env_kwargs: arguments for every environment (cameras, image_size); by environment id, in `adapters`, what a file
            says in `adapter` of all its environments and of each.
        max_env_steps: env steps after which an episode counts as failed.
        episodes_per_task: how many seeds of every task by default.
        first_seed: first environment seed of every split, whose range ends where the next one begins: `train` to
            record, `validation` to choose between recipes, `test` to judge the chosen one.
        tasks: the environments, in the order of every table.
        parts: the suites that this one is made of, each run with its own cameras, steps and seeds; empty for a plain
            suite. Their names are the groups.
    """

    name: str
    tasks: tuple[SuiteTask, ...]
    description: str = ""
    env_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    max_env_steps: int = 250
    episodes_per_task: int = 20
    first_seed: Mapping[str, int] = field(default_factory=lambda: {"train": 0, "validation": 5000, "test": 10_000})
    parts: tuple["Suite", ...] = ()

    @property
    def leaves(self) -> tuple["Suite", ...]:
        """The plain suites inside: itself, or its parts."""
        return self.parts or (self,)

    @property
    def groups(self) -> dict[str, str]:
        """Group of every environment."""
        return {task.env_id: task.group for task in self.tasks}

    @property
    def without_expert(self) -> list[str]:
        """Environments whose adapter names no expert."""
        adapters = [item for part in self.leaves for item in part.env_kwargs.get(ADAPTERS, {}).items()]
        return [env_id for env_id, options in adapters if "expert" not in options]

    def seeds(self, split: str, episodes_per_task: int | None = None) -> range:
        """The environment seeds of a split.

        Raises:
            UserError: if there is no such split, or it does not hold so many seeds.
        """
        if split not in self.first_seed:
            raise unknown_name(f"split of suite {self.name}", split, self.first_seed)
        count = self.episodes_per_task if episodes_per_task is None else episodes_per_task
        if count < 1:
            raise UserError(f"The number of episodes per task must be at least 1, got {count}.")
        first = self.first_seed[split]
        end = min((start for name, start in self.first_seed.items() if name != split and start >= first), default=None)
        if end is not None and first + count > end:
            raise UserError(
                f"Suite {self.name}: split {split!r} holds {end - first} seeds, {count} episodes per task would share "
                f"seeds with the next one (first_seed {dict(self.first_seed)})."
            )
        return range(first, first + count)


def with_env_kwargs(suite: Suite, env_kwargs: Mapping[str, Any]) -> Suite:
    """The same suite in environments that are made with some other arguments."""
    parts = tuple(with_env_kwargs(part, env_kwargs) for part in suite.parts)
    return dataclasses.replace(suite, env_kwargs={**suite.env_kwargs, **env_kwargs}, parts=parts)


def parse_env_kwargs(text: str) -> dict[str, Any]:
    """What `--env-kwargs` says, a mapping in YAML such as `{latency_ms: 100}`.

    Raises:
        UserError: if it is none.
    """
    values = parse_yaml(text, "--env-kwargs")[1]
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"--env-kwargs must be a mapping such as '{{latency_ms: 100}}', got {text!r}.")
    return values


def suite_names() -> list[str]:
    """Names of the suites that come with the project."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_suite(name_or_path: str | Path) -> Suite:
    """Read a suite by name (configs/suites/<name>.yaml) or from a YAML file.

    Raises:
        UserError: if there is none, or a key is missing, misspelt or of a wrong type; the message names the file.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = _folder() / f"{name_or_path}.yaml"
        if not path.is_file():
            raise unknown_name("suite", str(name_or_path), suite_names())
    if not path.is_file():
        raise UserError(f"There is no suite file {path}. Suites by name: {', '.join(suite_names())}.")
    return _parse(read_yaml(path)[1], path)


def _parse(values: object, path: Path) -> Suite:
    if not isinstance(values, Mapping):
        raise UserError(f"{path} must hold keys such as name and tasks, got {type(values).__name__}.")
    allowed = {item.name for item in dataclasses.fields(Suite)} - {"parts"} | {"include", "adapter"}
    for key in values:
        if key not in allowed:
            raise UserError(f"{path}: {unknown_name('key', str(key), allowed)}")
    if not isinstance(values.get("tasks", []), list) or not (values.get("tasks") or values.get("include")):
        raise UserError(f"{path}: tasks must be a list such as [{{env_id: 'sims:MetaWorld-reach-v3', group: easy}}].")
    for key, (kind, wanted) in _KINDS.items():
        value = values.get(key, kind(1) if kind is int else kind())
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 1):
            raise UserError(f"{path}: {key} must be {wanted}, got {value!r}.")
    conform(values, _Fields, path)
    suite = _compose(values, path) if "include" in values else _plain(values, path)
    _check_tasks(suite, path)
    return suite


def _plain(values: Mapping[str, Any], path: Path) -> Suite:
    tasks = tuple(_parse_task(item, path) for item in values["tasks"])
    own = {name: value for name, value in values.items() if name != "adapter"}
    suite = Suite(**{"name": path.stem, **own, "tasks": tasks})
    adapters = _adapters(values, path)
    if not adapters:
        return suite
    # Whether it lasted to its last step is seen in the environment.
    env_kwargs = {"max_env_steps": suite.max_env_steps, **suite.env_kwargs, ADAPTERS: adapters}
    return dataclasses.replace(suite, env_kwargs=env_kwargs)


def _adapters(values: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """By environment: what the file says of all, and over it what it says of this one."""
    items = [item for item in values["tasks"] if isinstance(item, Mapping)]
    own = {str(item["env_id"]): item["adapter"] for item in items if "adapter" in item}
    for env_id, options in own.items():
        if not isinstance(options, Mapping):
            raise UserError(f"{path}: adapter of {env_id} must be {_KINDS['adapter'][1]}, got {options!r}.")
    if "adapter" in values:
        own = {_parse_task(item, path).env_id: {} for item in values["tasks"]} | own
    return {env_id: {**values.get("adapter", {}), **options} for env_id, options in own.items()}


def _compose(values: Mapping[str, Any], path: Path) -> Suite:
    """A suite made of others; what they say about themselves cannot be said again here."""
    for key in _OF_PARTS:
        if key in values:
            raise UserError(f"{path}: {key} is the included suites' own; leave it out beside include.")
    parts = [leaf for name in values["include"] for leaf in load_suite(name).leaves]
    if "episodes_per_task" in values:
        parts = [dataclasses.replace(part, episodes_per_task=values["episodes_per_task"]) for part in parts]
    return Suite(
        name=values.get("name", path.stem),
        description=values.get("description", ""),
        tasks=tuple(SuiteTask(task.env_id, part.name) for part in parts for task in part.tasks),
        max_env_steps=max(part.max_env_steps for part in parts),
        episodes_per_task=max(part.episodes_per_task for part in parts),
        first_seed=parts[0].first_seed,
        parts=tuple(parts),
    )


def _parse_task(item: object, path: Path) -> SuiteTask:
    if isinstance(item, str):
        return SuiteTask(item)
    if not isinstance(item, Mapping) or "env_id" not in item or set(item) - {"env_id", "group", "adapter"}:
        raise UserError(f"{path}: every task needs env_id and may have group and adapter, got {item!r}.")
    return SuiteTask(str(item["env_id"]), str(item.get("group", "all")))


def _check_tasks(suite: Suite, path: Path) -> None:
    seen: set[str] = set()
    for task in suite.tasks:
        if task.env_id in seen:
            raise UserError(f"{path}: {task.env_id} is listed twice.")
        seen.add(task.env_id)
    for split in () if suite.parts else suite.first_seed:
        try:
            suite.seeds(split)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error


def _folder() -> Path:
    """configs/suites beside this package: in the repository and, packed in the wheel, in site-packages."""
    return Path(__file__).resolve().parents[2] / "configs" / "suites"
