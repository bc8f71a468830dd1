"""Region proposal network (Ren et al., https://arxiv.org/abs/1506.01497) on a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms

from toolkit.types import Size

from . import matching
from .anchors import cell_anchors, grid_anchors
from .boxes import are_larger, clip, decode, delta_loss, encode
from .fpn import STRIDES
from .layers import Conv2d
from .matching import IGNORED, NEGATIVE, POSITIVE
from .settings import AnchorSettings, RPNSettings
from .targets import Targets


@dataclass(frozen=True)
class RPNOutput:
    """The head's output for every anchor, one tensor per level.

    Attributes:
        anchors: ``[R, 4]``.
        logits: ``[B, R]``, above 0 where an object is likely.
        deltas: ``[B, R, 4]``.
    """

    anchors: list[Tensor]
    logits: list[Tensor]
    deltas: list[Tensor]


class RPNHead(nn.Module):
    """A 3×3 convolution, and from it an objectness and four deltas for each anchor; shared by all levels."""

    def __init__(self, channels: int, anchors_per_cell: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, relu=True)
        self.objectness_logits = nn.Conv2d(channels, anchors_per_cell, 1)
        self.anchor_deltas = nn.Conv2d(channels, anchors_per_cell * 4, 1)
        for layer in (self.conv, self.objectness_logits, self.anchor_deltas):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits ``[B, H * W * A]`` and deltas ``[B, H * W * A, 4]`` of each level, in the order of the
        anchors.
        """
        logits, deltas = [], []
        for level in features:
            hidden = self.conv(level)
            logits.append(self.objectness_logits(hidden).permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.anchor_deltas(hidden).permute(0, 2, 3, 1).reshape(len(level), -1, 4))
        return logits, deltas


class ProposalGenerator(nn.Module):
    """Anchors, the head, its losses, and the resulting proposals."""

    def __init__(self, channels: int, anchors: AnchorSettings, settings: RPNSettings) -> None:
        super().__init__()
        self.rpn_head = RPNHead(channels, anchors.per_cell)
        self.anchors, self.settings = anchors, settings
        for level, (sizes, ratios) in enumerate(anchors.by_level()):
            self.register_buffer(f"cell_anchors_{level}", cell_anchors(sizes, ratios), persistent=False)

    def forward(self, features: Sequence[Tensor]) -> RPNOutput:
        """Anchors and the head's output, for P2 to P6."""
        logits, deltas = self.rpn_head(features)
        return RPNOutput(self.anchors_on(features), logits, deltas)

    def anchors_on(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The anchors of each level, ``[R, 4]``."""
        cells = [self.get_buffer(f"cell_anchors_{level}") for level in range(len(STRIDES))]
        return grid_anchors(cells, features, STRIDES, self.anchors.offset)

    @torch.no_grad()
    def proposals(self, output: RPNOutput, sizes: Sequence[Size], *, training: bool) -> list[Tensor]:
        """The best boxes of each image, float32 ``[N, 4]``, best first, inside the image and after NMS.

        Args:
            output: the result of ``forward``.
            sizes: height and width of each image before padding.
            training: which of the settings' numbers of proposals to use.
        """
        options = self.settings
        before = options.pre_nms_topk_train if training else options.pre_nms_topk_test
        after = options.post_nms_topk_train if training else options.post_nms_topk_test
        scores, boxes, levels = [], [], []
        for i, (anchors, logits, deltas) in enumerate(
            zip(output.anchors, output.logits, output.deltas, strict=True)
        ):
            count = min(before, logits.shape[1])
            best, positions = logits.float().topk(count, dim=1)
            chosen = deltas.gather(1, positions[..., None].expand(-1, -1, 4))
            boxes.append(
                decode(anchors[positions.flatten()], chosen.flatten(0, 1), options.bbox_reg_weights).reshape(
                    len(logits), count, 4
                )
            )
            scores.append(best)
            levels.append(torch.full((count,), i, device=logits.device))
        all_boxes, all_scores, all_levels = (
            torch.cat(boxes, dim=1),
            torch.cat(scores, dim=1),
            torch.cat(levels),
        )
        return [
            self._best(b, s, all_levels, size, after)
            for b, s, size in zip(all_boxes, all_scores, sizes, strict=True)
        ]

    def _best(self, boxes: Tensor, scores: Tensor, levels: Tensor, size: Size, count: int) -> Tensor:
        finite = torch.isfinite(boxes).all(dim=1) & torch.isfinite(scores)
        boxes = clip(boxes, size)
        keep = torch.nonzero(finite & are_larger(boxes, self.settings.min_size)).squeeze(1)
        boxes, scores, levels = boxes[keep], scores[keep], levels[keep]
        return boxes[batched_nms(boxes, scores, levels, self.settings.nms_thresh)[:count]]

    def losses(self, output: RPNOutput, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """``loss_rpn_cls`` and ``loss_rpn_loc``: sums over the sampled anchors, divided by
        ``batch_size_per_image`` times the number of images.
        """
        options = self.settings
        anchors = torch.cat(output.anchors)
        logits, deltas = torch.cat(output.logits, dim=1), torch.cat(output.deltas, dim=1)
        classification, localization = [], []
        for i, target in enumerate(targets):
            objects, labels = self.label_anchors(anchors, target)
            on_object = torch.nonzero(labels == POSITIVE).squeeze(1)
            counted = torch.nonzero(labels != IGNORED).squeeze(1)
            classification.append(
                F.binary_cross_entropy_with_logits(
                    logits[i, counted], labels[counted].to(logits.dtype), reduction="sum"
                )
            )
            wanted = encode(anchors[on_object], target.boxes[objects[on_object]], options.bbox_reg_weights)
            localization.append(delta_loss(deltas[i, on_object], wanted, options.smooth_l1_beta))
        total = options.batch_size_per_image * len(targets)
        return {
            "loss_rpn_cls": torch.stack(classification).sum() * (options.loss_weight / total),
            "loss_rpn_loc": torch.stack(localization).sum()
            * (options.loss_weight * options.bbox_reg_loss_weight / total),
        }

    @torch.no_grad()
    def label_anchors(self, anchors: Tensor, target: Targets) -> tuple[Tensor, Tensor]:
        """The object of each anchor, int64 ``[R]``, and whether it counts: 1 on an object, 0 background, -1
        not sampled.
        """
        options = self.settings
        objects, matched = matching.match(
            target.boxes, anchors, options.iou_thresholds, allow_low_quality=True
        )
        positive, negative = matching.subsample(
            matched, options.batch_size_per_image, options.positive_fraction, NEGATIVE
        )
        labels = torch.full_like(matched, IGNORED)
        labels.index_fill_(0, positive, POSITIVE).index_fill_(0, negative, NEGATIVE)
        return objects, labels
