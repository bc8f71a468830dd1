"""What can be set. The defaults are those of Detectron2's ``mask_rcnn_R_50_FPN_3x.yaml``; each part is named
after the part of the network.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from toolkit.config import Settings

Norm = Literal["none", "FrozenBN", "BN", "SyncBN", "GN"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

LEVELS = 5
"""Levels of the pyramid that anchors stand on, P2 to P6."""


class BackboneSettings(Settings):
    """The residual network."""

    depth: Literal[18, 34, 50, 101, 152] = 50
    """Layers: ResNet-18 and 34 are made of basic blocks, the others of bottlenecks."""
    norm: Literal["FrozenBN", "BN", "SyncBN", "GN"] = "FrozenBN"
    """Norm after each convolution; FrozenBN keeps the statistics of the start weights, GN suits training from
    random weights.
    """
    stride_in_1x1: bool = True
    """Whether a bottleneck halves the resolution in its first 1×1 convolution, as MSRA's weights do, or in
    its 3×3 one.
    """
    freeze_at: int = Field(default=2, ge=0, le=5)
    """How many stages keep their start weights: 1 is the stem, 2 the stem and res2, and so on."""
    stem_out_channels: Count = 64
    """Channels of the stem."""
    res2_out_channels: Count | None = None
    """Channels of res2, doubled at each later stage; None is 64 for basic blocks and 256 for bottlenecks."""
    width_per_group: Count = 64
    """Channels inside the bottlenecks of res2, doubled at each later stage; basic blocks have none."""


class FPNSettings(Settings):
    """The feature pyramid."""

    out_channels: Count = 256
    """Channels of every level."""
    norm: Norm = "none"
    """Norm after each convolution."""
    fuse_type: Literal["sum", "avg"] = "sum"
    """Whether a level and the one above it are added or averaged."""


class AnchorSettings(Settings):
    """The boxes that proposals start from."""

    sizes: tuple[tuple[Positive, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    """Square roots of the areas, in pixels of the network's input: a list for each of P2 to P6, or one list
    for all.
    """
    aspect_ratios: tuple[tuple[Positive, ...], ...] = ((0.5, 1.0, 2.0),)
    """Heights over widths: a list for each of P2 to P6, or one list for all."""
    offset: float = Field(default=0.0, ge=0, lt=1)
    """Where in a cell its anchors are centered, as a part of the stride; 0.5 is the middle."""

    @model_validator(mode="after")
    def _one_count_on_all_levels(self) -> AnchorSettings:
        for name, lists in (("sizes", self.sizes), ("aspect_ratios", self.aspect_ratios)):
            if len(lists) not in (1, LEVELS) or not all(lists):
                raise ValueError(
                    f"{name} must be {LEVELS} non-empty lists, one per pyramid level, or a single one for"
                    f" all levels; not {lists}"
                )
        counts = {len(sizes) * len(ratios) for sizes, ratios in self.by_level()}
        if len(counts) > 1:
            raise ValueError(f"every level must have the same number of anchors, not {sorted(counts)}")
        return self

    def by_level(self) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
        """Sizes and aspect ratios of each level, P2 to P6."""
        sizes, ratios = (
            lists * LEVELS if len(lists) == 1 else lists for lists in (self.sizes, self.aspect_ratios)
        )
        return list(zip(sizes, ratios, strict=True))

    @property
    def per_cell(self) -> int:
        """Anchors in each cell of a feature map."""
        sizes, ratios = self.by_level()[0]
        return len(sizes) * len(ratios)


class RPNSettings(Settings):
    """The region proposal network."""

    batch_size_per_image: Count = 256
    """Anchors of an image that the loss looks at."""
    positive_fraction: Fraction = 0.5
    """The part of them that may be on objects."""
    iou_thresholds: tuple[Fraction, Fraction] = (0.3, 0.7)
    """An anchor is background below the first IoU with any object, and on an object from the second on."""
    pre_nms_topk_train: Count = 2000
    """Best proposals of a level that are looked at while training."""
    pre_nms_topk_test: Count = 1000
    """Best proposals of a level that are looked at while predicting."""
    post_nms_topk_train: Count = 1000
    """Proposals of an image that are kept while training."""
    post_nms_topk_test: Count = 1000
    """Proposals of an image that are kept while predicting."""
    nms_thresh: Fraction = 0.7
    """A proposal goes where its IoU with a better one of the same level is above this."""
    min_size: NotNegative = 0.0
    """Proposals with a side of this many pixels or fewer go."""
    bbox_reg_weights: tuple[Positive, Positive, Positive, Positive] = (1.0, 1.0, 1.0, 1.0)
    """What the deltas dx, dy, dw, dh are multiplied by to become targets."""
    smooth_l1_beta: NotNegative = 0.0
    """Where the loss of the deltas turns from a parabola to a line; 0 is plain L1."""
    loss_weight: NotNegative = 1.0
    """Weight of both losses."""
    bbox_reg_loss_weight: NotNegative = 1.0
    """Weight of the loss of the deltas, on top of `loss_weight`."""

    @model_validator(mode="after")
    def _ordered(self) -> RPNSettings:
        low, high = self.iou_thresholds
        if not 0 < low <= high:
            raise ValueError(f"iou_thresholds must be positive and increasing, not {self.iou_thresholds}")
        return self


class RoISettings(Settings):
    """What happens to the proposals: the regions of interest."""

    batch_size_per_image: Count = 512
    """Proposals of an image that the heads learn from."""
    positive_fraction: Fraction = 0.25
    """The part of them that may be on objects."""
    iou_threshold: float = Field(default=0.5, gt=0, le=1)
    """A proposal is on an object from this IoU on."""
    proposal_append_gt: bool = True
    """Whether the objects' own boxes are among the proposals while training."""
    score_thresh_test: Fraction = 0.05
    """Detections with a score of this or less are dropped."""
    nms_thresh_test: Fraction = 0.5
    """A detection goes where its IoU with a better one of the same class is above this."""
    detections_per_image: Count = 100
    """Detections of an image that are kept at most."""


