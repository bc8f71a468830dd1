"""Text of strangers is shown as text, on consoles of every encoding."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from toolkit.runtime.terminal import Terminal
from toolkit.runtime.text import (
    VisibleFormatter,
    WrappingFormatter,
    print_whole,
    printable,
    shown_as_text,
    wrapped,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe … 猫 🐈", "größe … 猫 🐈"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2Jgone\x1b]0;title\x07", "\\x1b[2Jgone\\x1b]0;title\\x07"),
        ("over\rwritten\b\x7f\x85\x9b31m", "over\\x0dwritten\\x08\\x7f\\x85\\x9b31m"),
        ("caf\udce9.jpg", "caf\\xe9.jpg"),
        ("cup \ud83d", "cup \\ud83d"),
        ("gnp.\u202egpj", "gnp.\\u202egpj"),
        ("a\u2028b\0", "a\\u2028b\\x00"),
        (7, "7"),
    ],
)
def test_what_a_terminal_would_obey_becomes_visible(text: object, shown: str) -> None:
    assert printable(text) == shown
    assert printable(printable(text)) == shown


def console(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n", write_through=True)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp437", "ascii"])
def test_printing_never_fails(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = console(encoding), console(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with shown_as_text():
        print("64…64 pixels × 2 – caf\udce9, 猫, 🐈\x1b[2J")
        sys.stderr.write("warning: …\n")
        table = Table("class")
        table.add_row("[/x] [bold]cat[/bold] :smile: \x1b[1mé 猫")
        Terminal(width=60).print(table)
    found = out.buffer.getvalue().decode(encoding)
    assert "caf\\xe9" in found
    assert "\x1b" not in found
    assert "[/x] [bold]cat[/bold] :smile: \\x1b[1m" in found
    if encoding == "utf-8":
        assert "64…64 pixels × 2 – " in found
        assert "猫" in found
    elif encoding == "ascii":
        assert "64...64 pixels x 2 - " in found
        assert "\\u732b" in found
        assert "\\U0001f408" in found
    assert err.buffer.getvalue().decode(encoding).startswith("warning: ")
    assert sys.stdout is out
    with pytest.raises(UnicodeEncodeError):
        out.write("caf\udce9")


def test_streams_that_cannot_be_set_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    monkeypatch.setattr(sys, "stderr", None)
    with shown_as_text():
        print("a\x1bb")
        sys.stdout.writelines(["c\x07", "d\n"])
        assert not sys.stdout.isatty()
    assert plain.getvalue() == "a\\x1bb\nc\\x07d\n"


def test_rich_keeps_its_own_styles_and_takes_none_from_data(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal(file=out, force_terminal=True, width=60)
    table = Table("class", header_style="bold", box=None)
    table.add_row("[red]cat\x1b[31m")
    table.add_row(Text("dog\x1b[31m"))
    terminal.print(table)
    terminal.print("[/x] 12 \x1b[31m")
    shown = out.getvalue()
    assert "\x1b[1mclass" in shown
    assert "[red]cat\\x1b[31m" in shown
    assert "dog\\x1b[" in shown
    assert "[/x] 12 \\x1b[31m" in shown
    assert "\x1b[31m" not in shown


def test_long_names_do_not_break_a_table() -> None:
    out = io.StringIO()
    table = Table("class", "n")
    table.add_row("\x07" * 200, "7")
    Terminal(file=out, width=40).print(table)
    assert all(len(line) <= 40 for line in out.getvalue().splitlines())
    assert "7" in out.getvalue()


def test_log_lines() -> None:
    record = logging.LogRecord("toolkit", 20, "", 0, "%s: %d", ("caf\udce9\x1b[2J", 3), None)
    assert VisibleFormatter("%(message)s").format(record) == "caf\\xe9\\x1b[2J: 3"


def _record(message: str) -> logging.LogRecord:
    return logging.LogRecord("toolkit", logging.INFO, "", 1, message, (), None)


def test_log_lines_are_broken_at_spaces_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((20, 24)))
    formatter = WrappingFormatter(sys.__stderr__)
    assert formatter.format(_record("short\n")) == "short\n"
    assert (
        formatter.format(_record("circle 5.1%, ring 4.6%, star 3%")) == "circle 5.1%, ring\n  4.6%, star 3%"
    )
    path = "/a/path/longer/than/the/terminal/is"
    assert formatter.format(_record(f"see {path}")) == f"see\n  {path}"
    command = "Hint: toolkit train --resume runs/unet-shapes"
    assert formatter.format(_record(command)) == "Hint:\n  toolkit train --resume runs/unet-shapes"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("", ""),
        ("x" * 30, "x" * 30),
        ("   indented text and more of it", "   indented text and\n     more of it"),
        ("two  spaces are  kept here", "two  spaces are\n  kept here"),
        ("in 'a b c/d e f g h'; done", "in\n  'a b c/d e f g h';\n  done"),
        ("the run's data isn't here's", "the run's data isn't\n  here's"),
        ("see `toolkit data list` for all", "see\n  `toolkit data list`\n  for all"),
        ("Hint: pip install 'a b' torch; or so", "Hint:\n  pip install 'a b' torch;\n  or so"),
        ("toolkit train --data x, again, please", "toolkit train --data x,\n  again, please"),
        ("what the toolkit wrote is fine", "what the toolkit\n  wrote is fine"),
        ("one line and\nanother line of text", "one line and\nanother line of text"),
    ],
)
def test_what_stays_whole_on_a_terminal(line: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((20, 24)))
    assert wrapped(line, sys.__stderr__) == shown
    assert wrapped(line, io.StringIO()) == line


def test_printed_lines_are_broken_on_a_terminal_but_not_those_for_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def fileno(self) -> int:
            return 7

    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((20, 24)))
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    with shown_as_text():
        print("a line that is too long for it")
        print("Accept? It is a long question. ", end="")
        print("an answer that is long")
        print_whole('{"a line": "that is too long for it"}')
        print()
        print("a", "b", sep="\n")
    assert out.getvalue() == (
        "a line that is too\n  long for it\n"
        "Accept? It is a long\n  question. an answer that is long\n"
        '{"a line": "that is too long for it"}\n'
        "\na\nb\n"
    )


def test_log_lines_stay_whole_in_a_file(tmp_path: Path) -> None:
    line = "word " * 50
    with (tmp_path / "log").open("w") as file:
        assert WrappingFormatter(file).format(_record(line)) == line
    assert WrappingFormatter(io.StringIO()).format(_record(line)) == line
