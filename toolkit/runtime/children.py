"""Child processes that run Python, and what they may import."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import toolkit

ROOT = Path(toolkit.__file__).resolve().parents[1]
"""The folder that the toolkit is imported from."""

_SAFE, _PATH = "PYTHONSAFEPATH", "PYTHONPATH"


@contextlib.contextmanager
def isolated_children() -> Iterator[None]:
    """Start child processes of Python so that they import nothing from the current folder, within this
    context.

    A ``json.py`` or ``torch.py`` that came with a folder of photos would otherwise be run by each process
    that loads data or takes part in distributed training. This is for the command, which owns its
    environment.
    """
    before = {name: os.environ.get(name) for name in (_SAFE, _PATH)}
    os.environ.update(isolated_environment())
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def isolated_environment() -> dict[str, str]:
    """The environment variables that a child Python needs to import nothing from the current folder and still
    find the toolkit.
    """
    # an empty entry means the current folder
    entries = [entry for entry in os.environ.get(_PATH, "").split(os.pathsep) if entry]
    if _is_found_by_chance() and str(ROOT) not in entries:
        entries.insert(0, str(ROOT))
    return {_SAFE: "1"} | ({_PATH: os.pathsep.join(entries)} if entries or _PATH in os.environ else {})


def _is_found_by_chance() -> bool:
    """Whether the toolkit is found only because of where Python was started, as in a checkout that is not
    installed.
    """
    return not sys.flags.safe_path and bool(sys.path) and Path(sys.path[0] or os.curdir).resolve() == ROOT
