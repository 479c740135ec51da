"""What is wrong with a command line or a config, in one line instead of sixty, with file and line."""

import re
from typing import Any, NoReturn

from pytorch_lightning.cli import LightningArgumentParser

from unified.training.options import Options, UsageError


class Parser(LightningArgumentParser):
    """Raises instead of printing sixty lines of usage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Shorten what jsonargparse says to the option and what it must be."""
        raise UsageError(shorten(str(message))) from ex


def shorten(message: str) -> str:
    """One line of a parser's complaint. Inner parsers complain first; what they said is in the outer one's text."""
    inner = re.search(r"option '[^']+': Expected .*", message)
    if inner:
        return inner.group(0)
    keys = re.findall(r'[Pp]arser key "([^"]+)"', message)
    wanted = [kind for kind in re.findall(r"Expected (?:an? )?<class '([^']+)'>", message) if kind != "NoneType"]
    given = re.findall(r"(?:Got value|Given value): (.*)", message)
    if keys and wanted:
        return f"option {keys[-1]!r}: Expected {' or '.join(dict.fromkeys(wanted))}. Got value: {' '.join(given)[:80]}"
    # Of a union's complaints the first is about what was meant; the others say what else might have stood there.
    items = re.findall(r"^\s*- (?!Expected an? <class 'NoneType'>)(.*)", message, re.MULTILINE)
    if "Union subtypes" in message and items:
        message = f"option {keys[0]!r}: {items[-1]}" if keys else items[-1]
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", " ".join(message.split()))[:400]


def origin_of(options: Options, message: str) -> str:
    """Give "file:line: " for the first quoted name of a message that is a key of a config."""
    if re.match(r"\S+\.ya?ml:\d+: |command line: ", message):
        return ""
    for name in re.findall(r"'([\w.]+)'", message):
        if place := options.locate(name):
            return place
    return ""
