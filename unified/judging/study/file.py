"""A study's file: what is recorded, what is trained on it, and how it is judged; checked before anything runs.

    description: what the study asks
    recordings:                       # made once; options of `unified record`
      demonstrations: {suite: metaworld-demo, episodes: 25}
    configs: [demo]                   # files of `unified fit`
    overrides: {data.sources: [{root: demonstrations}]}         # its --key value; a root may be a recording from above
    evaluate:                         # options of `unified evaluate`
      validation: {suite: metaworld-demo, split: validation}
    seeds: [0, 1, 2]
    cpu_minutes: [10, 40]             # of training; or steps: [1000, 4000]
    arms:
      with video: {}
      without: {configs: [policy_only]}

What an arm says is laid over what stands above: its configs come after, its overrides are added, the rest is replaced.
Other keys of an arm, or of all: `start` (a run or a training checkpoint to go on from), `corrections` (see `stages`),
`curve` and `x` (its place in the plot), and for the whole study `axis` (what x is).
"""

import argparse
import itertools
import json
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Required, TypedDict, cast

from msgspec import Meta

from unified.atomic import write_text
from unified.cli import build_parser
from unified.commands.record import make_plan
from unified.errors import UserError, unknown_name
from unified.judging.evaluation import suite_episodes
from unified.model.plain import Count, conform, differences, read_json
from unified.rollout.recording.plan import check_plan
from unified.rollout.suites import load_suite
from unified.training.options import parse, read_yaml

_BEGUN = "begun.json"
_OWN = {"record": ("--output", "."), "evaluate": ("--output", ".", "--policy", "expert")}  # what the study itself gives
_TAKEN = ("tensorboard", "logs", "recorded")
_Some = Meta(min_length=1)


class ArmOptions(TypedDict, total=False):
    """What an arm may say."""

    configs: list[str]
    overrides: dict[str, Any]
    evaluate: Annotated[dict[str, dict[str, Any]], _Some]
    seeds: Annotated[list[Annotated[int, Meta(ge=0)]], _Some]
    cpu_minutes: Annotated[list[Annotated[float, Meta(gt=0)]], _Some]
    steps: Annotated[list[Count], _Some]
    start: str
    corrections: dict[str, Any]
    curve: str
    x: float


class _File(ArmOptions, total=False):
    description: str
    axis: str
    recordings: dict[str, dict[str, Any]]
    arms: Required[Annotated[dict[str, ArmOptions | None], _Some]]


@dataclass(frozen=True)
class Run:
    """One model of a study.

    Attributes:
        arm, options: what is trained, and all that is said about it.
        budget, unit: of training; minutes of processor time or steps.
        seed: of training.
        sources: the data sets, as `data.sources` of `unified fit`.
        root: the study's folder.
    """

    arm: str
    options: ArmOptions
    budget: float
    unit: str
    seed: int
    sources: list[dict[str, Any]]
    root: Path

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.arm}, {self.budget:g} {self.unit}, seed {self.seed}"

    @property
    def rounds(self) -> list[int]:
        """Corrective episodes a task that are recorded before each round of training; none before the first."""
        return [0, *self.options.get("corrections", {}).get("episodes", ())]

    def condition(self, number: int) -> Path:
        """What the runs of all seeds share in a round."""
        return self.root / self.arm / (f"{self.budget:g}{self.unit}" + (f"-round{number}" if number else ""))

    def folder(self, number: int) -> Path:
        """Where a round of it trains."""
        return self.condition(number) / f"seed{self.seed}"

    def words(self) -> list[str]:
        """The command line of `unified fit`, without the budget."""
        configs = [word for config in self.options.get("configs", ()) for word in ("-c", config)]
        return ["fit", *configs, *as_words(self.options.get("overrides", {})), "--seed", str(self.seed)]


