"""Mask R-CNN with a feature pyramid: Detectron2's network, with Detectron2's names for its weights, whether Detectron2 is installed or not."""

from toolkit.plugin import PluginManifest, Weights

_ZOO = "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md"
_LICENCE = "CC-BY-SA-3.0; learnt on COCO 2017"

PLUGIN = PluginManifest(
    name="maskrcnn",
    summary="Mask R-CNN on ResNet and FPN, exactly as in Detectron2: boxes, masks and, on request, keypoints",
    task="instance",
    build=".model:build",
    settings=".settings:MaskRCNNSettings",
    evaluators=("coco",),
    defaults={
        "train": {
            "optimizer": "sgd",
            "lr": 0.02,
            "lr_batch_size": 16,
            "weight_decay": 1e-4,
            "batch_size": 2,
            "steps": 9000,
            "schedule": "multistep",
            "milestones": [6000, 8000],
            "warmup_steps": 1000,
            "eval_batch_size": 1,
        }
    },
    weights=(
        Weights("coco-r50-3x", _LICENCE, _ZOO),
        Weights("coco-r50-1x", _LICENCE, _ZOO),
        Weights("coco-r101-3x", _LICENCE, _ZOO),
        Weights("coco-keypoint-r50-3x", _LICENCE, _ZOO),
    ),
    load_weights=".detectron2.weights:load_weights",
    paper="https://arxiv.org/abs/1703.06870",
)
