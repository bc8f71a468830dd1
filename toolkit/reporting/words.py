"""What a report says of single errors and suspected labels, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toolkit.reporting.cases import Case
from toolkit.wording import counted


def case_in_words(case: Case, classes: Sequence[str]) -> str:
    """What is wrong."""
    name, other = _names(case, classes)
    score = "" if case.score is None else f" (score {case.score:.2f})"
    iou = "" if case.iou is None else f", IoU {case.iou:.2f}"
    if case.probability is not None:
        score = f" (probability {case.probability:.2f})"
    if case.kind == "missed":
        return f"{name} not found" + (f", taken for {other}{score}" if other else "")
    if case.kind == "invented":
        return f"{other or name} found{score} where the label has {name if other else 'no object'}"
    if case.kind == "confused":
        return f"{name} found as {other}{score}{iou}"
    if case.kind == "duplicate":
        return f"{name} found once more{score}{iou}"
    return f"{name} badly outlined{score}{iou}"


def suspect_in_words(case: Case, classes: Sequence[str]) -> str:
    """Why a label is suspected."""
    name, other = _names(case, classes)
    score = "" if case.score is None else f"with score {case.score:.2f}"
    iou = "" if case.iou is None else f"IoU {case.iou:.2f}"
    if case.kind == "missing":
        return f"{name} may lack its label: detected {score}, and no label fits"
    if case.kind == "class":
        return f"labeled {name}, but detected as {other} {score} ({iou})"
    if case.kind == "shifted":
        return f"the outline of {name} may be wrong: detected {score}, but only {iou} with the label"
    if case.kind == "twice":
        return f"{name} may be labeled twice{f', once as {other}' if other else ''} ({iou} of the two labels)"
    if case.kind == "spurious":
        return f"there may be no {name} here: no detection comes near the label"
    sure = "" if case.probability is None else f", with probability {case.probability:.2f}"
    where = "" if case.kind == "image" else " in the whole region"
    return f"labeled {name}, but the model sees {other or 'no class'}{where}{sure}"


def errors_in_words(counts: Mapping[str, int], threshold: float) -> str:
    """How many errors of each kind detections from a score on have; empty without objects and detections.

    Args:
        counts: by kind, as ``toolkit.reporting.gallery.Gallery`` has them.
        threshold: the score.
    """
    if "right" not in counts or not sum(counts.values()):
        return ""
    names = {
        "missed": ("object was missed", "objects were missed"),
        "invented": ("detection has no object", "detections have no object"),
        "confused": ("object was found as another class", "objects were found as another class"),
        "outlined": ("was badly outlined", "were badly outlined"),
        "duplicate": ("was found twice", "were found twice"),
    }
    largest = sorted((kind for kind in names if counts.get(kind)), key=lambda kind: -counts[kind])
    told = ", ".join(counted(counts[kind], *names[kind]) for kind in largest)
    right = counted(counts["right"], "detection is right", "detections are right")
    return f"With scores of at least {threshold:g}, {right}; {told or 'nothing is wrong'}."


def _names(case: Case, classes: Sequence[str]) -> tuple[str, str]:
    def name(label: int) -> str:
        return classes[label] if 0 <= label < len(classes) else str(label)

    return name(case.label), "" if case.other is None else name(case.other)
