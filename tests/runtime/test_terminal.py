"""There is one console, so that no command takes the text of strangers for anything but text."""

from __future__ import annotations

import ast

import pytest
from rich.table import Table
from support.source_tree import FILES, tree_of

from toolkit.runtime.terminal import Terminal


def constructed(module: str, names: set[str]) -> list[int]:
    calls = [node for node in ast.walk(tree_of(FILES[module])) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if (isinstance(call.func, ast.Name) and call.func.id in names)
        or (isinstance(call.func, ast.Attribute) and call.func.attr in names)
    ]


def test_nobody_makes_a_console_of_rich_itself() -> None:
    assert constructed("toolkit.cli.eval", {"Terminal"}), "the calls are found"
    for module in FILES:
        lines = constructed(module, {"Console", "rprint"})
        assert not lines, f"{module}, line {lines[0]}: use toolkit.runtime.terminal.Terminal"


def test_what_is_written_to_standard_error_is_made_printable() -> None:
    """Standard output is made so as a whole; on standard error others draw bars with escape codes."""
    found = 0
    for module, file in FILES.items():
        for call in (node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call)):
            text = ast.unparse(call)
            to_stderr = text.startswith("sys.stderr.write(") or (
                text.startswith("print(") and "file=sys.stderr" in text
            )
            if not to_stderr:
                continue
            found += 1
            constant = all(isinstance(each, ast.Constant) for each in call.args)
            assert constant or "printable(" in text, f"{module}, line {call.lineno}: {text}"
    assert found >= 4


def test_options_of_rich_still_work() -> None:
    assert Terminal(width=33).width == 33
    assert Terminal(stderr=True).stderr
    assert Terminal(soft_wrap=True).soft_wrap


def test_tables_are_whole_in_pipes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table(box=None)
    for column in range(30):
        table.add_column(f"a-long-name-{column}")
    Terminal().print(table)
    assert capsys.readouterr().out.split() == [f"a-long-name-{column}" for column in range(30)]
    monkeypatch.setenv("COLUMNS", "40")
    Terminal().print(table)
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 40
