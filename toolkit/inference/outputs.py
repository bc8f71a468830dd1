"""The files of one image's results: whether they are there as they were written, and taking them away."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from toolkit.errors import DataError, OutputError
from toolkit.inference.inputs import FileState
from toolkit.runtime.confine import inside

_OF_ONE_NAME = (
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EINVAL, errno.EILSEQ, errno.ELOOP),
)


def concerns_one_image(error: OutputError) -> bool:
    """Whether a file could not be written for a reason that lies in its image or its name, rather than in
    the disk, so that those of other images can.
    """
    cause = error.__cause__
    return not isinstance(cause, OSError) or cause.errno in _OF_ONE_NAME


def sizes_of(folder: Path, outputs: Mapping[str, str]) -> dict[str, int]:
    """The size of each file, in bytes.

    Args:
        folder: of the results.
        outputs: the files by kind, relative to it.
    """
    return {kind: inside(folder, path).stat().st_size for kind, path in outputs.items()}


def are_whole(folder: Path, outputs: Mapping[str, str], sizes: Mapping[str, int]) -> bool:
    """Whether all files are there, as large as when they were written, or not empty where nobody knows.

    Args:
        folder: of the results.
        outputs: the files by kind, relative to it.
        sizes: of each, in bytes.
    """
    try:
        states = {kind: FileState.of(inside(folder, path)) for kind, path in outputs.items()}
    except DataError:  # a manifest of others may name files elsewhere
        return False
    return bool(outputs) and all(
        state is not None and (state.size == sizes[kind] if kind in sizes else state.size > 0)
        for kind, state in states.items()
    )


def remove_outputs(folder: Path, outputs: Mapping[str, str]) -> None:
    """Remove the files that are there; what lies outside of the folder is left alone.

    Args:
        folder: of the results.
        outputs: the files by kind, relative to it.
    """
    for path in outputs.values():
        with contextlib.suppress(DataError, OSError):
            inside(folder, path).unlink()


def stem_of(output: str) -> str:
    """What an image is called in the path of one of its outputs, ``KIND/STEM.SUFFIX``."""
    parts = PurePosixPath(output).parts
    return PurePosixPath(*(parts[1:] or parts)).with_suffix("").as_posix()
