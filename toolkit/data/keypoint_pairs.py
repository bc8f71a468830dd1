"""Determines which keypoints swap places in a mirror image, in which a left eye looks like a right one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolkit.errors import ConfigError

Pairs = tuple[tuple[int, int], ...]

PAIRS_HINT = (
    "Hint: list the pairs by their positions from 0, as in augment='[{name: flip, keypoint_pairs: [[1, 2]]}]'"
    " ([] if none are swapped), or remove flip from augment"
)
"""A hint for flips of keypoints."""

_OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")


def pairs_by_name(names: Sequence[str]) -> Pairs:
    """The positions, from 0, of the keypoints that are named ``left …`` and ``right …`` (or ``l`` and ``r``)
    but are otherwise the same, regardless of the spelling: ``left_eye`` and ``right_eye``, ``LEye`` and
    ``REye``.

    Args:
        names: the names of all keypoints of an object, in order.

    Raises:
        ConfigError: when no name has a side, so that the pairs are unknown, or when one has no counterpart.
    """
    words = [_words(name) for name in names]
    pairs: list[tuple[int, int]] = []
    for place, own in enumerate(words):
        mirrored = tuple(_OTHER_SIDE.get(word, word) for word in own)
        if mirrored == own:
            continue
        partners = [other for other, each in enumerate(words) if each == mirrored]
        if len(partners) != 1 or words.count(own) != 1:
            raise ConfigError(
                f"the keypoint {names[place]!r} is on one side, and {len(partners) or 'none'} of the others"
                f" ({', '.join(names)}) is its counterpart, so that a mirror image cannot swap the two."
                f" {PAIRS_HINT}"
            )
        if place < partners[0]:
            pairs.append((place, partners[0]))
    if names and not pairs:
        raise ConfigError(
            f"none of the keypoints ({', '.join(names)}) is named as left or right, so it is not known"
            f" which of them a mirror image swaps. {PAIRS_HINT}"
        )
    return tuple(pairs)


def _words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case; a side that is joined to the next word becomes a separate word."""
    found: list[str] = []
    for word in (each.lower() for each in _WORD.findall(name)):
        side = next((each for each in ("left", "right") if word.startswith(each)), "")
        found += [part for part in (side, word.removeprefix(side)) if part]
    return tuple(found)