@dataclass(frozen=True)
class Study:
    """Everything that is compared."""

    path: Path
    root: Path
    axis: str
    recordings: dict[str, dict[str, Any]]
    runs: list[Run]

    @property
    def name(self) -> str:
        """The file's, without its ending."""
        return self.path.stem

    def recorded(self, name: str) -> Path:
        """Folder of a recording."""
        return self.root / name

    def begin(self) -> None:
        """Remember what each part was begun with; what is added later is remembered then.

        Raises:
            UserError: if a part was begun otherwise.
        """
        now = {f"recordings.{name}": options for name, options in self.recordings.items()}
        now |= {run.name: {"fit": parse(run.words()).resolve(), **_lasting(run)} for run in self.runs}
        for run in self.runs:
            now |= {f"{run.name}: evaluate.{key}": value for key, value in run.options.get("evaluate", {}).items()}
        now = json.loads(json.dumps(now, default=str))
        before: dict[str, Any] = read_json(self.root / _BEGUN, dict) if (self.root / _BEGUN).exists() else {}
        for part in now.keys() & before.keys():
            for key, (old, new) in differences(before[part], now[part]).items():
                raise UserError(
                    f"{self.path}: {part}: {key} was {old!r:.80} when the study was begun, now it is {new!r:.80}; "
                    "change it back, or choose another --output."
                )
        if now.keys() - before.keys():
            write_text(self.root / _BEGUN, json.dumps(before | now, indent=1) + "\n")


def load_study(name: str, root: Path | None = None, quick: bool = False) -> Study:
    """Read a study, by path or by its name among those in configs/studies, and check all that it names.

    Args:
        root: its folder; default: runs/NAME.
        quick: a few steps and episodes of everything, to see that it runs.

    Raises:
        UserError: if there is none, or something in it cannot be run; naming the file.
    """
    path = _find(name)
    origins: dict[str, str] = {}
    values = read_yaml(path, origins)
    _check_keys(values, _File.__annotations__, "", origins)
    for arm, own in values["arms"].items() if isinstance(values.get("arms"), dict) else ():
        _check_keys(own if isinstance(own, dict) else {}, ArmOptions.__annotations__, f"arms.{arm}.", origins)
    file = cast(_File, conform(values, _File, path))
    root = root or Path("runs") / (f"{path.stem}-quick" if quick else path.stem)
    recordings = file.get("recordings", {})
    arms = {arm: _merged(file, own or {}) for arm, own in file["arms"].items()}
    if quick:
        recordings = {key: {**options, "episodes": 1} for key, options in recordings.items()}
        arms = {arm: _shrunk(options) for arm, options in arms.items()}
    names = [*recordings, *arms]
    for each in [*names, *(key for arm in arms.values() for key in arm.get("evaluate", {}))]:
        if not re.fullmatch(r"\w[\w .,+-]*", each) or names.count(each) > 1 or each in _TAKEN:
            raise UserError(
                f"{path}: {each!r} cannot be a name: names are folders, of letters, digits, -, . and spaces."
            )
    for each, options in recordings.items():
        with _said_of(f"{path}: recordings.{each}"):
            _check_recording(options)
    runs: list[Run] = []
    for arm, options in arms.items():
        with _said_of(f"{path}: arms.{arm}"):
            runs += _runs(root, arm, options, recordings)
    return Study(path, root, file.get("axis", ""), recordings, runs)


def as_words(options: Mapping[str, Any]) -> list[str]:
    """Options as `unified fit` reads them."""
    words: list[str] = []
    for key, value in options.items():
        words += [f"--{key}", value if isinstance(value, str) else json.dumps(value)]
    return words


def options_of(command: str, options: Mapping[str, Any]) -> list[str]:
    """A command line of any other command: switches have no value, lists have commas."""
    words: list[str] = []
    for key, value in options.items():
        name = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            words += [name] if value else []
        else:
            words += as_words({name[2:]: ",".join(map(str, value)) if isinstance(value, list) else value})
    return [command, *words]


