"""The front of the command line: help, exit codes, errors, and how little is imported for them."""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import toolkit
from toolkit import cli
from toolkit.cli import COMMANDS, main
from toolkit.errors import DataError, ToolkitError, UsageError

HEAVY = {
    "torch",
    "torchvision",
    "numpy",
    "cv2",
    "PIL",
    "pydantic",
    "yaml",
    "safetensors",
    "lightning_fabric",
    "rich",
    "shtab",
    "pycocotools",
}


def python(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)


def imported_by(*words: str) -> tuple[int, set[str]]:
    """The exit code of a command, and the packages that it has imported at its end."""
    code = """
import contextlib, io, json, sys
from toolkit.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    done = python(code, *words)
    assert done.returncode == 0, done.stderr
    exit_code, modules = json.loads(done.stdout)
    return exit_code, set(modules)


# --- help


def test_every_command_has_its_module_and_every_module_its_command() -> None:
    modules = {
        info.name: importlib.import_module(f"toolkit.cli.{info.name}")
        for info in pkgutil.iter_modules(cli.__path__)
    }
    commands = {name: module for name, module in modules.items() if hasattr(module, "SUMMARY")}
    assert len(commands) >= 9
    assert {name: module.SUMMARY for name, module in commands.items()} == COMMANDS
    for module in commands.values():
        assert callable(module.add_arguments)
        assert callable(module.run)
        assert module.SUMMARY.strip().rstrip(".") == module.SUMMARY
        assert "\n" not in module.SUMMARY


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, summary in COMMANDS.items():
        assert f" {name} {summary}" in text
    assert (
        "exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done but some inputs were skipped"
        in text
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: toolkit {name}")
    assert COMMANDS[name][1:] in " ".join(text.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    commands = cli.build_parser()._subparsers
    assert commands is not None
    (choice,) = commands._group_actions
    parsers, checked = [choice.choices[name]], 0  # type: ignore[index]
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action.choices, dict):
                parsers += action.choices.values()
            else:
                assert action.help, f"{parser.prog}: {action.option_strings or action.dest}"
                checked += 1
    assert checked >= 2


def test_no_command_prints_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: toolkit" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"toolkit {toolkit.__version__}\n"


def test_python_m_toolkit_is_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"toolkit {toolkit.__version__}\n")
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "plugins", "info", "unett"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown plugin 'unett'. Did you mean 'unet'?")
    assert done.stdout == ""


# --- what is imported


def test_help_imports_next_to_nothing() -> None:
    code, modules = imported_by("--help")
    assert code == 0
    assert not HEAVY & modules


@pytest.mark.parametrize(
    "words",
    [[name, "--help"] for name in COMMANDS] + [["plugins", "list", "--help"], ["--version"]],
    ids=" ".join,
)
def test_help_of_a_command_imports_no_torch(words: list[str]) -> None:
    code, modules = imported_by(*words)
    assert code == 0
    assert not HEAVY & modules


@pytest.mark.parametrize("words", [["plugins", "list"], ["data", "list"]], ids=" ".join)
def test_lists_import_no_torch(words: list[str]) -> None:
    code, modules = imported_by(*words)
    assert code == 0
    assert (
        not {
            "torch",
            "torchvision",
            "numpy",
            "cv2",
            "lightning_fabric",
            "timm",
            "segmentation_models_pytorch",
        }
        & modules
    )


def test_only_the_command_that_is_asked_for_is_imported() -> None:
    done = python(
        "import sys; from toolkit.cli import main; main(['plugins', '--help']); print([m for m in sys.modules"
        " if 'toolkit.cli.' in m])"
    )
    assert done.stdout.splitlines()[-1] == "['toolkit.cli.options', 'toolkit.cli.plugins']"


# --- exit codes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "error: no command 'trian'. Hint: toolkit train\n"),
        (["--no-such-option", "train"], "error: toolkit train has no option --no-such-option. Hint: "),
        (["train", "--no-such-option"], "error: toolkit train has no option --no-such-option. Hint: "),
        (["--no-such-option"], "error: toolkit has no option --no-such-option. Hint: "),
        (
            ["export", "a", "--out", "c", "b"],
            "after RUN, export expects settings as key=value, not 'b'. Hint: --out b names what is",
        ),
        (
            ["infer", "a", "b", "--overlap"],
            "error: argument --overlap: expected one argument\nusage: toolkit infer",
        ),
        (
            ["plugins"],
            "the following arguments are required: ACTION. Expected one of: list, info, new, check\nusage: ",
        ),
        (["-V"], "error: toolkit has no option -V. Hint: --version\n"),
        (["eval"], "error: there is nothing to evaluate. Hint: give either RUN, "),
        (
            ["train"],
            "error: a plugin and a dataset are needed, but none was given. Hint: add --plugin NAME --data"
            " NAME;",
        ),
        (
            ["train", "--data", "shapes"],
            "error: a plugin is needed, but none was given. Hint: add --plugin NAME; toolkit ",
        ),
        (
            ["train", "--plugin", "unet"],
            "error: a dataset is needed, but none was given. Hint: add --data NAME",
        ),
        (
            ["train", "--plugin", "unett", "--data", "shapes"],
            "error: unknown plugin 'unett'. Did you mean 'unet'?",
        ),
        (
            ["train", "--plugin", "unet", "--data", "shape"],
            "error: unknown dataset 'shape'. Did you mean 'shapes'?",
        ),
        (
            ["train", "--plugin", "unet", "--data", "shapes", "train.stpes=5"],
            "train.stpes: unknown key; did you mean 'steps'?",
        ),
        (
            ["train", "--plugin", "unet", "--data", "shapes", "model.widht=5"],
            "model.widht: unknown key; did you mean 'width'?",
        ),
        (
            ["train", "--plugin", "unet", "--data", "shapes", "train.steps=many"],
            "train.steps: expected a whole number",
        ),
        (
            ["train", "--plugin", "unet", "--data", "shapes", "steps"],
            "error: expected settings as key=value, not 'steps'. Hint: write steps=VALUE",
        ),
        (["data", "info", "shaeps"], "error: unknown dataset 'shaeps'. Did you mean 'shapes'?"),
    ],
)
def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_failure_is_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["infer", str(tmp_path), "x.jpg", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | int]:
    """What `toolkit plugins list` does in these tests: put in an exit code, or an exception to raise."""
    outcomes: list[BaseException | int] = []

    def run(args: object) -> int:
        outcome = outcomes.pop()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("toolkit.cli.plugins.run", run)
    return outcomes


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        (0, 0, ""),
        (3, 3, ""),
        (ToolkitError("it failed"), 1, "error: it failed\n"),
        (DataError("no such folder"), 1, "error: no such folder\n"),
        (UsageError("that makes no sense"), 2, "error: that makes no sense\n"),
        (KeyboardInterrupt(), 1, "interrupted\n"),
    ],
)
def test_exit_codes(
    capsys: pytest.CaptureFixture[str],
    command: list[BaseException | int],
    outcome: BaseException | int,
    code: int,
    message: str,
) -> None:
    command.append(outcome)
    assert main(["plugins", "list"]) == code
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("outcome", [ToolkitError("it failed\nin two lines"), KeyboardInterrupt()])
def test_messages_of_two_processes_do_not_run_into_each_other(
    monkeypatch: pytest.MonkeyPatch, command: list[BaseException | int], outcome: BaseException
) -> None:
    written: list[str] = []

    class Recorder(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Recorder())
    command.append(outcome)
    main(["plugins", "list"])
    (message,) = written  # one piece, with the end of the line in it
    assert message.endswith("\n")


def test_a_crash_is_not_swallowed(command: list[BaseException | int]) -> None:
    command.append(ZeroDivisionError("a fault in the toolkit"))
    with pytest.raises(ZeroDivisionError):
        main(["plugins", "list"])


def test_a_crash_ends_with_a_traceback_and_1() -> None:
    code = """
import sys
import toolkit.cli
toolkit.cli.command_module("plugins").run = lambda args: 1 / 0
sys.exit(toolkit.cli.main(["plugins", "list"]))
"""
    done = python(code)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_traceback_shows_where_an_error_came_from(command: list[BaseException | int]) -> None:
    command.append(UsageError("that makes no sense"))
    with pytest.raises(UsageError):
        main(["--traceback", "plugins", "list"])


@pytest.mark.parametrize("words", [["plugins", "info", "unet"], ["plugins", "list"]], ids=" ".join)
def test_a_reader_that_goes_away_is_no_crash(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
        command = [sys.executable, "-m", "toolkit", *words]
        done = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
