"""Combines a semantic and an instance model into one that predicts panoptic segments.

Kirillov, He, Girshick, Rother and Dollár, Panoptic Segmentation (CVPR 2019), section 4: objects are placed by
descending score where there is no other object yet, and stuff fills the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from toolkit.checkpoints import CheckpointManifest
from toolkit.config import Settings
from toolkit.data.segments import PANOPTIC
from toolkit.errors import UsageError
from toolkit.models.building import load_model
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model
from toolkit.models.returned import checked_predictions, owner_of
from toolkit.types import BACKGROUND, VOID, Instances, PanopticMap, Prediction, Sample, Segment


class PanopticSettings(Settings):
    """How to merge a semantic and an instance prediction; the defaults are those of COCO's
    ``panopticapi``.
    """

    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Objects with a lower score are left out."""
    overlap_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Objects with a larger fraction covered by objects with higher scores are left out."""
    stuff_area: Annotated[int, Field(ge=0)] = 4096
    """Regions of stuff with fewer pixels, over the whole image, become void."""
    things: tuple[str, ...] = ()
    """The thing classes, all others being stuff; if empty, those that the dataset declares, or else those of
    the instance run without a background.
    """


class PanopticPair(Model):
    """Predicts with two models. A prediction has all three: the label map of one, the objects of the
    other, and the merged segments.

    Args:
        semantic: predicts label maps.
        instance: predicts objects with masks and scores.
        settings: thresholds, and the thing classes.
        things: the thing classes if the settings name none; those of the instance model without a
            background when None.

    Attributes:
        classes: those of the semantic model, then those that only the instance model has.
        things: the thing classes.

    Raises:
        UsageError: when a model predicts something else, a thing class is unknown, or all classes are things.
    """

    def __init__(
        self,
        semantic: Model,
        instance: Model,
        settings: PanopticSettings | None = None,
        *,
        things: Iterable[str] | None = None,
    ) -> None:
        more = [name for name in instance.classes if name not in semantic.classes]
        super().__init__((*semantic.classes, *more))
        self.semantic, self.instance = semantic, instance
        self.settings = settings or PanopticSettings()
        if instance.capability(Promptable) is not None:
            raise UsageError(
                "the second model itself needs prompts, and its objects have no classes. Hint: the"
                " second run must be one of a detector, such as of maskrcnn"
            )
        known = instance.classes if things is None else things
        self.things = self.settings.things or tuple(name for name in known if name != BACKGROUND)
        unknown = [name for name in self.things if name not in self.classes]
        if unknown:
            raise UsageError(
                f"things names {', '.join(unknown)}, but the classes of the two runs are"
                f" {', '.join(self.classes)}. Hint: correct the names"
            )
        if set(self.classes) <= set(self.things):
            raise UsageError(
                "every class of the semantic run is one of things, so nothing is stuff. Hint: name the things"
                " with 'things=[NAME,…]', or give the semantic run first"
            )
        self._labels = [self.classes.index(name) for name in instance.classes]
        self.draw_above = self.settings.score_threshold

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One prediction per sample, with the classes of the pair."""
        maps = checked_predictions(self.semantic.predict(samples), samples, owner_of(self.semantic))
        found = checked_predictions(self.instance.predict(samples), samples, owner_of(self.instance))
        return [
            self._merged(sample, self._label_map(one), self._objects(other))
            for sample, one, other in zip(samples, maps, found, strict=True)
        ]

    def _label_map(self, prediction: Prediction) -> Tensor:
        if prediction.label_map is None:
            raise UsageError(
                f"{owner_of(self.semantic)} predicts no label map. Hint: the first run must be of a semantic"
                " model, such as unet, and the second of a detector"
            )
        return prediction.label_map

    def _objects(self, prediction: Prediction) -> Instances:
        found = prediction.instances
        if found is None or (len(found) and found.masks is None):
            lacks = "objects" if found is None else "masks of objects"
            raise UsageError(
                f"{owner_of(self.instance)} predicts no {lacks}. Hint: the second run must be of a detector"
                " with masks, such as maskrcnn"
            )
        labels = torch.tensor(self._labels, dtype=torch.int64)[found.labels]
        return replace(found, labels=labels)

    def _merged(self, sample: Sample, label_map: Tensor, objects: Instances) -> Prediction:
        things = {self.classes.index(name) for name in self.things}
        chosen = objects[[label in things for label in objects.labels.tolist()]] if len(objects) else objects
        panoptic = merge_panoptic(label_map, chosen, things, self.settings)
        return Prediction(sample.id, sample.size, label_map, objects, {PANOPTIC: panoptic})


def pair_of_runs(
    stuff: str | Path,
    things: str | Path,
    settings: PanopticSettings | None = None,
    *,
    thing_classes: Iterable[str] | None = None,
) -> tuple[PanopticPair, CheckpointManifest, CheckpointManifest]:
    """The pair of a semantic and an instance run, in eval mode on the CPU, and their manifests.

    Args:
        stuff, things: folders of runs, or checkpoint files; the semantic one first.
        settings: thresholds, and the thing classes.
        thing_classes: as for ``PanopticPair``.

    Raises:
        CheckpointError: when one cannot be loaded.
        UsageError: when they do not form a pair.
    """
    semantic, one = load_model(stuff)
    instance, other = load_model(things)
    pair = PanopticPair(semantic, instance, settings, things=thing_classes)
    return pair.eval(), one, other


def merge_panoptic(
    label_map: Tensor, objects: Instances, things: Iterable[int], settings: PanopticSettings
) -> PanopticMap:
    """Segments from a label map and objects.

    Args:
        label_map: uint8 ``[H, W]``.
        objects: objects of the same image, with masks; missing scores count as 1. Equal scores stay in order.
        things: class indexes of things; pixels with these classes in the label map are void where there is no
            object.
        settings: thresholds.
    """
    numbers = torch.zeros(objects.size, dtype=torch.int32)
    segments: list[Segment] = []
    scores = torch.ones(len(objects)) if objects.scores is None else objects.scores
    for i in scores.argsort(descending=True, stable=True).tolist():
        score = float(scores[i])
        if score < settings.score_threshold or objects.masks is None:
            break
        inside = objects.masks[[i]].dense()[0]
        area, free = int(inside.sum()), inside & (numbers == 0)
        visible = int(free.sum())
        # in whole pixels, so that a fraction of exactly the threshold is still accepted
        if not visible or area - visible > settings.overlap_threshold * area:
            continue
        segments.append(Segment(int(objects.labels[i]), True, score=score))
        numbers[free] = len(segments)
    left = torch.where(numbers == 0, label_map, VOID)
    areas = torch.bincount(left.flatten(), minlength=VOID + 1)
    skipped = {*things, VOID}
    for label in torch.nonzero(areas).flatten().tolist():
        if label not in skipped and int(areas[label]) >= settings.stuff_area:
            segments.append(Segment(label, False))
            numbers[left == label] = len(segments)
    return PanopticMap(numbers, tuple(segments))
