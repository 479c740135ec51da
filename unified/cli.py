"""The `unified` program: finds the command, imports only that one, and turns errors into one line.

Nothing here imports torch, so `unified --help` answers at once.
"""

import argparse
import difflib
import errno
import os
import select
import shutil
import signal
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import unified
from unified.errors import UserError, unknown_name

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("unified.commands.demo", "record, train, act and imagine on a small scale; one HTML report"),
    "record": ("unified.commands.record", "let a policy act in environments and keep it as a dataset"),
    "import": ("unified.commands.import_", "turn a dataset of another layout into a checked LeRobot v3 dataset"),
    "check": ("unified.commands.check", "look at a dataset to its last frame and say what is wrong with it"),
    "fit": ("unified.training.cli", "train what a YAML file describes"),
    "validate": ("unified.training.cli", "losses and metrics of a checkpoint on the validation windows"),
    "test": ("unified.training.cli", "losses and metrics of a checkpoint on the test windows"),
    "predict": ("unified.training.cli", "a checkpoint's answers, as safetensors files"),
    "evaluate": ("unified.commands.evaluate", "run a policy in a suite: success with intervals, films, a report"),
    "compare": (
        "unified.commands.compare",
        "a new result against an old one: what broke, what was mended",
    ),
    "study": ("unified.commands.study", "compare recipes that a file describes: recordings, arms, seeds, budgets"),
    "generate": ("unified.commands.generate", "imagine the film that follows a recorded frame"),
    "play": ("unified.commands.play", "steer a checkpoint's dream in the browser, beside the real world"),
    "watch": ("unified.commands.watch", "make a drift watch, which ends dreams that deserve no belief"),
    "gallery": ("unified.commands.gallery", "a page with a film of every environment, its expert and its speed"),
    "doctor": ("unified.commands.doctor", "what this machine has and lacks, with the fix for each"),
}
TRAINING_VERBS = tuple(name for name, (module, _) in COMMANDS.items() if module == "unified.training.cli")
DEBUG_VARIABLE = "UNIFIED_DEBUG"
MACHINE_ERRORS = {
    errno.ENOMEM: "Use fewer workers, a smaller batch or smaller images.",
    errno.EAGAIN: "No more processes can be started; use fewer workers.",
    errno.EFBIG: "A file would be larger than allowed; raise the limit (ulimit -f), or write to another disk.",
    errno.EDQUOT: "Free some space, or write to another disk.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or use fewer workers.",
    errno.ENFILE: "Too many files are open on this machine.",
    errno.EROFS: "Write to another place.",
    errno.EIO: "The disk or the terminal is gone.",
}


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line with the nearest right name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)

    def parse_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse, and answer unknown options with the nearest known ones."""
        arguments = sys.argv[1:] if args is None else list(args)
        options = [option for action in self._actions for option in action.option_strings]
        # Before argparse sees them: it would first complain of a required option that was only misspelt.
        for word in (item.split("=")[0] for item in arguments):
            if word == "--":
                break
            if word.startswith("--") and word not in options:
                self.error(f"unknown option {word!r}.{_nearest(word, options)}")
        parsed, unknown = self.parse_known_args(arguments, namespace)
        if unknown:
            self.error(f"unknown argument {unknown[0]!r}.{_nearest(unknown[0], options)}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Say it in one line on stderr and exit with status 2."""
        self.exit(2, f"unified: error: {message} See `{self.prog} --help`.\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            listing = ", ".join(choices)
            raise argparse.ArgumentError(action, f"{value!r} is not one of {listing}.{_nearest(str(value), choices)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Status: 0 done, 1 an error the message explains (or a command's own ERROR_STATUS), 2 wrong usage, 130 Ctrl-C,
    143 SIGTERM. With `UNIFIED_DEBUG=1` the traceback is shown too.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        _complain("interrupted.")
        return 128 + signal.SIGINT
    except (UserError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError) and _is_reader_gone():
            # `unified ... | head`: nothing to say, and nobody to say it to.
            _drop_output()
            return 128 + signal.SIGPIPE
        message = _explain(error)
        if message is None or os.environ.get(DEBUG_VARIABLE):
            raise
        _complain(message)
        return getattr(import_module(COMMANDS[arguments[0]][0]), "ERROR_STATUS", 1)
    finally:
        _drop_output_if_unwritable()


def build_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one command (not of the training verbs, which parse by themselves)."""
    module = import_module(COMMANDS[name][0])
    parser = CommandParser(prog=f"unified {name}", description=module.HELP, epilog=_epilog(module.EXAMPLES))
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(_overview())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        sys.stdout.write(f"unified {unified.__version__}\n")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        is_option = name.startswith("-")
        error = unknown_name("option", name, ("--help", "--version")) if is_option else None
        _complain(f"{error or unknown_name('command', name, COMMANDS)} See `unified --help`.")
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, _terminate)
    if name in TRAINING_VERBS:
        return import_module(COMMANDS[name][0]).main([name, *rest])
    try:
        parsed = build_parser(name).parse_args(rest)
    except SystemExit as stop:  # argparse ends with it after --help (0) and wrong usage (2)
        return stop.code if isinstance(stop.code, int) else 1
    return parsed.run(parsed)


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that every `with` and `finally` on the way out cleans up and ends its worker processes.
    raise SystemExit(128 + number)


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = "\n".join(f"  {name:<{width}}{text}" for name, (_, text) in COMMANDS.items())
    return (
        "usage: unified COMMAND [OPTIONS]\n\nOne model of future video and actions: policy, world model, film.\n\n"
        f"commands:\n{lines}\n\n"
        "options:\n  -h, --help     this text; `unified COMMAND --help` shows a command's own\n"
        "  -V, --version  the version\n\n"
        f"examples:\n  unified demo\n  unified doctor\n\n{DEBUG_VARIABLE}=1 shows tracebacks.\n"
    )


def _epilog(examples: str) -> str:
    return "examples:\n" + "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())


def _nearest(name: str, choices: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def _explain(error: BaseException) -> str | None:
    """One line for an error that the user or the machine caused; None if it may be our own fault."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {error}. Use fewer workers, a smaller batch or smaller images."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = error.filename or os.getcwd()
        folder = place if os.path.isdir(place) else os.path.dirname(os.path.abspath(place))
        free = shutil.disk_usage(folder if os.path.isdir(folder) else "/").free / 1e6
        return f"disk full while writing {place}: {free:.0f} MB free there. Free some space and run again."
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. {MACHINE_ERRORS[error.errno]}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}. ({DEBUG_VARIABLE}=1 shows where this came from.)"
    return None


class LastingStream:
    """A stream whose reader may go away: what is written then is dropped, and the program goes on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop."""
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        self._try(self._stream.flush)

    def _try(self, function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextmanager
def lasting_output() -> Generator[None]:
    """Standard output and error that do not end the program when a pipe or a terminal closes."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(LastingStream, streams)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def _open_closed_streams() -> None:
    """Give the program streams that it was started without; files opened later would take their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the program runs
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _is_reader_gone() -> bool:
    """Whether stdout is a pipe that nobody reads any more (a worker's broken pipe is another matter)."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _drop_output_if_unwritable() -> None:
    # Otherwise the interpreter would try to write the rest on its way out and end with status 120 and a traceback.
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str) -> None:
    sys.stderr.write(f"unified: error: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
