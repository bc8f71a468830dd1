"""What the breakdown of errors and the best thresholds mean, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toolkit.evaluation.coco_thresholds import BestThreshold
from toolkit.wording import counted

KINDS = {"bbox": "boxes", "segm": "masks"}

_NAMES = {
    "classification": "wrong classes",
    "localization": "localization",
    "both": "wrong class and place at once",
    "duplicate": "duplicates",
    "background": "detections where there is no object",
    "missed": "missed objects",
}

_SHARES = (
    (1, "all"),
    (9 / 10, "nine tenths"),
    (3 / 4, "three quarters"),
    (2 / 3, "two thirds"),
    (1 / 2, "half"),
    (1 / 3, "a third"),
    (1 / 4, "a quarter"),
    (1 / 5, "a fifth"),
    (1 / 10, "a tenth"),
)

LEAST_SHARE = 0.07
"""Of what is missing; errors that cost less are not worth a sentence."""
MOST_CLASSES = 10
"""Classes whose thresholds are told; the others are in the report."""


def share_in_words(share: float) -> str:
    """A share from 0 to 1 as the nearest common fraction, such as "about a third"."""
    nearest, words = min(_SHARES, key=lambda known: abs(known[0] - share))
    return words if abs(nearest - share) < 0.005 else f"about {words}"


def errors_in_words(kind: str, ap: float, costs: Mapping[str, float], iou: float) -> list[str]:
    """Which errors cost most; nothing where AP is undefined.

    Args:
        kind: of overlap, a key of ``KINDS``.
        ap: at ``iou``.
        costs: of the errors in ``coco_errors.MAIN``.
        iou: from which a detection has found an object.
    """
    if not ap >= 0:
        return []
    name = f"AP{100 * iou:g}"
    start = f"{KINDS[kind].capitalize()}: {name} is {ap:.3f}"
    gap = 1 - ap
    if gap < 0.005:
        return [f"{start}, next to perfect."]
    largest = sorted(
        ((cost, error) for error, cost in costs.items() if error in _NAMES and cost > LEAST_SHARE * gap),
        reverse=True,
    )
    words = [
        f"{share_in_words(cost / gap)} {'' if place else 'of the gap to 1 is due '}to {_NAMES[error]}"
        f" ({'' if place else f'{name} would be '}{ap + cost:.3f}{'' if place else ' without'})"
        for place, (cost, error) in enumerate(largest[:3])
    ]
    return [f"{start}; {', '.join(words)}." if words else f"{start}; no kind of error stands out."]


def thresholds_in_words(
    kind: str, classes: Sequence[str], best: Sequence[BestThreshold], objects: Sequence[int]
) -> list[str]:
    """The best score threshold of the classes with the most objects; nothing where none has one."""
    known = [i for i, each in enumerate(best) if each.threshold >= 0]
    if not known:
        return []
    told = sorted(sorted(known, key=lambda i: -objects[i])[:MOST_CLASSES])
    words = [
        f"{classes[i]} {best[i].threshold:.2f} (precision {best[i].precision:.2f}, recall"
        f" {best[i].recall:.2f})"
        for i in told
    ]
    rest = len(known) - len(told)
    more = f"; those of {counted(rest, 'more class', 'more classes')} are in the JSON" if rest else ""
    return [f"Best score threshold for {KINDS[kind]} (highest F1): {', '.join(words)}{more}."]
