"""Detectron2's configuration keys: the name of each here, or the values that this network supports.

Every key that Detectron2 has is in one of the tables. ``SETTINGS`` works in both directions:
from its YAML files to settings, and from settings to its configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """A Detectron2 key that is a setting here.

    Attributes:
        setting: the path of the setting, starting with ``model`` or ``train``.
        default: Detectron2's default for the key.
        read: converts Detectron2's value to that of the setting.
        write: converts it back.
    """

    setting: str
    default: Any
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value


def _norm(setting: str) -> Key:
    return Key(setting, "", lambda norm: norm or "none", lambda norm: "" if norm == "none" else norm)


def _sides(value: Any) -> Any:
    """Lengths of shorter sides; Detectron2 uses a single number for one length, and 0 for images that are not
    resized.
    """
    sides = list(value) if isinstance(value, (list, tuple)) else [value]
    return () if sides == [0] * len(sides) else tuple(sides)


def _translated(table: dict[Any, str]) -> Callable[[Any], Any]:
    """Translate a Detectron2 term into ours; unknown terms are unchanged, and are refused later."""
    return lambda value: next(
        (ours for theirs, ours in table.items() if type(theirs) is type(value) and theirs == value), value
    )


_ROI = "MODEL.ROI_HEADS"
_BOX, _MASK, _KEYPOINTS = "MODEL.ROI_BOX_HEAD", "MODEL.ROI_MASK_HEAD", "MODEL.ROI_KEYPOINT_HEAD"

SETTINGS = {
    "MODEL.MASK_ON": Key("model.masks", False),
    "MODEL.PIXEL_MEAN": Key("model.input.pixel_mean", (103.53, 116.28, 123.675)),
    "MODEL.PIXEL_STD": Key("model.input.pixel_std", (1.0, 1.0, 1.0)),
    "INPUT.FORMAT": Key("model.input.format", "BGR"),
    "INPUT.MIN_SIZE_TRAIN": Key(
        "model.input.short_side_train", (800,), _sides, lambda sides: tuple(sides) or (0,)
    ),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": Key("model.input.short_side_sampling", "choice"),
    "INPUT.MIN_SIZE_TEST": Key("model.input.short_side_test", 800),
    "INPUT.MAX_SIZE_TRAIN": Key("model.input.long_side_train", 1333),
    "INPUT.MAX_SIZE_TEST": Key("model.input.long_side_test", 1333),
    "MODEL.RESNETS.DEPTH": Key("model.backbone.depth", 50),
    "MODEL.RESNETS.NORM": Key("model.backbone.norm", "FrozenBN"),
    "MODEL.RESNETS.STRIDE_IN_1X1": Key("model.backbone.stride_in_1x1", True),
    "MODEL.RESNETS.STEM_OUT_CHANNELS": Key("model.backbone.stem_out_channels", 64),
    "MODEL.RESNETS.RES2_OUT_CHANNELS": Key("model.backbone.res2_out_channels", 256),
    "MODEL.RESNETS.WIDTH_PER_GROUP": Key("model.backbone.width_per_group", 64),
    "MODEL.BACKBONE.FREEZE_AT": Key("model.backbone.freeze_at", 2),
    "MODEL.FPN.OUT_CHANNELS": Key("model.fpn.out_channels", 256),
    "MODEL.FPN.NORM": _norm("model.fpn.norm"),
    "MODEL.FPN.FUSE_TYPE": Key("model.fpn.fuse_type", "sum"),
    "MODEL.ANCHOR_GENERATOR.SIZES": Key("model.anchors.sizes", ((32, 64, 128, 256, 512),)),
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": Key("model.anchors.aspect_ratios", ((0.5, 1.0, 2.0),)),
    "MODEL.ANCHOR_GENERATOR.OFFSET": Key("model.anchors.offset", 0.0),
    "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": Key("model.rpn.min_size", 0),
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": Key("model.rpn.batch_size_per_image", 256),
    "MODEL.RPN.POSITIVE_FRACTION": Key("model.rpn.positive_fraction", 0.5),
    "MODEL.RPN.IOU_THRESHOLDS": Key("model.rpn.iou_thresholds", (0.3, 0.7)),
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": Key("model.rpn.pre_nms_topk_train", 12000),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": Key("model.rpn.pre_nms_topk_test", 6000),
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": Key("model.rpn.post_nms_topk_train", 2000),
    "MODEL.RPN.POST_NMS_TOPK_TEST": Key("model.rpn.post_nms_topk_test", 1000),
    "MODEL.RPN.NMS_THRESH": Key("model.rpn.nms_thresh", 0.7),
    "MODEL.RPN.BBOX_REG_WEIGHTS": Key("model.rpn.bbox_reg_weights", (1.0, 1.0, 1.0, 1.0)),
    "MODEL.RPN.SMOOTH_L1_BETA": Key("model.rpn.smooth_l1_beta", 0.0),
    "MODEL.RPN.LOSS_WEIGHT": Key("model.rpn.loss_weight", 1.0),
    "MODEL.RPN.BBOX_REG_LOSS_WEIGHT": Key("model.rpn.bbox_reg_loss_weight", 1.0),
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": Key("model.roi.batch_size_per_image", 512),
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": Key("model.roi.positive_fraction", 0.25),
    "MODEL.ROI_HEADS.IOU_THRESHOLDS": Key(
        "model.roi.iou_threshold",
        (0.5,),
        lambda values: values[0] if isinstance(values, (list, tuple)) and len(values) == 1 else values,
        lambda value: (value,),
    ),
    "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT": Key("model.roi.proposal_append_gt", True),
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": Key("model.roi.score_thresh_test", 0.05),
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": Key("model.roi.nms_thresh_test", 0.5),
    "TEST.DETECTIONS_PER_IMAGE": Key("model.roi.detections_per_image", 100),
    f"{_BOX}.NUM_CONV": Key("model.box_head.num_conv", 0),
    f"{_BOX}.CONV_DIM": Key("model.box_head.conv_dim", 256),
    f"{_BOX}.NUM_FC": Key("model.box_head.num_fc", 0),
    f"{_BOX}.FC_DIM": Key("model.box_head.fc_dim", 1024),
    f"{_BOX}.NORM": _norm("model.box_head.norm"),
    f"{_BOX}.POOLER_RESOLUTION": Key("model.box_head.pooler_resolution", 14),
    f"{_BOX}.CLS_AGNOSTIC_BBOX_REG": Key("model.box_head.class_agnostic", False),
    f"{_BOX}.BBOX_REG_WEIGHTS": Key("model.box_head.bbox_reg_weights", (10.0, 10.0, 5.0, 5.0)),
    f"{_BOX}.SMOOTH_L1_BETA": Key("model.box_head.smooth_l1_beta", 0.0),
    f"{_BOX}.BBOX_REG_LOSS_WEIGHT": Key("model.box_head.bbox_reg_loss_weight", 1.0),
    f"{_MASK}.NUM_CONV": Key("model.mask_head.num_conv", 0),
    f"{_MASK}.CONV_DIM": Key("model.mask_head.conv_dim", 256),
    f"{_MASK}.NORM": _norm("model.mask_head.norm"),
    f"{_MASK}.POOLER_RESOLUTION": Key("model.mask_head.pooler_resolution", 14),
    f"{_MASK}.CLS_AGNOSTIC_MASK": Key("model.mask_head.class_agnostic", False),
    f"{_KEYPOINTS}.CONV_DIMS": Key("model.keypoint_head.conv_dims", (512,) * 8),
    f"{_KEYPOINTS}.POOLER_RESOLUTION": Key("model.keypoint_head.pooler_resolution", 14),
    f"{_KEYPOINTS}.NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS": Key(
        "model.keypoint_head.normalize_by_visible", True
    ),
    f"{_KEYPOINTS}.LOSS_WEIGHT": Key("model.keypoint_head.loss_weight", 1.0),
    f"{_KEYPOINTS}.NUM_KEYPOINTS": Key("model.keypoint_count", 17),  # together with MODEL.KEYPOINT_ON
    "SOLVER.WEIGHT_DECAY_NORM": Key("model.weight_decay_norm", 0.0),
    "SOLVER.BASE_LR": Key("train.lr", 0.001),
    "SOLVER.IMS_PER_BATCH": Key("train.batch_size", 16),
    "SOLVER.MAX_ITER": Key("train.steps", 40000),
    "SOLVER.STEPS": Key("train.milestones", (30000,)),
    "SOLVER.GAMMA": Key("train.gamma", 0.1),
    "SOLVER.MOMENTUM": Key("train.momentum", 0.9),
    "SOLVER.WEIGHT_DECAY": Key("train.weight_decay", 0.0001),
    "SOLVER.WARMUP_ITERS": Key("train.warmup_steps", 1000),
    "SOLVER.WARMUP_FACTOR": Key("train.warmup_factor", 0.001),
    "SOLVER.LR_SCHEDULER_NAME": Key(
        "train.schedule",
        "WarmupMultiStepLR",
        _translated({"WarmupMultiStepLR": "multistep", "WarmupCosineLR": "cosine"}),
    ),
    "SOLVER.AMP.ENABLED": Key("train.precision", False, _translated({True: "fp16", False: "fp32"})),
    "SOLVER.CHECKPOINT_PERIOD": Key("train.checkpoint_every", 5000),
    "DATALOADER.NUM_WORKERS": Key("train.workers", 4),
}
"""Keys that are settings here."""

ELSEWHERE = {
    "MODEL.KEYPOINT_ON": False,
    "MODEL.WEIGHTS": "",
    "INPUT.RANDOM_FLIP": "horizontal",
    "SEED": -1,
    "SOLVER.WEIGHT_DECAY_BIAS": None,
    "TEST.EVAL_PERIOD": 0,
    "TEST.KEYPOINT_OKS_SIGMAS": (),
}
"""Keys that correspond to several settings, or to something outside ``model`` and ``train``, with
Detectron2's defaults.
"""

ONLY = {
    "VERSION": (2, 2),
    "MODEL.META_ARCHITECTURE": ("GeneralizedRCNN", "GeneralizedRCNN"),
    "MODEL.LOAD_PROPOSALS": (False, False),
    "MODEL.BACKBONE.NAME": ("build_resnet_backbone", "build_resnet_fpn_backbone"),
    "MODEL.RESNETS.OUT_FEATURES": (("res4",), ("res2", "res3", "res4", "res5")),
    "MODEL.RESNETS.NUM_GROUPS": (1, 1),
    "MODEL.RESNETS.RES5_DILATION": (1, 1),
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": ((False,) * 4, (False,) * 4),
    "MODEL.FPN.IN_FEATURES": ((), ("res2", "res3", "res4", "res5")),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN", "RPN"),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator", "DefaultAnchorGenerator"),
    "MODEL.RPN.HEAD_NAME": ("StandardRPNHead", "StandardRPNHead"),
    "MODEL.RPN.IN_FEATURES": (("res4",), ("p2", "p3", "p4", "p5", "p6")),
    "MODEL.RPN.CONV_DIMS": ((-1,), (-1,)),
    "MODEL.RPN.BOUNDARY_THRESH": (-1, -1),
    "MODEL.RPN.IOU_LABELS": ((0, -1, 1), (0, -1, 1)),
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": ("smooth_l1", "smooth_l1"),
    "MODEL.ROI_HEADS.NAME": ("Res5ROIHeads", "StandardROIHeads"),
    "MODEL.ROI_HEADS.IN_FEATURES": (("res4",), ("p2", "p3", "p4", "p5")),
    "MODEL.ROI_HEADS.IOU_LABELS": ((0, 1), (0, 1)),
    f"{_BOX}.NAME": ("", "FastRCNNConvFCHead"),
    f"{_BOX}.BBOX_REG_LOSS_TYPE": ("smooth_l1", "smooth_l1"),
    f"{_BOX}.POOLER_SAMPLING_RATIO": (0, 0),
    f"{_BOX}.POOLER_TYPE": ("ROIAlignV2", "ROIAlignV2"),
    f"{_BOX}.TRAIN_ON_PRED_BOXES": (False, False),
    f"{_BOX}.USE_FED_LOSS": (False, False),
    f"{_BOX}.USE_SIGMOID_CE": (False, False),
    f"{_MASK}.NAME": ("MaskRCNNConvUpsampleHead", "MaskRCNNConvUpsampleHead"),
    f"{_MASK}.POOLER_SAMPLING_RATIO": (0, 0),
    f"{_MASK}.POOLER_TYPE": ("ROIAlignV2", "ROIAlignV2"),
    f"{_KEYPOINTS}.NAME": ("KRCNNConvDeconvUpsampleHead", "KRCNNConvDeconvUpsampleHead"),
    f"{_KEYPOINTS}.POOLER_SAMPLING_RATIO": (0, 0),
    f"{_KEYPOINTS}.POOLER_TYPE": ("ROIAlignV2", "ROIAlignV2"),
    "INPUT.CROP.ENABLED": (False, False),
    "DATALOADER.SAMPLER_TRAIN": ("TrainingSampler", "TrainingSampler"),
    "SOLVER.NESTEROV": (False, False),
    "SOLVER.BASE_LR_END": (0.0, 0.0),
    "SOLVER.BIAS_LR_FACTOR": (1.0, 1.0),
    "SOLVER.WARMUP_METHOD": ("linear", "linear"),
    "SOLVER.RESCALE_INTERVAL": (False, False),
    "SOLVER.REFERENCE_WORLD_SIZE": (0, 0),
    "SOLVER.CLIP_GRADIENTS.ENABLED": (False, False),
    "TEST.AUG.ENABLED": (False, False),
    "TEST.PRECISE_BN.ENABLED": (False, False),
    "FLOAT32_PRECISION": ("", ""),
}
"""Keys for which this network supports only one value: Detectron2's default, and the supported value."""