class BoxHeadSettings(Settings):
    """The head that tells classes and refines boxes."""

    num_conv: int = Field(default=0, ge=0)
    """3×3 convolutions before the fully connected layers."""
    conv_dim: Count = 256
    """Their channels."""
    num_fc: int = Field(default=2, ge=0)
    """Fully connected layers."""
    fc_dim: Count = 1024
    """Their width."""
    norm: Norm = "none"
    """Norm after each convolution."""
    pooler_resolution: Count = 7
    """Height and width of a region's features."""
    class_agnostic: bool = False
    """Whether all classes share one regression of boxes."""
    bbox_reg_weights: tuple[Positive, Positive, Positive, Positive] = (10.0, 10.0, 5.0, 5.0)
    """What the deltas dx, dy, dw, dh are multiplied by to become targets."""
    smooth_l1_beta: NotNegative = 0.0
    """Where the loss of the deltas turns from a parabola to a line; 0 is plain L1."""
    bbox_reg_loss_weight: NotNegative = 1.0
    """Weight of the loss of the deltas."""

    @model_validator(mode="after")
    def _not_empty(self) -> BoxHeadSettings:
        if self.num_conv + self.num_fc == 0:
            raise ValueError("num_conv and num_fc must not both be 0")
        return self


class MaskHeadSettings(Settings):
    """The head that outlines the objects."""

    num_conv: int = Field(default=4, ge=0)
    """3×3 convolutions before the resolution is doubled."""
    conv_dim: Count = 256
    """Their channels."""
    norm: Norm = "none"
    """Norm after each convolution."""
    pooler_resolution: Count = 14
    """Height and width of a region's features; its mask has twice as many pixels a side."""
    class_agnostic: bool = False
    """Whether all classes share one mask."""
    threshold: Fraction = 0.5
    """A pixel is on the object from this probability on."""


class KeypointHeadSettings(Settings):
    """The head that places keypoints; there is none while `keypoint_count` is 0."""

    conv_dims: tuple[Count, ...] = (512,) * 8
    """Channels of its 3×3 convolutions."""
    pooler_resolution: Count = 14
    """Height and width of a region's features; its heat maps have four times as many pixels a side."""
    normalize_by_visible: bool = True
    """Whether the loss is a mean over visible keypoints, or over as many as a full batch could have."""
    loss_weight: NotNegative = 1.0
    """Weight of the loss; 4 suits `normalize_by_visible=false`."""


