"""From proposals to objects: the heads' losses and detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms

from toolkit.types import Size

from . import matching
from .boxes import clip, decode, delta_loss, encode
from .fpn import STRIDES
from .heads import BoxHead, BoxPredictor, KeypointHead, MaskHead
from .matching import POSITIVE
from .pooling import pool_regions
from .settings import MaskRCNNSettings
from .targets import Targets, keypoint_targets, mask_targets

ROI_STRIDES = STRIDES[:4]
"""Regions are pooled from P2 to P5."""


@dataclass(frozen=True)
class Regions:
    """The proposals of one image that train the heads.

    Attributes:
        boxes: ``[R, 4]``.
        labels: int64 ``[R]``; the number of classes stands for background.
        objects: int64 ``[R]``, the object that each one belongs to; meaningless if the image has none.
    """

    boxes: Tensor
    labels: Tensor
    objects: Tensor

    def __getitem__(self, index: Tensor) -> Regions:
        return Regions(self.boxes[index], self.labels[index], self.objects[index])


@dataclass(frozen=True)
class Detections:
    """The detections in one image, in the network's grid, best first.

    Attributes:
        boxes: float32 ``[N, 4]``, inside the image.
        scores: float32 ``[N]``.
        labels: int64 ``[N]``.
        masks: probabilities, float32 ``[N, m, m]``, each over its box, or None.
        heatmaps: logits, float32 ``[N, K, m, m]``, each over its box, or None.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None
    heatmaps: Tensor | None = None


