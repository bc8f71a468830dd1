"""Chooses what a report shows of single images, and draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.reporting.cases import Box, Case, answer_cases, most_telling, object_cases
from toolkit.reporting.findings import Findings
from toolkit.reporting.image_labels import image_in_words
from toolkit.reporting.image_values import ranking_values
from toolkit.reporting.matching import NONE, Matched, match, paired_overlaps
from toolkit.reporting.observer import SeenImage
from toolkit.reporting.suspected_labels import (
    Trust,
    answer_suspects,
    object_suspects,
    ranked,
    region_suspects,
)
from toolkit.reporting.thumbnails import thumbnail
from toolkit.reporting.words import case_in_words, suspect_in_words
from toolkit.visualization.drawing import confident
from toolkit.visualization.palettes import class_palette

ERRORS_OF_A_KIND = 12
WORST_IMAGES = 12
BEST_IMAGES = 6
SUSPECTS_SHOWN = 60


class Gallery:
    """The errors, the suspected labels and the worst images of what was found, and their pictures.

    Args:
        findings: what they are chosen from.

    Attributes:
        matched: each image's detections matched with its objects; None for images without objects, and for
            answers to prompts.
        counts: how many errors there are of each kind; right ones are under ``right``.
        pictures: URIs by key, as the entries name them.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.images = {image.place: image for image in findings.observer.images}
        self.matched: dict[int, Matched] = {}
        self.counts: dict[str, int] = {}
        self.pictures: dict[str, str] = {}
        # reports of several prompt protocols are not all about the answers that are shown
        reports = [] if findings.observer.has_answers else [each.to_dict() for each in findings.reports]
        self._ranking = ranking_values(reports)
        self._wanted: dict[str, tuple[int, Box | None]] = {}
        if not findings.observer.has_answers:
            for image in findings.observer.images:
                if image.truth is not None and image.found is not None:
                    self.matched[image.place] = match(image.truth, image.found)
        self._cases = {place: self._cases_of(image) for place, image in self.images.items()}
        for cases in self._cases.values():
            for case in cases:
                self.counts[case.kind] = self.counts.get(case.kind, 0) + 1
        if self.matched:
            threshold = findings.threshold
            self.counts["right"] = sum(
                int(((each.match != NONE) & (each.scores >= threshold)).sum())
                for each in self.matched.values()
            )

    def _cases_of(self, image: SeenImage) -> list[Case]:
        if image.truth is None or image.found is None:
            return list(image.regions)
        if image.place in self.matched:
            matched, threshold = self.matched[image.place], self.findings.threshold
            return object_cases(image.place, image.truth, image.found, matched, threshold)
        overlaps = paired_overlaps(image.truth, image.found).tolist()
        return answer_cases(image.place, image.truth, image.found, overlaps)

    def errors(self) -> list[dict[str, Any]]:
        """The most telling errors of each kind."""
        cases = [case for cases in self._cases.values() for case in cases]
        chosen = most_telling(cases, ERRORS_OF_A_KIND)
        return [self._entry(case, case_in_words(case, self.findings.observer.classes)) for case in chosen]

    def suspects(self) -> list[dict[str, Any]]:
        """The labels that are most likely to be wrong, the strongest suspicion first."""
        classes = self.findings.observer.classes
        found: list[Case] = []
        if self.findings.observer.has_answers:
            found = answer_suspects([case for cases in self._cases.values() for case in cases])
        elif self.matched:
            trust = Trust.of(list(self.matched.values()), len(classes))
            for place, matched in self.matched.items():
                image = self.images[place]
                assert image.truth is not None
                assert image.found is not None
                found += object_suspects(place, image.truth, image.found, matched, trust)
        else:
            confusion = self.findings.observer.confusion[:-1, :-1].astype(np.float64)
            with np.errstate(invalid="ignore"):
                precision = confusion.diagonal() / confusion.sum(axis=0)
            regions = [case for image in self.images.values() for case in image.regions]
            found = region_suspects(regions, precision, self.findings.observer.certainty.means())
        chosen = ranked(found, SUSPECTS_SHOWN)
        return [
            {"rank": rank, **self._entry(case, suspect_in_words(case, classes))}
            for rank, case in enumerate(chosen, start=1)
        ]

    def worst(self) -> list[dict[str, Any]]:
        """The images that are worst by the figure of a report that ranks images; where there is none, by
        their errors, or by their mean IoU. Images that are as good as can be are left out.
        """
        return [self._ranked_entry(place) for place in self._worst_places()]

    def best(self) -> list[dict[str, Any]]:
        """The images that are best, likewise; those with more objects first, and none of the worst."""
        worst = set(self._worst_places())
        left = {
            place: value
            for place, value in self._goodness.items()
            if value is not None and place not in worst
        }
        order = sorted(left, key=lambda place: (-left[place], -self._objects(place), place))
        return [self._ranked_entry(place) for place in order[:BEST_IMAGES]]

    def _worst_places(self) -> list[int]:
        perfect = 0 if self._is_lower_better else 1
        bad = {
            place: value for place, value in self._goodness.items() if value is not None and value < perfect
        }

        # of two images that are as bad, the one with more errors, or whose class the model is surer of
        def order(place: int) -> tuple[float, float, float, int]:
            sure = sum(case.weight for case in self._cases[place] if case.is_whole)
            return bad[place], -len(self._cases[place]), -sure, place

        return sorted(bad, key=order)[:WORST_IMAGES]

    @cached_property
    def _goodness(self) -> dict[int, float | None]:
        """How good each image is, more being better; None where nothing can be said."""
        name, values = self._ranking
        if name:
            sign = -1 if self._is_lower_better else 1
            found = {place: values.get(image.id) for place, image in self.images.items()}
            return {place: None if value is None else sign * value for place, value in found.items()}
        return {place: self._own_goodness(place) for place in self.images}

    @property
    def _is_lower_better(self) -> bool:
        name, _ = self._ranking
        return any(name in report.lower_is_better for report in self.findings.reports)

    def _own_goodness(self, place: int) -> float | None:
        image = self.images[place]
        if image.truth is not None and self.findings.observer.has_answers:
            return self._mean_overlap(image) if len(image.truth) else None
        if image.truth is not None:
            both = len(image.truth) + len(self._cases[place])
            return len(image.truth) / both if both else None
        return None if math.isnan(image.iou) else image.iou

    @property
    def _classes(self) -> Sequence[str]:
        return self.findings.observer.classes

    def _objects(self, place: int) -> int:
        truth = self.images[place].truth
        return 0 if truth is None else len(truth)

    def _ranked_entry(self, place: int) -> dict[str, Any]:
        image = self.images[place]
        entry: dict[str, Any] = self._named(image) | {"picture": self._picture_key(place, None)}
        name, values = self._ranking
        if name:
            value = values.get(image.id)
            entry |= {"ranked_by": name, "value": None if value is None else round(value, 4)}
        if image.probabilities is not None:
            return entry | {"says": image_in_words(image.label, image.probabilities, self._classes)}
        if image.truth is None:
            return entry | {"mean_iou": None if math.isnan(image.iou) else round(image.iou, 4)}
        if self.findings.observer.has_answers:
            return entry | {"mean_iou": round(self._mean_overlap(image), 4)}
        kinds = [case.kind for case in self._cases[place]]
        counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
        return entry | {"objects": len(image.truth), "errors": counts}

    def _mean_overlap(self, image: SeenImage) -> float:
        assert image.truth is not None
        assert image.found is not None
        return float(paired_overlaps(image.truth, image.found).mean())

    def _entry(self, case: Case, says: str) -> dict[str, Any]:
        classes = self.findings.observer.classes
        return {
            "kind": case.kind,
            **self._named(self.images[case.image]),
            "class": _name(classes, case.label),
            "taken_for": None if case.other is None else _name(classes, case.other),
            "score": None if case.score is None else round(case.score, 4),
            "iou": None if case.iou is None else round(case.iou, 4),
            "probability": None if case.probability is None else round(case.probability, 4),
            "weight": round(case.weight, 4),
            "box": None if case.is_whole else [round(value, 1) for value in case.box],
            "says": says,
            "picture": self._picture_key(case.image, None if case.is_whole else case),
        }

    def _named(self, image: SeenImage) -> dict[str, Any]:
        return {"image": image.id, "file": None if image.path is None else Path(image.path).name}

    def _picture_key(self, place: int, case: Case | None) -> str:
        key = str(place) if case is None else f"{place}:{','.join(f'{value:.0f}' for value in case.box)}"
        self._wanted[key] = (place, None if case is None else case.box)
        return key

    def draw(self) -> Mapping[str, str]:
        """Draw all pictures that entries have named so far; each image is read once."""
        dataset, classes = self.findings.dataset, self.findings.observer.classes
        palette = dataset.palette or class_palette(classes)
        by_place: dict[int, list[str]] = {}
        for key, (place, _) in self._wanted.items():
            by_place.setdefault(place, []).append(key)
        for place, keys in by_place.items():
            sample = dataset[place]
            prediction = confident(self.images[place].prediction(), self.findings.threshold)
            for key in keys:
                box = self._wanted[key][1]
                self.pictures[key] = thumbnail(sample, prediction, box, classes, palette)
        return self.pictures


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if 0 <= label < len(classes) else str(label)
