"""The `unified` program from outside: help at once, errors in one line, signals and broken pipes ended properly."""

import json
import os
import shlex
import signal
import subprocess
import sys
from importlib import import_module, util
from pathlib import Path

import pytest

from unified.cli import COMMANDS, TRAINING_VERBS, build_parser, main

OWN_COMMANDS = [name for name in COMMANDS if name not in TRAINING_VERBS]
# A command that does what its first argument says, given to the real dispatcher in a process of its own.
TROUBLE = """
import argparse, os, signal, sys
HELP, EXAMPLES = "make trouble", "unified trouble"
def add_arguments(parser):
    parser.add_argument("kind")
def run(args):
    try:
        if args.kind == "wait":
            sys.stdout.write("ready\\n"); sys.stdout.flush()
            while True:
                signal.pause()
        if args.kind == "full":
            with open("/dev/full", "w") as file:
                file.write("x")
        if args.kind == "memory":
            raise OSError(12, "Cannot allocate memory")
        if args.kind == "large":
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
            with open("large.txt", "w") as file:
                file.write("x" * 100)
        if args.kind == "missing":
            open("nowhere/file.txt")
        if args.kind == "worker-pipe":
            read, write = os.pipe()
            os.close(read)
            os.write(write, b"x")
        if args.kind == "user":
            from unified.errors import UserError
            raise UserError("The thing is wrong; do this.")
        sys.stdout.write("x" * (10 if args.kind == "little" else 100000))
        return 0
    finally:
        sys.stderr.write("cleaned up\\n")
"""
DRIVER = """
import sys
from unified import cli
cli.COMMANDS["trouble"] = ("trouble", "make trouble")
sys.exit(cli.main(["trouble", *sys.argv[1:]]))
"""


@pytest.fixture
def trouble(tmp_path: Path, repository: Path) -> list[str]:
    (tmp_path / "trouble.py").write_text(TROUBLE)
    (tmp_path / "driver.py").write_text(f"import sys; sys.path.append({str(repository)!r})\n{DRIVER}")
    return [sys.executable, str(tmp_path / "driver.py")]


def run_unified(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unified", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120, check=False
    )


def cpu_seconds(*arguments: str) -> float:
    """User and system time of the program, children that it waited for included."""
    # Without the caches of compiled files a first run would measure the compiler.
    run_unified(*arguments)
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen([sys.executable, "-m", "unified", *arguments], stdout=nowhere, stderr=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("doctor",), ("doctor", "--json"), ("doctor", "--help")]
)
def test_help_and_doctor_answer_in_half_a_second_of_cpu(arguments: tuple[str, ...]) -> None:
    assert min(cpu_seconds(*arguments) for _ in range(2)) < 0.5


