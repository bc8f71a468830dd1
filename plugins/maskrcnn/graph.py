"""Mask R-CNN as one graph of tensors: from an image to boxes, scores, labels and masks, with both
suppressions inside.

It computes what ``MaskRCNN.detect`` does for one image, in operators that can be traced for images of any
size and any number of objects: limits of numbers of boxes are slices, regions are pooled level by level with
torchvision's operator, and the boxes to suppress have one more, so that there is always one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn

from toolkit.models.graphs import Axes, Graph

from .boxes import decode
from .heads import KeypointHead, MaskHead
from .inputs import DIVISOR
from .ops.winograd import transforms
from .ops.winograd_graph import by_winograd
from .pooling import assign_levels
from .roi_heads import ROI_STRIDES, Detections, RoIHeads
from .rpn import ProposalGenerator
from .settings import MaskRCNNSettings

SIZES: tuple[tuple[int, int, int, int], ...] = (
    (4, 5, 3, 7),
    (1, 1, 0, 0),
    (1, 9, 31, 1),
    (7, 3, 0, 17),
)
"""Examples: height and width in multiples of ``DIVISOR``, and how many rows and columns of them are
padding.
"""

BRIGHTNESS = 60.0
"""Standard deviation of the examples, as of images without normalization."""


def detection_graph(network: DetectionGraph, settings: MaskRCNNSettings) -> Graph:
    """The graph with examples: ``image``, normalized and padded, and ``size``, before padding."""
    generator = torch.Generator().manual_seed(0)
    examples = []
    for rows, columns, below, right in SIZES:
        height, width = rows * DIVISOR, columns * DIVISOR
        image = torch.randn((1, 3, height, width), generator=generator) * BRIGHTNESS / _spread(settings)
        image[:, :, height - below :], image[:, :, :, width - right :] = 0, 0
        examples.append((image, torch.tensor([height - below, width - right])))
    inputs: dict[str, Axes] = {"image": (1, 3, "height", "width"), "size": (2,)}
    return Graph(
        "detector",
        network,
        inputs,
        outputs_of(settings),
        tuple(examples),
        ranked=True,
        for_cpu=FewerProducts(network).eval(),
    )


def outputs_of(settings: MaskRCNNSettings) -> dict[str, Axes]:
    """The results of the graph, in order."""
    outputs: dict[str, Axes] = {"boxes": ("objects", 4), "scores": ("objects",), "labels": ("objects",)}
    if settings.masks:
        side = 2 * settings.mask_head.pooler_resolution
        outputs["masks"] = ("objects", side, side)
    if settings.keypoint_count:
        side = 4 * settings.keypoint_head.pooler_resolution
        outputs["heatmaps"] = ("objects", settings.keypoint_count, side, side)
    return outputs


def _spread(settings: MaskRCNNSettings) -> float:
    return sum(settings.input.pixel_std) / 3


class FewerProducts(nn.Module):
    """The same network, which is traced with Winograd's algorithm for its large convolutions.

    Args:
        network: which is shared, not copied.
    """

    def __init__(self, network: DetectionGraph) -> None:
        super().__init__()
        self.network = network
        transforms()  # computed once, and not in the graph

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """See ``DetectionGraph``."""
        with by_winograd():
            results: tuple[Tensor, ...] = self.network(image, size)
        return results


class DetectionGraph(nn.Module):
    """The network of ``MaskRCNN`` for one image.

    Args:
        backbone, proposal_generator, roi_heads: its parts, which are shared, not copied.
        settings: its settings.
    """

    def __init__(
        self,
        backbone: nn.Module,
        proposal_generator: ProposalGenerator,
        roi_heads: RoIHeads,
        settings: MaskRCNNSettings,
    ) -> None:
        super().__init__()
        self.backbone, self.proposal_generator, self.roi_heads = backbone, proposal_generator, roi_heads
        self.settings = settings

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """Detections, best first, in the pixels of the image, as the tensors of ``Detections``.

        Args:
            image: normalized and padded, float32 ``[1, 3, H, W]``.
            size: height and width before padding, int64 ``[2]``.
        """
        features = self.backbone(image)
        limits = size.flip(0).repeat(2).to(torch.float32)
        proposals = self._proposals(features, limits)
        boxes, scores, labels = self._boxes(features, proposals, limits)
        results = [boxes, scores, labels]
        if self.roi_heads.mask_head is not None:
            pooled = _pool(features, boxes, self.settings.mask_head.pooler_resolution)
            results.append(_masks(self.roi_heads.mask_head, pooled, labels).sigmoid())
        if self.roi_heads.keypoint_head is not None:
            results.append(self._heatmaps(self.roi_heads.keypoint_head, features, boxes))
        return tuple(results)

    def _proposals(self, features: Sequence[Tensor], limits: Tensor) -> Tensor:
        options = self.proposal_generator.settings
        all_logits, all_deltas = self.proposal_generator.rpn_head(features)
        anchors = self.proposal_generator.anchors_on(features)
        boxes, scores, levels = [], [], []
        for level, (own, logits, deltas) in enumerate(zip(anchors, all_logits, all_deltas, strict=True)):
            best, places = logits[0].sort(descending=True)
            best, places = best[: options.pre_nms_topk_test], places[: options.pre_nms_topk_test]
            boxes.append(decode(own[places], deltas[0][places], options.bbox_reg_weights))
            scores.append(best)
            levels.append(torch.full_like(places, level))
        found, logits, level_of = torch.cat(boxes), torch.cat(scores), torch.cat(levels)
        clipped = _clip(found, limits)
        sides = clipped[:, 2:] - clipped[:, :2]
        keep = torch.nonzero(
            (sides > options.min_size).all(dim=1) & _finite(found).all(dim=1) & _finite(logits)
        ).squeeze(1)
        clipped, logits, level_of = clipped[keep], logits[keep], level_of[keep]
        chosen = _suppressed(clipped, logits, level_of, limits, options.nms_thresh)
        return clipped[chosen[: options.post_nms_topk_test]]

    def _boxes(
        self, features: Sequence[Tensor], proposals: Tensor, limits: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        options, head = self.settings.roi, self.settings.box_head
        pooled = _pool(features, proposals, head.pooler_resolution)
        logits, deltas = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled))
        decoded = decode(proposals, deltas, head.bbox_reg_weights)
        probabilities = logits.softmax(dim=1)
        finite = torch.nonzero(_finite(decoded).all(dim=1) & _finite(probabilities).all(dim=1)).squeeze(1)
        decoded, scores = decoded[finite], probabilities[finite][:, :-1]
        boxes = _clip(decoded.reshape(-1, 1 if head.class_agnostic else scores.shape[1], 4), limits)
        candidates = torch.nonzero(scores > options.score_thresh_test)
        region, label = candidates[:, 0], candidates[:, 1]
        chosen_boxes = boxes[region, torch.zeros_like(label) if head.class_agnostic else label]
        chosen_scores = scores[region, label]
        kept = _suppressed(chosen_boxes, chosen_scores, label, limits, options.nms_thresh_test)
        kept = kept[: options.detections_per_image]
        return chosen_boxes[kept], chosen_scores[kept], label[kept]

    def _heatmaps(self, head: KeypointHead, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        heatmaps: Tensor = head(_pool(features, boxes, self.settings.keypoint_head.pooler_resolution))
        return heatmaps


def _finite(values: Tensor) -> Tensor:
    """Whether values are finite. Comparisons with an undefined value are false. Not by ``abs``: OpenVINO
    2026.4 computes that in place, where other operators still need the values.
    """
    return (values < torch.inf) & (values > -torch.inf)


def _clip(boxes: Tensor, limits: Tensor) -> Tensor:
    """Boxes ``[..., 4]`` inside an image whose width, height, width, height are ``limits``."""
    return torch.minimum(boxes.clamp(min=0), limits)


def _suppressed(boxes: Tensor, scores: Tensor, groups: Tensor, limits: Tensor, threshold: float) -> Tensor:
    """The indexes of the boxes that remain, best first; those of different groups do not affect each other.

    Boxes are moved apart by group, beyond the image. One box is added, and is not among the results: runtimes
    differ in what they do without any.
    """
    step = limits.max() + 1
    moved = boxes + (groups + 1).to(boxes.dtype)[:, None] * step
    added = torch.cat([torch.zeros_like(limits[:2]), torch.ones_like(limits[:2])])[None]
    lowest = torch.cat([scores, 0 * step[None]]).min() - 1  # below all others, which are finite
    kept = torchvision.ops.nms(torch.cat([moved, added]), torch.cat([scores, lowest[None]]), threshold)
    remaining: Tensor = kept[kept < groups.shape[0]]
    return remaining


def _pool(features: Sequence[Tensor], boxes: Tensor, output_size: int) -> Tensor:
    """The features of regions ``[R, 4]``, ``[R, C, output_size, output_size]``, each from its level."""
    levels = assign_levels(boxes, ROI_STRIDES)
    rois = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], dim=1)
    pooled, order = [], []
    for level, (cells, stride) in enumerate(zip(features, ROI_STRIDES, strict=False)):
        places = torch.nonzero(levels == level).squeeze(1)
        pooled.append(
            torchvision.ops.roi_align(
                cells, rois[places], output_size, 1 / stride, sampling_ratio=0, aligned=True
            )
        )
        order.append(places)
    return torch.cat(pooled)[torch.cat(order).argsort()]


def _masks(head: MaskHead, pooled: Tensor, labels: Tensor) -> Tensor:
    """The logits of the mask of one class for each region, ``[R, 2s, 2s]``."""
    logits = pooled
    for layer in head:
        logits = layer(logits)
    channels = labels if head.predictor.out_channels > 1 else torch.zeros_like(labels)
    return logits.gather(1, channels[:, None, None, None].expand(-1, 1, *logits.shape[2:]))[:, 0]


def as_detections(results: Sequence[Tensor], settings: MaskRCNNSettings) -> Detections:
    """The results of the graph."""
    boxes, scores, labels, *rest = results
    masks = rest.pop(0) if settings.masks else None
    return Detections(boxes, scores, labels, masks, rest.pop(0) if rest else None)
