"""A terminal of a given size, as the standard output and error of a command that runs in the test."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
import threading
from collections.abc import Sequence

import pytest

from toolkit.cli import main


def on_terminal(words: Sequence[str], monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> tuple[int, str]:
    """Run a command on a pseudo-terminal; returns its exit code and what it wrote."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    pieces: list[bytes] = []
    # read meanwhile, since a terminal holds only a few kilobytes that nobody has read
    reader = threading.Thread(target=_read, args=(leader, pieces))
    reader.start()
    try:
        with os.fdopen(follower, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            code = main(words)
    finally:
        reader.join()
        os.close(leader)
    return code, b"".join(pieces).decode().replace("\r\n", "\n")


def _read(descriptor: int, pieces: list[bytes]) -> None:
    try:
        while piece := os.read(descriptor, 4096):
            pieces.append(piece)
    # how Linux reports the end of what was written
    except OSError:
        return
