"""Folders that appear as a whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.runtime.files import sync_files, writing
from toolkit.runtime.locks import holds_nothing

UNFINISHED = ".toolkit-unfinished-"
"""In the names of folders that are not complete."""


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that becomes ``out`` when the block ends, and is removed when it
    raises. The caller holds the lock of ``out``.

    Raises:
        UsageError: when ``out`` is not empty.
        OutputError: when the folder cannot be written.
    """
    if out.is_symlink() or not holds_nothing(out):
        raise UsageError(
            f"{out} exists and is not empty. Hint: choose another folder with --out, or remove this one"
        )
    prefix = f".{out.name}{UNFINISHED}"
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        # left by processes that were killed, since whoever is at work has the lock
        for rest in out.parent.glob(f"{prefix}*"):
            shutil.rmtree(rest, ignore_errors=True)
        folder = out.with_name(f"{prefix}{secrets.token_hex(4)}")
        folder.mkdir()
        try:
            yield folder
            sync_files([folder, *folder.iterdir()])
            if out.is_dir():
                # only locks, and what a killed process has left, see holds_nothing
                shutil.rmtree(out)
            os.replace(folder, out)
            sync_files([out.parent])
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