def _find(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    folder = Path(__file__).resolve().parents[3] / "configs" / "studies"
    if not (folder / f"{name}.yaml").is_file():
        raise unknown_name("study (and no file)", name, (path.stem for path in folder.glob("*.yaml")))
    return folder / f"{name}.yaml"


def _check_keys(values: Mapping[str, Any], allowed: Iterable[str], prefix: str, origins: Mapping[str, str]) -> None:
    for key in values:
        if key not in allowed:
            where = origins.get(f"{prefix}{key}") or origins.get(prefix[:-1], "The study")
            raise UserError(f"{where}: {unknown_name('key', key, allowed)}")


def _merged(file: _File, own: ArmOptions) -> ArmOptions:
    shared = {key: value for key, value in file.items() if key in ArmOptions.__annotations__}
    for unit, other in (("steps", "cpu_minutes"), ("cpu_minutes", "steps")):
        if unit in own:
            shared.pop(other, None)
    configs = [*file.get("configs", ()), *own.get("configs", ())]
    overrides = {**file.get("overrides", {}), **own.get("overrides", {})}
    return cast(ArmOptions, {**shared, **own, "configs": configs, "overrides": overrides})


def _shrunk(options: ArmOptions) -> ArmOptions:
    small: dict[str, Any] = {key: value for key, value in options.items() if key != "cpu_minutes"}
    small |= {"steps": [4], "seeds": options.get("seeds", [0])[:1]}
    small["evaluate"] = {key: {**judged, "episodes": 1} for key, judged in options.get("evaluate", {}).items()}
    if "corrections" in small:
        small["corrections"] = {**small["corrections"], "episodes": [1]}
    return cast(ArmOptions, small)


def _runs(root: Path, arm: str, options: ArmOptions, recordings: Mapping[str, Any]) -> Iterable[Run]:
    if ("steps" in options) == ("cpu_minutes" in options) or not options.get("configs") or "evaluate" not in options:
        raise UserError("An arm needs configs, evaluate, and one budget: cpu_minutes, such as [10], or steps.")
    for key, judged in options.get("evaluate", {}).items():
        with _said_of(f"evaluate.{key}"):
            args = _parsed("evaluate", judged)
            suite_episodes(load_suite(args.suite), args.split, args.episodes)
    with _said_of("corrections"):
        _check_corrections(options.get("corrections", {"episodes": []}))
    start = options.get("start", ".")
    if not (Path(start).is_file() if start.endswith(".ckpt") else Path(start).is_dir()):
        raise UserError(f"there is no checkpoint or run {start} to start from.")
    if "start" in options and "corrections" not in options:
        raise UserError("start goes on in rounds of corrections; without them nothing would be trained.")
    budgets = [(value, "min") for value in options.get("cpu_minutes", ())]
    budgets += [(float(value), "steps") for value in options.get("steps", ())]
    for (budget, unit), seed in itertools.product(budgets, options.get("seeds", [0])):
        run = Run(arm, options, budget, unit, seed, [], root)
        run.sources.extend(_sources(run, recordings))
        yield run


def _sources(run: Run, recordings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the configs and overrides of a run name as data sets."""
    data = parse(run.words()).resolve().get("data") or {}
    sources = conform(data.get("init_args", data).get("sources", []), list[dict[str, Any]], "data.sources")
    for source in sources:
        if source.get("root") in recordings:
            source["root"] = str(run.root / source["root"])
        elif not Path(str(source.get("root"))).is_dir():
            raise UserError(
                f"there is no data set {source.get('root')}; record it, or name one of the study's recordings "
                f"({', '.join(recordings) or 'it has none'}) as root in data.sources."
            )
    return sources


def _check_recording(options: Mapping[str, Any]) -> None:
    args = _parsed("record", options)
    check_plan(make_plan(args), args.workers)


def _check_corrections(options: Mapping[str, Any]) -> None:
    if "episodes" not in options:
        raise UserError("episodes must name a number for each round, such as [10, 10, 20].")
    episodes = conform(options["episodes"], list[Count], "episodes")
    conform(options.get("source", {}), dict[str, Any], "source")
    if len(episodes) > 1 and "seed" not in options:
        raise UserError("seed must say where the first round records, such as 1000; the others go on from there.")
    if episodes:
        _check_recording(
            {key: value for key, value in options.items() if key != "source"} | {"episodes": sum(episodes)}
        )


def _parsed(command: str, options: Mapping[str, Any]) -> argparse.Namespace:
    """Options as the command itself reads them."""
    parser = build_parser(command)
    known = {word[2:].replace("-", "_") for action in parser._actions for word in action.option_strings}
    for key in options:
        if key not in (allowed := known.difference(word[2:] for word in _OWN[command])):
            raise unknown_name("option", key, allowed)
    return parser.parse_args([*options_of(command, options)[1:], *_OWN[command]])


@contextmanager
def _said_of(part: str) -> Generator[None]:
    """Say which part of the file an error is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{part}: {error}") from error


def _lasting(run: Run) -> dict[str, Any]:
    return {key: run.options.get(key) for key in ("start", "corrections")} | {"sources": run.sources}
