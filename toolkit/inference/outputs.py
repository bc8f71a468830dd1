"""The files of one image's results: checks whether they are unchanged, and removes them."""

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
    """Whether a file could not be written because of its image or its name, rather than
    the disk, so that files of other images can be written.
    """
    cause = error.__cause__
    return not isinstance(cause, OSError) or cause.errno in _OF_ONE_NAME


def sizes_of(folder: Path, outputs: Mapping[str, str]) -> dict[str, int]:
    """The size of each file, in bytes.

    Args:
        folder: the folder of the results.
        outputs: the files by kind, relative to it.
    """
    return {kind: inside(folder, path).stat().st_size for kind, path in outputs.items()}


def are_whole(folder: Path, outputs: Mapping[str, str], sizes: Mapping[str, int]) -> bool:
    """Whether all files exist with the size that was written, or are not empty if that is unknown.

    Args:
        folder: the folder of the results.
        outputs: the files by kind, relative to it.
        sizes: the size of each file in bytes.
    """
    try:
        states = {kind: FileState.of(inside(folder, path)) for kind, path in outputs.items()}
    except DataError:  # a manifest that others wrote may name files elsewhere
        return False
    return bool(outputs) and all(
        state is not None and (state.size == sizes[kind] if kind in sizes else state.size > 0)
        for kind, state in states.items()
    )


def remove_outputs(folder: Path, outputs: Mapping[str, str]) -> None:
    """Remove the files that exist; files outside the folder are left alone.

    Args:
        folder: the folder of the results.
        outputs: the files by kind, relative to it.
    """
    for path in outputs.values():
        with contextlib.suppress(DataError, OSError):
            inside(folder, path).unlink()


def stem_of(output: str) -> str:
    """What an image is called in the path of one of its outputs, ``KIND/STEM.SUFFIX``."""
    parts = PurePosixPath(output).parts
    return PurePosixPath(*(parts[1:] or parts)).with_suffix("").as_posix()
