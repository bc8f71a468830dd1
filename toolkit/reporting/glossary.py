"""What the names of metrics, curves and matrices mean, for readers who see them for the first time."""

from __future__ import annotations

import re
from collections.abc import Iterable

from toolkit.models.simulated_prompts import AUTO, BOX, corrections_of
from toolkit.wording import counted

TITLES = {
    "PR": "precision over recall, mean of the classes",
    "PR50": "precision over recall at IoU 0.5",
    "AP by IoU": "AP over the IoU threshold",
    "reliability": "are scores what they promise?",
    "confusion": "which classes are confused",
    "errors": "kinds of errors of each class",
}
"""What charts show, by the last part of their names."""

_METRICS = {
    r"(.*/)?AP": "AP is the mean over the classes and over the IoU thresholds 0.50, 0.55 … 0.95; AP50 and"
    " AP75 are at one threshold; s, m and l are for objects below 32², up to 96² and above 96² pixels.",
    r"(.*/)?AR\d+": "AR with a number is the recall with at most so many detections of a class per image,"
    " mean over the classes and thresholds.",
    r"segm/.*": "segm compares masks.",
    r"bbox/.*": "bbox compares boxes.",
    r"boundary/.*": "boundary compares masks along their outlines.",
    r"keypoints/.*": "keypoints compares points by OKS.",
    r"(.*/)?dAP_.*": "dAP is by how much AP at IoU 0.5 (match_iou) would rise without errors of this kind"
    " (TIDE).",
    r"(.*/)?F1": "F1 is the highest at any score threshold, mean over the classes.",
    r"(.*/)?ECE": "ECE is the mean distance between scores and the fraction of predictions with such scores"
    " that are right: 0 is best.",
    r"mean_iou": "mean_iou is the mean over the classes of TP / (TP + FP + FN), counted in the pixels of all"
    " images.",
    r"image_mean_iou": "image_mean_iou is the mean over the images of each image's own mean IoU.",
    r"pq": "pq is sq, the mean IoU of the segments that were found, times rq, the F1 of finding them.",
}
"""What metrics mean, by the pattern of their names."""

_OF_IMAGES = {
    r"(.*/)?F1": "F1 of an image is that of its detections with at least the score of confusion_score.",
    r"(.*/)?wrong": "wrong counts such detections that are not right.",
    r"(.*/)?missed": "missed counts objects that none of them has found.",
    r"pq": "pq of an image is the mean over the classes that are in it or predicted.",
    r"right": "right is 1 where the class of the image was predicted, and 0 where it was not.",
}
"""What values of single images mean, likewise."""

_PROTOCOL = re.compile(r".*, protocol (?P<protocol>\S+)")


def title_of(name: str) -> str:
    """The title of a chart: its name, with what it shows where that is known."""
    meaning = TITLES.get(name.rpartition("/")[2])
    return f"{name}: {meaning}" if meaning else name


def short_name(metric: str) -> str:
    """The last part of a metric's name, the same for the costs of all kinds of errors."""
    last = metric.rpartition("/")[2]
    return "dAP" if last.startswith("dAP_") else last


def meanings(names: Iterable[str]) -> list[str]:
    """Sentences on the metrics of a table, each once."""
    return _found(_METRICS, names)


def meanings_of_images(names: Iterable[str]) -> list[str]:
    """Sentences on values of single images."""
    return _found(_OF_IMAGES, names)


def _found(patterns: dict[str, str], names: Iterable[str]) -> list[str]:
    known = list(names)
    return [
        sentence
        for pattern, sentence in patterns.items()
        if any(re.fullmatch(pattern, name) for name in known)
    ]


def protocol_in_words(report: str) -> list[str]:
    """How a promptable model was prompted, from the name of a report; nothing for other reports."""
    match = _PROTOCOL.fullmatch(report)
    if match is None:
        return []
    protocol = match["protocol"]
    if protocol == AUTO:
        return ["Without prompts: the model finds all objects by itself."]
    if protocol == BOX:
        return ["The prompt for each object is its box."]
    corrections = corrections_of(protocol)
    more = f", then {counted(corrections, 'click')} where the answer is wrong" if corrections else ""
    return [f"The prompt for each object is one point in it{more}."]
