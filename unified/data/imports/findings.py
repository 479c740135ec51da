"""What a check of a foreign dataset found, and which of it can be repaired on demand."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from unified.errors import UserError, unknown_name

REPAIRS = {
    "fps": "believe the times in the tables instead of meta/info.json",
    "codec": "store codec and pixel format as the films have them",
    "frame-size": "store height and width as the films have them",
    "film-rate": "re-time the films to the rate of the tables, pictures untouched",
    "extra-frames": "leave film frames without a table row out",
    "timestamps": "count times from 0 in equal steps",
    "frame-index": "number the frames of each episode from 0",
    "episode-index": "number the episodes as their files are",
    "json-columns": "turn JSON text into numbers",
    "columns": "keep number columns that meta/info.json does not declare, and declare them",
    "tasks": "use the text of the table of tasks",
    "episodes": "keep the episodes that are there, numbered from 0",
    "names": "name components as meta/modality.json does",
    "length": "count the steps that are there",
    "action-range": "clip actions to [-1, 1]",
    "rows": "leave rows out that cannot be used, and end the drive there",
}
ALL = "all"
_EXAMPLES = 2


@dataclass
class _Entry:
    examples: list[str]
    count: int = 1
    summary: str = ""


@dataclass
class Findings:
    """Collected per kind, so that the same lie in a hundred files is one line.

    Attributes:
        lies: repair name -> where; they stop an import unless that repair is asked for.
        broken: what nothing can repair -> the episodes that it concerns; one line each.
        notes: what a user of the data should know.
    """

    lies: dict[str, _Entry] = field(default_factory=dict[str, _Entry])
    broken: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    notes: list[str] = field(default_factory=list[str])

    def lie(self, repair: str, place: str, summary: str = "") -> None:
        """Note that something is not as the metadata say; `place` names the file and both values."""
        if repair not in REPAIRS:
            raise ValueError(f"no repair is called {repair!r}")
        entry = self.lies.get(repair)
        if entry is None:
            self.lies[repair] = _Entry([place], 1, summary)
            return
        entry.count += 1
        if len(entry.examples) < _EXAMPLES:
            entry.examples.append(place)

    def breaks(self, text: str, episode: int | None = None) -> None:
        """Note what cannot be repaired; the same of several episodes is one line."""
        self.broken.setdefault(text, []).extend([] if episode is None else [episode])

    def episodes(self) -> set[int]:
        """Episodes that something is broken in."""
        return {number for numbers in self.broken.values() for number in numbers}

    def forget(self, episodes: Iterable[int]) -> None:
        """Drop what concerns only these episodes."""
        left_out = set(episodes)
        left = {text: [number for number in numbers if number not in left_out] for text, numbers in self.broken.items()}
        self.broken = {text: left[text] for text, numbers in self.broken.items() if left[text] or not numbers}

    def faults(self, repairs: frozenset[str] = frozenset()) -> list[str]:
        """One line for everything that is wrong and not among the repairs, with the repair that would mend it."""
        lines = self.lines()
        text = [f"[cannot be repaired] {line}{_episodes(numbers)}" for line, numbers in self.broken.items()]
        return text + [f"[{name}] {lines[name]}" for name in self.lies if name not in repairs]

    def advice(self, repairs: frozenset[str] = frozenset()) -> str:
        """How to go on; empty if nothing is wrong."""
        if self.broken:
            numbers = sorted(self.episodes())
            skip = f"leave these episodes out (--skip-episodes {','.join(map(str, numbers))})" if numbers else ""
            return f"Mend or remove what cannot be repaired{', or ' if skip else ''}{skip}."
        open_lies = [name for name in self.lies if name not in repairs]
        return f"To repair: --repair {','.join(open_lies)} (or all)." if open_lies else ""

    def lines(self) -> dict[str, str]:
        """One line for each lie: what is wrong, where, with the values."""
        return {name: self._line(entry) for name, entry in self.lies.items()}

    @staticmethod
    def _line(entry: _Entry) -> str:
        text = "; ".join(entry.examples)
        if entry.count > len(entry.examples):
            text += f"; and {entry.count - len(entry.examples)} more like it"
        return f"{entry.summary}: {text}" if entry.summary else text


def parse_repairs(text: str | None) -> frozenset[str]:
    """The names in "fps,codec" or "all"; None is none.

    Raises:
        UserError: if there is no such repair, with the nearest right name.
    """
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    for name in names:
        if name not in REPAIRS and name != ALL:
            raise unknown_name("repair", name, [*REPAIRS, ALL])
    return frozenset(REPAIRS) if ALL in names else frozenset(names)


def unused_repairs(repairs: frozenset[str], repaired: Iterable[str]) -> list[str]:
    """The repairs that were asked for by name and for which there was nothing to do."""
    return [] if repairs == frozenset(REPAIRS) else sorted(repairs - set(repaired))


def refuse(findings: Findings, repairs: frozenset[str], source: str) -> None:
    """Stop unless everything found is to be repaired.

    Raises:
        UserError: with one line for each thing that is wrong.
    """
    faults = findings.faults(repairs)
    if faults:
        lines = (f"  {line}" for line in faults)
        advice = f"Nothing was written. {findings.advice(repairs)}"
        raise UserError("\n".join([f"{source} is not what its metadata say:", *lines, advice]))


def _episodes(numbers: list[int]) -> str:
    if not numbers:
        return ""
    shown = ", ".join(map(str, sorted(numbers)[:6])) + (", ..." if len(numbers) > 6 else "")
    return f" (episode{'s' if len(numbers) > 1 else ''} {shown})"
