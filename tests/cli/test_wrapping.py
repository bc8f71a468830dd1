"""Plain text is broken at spaces on a terminal, and stays whole everywhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from terminal_cases import on_terminal

from toolkit.cli import main


def redirected(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    main(words)
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [["data", "info", "labpics"], ["plugins", "info", "sam2"], ["settings"]])
def test_lines_fit_a_terminal_and_are_whole_in_a_file(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = redirected(words, capsys)
    assert any(len(line) > 80 for line in whole.splitlines()), "there is something to break"
    code, shown = on_terminal(words, monkeypatch)
    assert code == 0
    assert shown.split() == whole.split(), "no word is broken, added or lost"
    too_long = [line for line in shown.splitlines() if len(line) > 80]
    assert not [line for line in too_long if " " in line.strip()], "only what cannot be broken is longer"


def test_commands_paths_and_output_for_programs_are_never_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a folder with spaces and a name that is too long for a line of the terminal"
    words = ["data", "sample", "mnist", "--data-dir", str(folder)]
    code, shown = on_terminal(words, monkeypatch)
    assert code == 0
    assert f"'{folder}'\n" in shown
    assert f"Check them with:\n  toolkit data check mnist --data-dir '{folder}'\n" in shown
    words = ["summary", "unet", "--json", "encoder=original", "width=4", "--size", "64x64"]
    code, shown = on_terminal(words, monkeypatch, columns=40)
    assert code == 0
    assert len(shown.splitlines()) == 1
    assert json.loads(shown) == json.loads(redirected(words, capsys))
    words = ["completion", "bash"]
    assert on_terminal(words, monkeypatch, columns=40)[1] == redirected(words, capsys)


def test_errors_are_broken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    code, shown = on_terminal(["data", "check", "labpics", "--data-dir", "nowhere"], monkeypatch, columns=60)
    assert code == 1
    assert all(len(line) <= 60 or line.lstrip().startswith(("toolkit ", "(")) for line in shown.splitlines())
    assert "\n  " in shown


def test_a_terminal_of_unknown_width_breaks_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data", "info", "labpics"]
    whole = redirected(words, capsys)
    assert on_terminal(words, monkeypatch, columns=0) == (0, whole)
