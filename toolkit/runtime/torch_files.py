"""Inspects files of ``torch.save`` before torch reads them: whether they are what torch writes, or a small
file that would fill the memory.
"""

from __future__ import annotations

import codecs
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from toolkit.reading.files import MakeError, check_file
from toolkit.runtime.pickle_words import Words, pickle_words
from toolkit.runtime.weight_files import MOST_PICKLE

MOST_BYTES = 1 << 40
"""Largest size of a file of weights or of the state of a run."""

_FILLS_MEMORY = {"builtins.bytearray", "__builtin__.bytearray"}
"""Functions that torch calls without a check, with any size that the file asks for."""

_ENCODES = "_codecs.encode"
_HINT = "download it again, or save its state dict alone and use that file"


def load_torch(path: Path, what: str, error: MakeError) -> Any:
    """The contents of a file of ``torch.save``, as long as they are plain values and tensors, on the CPU.

    Args:
        path: the file.
        what: what it should contain, for messages.
        error: the kind of error to raise.

    Raises:
        ToolkitError: of the kind ``error``: when it is not a regular file, or would take much more memory
            than it has bytes.
        Exception: torch raises many kinds when the file is damaged or has other content.
    """
    size = check_file(path, what, error, most=MOST_BYTES)
    found = _bomb(path, size)
    if found:
        raise error(
            f"{path} is refused: {found}, so that a small file would fill the memory; torch writes nothing of"
            f" the kind. Hint: {_HINT}"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def _bomb(path: Path, size: int) -> str:
    """What in a file would take memory out of proportion to its size; empty if nothing would."""
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            return _costly(pickle_words(file)) if file.read(1) == b"\x80" and not file.seek(0) else ""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(each.compress_type != zipfile.ZIP_STORED for each in members):
                return "parts of it are compressed"
            if sum(each.file_size for each in members) > size:
                return "its parts overlap"
            programs = [each for each in members if os.path.basename(each.filename) == "data.pkl"]
            return next(filter(None, (_in_program(archive, each) for each in programs)), "")
    # it is damaged, which torch will report
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError):
        return ""


def _in_program(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    with archive.open(member) as program:
        return _costly(pickle_words(io.BytesIO(program.read(MOST_PICKLE))))


def _costly(words: Words) -> str:
    if words.classes & _FILLS_MEMORY:
        return "it asks for an arbitrary amount of memory"
    if _ENCODES in words.classes and any(map(_multiplies, words.texts)):
        return "it encodes text again and again"
    return ""


def _multiplies(text: str) -> bool:
    """Whether this is the name of a bytes-to-bytes codec, such as ``hex``, which can be applied repeatedly to
    its own output.
    """
    try:
        return len(text) < 30 and not codecs.lookup(text)._is_text_encoding
    except (LookupError, ValueError):
        return False
