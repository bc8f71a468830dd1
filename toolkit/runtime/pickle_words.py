"""The classes and strings that a pickle mentions, read without running anything."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import IO

MOST_OPCODES = 2_000_000
"""Number of opcodes of a pickle that are read; the largest checkpoints have some ten thousand before their
tensors.
"""


@dataclass(frozen=True)
class Words:
    """What a pickle, or the header of a safetensors file, mentions.

    Attributes:
        classes: Python classes that it would instantiate, as ``module.name``.
        texts: all strings in it, including the names of tensors.
    """

    classes: frozenset[str]
    texts: frozenset[str]


def pickle_words(file: IO[bytes]) -> Words:
    """The classes and strings of a pickle, or of several in a row as in torch's older files, read from the
    opcodes without executing any. Damage ends the reading.

    Args:
        file: positioned at the start of the first.
    """
    classes: set[str] = set()
    texts: set[str] = set()
    try:
        while _one_pickle(file, classes, texts):
            pass
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError, MemoryError):
        pass  # torch's pickles are followed by raw numbers
    return Words(frozenset(classes), frozenset(texts))


def _one_pickle(file: IO[bytes], classes: set[str], texts: set[str]) -> bool:
    """Read up to the end of a pickle; False when there was none, or it is longer than that of any weights."""
    memo: dict[int, str] = {}
    last = ["", ""]
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name == "GLOBAL":
            classes.add(str(argument).replace(" ", ".", 1))
        elif opcode.name == "STACK_GLOBAL":
            classes.add(".".join(last))
        elif opcode.name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if opcode.name == "MEMOIZE" else int(argument or 0)] = last[1]
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            last = [last[1], memo.get(int(argument or 0), "")]
        elif isinstance(argument, str):
            texts.add(argument)
            last = [last[1], argument]
        if count > MOST_OPCODES:
            return False
    return True
