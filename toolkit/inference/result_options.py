"""The options of a command that change what is written, so that ``--resume`` does not mix results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.errors import DataError, UsageError
from toolkit.reading.fields import shown
from toolkit.reading.files import is_there
from toolkit.reading.json_text import load_json
from toolkit.runtime.files import atomic_write

ABOUT = "about.json"
"""The file that says what made results."""

_NAMES = {
    "precision": "--precision",
    "window": "--window",
    "overlap": "--overlap",
    "max_pixels": "max_pixels",  # of ``Tiling``, from Python alone
    "draw_above": "--draw-above",
}


def check_about(path: Path, *, label_values: Mapping[str, Any] | None, options: Mapping[str, Any]) -> None:
    """Compare what ``about.json`` says of the results beside it with the command that continues them.

    Args:
        path: of the file.
        label_values: the values in label images, as in the file; None for indexes.
        options: options that change what is written. What is missing on either side is not compared, since
            results of an older version do not have all.

    Raises:
        UsageError: when something differs, or the file is damaged, so that nobody knows what the results are.
    """
    about = _read(path)
    values = about.get("label_values")
    if values != label_values:
        raise UsageError(
            f"{path.parent} contains label images with other values ({values or 'indexes'}, not"
            f" {label_values or 'indexes'}). Hint: give --label-values as before, or choose another --out"
        )
    given = about.get("options")
    before = (given if isinstance(given, dict) else {}) | about
    known = [name for name in _NAMES if name in before and name in options]
    differing = [name for name in known if options[name] != before[name]]
    if not differing:
        return
    found = " and ".join(_worded(name, before[name]) for name in differing)
    now = " and ".join(_worded(name, options[name]) for name in differing)
    again = " and ".join(_advised(name, before[name]) for name in differing)
    raise UsageError(
        f"{path.parent} contains results that were made with {found}; now it is {now}. Hint: {again} as"
        " before, or choose another --out"
    )


def write_about(path: Path, about: Mapping[str, Any]) -> None:
    """Write ``about.json``.

    Raises:
        OutputError: when it cannot be written.
    """
    with atomic_write(path, "w") as file:
        json.dump(about, file, indent=2)
        file.write("\n")


def _read(path: Path) -> dict[str, Any]:
    """What ``about.json`` has, or nothing where there is none."""
    if not is_there(path):
        return {}
    hint = "Hint: choose another --out, or remove the results that are there"
    try:
        content = load_json(path, "what is known of results", DataError)
    except DataError as error:
        raise UsageError(f"{str(error).partition('. Hint: ')[0]}. {hint}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} contains {shown(content)}; expected what is known of results. {hint}")
    return content


def _worded(name: str, value: Any) -> str:
    """Such as ``--window 512``, or ``no --window``."""
    return f"no {_NAMES[name]}" if value is None else f"{_NAMES[name]} {value}"


def _advised(name: str, value: Any) -> str:
    """What makes an option have this value."""
    return f"leave out {_NAMES[name]}" if value is None else f"give {_worded(name, value)}"
