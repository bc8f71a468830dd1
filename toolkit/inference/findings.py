"""What a model found, as numbers and as a line for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.types import VOID, Instances, Prediction, Size
from toolkit.visualization.legend import label_counts
from toolkit.wording import counted

MOST_NAMES = 6
"""Number of classes named in a line; the rest are counted."""


@dataclass(frozen=True)
class Findings:
    """What was found in one image.

    Attributes:
        objects: total number of objects with any score; None if the model predicts no objects.
        found: number of objects worth showing, by name of the class; the most frequent first.
        best_score: the highest score of all objects; None if there are none, or if they have no scores.
        pixels: for a label map, the number of pixels of each class, the most frequent first, without void.
        has_label_map: whether there is a label map.
    """

    objects: int | None = None
    found: Mapping[str, int] = field(default_factory=dict)
    best_score: float | None = None
    pixels: Mapping[str, int] = field(default_factory=dict)
    has_label_map: bool = False

    @classmethod
    def of_label_counts(cls, counts: Sequence[int], classes: Sequence[str]) -> Findings:
        """What is in a label map.

        Args:
            counts: number of pixels of each value.
            classes: the names that labels stand for.
        """
        pixels = {_name(i, classes): count for i, count in enumerate(counts[:VOID]) if count}
        return cls(pixels=_sorted(pixels), has_label_map=True)

    @property
    def below(self) -> int:
        """Number of objects whose score is too low to be shown."""
        return (self.objects or 0) - sum(self.found.values())


def findings_of(prediction: Prediction, classes: Sequence[str], threshold: float) -> Findings:
    """Count the contents of a prediction.

    Args:
        prediction: the prediction for one image.
        classes: the names that labels stand for.
        threshold: minimum score for an object to count as found.
    """
    pixels: dict[str, int] = {}
    if prediction.label_map is not None:
        counts = label_counts(prediction.label_map)
        pixels = _sorted({_name(i, classes): count for i, count in enumerate(counts[:VOID]) if count})
    instances = prediction.instances
    if instances is None:
        return Findings(pixels=pixels, has_label_map=prediction.label_map is not None)
    found = Counter(_name(label, classes) for label in above(instances, threshold).labels.tolist())
    scores = instances.scores
    best = float(scores.max()) if scores is not None and len(scores) else None
    return Findings(len(instances), _sorted(found), best, pixels, prediction.label_map is not None)


def above(instances: Instances, threshold: float) -> Instances:
    """The objects with at least this score; all if there are no scores."""
    return instances if instances.scores is None else instances[instances.scores >= threshold]


def counts_by_class(counts: Mapping[str, int]) -> str:
    """``3 balloon, 1 ring``. Names of classes stay as they are, since no rule makes a plural of all; only
    ``object``, our word for what has no class, has one.
    """
    parts = [
        counted(count, name) if name == "object" else f"{count:,} {name}" for name, count in counts.items()
    ]
    return _listed(parts, "classes")


def shares(pixels: Mapping[str, int], total: int) -> str:
    """``61% sky, 39% road``: fractions of all pixels, by class."""
    return _listed([f"{_percent(count, total)} {name}" for name, count in pixels.items()], "classes")


def _listed(parts: Sequence[str], what: str) -> str:
    if len(parts) <= MOST_NAMES:
        return ", ".join(parts)
    return f"{', '.join(parts[: MOST_NAMES - 1])} and {len(parts) - MOST_NAMES + 1} other {what}"


def _percent(count: int, total: int) -> str:
    share = 100 * count / total
    return f"{share:.0f}%" if share >= 1 else "< 1%"


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if label < len(classes) else str(label)


@dataclass
class Tally:
    """What was found in many images, added one by one.

    Attributes:
        images: number of images.
        objects, found, best_score, pixels: as in ``Findings``, for all images.
        area: number of pixels of all images with a label map, including void.
    """

    images: int = 0
    objects: int | None = None
    found: Counter[str] = field(default_factory=Counter)
    best_score: float | None = None
    pixels: Counter[str] = field(default_factory=Counter)
    area: int = 0

    def add(self, findings: Findings, size: Size) -> None:
        """Add an image of this size."""
        self.images += 1
        if findings.objects is not None:
            self.objects = (self.objects or 0) + findings.objects
        self.found.update(findings.found)
        self.pixels.update(findings.pixels)
        self.area += size[0] * size[1] if findings.has_label_map else 0
        if findings.best_score is not None:
            self.best_score = max(findings.best_score, self.best_score or 0.0)

    def __str__(self) -> str:
        return self.line()

    def __repr__(self) -> str:
        return f"Tally({counted(self.images, 'image')}: {self.line() or 'nothing to count'})"

    def line(self) -> str:
        """What was found, as a line; empty if the model predicts neither objects nor label maps."""
        if self.objects is not None:
            below = self.objects - self.found.total()
            lower = f"; {below:,} with lower scores are in the files, but not drawn" if below else ""
            return f"{counts_by_class(_sorted(self.found)) or 'no objects'}{lower}"
        return shares(_sorted(self.pixels), self.area) if self.pixels else ""

    def warnings(self, threshold: float) -> list[str]:
        """Problems with the results as a whole, each with a hint.

        Args:
            threshold: minimum score of the objects that are drawn.
        """
        where = f"all {self.images:,} images" if self.images != 1 else "the image"
        if not self.images or self.found or (self.objects and self.best_score is None):
            return []
        if self.objects:
            return [
                f"nothing is drawn: the highest score in {where} is {self.best_score:.2f}, and only objects"
                f" with at least {threshold:g} are drawn. Hint: --draw-above"
                f" {_below(self.best_score or 0)}, or train longer"
            ]
        if self.objects == 0 and not self.pixels:
            return [f"no objects were found in {where}. Hint: {_CHECK}"]
        if self.objects is None and self.area and not self.pixels:
            return [f"no pixel of {where} has a class. Hint: {_CHECK}"]
        if self.objects is None and len(self.pixels) == 1 and self.pixels.total() == self.area:
            return [f"every pixel of {where} is {next(iter(self.pixels))!r}. Hint: {_CHECK}"]
        return []


_CHECK = "check that these images are like the training images, and evaluate the run on its validation split"


def _below(score: float) -> str:
    """A threshold below the score of the best object, with as few digits as possible."""
    step = 10 ** math.floor(math.log10(score)) if 0 < score < 0.1 else 0.1
    return f"{math.floor(score / step) * step:g}" if score > 0 else "0"