def test_help_lists_every_command() -> None:
    done = run_unified("--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_a_wrong_command_names_the_nearest_one() -> None:
    done = run_unified("evalaute")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Did you mean 'evaluate'?" in done.stderr


def test_a_wrong_option_names_the_nearest_one() -> None:
    done = run_unified("doctor", "--jsno")
    assert done.returncode == 2
    assert (
        done.stderr == "unified: error: unknown option '--jsno'. Did you mean '--json'? See `unified doctor --help`.\n"
    )


def test_a_misspelt_option_is_named_before_a_missing_one() -> None:
    done = run_unified("record", "--ouput", "somewhere")
    assert done.returncode == 2
    assert "unknown option '--ouput'. Did you mean '--output'?" in done.stderr


def test_options_may_not_be_abbreviated() -> None:
    assert run_unified("doctor", "--js").returncode == 2


def test_doctor_json_is_one_document_with_a_fix_for_every_failure() -> None:
    done = run_unified("doctor", "--json")
    answer = json.loads(done.stdout)
    assert answer["ok"] == (done.returncode == 0)
    assert {"python", "packages", "rendering", "memory", "disk", "video"} <= {
        item["name"] for item in answer["findings"]
    }
    assert all(item["fix"] for item in answer["findings"] if item["status"] in ("warn", "fail"))


def test_doctor_says_what_to_install_when_nothing_can_draw(tmp_path: Path) -> None:
    (tmp_path / "libEGL.so.1").write_text("not a library")
    done = run_unified("doctor", LD_LIBRARY_PATH=str(tmp_path), MUJOCO_GL="", UNIFIED_RENDERER="")
    assert done.returncode == 0
    assert "ray casting" in done.stdout
    assert "libegl1" in done.stdout


@pytest.mark.slow
def test_doctor_full_draws_a_picture_and_encodes_a_film() -> None:
    findings = {item["name"]: item for item in json.loads(run_unified("doctor", "--json", "--full").stdout)["findings"]}
    assert findings["picture"]["status"] == findings["film"]["status"] == "ok", findings


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_module(name: str) -> None:
    assert util.find_spec(COMMANDS[name][0]) is not None


@pytest.mark.parametrize("name", OWN_COMMANDS)
def test_every_command_shows_examples_that_its_parser_accepts(name: str) -> None:
    lines = import_module(COMMANDS[name][0]).EXAMPLES.strip().splitlines()
    assert lines
    for line in lines:
        program, command, *rest = shlex.split(line)
        assert (program, command) == ("unified", name)
        build_parser(name).parse_args(rest)
    assert lines[0].strip() in build_parser(name).format_help()


@pytest.mark.parametrize("name", [name for name in OWN_COMMANDS if name not in ("doctor", "check", "compare", "study")])
def test_every_command_that_draws_numbers_takes_a_seed(name: str) -> None:
    assert "--seed" in build_parser(name).format_help()


def test_an_error_of_the_user_is_one_line_and_status_1(trouble: list[str]) -> None:
    done = subprocess.run([*trouble, "user"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "cleaned up\nunified: error: The thing is wrong; do this.\n"


def test_debugging_shows_the_traceback(trouble: list[str]) -> None:
    environment = {**os.environ, "UNIFIED_DEBUG": "1"}
    done = subprocess.run([*trouble, "user"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("full", "disk full while writing"),
        ("missing", "nowhere/file.txt: No such"),
        ("memory", "Cannot allocate memory. Use fewer workers"),
        ("large", "File too large. A file would be larger than allowed"),
    ],
)
def test_errors_of_the_machine_are_one_line(trouble: list[str], tmp_path: Path, kind: str, words: str) -> None:
    done = subprocess.run([*trouble, kind], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert words in done.stderr


def test_a_broken_pipe_of_a_worker_is_not_taken_for_a_reader_that_left(trouble: list[str]) -> None:
    done = subprocess.run([*trouble, "worker-pipe"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr


def run_buffered(command: list[str], output: int) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment, check=False)


@pytest.mark.parametrize("amount", ["little", "much"])
def test_a_full_disk_under_the_output_is_said_once(trouble: list[str], amount: str) -> None:
    with open("/dev/full", "w") as full:
        done = run_buffered([*trouble, amount], full.fileno())
    assert done.returncode == 1
    assert done.stderr.count("\n") == 2
    assert "disk full" in done.stderr


def test_a_program_without_any_streams_goes_on(trouble: list[str]) -> None:
    command = f"{shlex.join([*trouble, 'little'])} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0


@pytest.mark.parametrize("amount", ["little", "much"])
def test_a_reader_that_leaves_is_no_error(trouble: list[str], amount: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run_buffered([*trouble, amount], write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "cleaned up\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_signals_clean_up_and_give_their_usual_status(trouble: list[str], number: signal.Signals, status: int) -> None:
    process = subprocess.Popen([*trouble, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == status
    assert "cleaned up" in errors
    assert "Traceback" not in errors


def test_main_returns_its_status_in_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("unified ")
    assert main([]) == 2
