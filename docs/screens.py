"""Writes screens.md, which shows what commands print on terminals of two sizes and into a file:
``python docs/screens.py``.

It runs the commands in a temporary folder, on generated images, and takes about five minutes. The output
goes through a terminal emulator (pyte), so the page shows what people see, including the progress bar.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

HERE = Path(__file__).resolve().parent
SIZES = ((80, 24), (120, 40))
"""Columns and lines of the terminals."""
LINES_KEPT = 2000
NOTE = (
    "<!-- Written by docs/screens.py. Do not edit: run it again. -->\n\n"
    "# Screens\n\n"
    "What the commands print, captured with `docs/screens.py` on terminals of 80 × 24 and 120 × 40 characters"
    " and\ninto a file. On a terminal, a progress bar is redrawn in the last line; the first block of `train`"
    " shows it\nhalf-way. The runs are very short, so the metrics are poor.\n"
)
TRAIN = "toolkit train --plugin unet --data shapes --steps 40 size=64"
COMMANDS = {
    "train": TRAIN,
    "eval": "toolkit eval runs/unet-shapes",
    "infer": "toolkit infer runs/unet-shapes photos/images --out results/OUT",
    "compare": "toolkit compare runs/unet-shapes runs/wider --resamples 200",
    "measure": "toolkit measure results/80 --pixel-size 0.5mm",
    "explain": "toolkit explain runs/unet-shapes photos/images --method gradcam --out why/OUT",
    "export": "toolkit export runs/unet-shapes --to onnx --out exports/OUT",
}
BEFORE = {
    "infer": "toolkit data export shapes --split test --limit 8 --out photos size=64",
    "compare": f"{TRAIN} model.width=24 --out runs/wider",
}
"""Commands to run once before others: name of the later command -> command to run first."""


@dataclass(frozen=True)
class Captured:
    """What a command left on a terminal: all lines, and the last ones while the progress bar was shown."""

    lines: list[str]
    during: list[str]


def on_terminal(command: Sequence[str], folder: Path, columns: int, lines: int) -> Captured:
    """Run a command on a terminal of a given size.

    Raises:
        RuntimeError: when the command fails.
    """
    screen = pyte.HistoryScreen(columns, lines, history=LINES_KEPT, ratio=0.5)
    stream, during = pyte.ByteStream(screen), list[str]()
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.chdir(folder)
        os.execvpe(command[0], list(command), _environment(TERM="xterm-256color"))
    for data in _read(terminal):
        stream.feed(data)
        if any(re.match(r"training .*loss", line) for line in screen.display):
            during = _text(screen.display)
    _, status = os.waitpid(child, 0)
    shown = _scrolled_off(screen) + _text(screen.display)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError("\n".join([" ".join(command), *shown]))
    return Captured(shown, during)


def into_file(command: Sequence[str], folder: Path) -> list[str]:
    """Run a command with both streams redirected to a file, and return its lines."""
    file = folder / "output.txt"
    with file.open("wb") as output:
        subprocess.run(
            command, cwd=folder, env=_environment(), stdout=output, stderr=subprocess.STDOUT, check=True
        )
    return file.read_text(encoding="utf-8").splitlines()


def _environment(**others: str) -> dict[str, str]:
    """The environment of this process, with this checkout's `toolkit` first in `PATH`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    return {**kept, "PATH": path, **others}


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            return
        if not data:
            return
        yield data


def _scrolled_off(screen: pyte.HistoryScreen) -> list[str]:
    return [
        "".join(line[column].data for column in range(screen.columns)).rstrip() for line in screen.history.top
    ]


def _text(display: Sequence[str]) -> list[str]:
    """The lines without trailing spaces and without empty lines at the end."""
    return "\n".join(line.rstrip() for line in display).rstrip().split("\n")


def _block(command: str, lines: Sequence[str]) -> str:
    return "\n".join(["```text", f"$ {command}", *lines, "```", ""])


def _section(name: str, folder: Path) -> Iterator[str]:
    yield f"## `toolkit {name}`\n"
    if name in BEFORE:
        subprocess.run(BEFORE[name].split(), cwd=folder, env=_environment(), check=True)
    for columns, lines in SIZES:
        command = COMMANDS[name].replace("OUT", f"{columns}")
        _forget(folder, name)
        captured = on_terminal(command.split(), folder, columns, lines)
        yield f"On a terminal of {columns} × {lines}:\n"
        if captured.during and name == "train":
            yield f"{_block(command, captured.during)}\nAt the end:\n"
        yield _block(command, captured.lines)
    command = COMMANDS[name].replace("OUT", "file")
    _forget(folder, name)
    yield "Into a file:\n"
    yield _block(f"{command} > output.txt 2>&1", into_file(command.split(), folder))


def _forget(folder: Path, name: str) -> None:
    """Move away the run of an earlier capture, so that the next one can be written."""
    if name == "train" and (folder / "runs" / "unet-shapes").exists():
        (folder / "runs" / "unet-shapes").rename(folder / f"old-{len(list(folder.iterdir()))}")


def main() -> None:
    """Capture all commands and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        parts = [NOTE, *(part for name in COMMANDS for part in _section(name, Path(folder)))]
    (HERE / "screens.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
