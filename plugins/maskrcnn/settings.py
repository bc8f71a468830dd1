"""Settings of the plugin. The defaults are those of Detectron2's ``mask_rcnn_R_50_FPN_3x.yaml``; each group
is named after its part of the network.
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
"""Pyramid levels that have anchors, P2 to P6."""


class BackboneSettings(Settings):
    """The ResNet backbone."""

    depth: Literal[18, 34, 50, 101, 152] = 50
    """Number of layers: ResNet-18 and 34 use basic blocks, the others bottlenecks."""
    norm: Literal["FrozenBN", "BN", "SyncBN", "GN"] = "FrozenBN"
    """Norm after each convolution; FrozenBN keeps the statistics of the start weights; GN suits training from
    scratch.
    """
    stride_in_1x1: bool = True
    """Whether a bottleneck halves the resolution in its first 1×1 convolution, as MSRA's weights do, or in
    its 3×3 one.
    """
    freeze_at: int = Field(default=2, ge=0, le=5)
    """Number of frozen stages: 1 is the stem, 2 the stem and res2, and so on."""
    stem_out_channels: Count = 64
    """Channels of the stem."""
    res2_out_channels: Count | None = None
    """Channels of res2, doubled at each later stage; `null` means 64 for basic blocks and 256 for
    bottlenecks."""
    width_per_group: Count = 64
    """Channels inside the bottlenecks of res2, doubled at each later stage; unused with basic blocks."""


class FPNSettings(Settings):
    """The feature pyramid."""

    out_channels: Count = 256
    """Channels of each level."""
    norm: Norm = "none"
    """Norm after each convolution."""
    fuse_type: Literal["sum", "avg"] = "sum"
    """Whether a level and the one above it are summed or averaged."""


class AnchorSettings(Settings):
    """The anchors: boxes that proposals start from."""

    sizes: tuple[tuple[Positive, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    """Square roots of the areas, in pixels of the network's input: one list per level P2 to P6, or a single
    list for all.
    """
    aspect_ratios: tuple[tuple[Positive, ...], ...] = ((0.5, 1.0, 2.0),)
    """Height-to-width ratios: one list per level P2 to P6, or a single list for all."""
    offset: float = Field(default=0.0, ge=0, lt=1)
    """Position of the anchor centers in a cell, as a fraction of the stride; 0.5 is the middle."""

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
    """Anchors per image that are sampled for the loss."""
    positive_fraction: Fraction = 0.5
    """Maximum fraction of positives among them."""
    iou_thresholds: tuple[Fraction, Fraction] = (0.3, 0.7)
    """An anchor is negative if its IoU with every object is below the first value, and positive from the
    second on."""
    pre_nms_topk_train: Count = 2000
    """Top-scoring proposals kept per level before NMS in training."""
    pre_nms_topk_test: Count = 1000
    """Top-scoring proposals kept per level before NMS in inference."""
    post_nms_topk_train: Count = 1000
    """Proposals kept per image after NMS in training."""
    post_nms_topk_test: Count = 1000
    """Proposals kept per image after NMS in inference."""
    nms_thresh: Fraction = 0.7
    """NMS threshold: a proposal is dropped if its IoU with a better one of the same level is above this."""
    min_size: NotNegative = 0.0
    """Proposals with a side of this many pixels or fewer are dropped."""
    bbox_reg_weights: tuple[Positive, Positive, Positive, Positive] = (1.0, 1.0, 1.0, 1.0)
    """Factors by which the deltas dx, dy, dw, dh are multiplied to get the regression targets."""
    smooth_l1_beta: NotNegative = 0.0
    """Smooth L1 beta of the box regression loss; 0 is plain L1."""
    loss_weight: NotNegative = 1.0
    """Weight of both RPN losses."""
    bbox_reg_loss_weight: NotNegative = 1.0
    """Weight of the box regression loss, on top of `loss_weight`."""

    @model_validator(mode="after")
    def _ordered(self) -> RPNSettings:
        low, high = self.iou_thresholds
        if not 0 < low <= high:
            raise ValueError(f"iou_thresholds must be positive and non-decreasing, not {self.iou_thresholds}")
        return self


class RoISettings(Settings):
    """Sampling of the proposals and selection of the detections."""

    batch_size_per_image: Count = 512
    """Proposals per image that are sampled to train the heads."""
    positive_fraction: Fraction = 0.25
    """Maximum fraction of positives among them."""
    iou_threshold: float = Field(default=0.5, gt=0, le=1)
    """A proposal is positive from this IoU on."""
    proposal_append_gt: bool = True
    """Whether the ground-truth boxes are added to the proposals in training."""
    score_thresh_test: Fraction = 0.05
    """Detections with at most this score are dropped."""
    nms_thresh_test: Fraction = 0.5
    """NMS threshold: a detection is dropped if its IoU with a better one of the same class is above this."""
    detections_per_image: Count = 100
    """Maximum number of detections per image."""


class BoxHeadSettings(Settings):
    """The head that classifies and refines boxes."""

    num_conv: int = Field(default=0, ge=0)
    """Number of 3×3 convolutions before the fully connected layers."""
    conv_dim: Count = 256
    """Channels of these convolutions."""
    num_fc: int = Field(default=2, ge=0)
    """Number of fully connected layers."""
    fc_dim: Count = 1024
    """Width of the fully connected layers."""
    norm: Norm = "none"
    """Norm after each convolution."""
    pooler_resolution: Count = 7
    """Height and width of the pooled features of a region."""
    class_agnostic: bool = False
    """Whether all classes share one box regression."""
    bbox_reg_weights: tuple[Positive, Positive, Positive, Positive] = (10.0, 10.0, 5.0, 5.0)
    """Factors by which the deltas dx, dy, dw, dh are multiplied to get the regression targets."""
    smooth_l1_beta: NotNegative = 0.0
    """Smooth L1 beta of the box regression loss; 0 is plain L1."""
    bbox_reg_loss_weight: NotNegative = 1.0
    """Weight of the box regression loss."""

    @model_validator(mode="after")
    def _not_empty(self) -> BoxHeadSettings:
        if self.num_conv + self.num_fc == 0:
            raise ValueError("num_conv and num_fc must not both be 0")
        return self


class MaskHeadSettings(Settings):
    """The head that predicts masks."""

    num_conv: int = Field(default=4, ge=0)
    """Number of 3×3 convolutions before upsampling."""
    conv_dim: Count = 256
    """Channels of these convolutions."""
    norm: Norm = "none"
    """Norm after each convolution."""
    pooler_resolution: Count = 14
    """Height and width of the pooled features of a region; the mask is twice that size."""
    class_agnostic: bool = False
    """Whether the mask head is class-agnostic."""
    threshold: Fraction = 0.5
    """Probability from which a pixel belongs to the mask."""


class KeypointHeadSettings(Settings):
    """The head that predicts keypoints; absent if `keypoint_count` is 0."""

    conv_dims: tuple[Count, ...] = (512,) * 8
    """Channels of each of its 3×3 convolutions."""
    pooler_resolution: Count = 14
    """Height and width of the pooled features of a region; the heat maps are four times that size."""
    normalize_by_visible: bool = True
    """Whether the loss is averaged over the visible keypoints, or over the number that a full batch could
    have."""
    loss_weight: NotNegative = 1.0
    """Weight of the keypoint loss; 4 suits `normalize_by_visible=false`."""


class InputSettings(Settings):
    """Image preprocessing."""

    short_side_train: tuple[Count, ...] = (640, 672, 704, 736, 768, 800)
    """Lengths in pixels to which the shorter side is resized in training; one is drawn for each image. An
    empty list keeps the original size.
    """
    short_side_sampling: Literal["choice", "range"] = "choice"
    """Whether one of the lengths is drawn, or any length from the first to the second."""
    short_side_test: int = Field(default=800, ge=0)
    """Length in pixels to which the shorter side is resized in inference; 0 keeps the original size.
    """
    long_side_train: Count = 1333
    """Maximum length of the longer side in training; larger images are downscaled further."""
    long_side_test: Count = 1333
    """Maximum length of the longer side in inference; larger images are downscaled further."""
    format: Literal["BGR", "RGB"] = "BGR"
    """Channel order that the weights expect."""
    pixel_mean: tuple[float, float, float] = (103.53, 116.28, 123.675)
    """Mean of each channel, in the order of `format` and for values in 0…255, which is subtracted."""
    pixel_std: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    """Standard deviation of each channel, by which it is then divided."""

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
    """CPU operators of the engine `torchvision`: this plugin's own, or the plain ones.

    Results agree within rounding. Turn one off to see whether it causes a problem.
    """

    roi_align: bool = True
    """Whether regions are pooled by a weighted gather of cells; false uses torchvision's `roi_align`."""
    winograd: bool = True
    """Whether large 3×3 convolutions in fp32 use Winograd's algorithm; false uses torch's `conv2d`."""
    fused_convolution: bool = True
    """Whether constant norms are folded into convolutions, and norm, residual and ReLU fused with them where
    nothing trains; false runs the layers one by one.
    """
    paste: bool = True
    """Whether masks are converted to run-length codes directly; false samples each mask into a full-size
    image with torch's `grid_sample`.
    """


