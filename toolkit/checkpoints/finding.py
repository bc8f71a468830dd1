"""Which file a run's folder or a path stands for, and what it is where it is no checkpoint."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from toolkit import registry
from toolkit.errors import CheckpointError, UsageError
from toolkit.reading.files import check_file, expanded, is_there, read_bytes
from toolkit.runtime.weight_files import recognize

BEST = "best.safetensors"
LAST = "last.safetensors"
CONFIG = "config.yaml"
EXPORT_MANIFEST = "manifest.json"
EXPORT_KEY = "export_format"
"""In the manifest of an exported folder, and in no other file of that name."""

EXPORT_FILES = ("parity.json", "predict.py")
"""What else is in an exported folder, by which one without a usable manifest is known."""

MOST_BYTES = 1 << 40
"""Of a checkpoint; its tensors are mapped into memory rather than read."""


@runtime_checkable
class HasRun(Protocol):
    """What came of a run and knows its folder, such as what ``toolkit.train`` returns, or a ``Predictor``.

    Attributes:
        run: the folder of the run, or a checkpoint file; None where there is none.
    """

    @property
    def run(self) -> Path | None:
        """The folder or file."""


RunLike: TypeAlias = "str | os.PathLike[str] | HasRun"
"""A run's folder or a checkpoint file, as a path or as something that knows it."""


def path_of_run(run: RunLike) -> Path:
    """The path that names a run.

    Raises:
        UsageError: when it is something that was not made from a run.
    """
    path = run if isinstance(run, (str, os.PathLike)) else getattr(run, "run", None)
    if path is None:
        raise UsageError(
            f"{type(run).__name__} does not refer to a run. Hint: give the folder of a run, a checkpoint"
            " file, or what toolkit.train or toolkit.load returned"
        )
    return Path(path)


def find_checkpoint(run_or_file: str | os.PathLike[str]) -> Path:
    """The checkpoint that a run's folder or a file name stands for: the best one, else the last; for an
    exported folder, its manifest.

    Raises:
        CheckpointError: when there is none, or what is called so is no file.
    """
    path = expanded(run_or_file)
    if path.is_dir():
        for name in (BEST, LAST):
            if is_there(path / name):
                check_file(path / name, "a checkpoint", CheckpointError, most=MOST_BYTES)
                return path / name
        if is_export(path / EXPORT_MANIFEST):
            return path / EXPORT_MANIFEST
        known = describe_foreign(path)
        raise CheckpointError(f"{path} {known}" if known else f"{path} {_without_checkpoint(path)}")
    if not is_there(path):
        raise CheckpointError(f"no run or checkpoint at {path}{runs_beside(path)}")
    return path


def is_export(path: Path) -> bool:
    """Whether a file is the manifest of an exported folder, whole or damaged."""
    if path.name != EXPORT_MANIFEST or not path.is_file():
        return False
    try:
        return f'"{EXPORT_KEY}"'.encode() in read_bytes(path, "a manifest", CheckpointError, most=1 << 24)
    except CheckpointError:
        return False


def _without_checkpoint(folder: Path) -> str:
    """What a folder without a checkpoint is, and what can be done about it."""
    if (folder / CONFIG).is_file():
        return (
            f"contains neither {BEST} nor {LAST}: its training stopped before the first checkpoint. Hint:"
            f" toolkit train --resume {folder}"
        )
    if any(is_there(folder / name) for name in EXPORT_FILES):
        return (
            f"looks like an exported model, but its {EXPORT_MANIFEST} is missing or damaged. Hint: copy or"
            " export the folder again"
        )
    inside = sorted(str(each.parent) for each in folder.glob(f"*/{CONFIG}"))
    found = f"it contains the runs {', '.join(inside[:5])}" if inside else "give the folder of a run"
    return f"is not a run: it contains neither {BEST} nor {LAST}. Hint: {found}"


def runs_beside(path: Path) -> str:
    """A hint that names the run that a path without a file is in, or the runs beside it, the nearest first;
    empty when there are none.
    """
    if (path.parent / CONFIG).is_file():
        return f". Hint: {path.parent} is a run; give this folder"
    try:
        beside = [each.name for each in path.parent.iterdir() if (each / CONFIG).is_file()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.0)
    return f". Hint: there are {', '.join(str(path.parent / name) for name in near)}" if near else ""


def describe_foreign(path: Path, *, by_names: bool = True) -> str | None:
    """What a file or folder is that is no checkpoint of the toolkit, and what can be done with it: a sentence
    with a hint, to stand behind its path. None when it is nothing known; arguments as for ``recognize``.
    """
    found = recognize(path, by_names=by_names)
    if found is None:
        return None
    readers = [plugin.name for plugin in registry.plugins() if found.family and found.family in plugin.reads]
    hint = f"toolkit train --plugin {readers[0]} --weights {path} --data D" if readers else found.hint
    return f"is {found.what}. Hint: {hint}"


def refuse_if_known(path: Path) -> None:
    """Raise ``CheckpointError`` with the name of what a file is, where that keeps it from being read."""
    known = describe_foreign(path, by_names=False)
    if known:
        raise CheckpointError(f"{path} {known}") from None