class RoIHeads(nn.Module):
    """Box head and predictor, and optionally a mask head and a keypoint head."""

    def __init__(self, settings: MaskRCNNSettings, class_count: int) -> None:
        super().__init__()
        channels = settings.fpn.out_channels
        self.settings, self.class_count = settings, class_count
        self.box_head = BoxHead(channels, settings.box_head)
        self.box_predictor = BoxPredictor(
            self.box_head.out_features, class_count, class_agnostic=settings.box_head.class_agnostic
        )
        self.mask_head = MaskHead(channels, class_count, settings.mask_head) if settings.masks else None
        count = settings.keypoint_count
        self.keypoint_head = KeypointHead(channels, count, settings.keypoint_head) if count else None

    # --- training ---

    def losses(
        self, features: Sequence[Tensor], proposals: Sequence[Tensor], targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """``loss_cls`` and ``loss_box_reg``, and ``loss_mask`` and ``loss_keypoint`` if there are such heads.

        Classes: the mean over all sampled regions. Boxes: the sum over those on objects, divided by the
        number of all sampled regions. Masks: the mean over the pixels of those on objects.
        """
        regions = [self.sample(boxes, target) for boxes, target in zip(proposals, targets, strict=True)]
        losses = self._box_losses(features, regions, targets)
        on_objects = [r[torch.nonzero(r.labels != self.class_count).squeeze(1)] for r in regions]
        if self.mask_head is not None:
            losses["loss_mask"] = self._mask_loss(self.mask_head, features, on_objects, targets)
        if self.keypoint_head is not None:
            losses["loss_keypoint"] = self._keypoint_loss(self.keypoint_head, features, on_objects, targets)
        return losses

    @torch.no_grad()
    def sample(self, proposals: Tensor, target: Targets) -> Regions:
        """Label the proposals ``[N, 4]`` of an image and sample those used in training; positives come
        first."""
        options = self.settings.roi
        boxes = torch.cat([proposals, target.boxes]) if options.proposal_append_gt else proposals
        objects, matched = matching.match(
            target.boxes, boxes, (options.iou_threshold,), allow_low_quality=False
        )
        labels = torch.full_like(objects, self.class_count)
        positive = matched == POSITIVE
        labels[positive] = target.labels[objects[positive]]
        chosen = torch.cat(
            matching.subsample(
                labels, options.batch_size_per_image, options.positive_fraction, self.class_count
            )
        )
        return Regions(boxes, labels, objects)[chosen]

    def _box_losses(
        self, features: Sequence[Tensor], regions: Sequence[Regions], targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        options = self.settings.box_head
        scores, deltas = self._predict_boxes(features, [r.boxes for r in regions])
        labels = torch.cat([r.labels for r in regions])
        count = max(len(labels), 1)
        positive = torch.nonzero(labels != self.class_count).squeeze(1)
        wanted = torch.cat(
            [
                _deltas_to_objects(r, t, self.class_count, options.bbox_reg_weights)
                for r, t in zip(regions, targets, strict=True)
            ]
        )
        given = torch.unflatten(deltas, 1, (-1, 4))
        given = given[positive, 0 if options.class_agnostic else labels[positive]]
        return {
            "loss_cls": F.cross_entropy(scores, labels, reduction="sum") / count,
            "loss_box_reg": delta_loss(given, wanted, options.smooth_l1_beta)
            * (options.bbox_reg_loss_weight / count),
        }

    def _mask_loss(
        self,
        head: MaskHead,
        features: Sequence[Tensor],
        regions: Sequence[Regions],
        targets: Sequence[Targets],
    ) -> Tensor:
        pooled = self._pool(features, [r.boxes for r in regions], self.settings.mask_head.pooler_resolution)
        logits = head.of_classes(pooled, torch.cat([r.labels for r in regions]))
        if not len(logits):
            return logits.sum() * 0  # keeps the head in the graph, which distributed training needs
        wanted = []
        for region, target in zip(regions, targets, strict=True):
            assert target.masks is not None  # by construction
            wanted.append(
                mask_targets(target.masks, region.objects, region.boxes, target.size, logits.shape[-1])
            )
        return F.binary_cross_entropy_with_logits(logits, torch.cat(wanted).to(logits))

    def _keypoint_loss(
        self,
        head: KeypointHead,
        features: Sequence[Tensor],
        regions: Sequence[Regions],
        targets: Sequence[Targets],
    ) -> Tensor:
        options = self.settings.keypoint_head
        regions = [_with_visible_keypoints(r, t) for r, t in zip(regions, targets, strict=True)]
        logits: Tensor = head(self._pool(features, [r.boxes for r in regions], options.pooler_resolution))
        points = torch.cat([_keypoints_of(r, t) for r, t in zip(regions, targets, strict=True)])
        cells, valid = keypoint_targets(points, torch.cat([r.boxes for r in regions]), logits.shape[-1])
        if not bool(valid.any()):
            return logits.sum() * 0
        total = F.cross_entropy(logits.flatten(2)[valid], cells[valid], reduction="sum")
        roi = self.settings.roi
        possible = (
            len(targets) * self.settings.keypoint_count * roi.batch_size_per_image * roi.positive_fraction
        )
        return total * (
            options.loss_weight / (int(valid.sum()) if options.normalize_by_visible else possible)
        )

    # --- inference ---

    def detect(
        self, features: Sequence[Tensor], proposals: Sequence[Tensor], sizes: Sequence[Size]
    ) -> list[Detections]:
        """Detections in each image: boxes first, then masks and keypoints of those that remain.

        Args:
            features: P2 to P6.
            proposals: ``[N, 4]`` per image.
            sizes: height and width of each image before padding.
        """
        scores, deltas = self._predict_boxes(features, proposals)
        boxes = decode(torch.cat(list(proposals)), deltas, self.settings.box_head.bbox_reg_weights)
        counts = [len(p) for p in proposals]
        probabilities = scores.float().softmax(dim=1)
        found = [
            self._keep(torch.unflatten(b, 1, (-1, 4)), p, size)
            for b, p, size in zip(
                torch.split(boxes, counts), torch.split(probabilities, counts), sizes, strict=True
            )
        ]
        return self.detect_in(
            features, [d.boxes for d in found], [d.labels for d in found], [d.scores for d in found]
        )

    def detect_in(
        self,
        features: Sequence[Tensor],
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor],
        scores: Sequence[Tensor],
    ) -> list[Detections]:
        """Masks and keypoints of given boxes ``[N, 4]``, image by image."""
        counts = [len(b) for b in boxes]
        masks: Sequence[Tensor | None] = [None] * len(boxes)
        heatmaps: Sequence[Tensor | None] = [None] * len(boxes)
        if self.mask_head is not None:
            masks = torch.split(self.mask_logits(features, boxes, labels).float().sigmoid(), counts)
        if self.keypoint_head is not None:
            logits = self.keypoint_head(
                self._pool(features, boxes, self.settings.keypoint_head.pooler_resolution)
            )
            heatmaps = torch.split(logits.float(), counts)
        return [Detections(*parts) for parts in zip(boxes, scores, labels, masks, heatmaps, strict=True)]

    def _keep(self, boxes: Tensor, probabilities: Tensor, size: Size) -> Detections:
        """The best detections from boxes ``[R, K or 1, 4]`` and probabilities ``[R, K + 1]``."""
        options = self.settings.roi
        finite = torch.isfinite(boxes).flatten(1).all(dim=1) & torch.isfinite(probabilities).all(dim=1)
        boxes, scores = clip(boxes[finite], size), probabilities[finite, :-1]
        region, label = torch.nonzero(scores > options.score_thresh_test, as_tuple=True)
        boxes = boxes[region, 0 if boxes.shape[1] == 1 else label]
        scores = scores[region, label]
        keep = batched_nms(boxes, scores, label, options.nms_thresh_test)[: options.detections_per_image]
        return Detections(boxes[keep], scores[keep], label[keep])

    # --- both ---

    def class_logits(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Logits ``[R, classes + 1]`` of the classes in given boxes ``[N, 4]``, image by image; the
        background is last.
        """
        return self._predict_boxes(features, boxes)[0]

    def mask_logits(
        self, features: Sequence[Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> Tensor:
        """Logits ``[R, m, m]`` of the masks of given classes in given boxes, image by image."""
        assert self.mask_head is not None  # the caller checked it
        pooled = self._pool(features, boxes, self.settings.mask_head.pooler_resolution)
        return self.mask_head.of_classes(pooled, torch.cat(list(labels)))

    def _predict_boxes(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        pooled = self._pool(features, boxes, self.settings.box_head.pooler_resolution)
        scores, deltas = self.box_predictor(self.box_head(pooled))
        return scores, deltas

    def _pool(self, features: Sequence[Tensor], boxes: Sequence[Tensor], output_size: int) -> Tensor:
        return pool_regions(
            list(features[: len(ROI_STRIDES)]),
            list(boxes),
            output_size=output_size,
            strides=ROI_STRIDES,
            gathers=self.settings.operators.roi_align,
        )


def _deltas_to_objects(
    regions: Regions, target: Targets, background: int, weights: tuple[float, float, float, float]
) -> Tensor:
    """Deltas ``[P, 4]`` from the positive regions to their objects."""
    positive = regions.labels != background
    return encode(regions.boxes[positive], target.boxes[regions.objects[positive]], weights)


def _keypoints_of(regions: Regions, target: Targets) -> Tensor:
    assert target.keypoints is not None  # by construction
    return target.keypoints[regions.objects]


def _with_visible_keypoints(regions: Regions, target: Targets) -> Regions:
    """The regions that contain a labeled keypoint of their object."""
    points = _keypoints_of(regions, target)
    xy = points[..., :2]
    inside = (xy >= regions.boxes[:, None, :2]) & (xy <= regions.boxes[:, None, 2:])
    return regions[(inside.all(dim=-1) & (points[..., 2] >= 1)).any(dim=1)]
