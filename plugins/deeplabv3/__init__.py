"""DeepLabv3 and DeepLabv3+: atrous spatial pyramid pooling on a dilated encoder."""

from toolkit.registry.manifests import PluginManifest, Weights

_HUB = "https://huggingface.co/smp-hub"
_TRAIN = {
    "optimizer": "adamw",
    "lr": 5e-4,
    "weight_decay": 1e-4,
    "batch_size": 8,
    "schedule": "poly",
}
_RECOMMENDED = {"weights": "auto", "augment": "auto", "train": {"batch_size": None}}
_WEIGHTS = (
    Weights(
        "imagenet", "of the encoder's publisher, mostly BSD-3-Clause or Apache-2.0; trained on ImageNet", _HUB
    ),
    Weights(
        "torchvision-coco",
        "BSD-3-Clause, like torchvision; trained on COCO's images with PASCAL VOC's classes, from ImageNet",
        "https://github.com/pytorch/vision/tree/main/references/segmentation",
    ),
    Weights(
        "ssl",
        "CC-BY-NC-4.0; semi-supervised, on YFCC100M",
        "https://github.com/facebookresearch/semi-supervised-ImageNet1K-models",
    ),
    Weights(
        "swsl",
        "CC-BY-NC-4.0; weakly supervised, on IG-1B",
        "https://github.com/facebookresearch/semi-supervised-ImageNet1K-models",
    ),
)

PLUGIN = (
    PluginManifest(
        name="deeplabv3",
        summary="DeepLabv3 on any published encoder; equal to torchvision's with the same weights",
        task="semantic",
        build=".model:build",
        settings=".settings:DeepLabV3Settings",
        evaluators=("iou",),
        defaults={"train": _TRAIN},
        recommended=_RECOMMENDED,
        weights=_WEIGHTS,
        load_weights=".weights:load_weights",
        takes_encoders=True,
        reads=("torchvision-deeplabv3",),
        paper="https://arxiv.org/abs/1706.05587",
    ),
    PluginManifest(
        name="deeplabv3plus",
        summary=(
            "DeepLabv3+: a decoder with low-level features on top of DeepLabv3, by depthwise-separable"
            " convolutions"
        ),
        task="semantic",
        build=".model:build_plus",
        settings=".settings:DeepLabV3PlusSettings",
        evaluators=("iou",),
        defaults={"train": _TRAIN},
        recommended=_RECOMMENDED,
        weights=_WEIGHTS,
        load_weights=".weights:load_weights",
        takes_encoders=True,
        paper="https://arxiv.org/abs/1802.02611",
    ),
)
