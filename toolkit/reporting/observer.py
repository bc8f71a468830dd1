"""Watches predictions while they are measured, and keeps what a report shows of single images."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.data.image_looks import Look, look_of
from toolkit.evaluation.confusion import confusion_matrix
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.protocols import PLAIN
from toolkit.models.simulated_prompts import AUTO
from toolkit.reporting.cases import Case
from toolkit.reporting.image_labels import image_cases
from toolkit.reporting.regions import region_cases
from toolkit.types import CONFIDENCE, ClassScores, Instances, PixelMap, Prediction, Sample, Size, class_scores


@dataclass(frozen=True)
class SeenImage:
    """An image that was measured.

    Attributes:
        place: in the dataset.
        id: of the sample.
        path: of its file; None where it comes from none.
        size: height and width.
        truth, found: its objects, where objects are compared.
        label_map: the predicted one, compressed, where label maps are compared.
        iou: the mean IoU of the label maps over the classes of either; NaN where there is none.
        regions: in which the label maps differ; of an image with a class as a whole, its error.
        probabilities: float32 ``[C]``, of the classes of the image as a whole; None where it has none.
        label: the true class of such an image.
    """

    place: int
    id: str
    path: str | None
    size: Size
    truth: Instances | None = None
    found: Instances | None = None
    label_map: bytes | None = None
    iou: float = float("nan")
    regions: tuple[Case, ...] = ()
    probabilities: Tensor | None = None
    label: int = 0
    field: str = ""

    def prediction(self) -> Prediction:
        """What was predicted."""
        extras = {} if self.probabilities is None else {self.field: self.probabilities}
        return Prediction(self.id, self.size, self._label_map(), self.found, extras)

    def _label_map(self) -> Tensor | None:
        if self.label_map is None:
            return None
        values = np.frombuffer(zlib.decompress(self.label_map), np.uint8).reshape(self.size)
        return torch.from_numpy(values.copy())


@dataclass
class ClassCounts:
    """How much there is of each class in the truth.

    Attributes:
        objects: int64 ``[C]``; crowds are left out.
        images: int64 ``[C]``, with at least one object or pixel.
        pixels: int64 ``[C]``, of label maps.
        of_images: whether images have a class as a whole.
    """

    objects: NDArray[np.int64]
    images: NDArray[np.int64]
    pixels: NDArray[np.int64]
    of_images: bool = False

    @classmethod
    def of(cls, classes: int) -> ClassCounts:
        """Nothing so far."""
        objects, images, pixels = (np.zeros(classes, dtype=np.int64) for _ in range(3))
        return cls(objects, images, pixels)


@dataclass
class Certainty:
    """How sure a model is of the classes of pixels that it sees as they are labeled.

    Attributes:
        probabilities: float64 ``[C]``, the sums of the probabilities of these pixels.
        pixels: int64 ``[C]``, how many there are.
    """

    probabilities: NDArray[np.float64]
    pixels: NDArray[np.int64]

    @classmethod
    def of(cls, classes: int) -> Certainty:
        """Nothing so far."""
        return cls(np.zeros(classes), np.zeros(classes, dtype=np.int64))

    def add(
        self, truth: NDArray[np.uint8], seen: NDArray[np.uint8], probability: NDArray[np.float32]
    ) -> None:
        """Count an image.

        Args:
            truth, seen: label maps, uint8 ``[H, W]``.
            probability: of what is seen, float32 ``[H, W]``; NaN where it is not known.
        """
        agreed = (truth == seen) & (truth < len(self.pixels)) & ~np.isnan(probability)
        labels = seen[agreed]
        self.pixels += np.bincount(labels, minlength=len(self.pixels))
        self.probabilities += np.bincount(labels, probability[agreed], minlength=len(self.pixels))

    def means(self) -> NDArray[np.float64]:
        """The mean probability of each class, float64 ``[C]``; NaN where it was never seen rightly, and
        everywhere for a model that gives no probabilities.
        """
        with np.errstate(invalid="ignore"):
            return self.probabilities / self.pixels


@dataclass
class Observer:
    """Collects from the batches of one model; of a promptable model, the answers by its first protocol.

    Attributes:
        classes: the names of the classes.
        images: in the order in which they were seen.
        counts: of the truth.
        confusion: int64 ``[C + 1, C + 1]`` over all pixels, as ``confusion_matrix`` counts, or over images
            that have a class as a whole; zeros without either.
        with_looks: whether to keep what images look like.
        looks: what they look like, by the place in the dataset.
        protocol: the prompt protocol that was looked at.
        certainty: how sure the model is where it agrees with the label maps.
    """

    classes: tuple[str, ...]
    with_looks: bool = False
    images: list[SeenImage] = field(default_factory=list)
    looks: dict[int, Look] = field(default_factory=dict)
    protocol: str = PLAIN

    def __post_init__(self) -> None:
        self.counts = ClassCounts.of(len(self.classes))
        self.confusion = np.zeros((len(self.classes) + 1,) * 2, dtype=np.int64)
        self.certainty = Certainty.of(len(self.classes))

    @property
    def has_answers(self) -> bool:
        """Whether objects and predictions belong together one by one."""
        return self.protocol not in (PLAIN, AUTO)

    def add(self, batch: PredictedBatch) -> None:
        """Take in a batch."""
        self.protocol, predictions = next(iter(batch.predictions.items()))
        for place, (sample, prediction) in enumerate(
            zip(batch.samples, predictions, strict=True), start=batch.first
        ):
            self.images.append(self._seen(place, sample, prediction))
            if self.with_looks:
                self.looks[place] = look_of(sample.image)

    def _seen(self, place: int, sample: Sample, prediction: Prediction) -> SeenImage:
        truth, found = sample.instances, prediction.instances
        if truth is not None and found is not None:
            self._count_objects(truth)
            return SeenImage(place, sample.id, sample.path, sample.size, truth, found)
        if sample.label_map is not None and prediction.label_map is not None:
            return self._seen_pixels(place, sample, sample.label_map, prediction)
        true, found_classes = (class_scores(each, len(self.classes)) for each in (sample, prediction))
        if true is not None and found_classes is not None:
            return self._seen_class(place, sample, true.label, found_classes)
        return SeenImage(place, sample.id, sample.path, sample.size)

    def _count_objects(self, truth: Instances) -> None:
        labels = truth.labels if truth.is_crowd is None else truth.labels[~truth.is_crowd]
        counts = np.bincount(labels.numpy(), minlength=len(self.classes))[: len(self.classes)]
        self.counts.objects += counts
        self.counts.images += counts > 0

    def _seen_class(self, place: int, sample: Sample, label: int, found: ClassScores) -> SeenImage:
        probabilities = found.values.float()
        self.counts.images[label] += 1
        self.counts.of_images = True
        seen = int(probabilities.argmax())
        self.confusion[label, seen] += 1
        if seen == label:
            self.certainty.pixels[label] += 1
            self.certainty.probabilities[label] += float(probabilities[seen])
        cases = tuple(image_cases(place, sample.size, label, probabilities))
        return SeenImage(
            place,
            sample.id,
            sample.path,
            sample.size,
            regions=cases,
            probabilities=probabilities,
            label=label,
            field=found.field,
        )

    def _seen_pixels(
        self, place: int, sample: Sample, label_map: Tensor, prediction: Prediction
    ) -> SeenImage:
        assert prediction.label_map is not None
        truth, seen = label_map.numpy(), prediction.label_map.numpy()
        counts = confusion_matrix(label_map, prediction.label_map, len(self.classes))
        self.confusion += counts
        pixels = counts[:-1].sum(axis=1)
        self.counts.pixels += pixels
        self.counts.images += pixels > 0
        confidence = prediction.extras.get(CONFIDENCE)
        probability = confidence.values.numpy() if isinstance(confidence, PixelMap) else None
        if probability is not None:
            self.certainty.add(truth, seen, probability)
        regions = region_cases(place, truth, seen, self.classes, probability)
        kept = zlib.compress(np.ascontiguousarray(seen).tobytes(), 1)
        iou = image_iou(counts)
        return SeenImage(
            place, sample.id, sample.path, sample.size, label_map=kept, iou=iou, regions=tuple(regions)
        )


def image_iou(counts: NDArray[np.int64]) -> float:
    """The mean IoU over the classes that are in truth or prediction; true void counts nowhere.

    Args:
        counts: of ``confusion_matrix``.
    """
    known = counts[:-1]
    right = known.diagonal().astype(np.float64)
    union = known.sum(axis=1) + known[:, :-1].sum(axis=0) - right
    there = union > 0
    return float(np.mean(right[there] / union[there])) if there.any() else float("nan")


def image_sizes(images: Sequence[SeenImage]) -> tuple[Size, Size, Size] | None:
    """The smallest, the median and the largest size by the number of pixels; None without images."""
    sizes = sorted((image.size for image in images), key=lambda size: size[0] * size[1])
    return (sizes[0], sizes[len(sizes) // 2], sizes[-1]) if sizes else None