class MaskRCNNSettings(Settings):
    """The network, part by part, and the image preprocessing."""

    engine: Literal["auto", "torchvision", "detectron2"] = "auto"
    """The implementation that runs the network: `detectron2` itself, or the same network on `torchvision`'s
    operators; `auto` uses detectron2 if it is installed.
    """
    masks: bool = True
    """Whether masks are predicted, or only boxes."""
    keypoint_count: int = Field(default=0, ge=0)
    """Number of keypoints per object; 0 means no keypoints."""
    backbone: BackboneSettings = BackboneSettings()
    """The ResNet backbone."""
    fpn: FPNSettings = FPNSettings()
    """The feature pyramid."""
    anchors: AnchorSettings = AnchorSettings()
    """The anchors: boxes that proposals start from."""
    rpn: RPNSettings = RPNSettings()
    """The region proposal network."""
    roi: RoISettings = RoISettings()
    """Sampling of the proposals and selection of the detections."""
    box_head: BoxHeadSettings = BoxHeadSettings()
    """The head that classifies and refines boxes."""
    mask_head: MaskHeadSettings = MaskHeadSettings()
    """The head that predicts masks."""
    keypoint_head: KeypointHeadSettings = KeypointHeadSettings()
    """The head that predicts keypoints."""
    input: InputSettings = InputSettings()
    """Image preprocessing."""
    operators: OperatorSettings = OperatorSettings()
    """CPU operators of the engine `torchvision`."""
    weight_decay_norm: NotNegative = 0.0
    """Weight decay of the norms' weights and biases; all other parameters, including biases, use
    `train.weight_decay`.
    """
