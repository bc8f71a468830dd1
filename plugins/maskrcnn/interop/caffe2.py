"""The tensor names of Caffe2 and the first Detectron, which Detectron2's ImageNet backbones still use.

``res2_0_branch2a_bn_s`` is ``backbone.bottom_up.res2.0.conv1.norm.weight`` here. The meaning of the names,
and the fact that the background class comes first rather than last, is from Detectron2's
``checkpoint/c2_model_loading.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_TENSOR = re.compile(
    r"(?P<layer>.+?)(?P<norm>_[bg]n)?_(?P<kind>w|b|s|gamma|beta|rm|riv|running_mean|running_var)"
)
_KINDS = {
    "w": "weight",
    "s": "weight",
    "gamma": "weight",
    "b": "bias",
    "beta": "bias",
    "rm": "running_mean",
    "riv": "running_var",
}
_BOTTOM_UP, _RPN, _HEADS = "backbone.bottom_up", "proposal_generator.rpn_head", "roi_heads"
_LAYERS = (
    (r"(res_)?conv1", rf"{_BOTTOM_UP}.stem.conv1"),
    (r"res(\d)_(\d+)_branch1", rf"{_BOTTOM_UP}.res\1.\2.shortcut"),
    (r"res(\d)_(\d+)_branch2a", rf"{_BOTTOM_UP}.res\1.\2.conv1"),
    (r"res(\d)_(\d+)_branch2b", rf"{_BOTTOM_UP}.res\1.\2.conv2"),
    (r"res(\d)_(\d+)_branch2c", rf"{_BOTTOM_UP}.res\1.\2.conv3"),
    (r"fpn_inner_res(\d)_\d+_sum(_lateral)?", r"backbone.fpn_lateral\1"),
    (r"fpn_res(\d)_\d+_sum", r"backbone.fpn_output\1"),
    (r"conv_rpn(_fpn2)?", rf"{_RPN}.conv"),  # one head for all levels, kept under the name of the first
    (r"rpn_cls_logits(_fpn2)?", rf"{_RPN}.objectness_logits"),
    (r"rpn_bbox_pred(_fpn2)?", rf"{_RPN}.anchor_deltas"),
    (r"head_conv(\d)", rf"{_HEADS}.box_head.conv\1"),
    (r"fc6", rf"{_HEADS}.box_head.fc1"),
    (r"fc7", rf"{_HEADS}.box_head.fc2"),
    (r"cls_score", rf"{_HEADS}.box_predictor.cls_score"),
    (r"bbox_pred", rf"{_HEADS}.box_predictor.bbox_pred"),
    (r"_(\[mask\]|mask)_fcn(\d)", rf"{_HEADS}.mask_head.mask_fcn\2"),
    (r"conv5_mask", rf"{_HEADS}.mask_head.deconv"),
    (r"mask_fcn_logits", rf"{_HEADS}.mask_head.predictor"),
    (r"conv_fcn(\d)", rf"{_HEADS}.keypoint_head.conv_fcn\1"),
    (r"kps_score_lowres", rf"{_HEADS}.keypoint_head.score_lowres"),
)


def rename(name: str) -> str:
    """A tensor's name in Detectron2; names of layers that it does not have are unchanged."""
    tensor = _TENSOR.fullmatch(name)
    if tensor:
        for pattern, layer in _LAYERS:
            if re.fullmatch(pattern, tensor["layer"]):
                layer = re.sub(pattern, layer, tensor["layer"])
                return (
                    f"{layer}{'.norm' if tensor['norm'] else ''}.{_KINDS.get(tensor['kind'], tensor['kind'])}"
                )
    return name


def convert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a Caffe2 file under Detectron2's names, without the optimizer's momenta and with the
    background class last.
    """
    return {
        rename(name): _without_background(rename(name), value)
        for name, value in tensors.items()
        if not name.endswith("_momentum")
    }


def _without_background(name: str, value: Tensor) -> Tensor:
    """Drop boxes and masks of the background, which Caffe2 stores but never uses, and move its score from the
    front to the end.
    """
    layer = name.rpartition(".")[0]
    if layer.endswith("box_predictor.bbox_pred"):
        return value[4:]
    if layer.endswith("mask_head.predictor"):
        return value[1:]
    if layer.endswith("box_predictor.cls_score"):
        return torch.cat([value[1:], value[:1]])
    return value
