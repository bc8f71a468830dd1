"""How much of what is explained is still in a model's prediction, when parts of the photo are hidden.

It needs ``predict`` alone, so that every model can be explained, and masked photos of all of them are scored
on one scale: 1 if the prediction still has the target unchanged, 0 if nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.explaining.batches import Score
from toolkit.types import Instances, Masks, Prediction, Sample, Target

Predict: TypeAlias = Callable[[Sequence[Sample]], Sequence[Prediction]]
"""Predicts samples: ``Model.predict`` or ``Predictor.predict_samples``."""

ClassScore: TypeAlias = Callable[[Prediction, int], float]
"""The score of a class, 0 to 1, in the prediction of a task that a plugin has brought."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """How much of a target is in a prediction, 0 to 1.

    - a class in the whole image: the IoU of its pixels with the target's mask, or the share of its pixels if
      there is no mask; its objects' best score, if the model detects; its probability, if the model
      classifies.
    - a region: the share of its pixels that have the class.
    - an object: of the detections of its class, the largest product of box IoU and score, as in D-RISE; of
      objects with masks, also with the IoU of the masks.
    - an answer to a prompt: the IoU of the masks.

    Attributes:
        target: what is explained.
        class_score: for targets of kind ``class`` of models that predict neither label maps nor objects.
    """

    target: Target
    class_score: ClassScore | None = None

    def __call__(self, prediction: Prediction) -> float:
        """The similarity of a prediction.

        Raises:
            UsageError: when it has nothing that the target could be compared with.
        """
        target = self.target
        if target.kind == "class":
            return self._class(prediction)
        if target.kind == "region" and prediction.label_map is not None:
            assert target.mask is not None  # Target has checked it
            assert target.label is not None
            inside = prediction.label_map[target.mask]
            return float(torch.eq(inside, target.label).float().mean()) if len(inside) else 0.0
        if target.kind == "object" and prediction.instances is not None:
            return self._object(prediction.instances)
        if target.kind == "prompt" and prediction.instances is not None:
            answer = prediction.instances.masks
            return float(self._mask_ious(answer[:1])[0]) if answer is not None and len(answer) else 0.0
        raise _cannot(prediction, target)

    def _class(self, prediction: Prediction) -> float:
        label, mask = self.target.label, self.target.mask
        assert label is not None  # Target has checked it
        if prediction.label_map is not None:
            found = torch.eq(prediction.label_map, label)
            if mask is None:
                return float(found.float().mean())
            either = int((found | mask).sum())
            return int((found & mask).sum()) / either if either else 0.0
        if prediction.instances is not None and prediction.instances.scores is not None:
            scores = prediction.instances.scores[prediction.instances.labels == label]
            return float(scores.max()) if len(scores) else 0.0
        if self.class_score is None:
            raise _cannot(prediction, self.target)
        return self.class_score(prediction, label)

    def _object(self, found: Instances) -> float:
        assert self.target.box_xyxy is not None  # Target has checked it
        assert self.target.label is not None
        same = torch.eq(found.labels, self.target.label).nonzero()[:, 0]
        overlaps = box_ious(found.boxes_xyxy[same], self.target.box_xyxy)
        # only those that overlap: the IoU of masks takes time
        same, overlaps = same[overlaps > 0], overlaps[overlaps > 0]
        if not len(same):
            return 0.0
        if found.scores is not None:
            overlaps = overlaps * found.scores[same]
        if found.masks is not None and self.target.mask is not None:
            overlaps = overlaps * self._mask_ious(found.masks[same])
        return float(overlaps.max())

    def _mask_ious(self, masks: Masks) -> Tensor:
        """The IoU of each mask with the target's, float32 ``[N]``."""
        found = np.asarray(coco_mask.iou(masks.to_coco(), self._code, [0]), np.float32)
        return torch.from_numpy(found.reshape(-1))

    @cached_property
    def _code(self) -> list[dict[str, Any]]:
        assert self.target.mask is not None  # Target has checked it
        return Masks.from_dense(self.target.mask[None]).to_coco()


def similarity_score(
    predict: Predict, sample: Sample, target: Target, class_score: ClassScore | None = None
) -> Score:
    """A score of photos: the similarity of their predictions with a target.

    Args:
        predict: the model.
        sample: the photo that is explained; for a promptable model, the target's prompts replace its own.
        target: what is explained.
        class_score: see ``Similarity``.
    """
    prompts = sample.prompts if target.prompts is None else target.prompts
    similarity = Similarity(target, class_score)

    def score(images: Tensor) -> Tensor:
        masked = [sample.with_(image=image, prompts=prompts) for image in images.cpu()]
        return torch.tensor([similarity(found) for found in predict(masked)], dtype=torch.float64)

    return score


def box_ious(boxes: Tensor, box: Tensor) -> Tensor:
    """The IoU of each of ``boxes`` ``[N, 4]`` with ``box`` ``[4]``, ``[N]``."""
    shared = (torch.minimum(boxes[:, 2:], box[2:]) - torch.maximum(boxes[:, :2], box[:2])).clamp(min=0)
    inside = shared.prod(dim=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) + (box[2:] - box[:2]).prod()
    return torch.where(inside > 0, inside / (areas - inside).clamp(min=1e-9), 0.0)


def _cannot(prediction: Prediction, target: Target) -> UsageError:
    fields = ", ".join(prediction.fields()) or "nothing"
    return UsageError(
        f"a target of kind {target.kind!r} cannot be found in predictions with {fields}. Hint: explain what"
        " the model predicts: a class or a region of a label map, an object of a detector, an answer to a"
        " prompt"
    )
