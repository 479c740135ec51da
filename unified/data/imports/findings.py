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
    "tasks": "use the text in meta/tasks.jsonl",
    "episodes": "keep the episodes that are there, numbered from 0",
    "names": "name components as meta/modality.json does",
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
        broken: what nothing can repair; one line each.
        notes: what a user of the data should know.
    """

    lies: dict[str, _Entry] = field(default_factory=dict[str, _Entry])
    broken: list[str] = field(default_factory=list[str])
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

    def lines(self) -> dict[str, str]:
        """One line for each lie: what is wrong, where, with the values."""
        return {name: self._line(entry) for name, entry in self.lies.items()}

    def unrepaired(self, repairs: frozenset[str]) -> list[str]:
        """The lies that were not asked to be repaired."""
        return [name for name in self.lies if name not in repairs]

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
    lines, open_lies = findings.lines(), findings.unrepaired(repairs)
    if not findings.broken and not open_lies:
        return
    text = [f"  [cannot be repaired] {line}" for line in findings.broken]
    text += [f"  [{name}] {lines[name]}" for name in open_lies]
    if findings.broken:
        advice = "Nothing was written. Mend or remove these files; an import takes all episodes or none."
    else:
        advice = f"Nothing was written. To repair: --repair {','.join(open_lies)} (or all)."
    raise UserError("\n".join([f"{source} is not what its metadata say:", *text, advice]))