ALSO = {"FLOAT32_PRECISION": ("highest",)}
"""Further values of keys in ``ONLY`` that are supported."""

DIFFERENT = {
    "DATALOADER.ASPECT_RATIO_GROUPING": (True, False, "a batch may contain images of different shapes"),
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": (True, False, "images without objects are also used in training"),
    f"{_KEYPOINTS}.MIN_KEYPOINTS_PER_IMAGE": (1, 0, "images with fewer keypoints are also used in training"),
    "INPUT.MASK_FORMAT": ("polygon", "bitmask", "masks are pixels, even if they were drawn as polygons"),
    "FLOAT32_PRECISION": ("", "", "on a GPU, torch decides whether convolutions use TF32"),
}
"""Keys whose other values are replaced by the only one that this toolkit supports: Detectron2's default, the
supported value, and what it means. Converting mentions them.
"""

SAID_ELSEWHERE = {
    "DATASETS.": "choose the data with --data",
    "MODEL.DEVICE": "train.device decides",
    f"{_ROI}.NUM_CLASSES": "the dataset decides",
    "OUTPUT_DIR": "choose the folder with --out",
}
"""Keys, or prefixes of keys, for things that are decided outside the recipe. Converting mentions those that a
file sets.
"""

WITHOUT_BEARING = (
    "CUDNN_BENCHMARK",
    "GLOBAL.",
    "VIS_PERIOD",
    "DATALOADER.REPEAT_",  # for a sampler that ONLY rules out
    "INPUT.CROP.",  # for something that ONLY rules out
    "MODEL.ANCHOR_GENERATOR.ANGLES",  # for rotated boxes
    "MODEL.PANOPTIC_FPN.",
    "MODEL.RESNETS.DEFORM_",  # for something that ONLY rules out
    "MODEL.RETINANET.",
    "MODEL.ROI_BOX_CASCADE_HEAD.",
    "MODEL.ROI_BOX_HEAD.FED_LOSS_",  # for something that ONLY rules out
    "MODEL.SEM_SEG_HEAD.",
    "SOLVER.CLIP_GRADIENTS.",  # for something that ONLY rules out
    "SOLVER.NUM_DECAYS",  # for a schedule that does not exist here
    "TEST.AUG.",  # for something that ONLY rules out
    "TEST.EXPECTED_RESULTS",
    "TEST.PRECISE_BN.",  # for something that ONLY rules out
)
"""Keys, or prefixes of keys, that have no effect here."""


def is_known(key: str) -> bool:
    """Whether Detectron2 has such a key."""
    in_a_table = any(key in table for table in (SETTINGS, ELSEWHERE, ONLY, DIFFERENT))
    return in_a_table or begins_with(key, (*SAID_ELSEWHERE, *WITHOUT_BEARING)) is not None


def begins_with(key: str, beginnings: Iterable[str]) -> str | None:
    """The first of several keys, or prefixes of keys that end in ``.`` or ``_``, that a key equals or starts
    with.
    """
    return next(
        (each for each in beginnings if key == each or (each[-1] in "._" and key.startswith(each))), None
    )


def usual_res2_channels(depth: int) -> int:
    """The default channels of res2 if the settings do not give them."""
    return 64 if depth in (18, 34) else 256