class InputSettings(Settings):
    """What is done to an image before the network sees it."""

    short_side_train: tuple[Count, ...] = (640, 672, 704, 736, 768, 800)
    """Lengths to which the shorter side is brought while training, in pixels; each image draws one. An empty
    list leaves images as they are.
    """
    short_side_sampling: Literal["choice", "range"] = "choice"
    """Whether one of the lengths is drawn, or any from the first to the second."""
    short_side_test: int = Field(default=800, ge=0)
    """Length to which the shorter side is brought while predicting, in pixels; 0 leaves images as they are.
    """
    long_side_train: Count = 1333
    """Images are shrunk further, while training, where the longer side would exceed this."""
    long_side_test: Count = 1333
    """Images are shrunk further, while predicting, where the longer side would exceed this."""
    format: Literal["BGR", "RGB"] = "BGR"
    """Order of the channels that the weights expect."""
    pixel_mean: tuple[float, float, float] = (103.53, 116.28, 123.675)
    """Subtracted from each channel, in the order of `format`, values in 0…255."""
    pixel_std: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    """What each channel is divided by then."""

    @model_validator(mode="after")
    def _usable(self) -> InputSettings:
        sides = self.short_side_train
        if self.short_side_sampling == "range" and (len(sides) != 2 or sides[0] > sides[1]):
            raise ValueError(
                "with short_side_sampling=range, short_side_train must be the minimum and the maximum"
                f" length, not {list(sides)}"
            )
        if not all(math.isfinite(value) for value in self.pixel_mean):
            raise ValueError(f"pixel_mean must be finite, not {self.pixel_mean}")
        return self


class OperatorSettings(Settings):
    """What the engine `torchvision` computes with on a CPU: this plugin's own operators, or plain ones.

    Results agree within rounding. Turn one off to see whether it is at fault.
    """

    roi_align: bool = True
    """Whether regions are pooled by a weighted gather of cells; false is torchvision's `roi_align`."""
    winograd: bool = True
    """Whether large 3×3 convolutions in fp32 go by Winograd's algorithm; false is torch's `conv2d`."""
    fused_convolution: bool = True
    """Whether constant norms are folded into convolutions, and norm, residual and ReLU fused with them where
    nothing trains; false is one layer after the other.
    """
    paste: bool = True
    """Whether masks become run-length codes directly; false samples each by torch's `grid_sample` into an
    image of its own.
    """


class MaskRCNNSettings(Settings):
    """The network, part by part, and what is done to the images."""

    engine: Literal["auto", "torchvision", "detectron2"] = "auto"
    """Who runs the network: `detectron2` itself, or the same network on `torchvision`'s operators; auto is
    detectron2 where it is installed.
    """
    masks: bool = True
    """Whether masks are predicted, or boxes alone."""
    keypoint_count: int = Field(default=0, ge=0)
    """Keypoints of an object; 0 is none."""
    backbone: BackboneSettings = BackboneSettings()
    """The residual network."""
    fpn: FPNSettings = FPNSettings()
    """The feature pyramid."""
    anchors: AnchorSettings = AnchorSettings()
    """The boxes that proposals start from."""
    rpn: RPNSettings = RPNSettings()
    """The region proposal network."""
    roi: RoISettings = RoISettings()
    """What happens to the proposals."""
    box_head: BoxHeadSettings = BoxHeadSettings()
    """The head that tells classes and refines boxes."""
    mask_head: MaskHeadSettings = MaskHeadSettings()
    """The head that outlines the objects."""
    keypoint_head: KeypointHeadSettings = KeypointHeadSettings()
    """The head that places keypoints."""
    input: InputSettings = InputSettings()
    """What is done to an image before the network sees it."""
    operators: OperatorSettings = OperatorSettings()
    """What the engine `torchvision` computes with on a CPU."""
    weight_decay_norm: NotNegative = 0.0
    """Weight decay of the norms' weights and biases; all other parameters, biases included, have
    `train.weight_decay`.
    """
