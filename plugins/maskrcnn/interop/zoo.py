"""The weights of Detectron2's model zoo that fit this plugin's network, and their addresses."""

from __future__ import annotations

import re

from toolkit.registry.manifests import Download

LICENSE = "CC-BY-SA-3.0"
PAGE = "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md"

_HOST = "https://dl.fbaipublicfiles.com"
_ZOO = f"{_HOST}/detectron2"
_MISC = f"{_ZOO}/Misc"

ZOO = {
    "coco-r50-3x": f"{_ZOO}/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl",
    "coco-r50-1x": f"{_ZOO}/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x/137260431/model_final_a54504.pkl",
    "coco-r101-3x": (
        f"{_ZOO}/COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72.pkl"
    ),
    "coco-r50-gn-3x": f"{_MISC}/mask_rcnn_R_50_FPN_3x_gn/138602888/model_final_dc5d9e.pkl",
    "coco-r50-syncbn-3x": f"{_MISC}/mask_rcnn_R_50_FPN_3x_syncbn/169527823/model_final_3b3c51.pkl",
    "coco-scratch-r50-gn-3x": f"{_MISC}/scratch_mask_rcnn_R_50_FPN_3x_gn/138602908/model_final_01ca85.pkl",
    "coco-scratch-r50-gn-9x": f"{_MISC}/scratch_mask_rcnn_R_50_FPN_9x_gn/183808979/model_final_da7b4c.pkl",
    "coco-scratch-r50-syncbn-9x": (
        f"{_MISC}/scratch_mask_rcnn_R_50_FPN_9x_syncbn/184226666/model_final_5ce33e.pkl"
    ),
    "coco-boxes-r50-3x": f"{_ZOO}/COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl",
    "coco-boxes-r50-1x": f"{_ZOO}/COCO-Detection/faster_rcnn_R_50_FPN_1x/137257794/model_final_b275ba.pkl",
    "coco-boxes-r101-3x": f"{_ZOO}/COCO-Detection/faster_rcnn_R_101_FPN_3x/137851257/model_final_f6e8b1.pkl",
    "coco-keypoint-r50-3x": (
        f"{_ZOO}/COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x/137849621/model_final_a6e10b.pkl"
    ),
    "coco-keypoint-r50-1x": (
        f"{_ZOO}/COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x/137261548/model_final_04e291.pkl"
    ),
    "coco-keypoint-r101-3x": (
        f"{_ZOO}/COCO-Keypoints/keypoint_rcnn_R_101_FPN_3x/138363331/model_final_997cc7.pkl"
    ),
    "imagenet-r50": f"{_ZOO}/ImageNetPretrained/MSRA/R-50.pkl",
    "imagenet-r101": f"{_ZOO}/ImageNetPretrained/MSRA/R-101.pkl",
    "imagenet-r50-gn": f"{_HOST}/detectron/ImageNetPretrained/47261647/R-50-GN.pkl",
    "imagenet-r101-gn": f"{_HOST}/detectron/ImageNetPretrained/47592356/R-101-GN.pkl",
}
"""Names for ``weights=``, and the addresses of their files; those that begin with ``imagenet`` contain only
the backbone.
"""

FROM_RANDOM = (
    "give the path of such a file as weights=FILE; or train from random weights, as"
    " configs/maskrcnn-balloon-scratch.yaml does: weights=none model.backbone.norm=GN"
    " model.backbone.freeze_at=0 model.fpn.norm=GN"
)
"""What to do if a file of the model zoo is not available."""


def download_of(address: str) -> Download:
    """The file at an address of the model zoo.

    According to the zoo, a model's file name contains the first digits of its md5
    (``model_final_f10217.pkl``); for the ImageNet backbones it publishes no checksums.
    """
    found = re.search(r"/model_final_([0-9a-f]{6})\.pkl$", address)
    return Download(address, checksum=f"md5:{found[1]}" if found else "")


DETECTRON2_NAMES = {
    "detectron2://": f"{_ZOO}/",
    "catalog://ImageNetPretrained/MSRA/R-50": ZOO["imagenet-r50"],
    "catalog://ImageNetPretrained/MSRA/R-101": ZOO["imagenet-r101"],
    "catalog://ImageNetPretrained/FAIR/R-50-GN": ZOO["imagenet-r50-gn"],
    "catalog://ImageNetPretrained/FAIR/R-101-GN": ZOO["imagenet-r101-gn"],
}
"""Forms or prefixes of such addresses in Detectron2's configs."""


def name_of(weights: str) -> str | None:
    """The name in ``ZOO`` for the value of ``MODEL.WEIGHTS`` in a Detectron2 config; None if it is something
    else.
    """
    for written, address in DETECTRON2_NAMES.items():
        if weights.startswith(written):
            weights = address + weights.removeprefix(written)
            break
    return next((name for name, address in ZOO.items() if address == weights), None)
