"""Writes new plugins, datasets and evaluators from working examples: ``toolkit plugins new``."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import resources
from pathlib import Path

from toolkit import registry
from toolkit.errors import OutputError, UsageError
from toolkit.runtime.files import atomic_write

KINDS = ("semantic", "instance", "promptable", "dataset", "evaluator")


def write_new(name: str, kind: str, folder: Path) -> tuple[Path, Path]:
    """Write ``NAME.py`` and ``test_NAME.py``, which pass all checks unchanged.

    Args:
        name: its name.
        kind: one of ``KINDS``; the first three are model plugins of that task.
        folder: output folder; created if missing.

    Returns:
        Both files.

    Raises:
        UsageError: when the name is invalid or taken; says why.
        OutputError: when a file already exists or cannot be written.
    """
    _check_name(name, kind)
    files = folder / f"{name}.py", folder / f"test_{name}.py"
    for file in files:
        if file.exists():
            raise OutputError(
                f"{file} already exists and is not overwritten. Hint: choose another name or folder, or"
                " remove it"
            )
    for file, template in zip(files, (f"{kind}.py", f"tests_{kind}.py"), strict=True):
        text = (resources.files("toolkit.testing") / "templates" / template).read_text(encoding="utf-8")
        with atomic_write(file, "w") as out:
            out.write(text.replace("mynet", name).replace("MyNet", _class_name(name)))
    return files


def _check_name(name: str, kind: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        suggestion = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").lstrip("0123456789_")
        raise UsageError(
            f"{name!r} is not a valid name: it is also used as the name of a Python file, so it must consist"
            " of lowercase letters, digits and '_', and start with a letter. Hint: for example, use"
            f" {suggestion or 'mynet'!r}"
        )
    known = {"dataset": registry.datasets().names, "evaluator": registry.evaluators().names}.get(
        kind, registry.plugins().names
    )()
    if name in known:
        raise UsageError(f"the name {name!r} is already taken. Hint: choose another name")
    if keyword.iskeyword(name) or importlib.util.find_spec(name) is not None:
        raise UsageError(
            f"{name!r} is the name of a Python module, which {name}.py would shadow in its own test. Hint:"
            " choose another name"
        )


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
