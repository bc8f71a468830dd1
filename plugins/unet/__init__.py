"""U-Net: the network of the 2015 paper, and its decoder on the encoders of segmentation_models.pytorch and
timm.
"""

from toolkit.registry.manifests import PluginManifest, Weights

_HUB = "https://huggingface.co/smp-hub"

PLUGIN = PluginManifest(
    name="unet",
    summary=(
        "U-Net on any published encoder (ResNet, VGG, MobileNet, EfficientNet, …), and the original of 2015"
    ),
    task="semantic",
    build=".model:build",
    settings=".settings:UNetSettings",
    evaluators=("iou",),
    defaults={
        "train": {
            "optimizer": "adamw",
            "lr": 1e-3,
            "weight_decay": 1e-4,
            "batch_size": 8,
            "schedule": "poly",
        }
    },
    recommended={"weights": "auto", "augment": "auto", "train": {"batch_size": None}},
    weights=(
        Weights(
            "imagenet",
            "of the encoder's publisher, mostly BSD-3-Clause or Apache-2.0; trained on ImageNet",
            _HUB,
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
        Weights(
            "advprop",
            "Apache-2.0; EfficientNet with adversarial examples",
            "https://arxiv.org/abs/1911.09665",
        ),
        Weights(
            "noisy-student", "Apache-2.0; EfficientNet, self-trained", "https://arxiv.org/abs/1911.04252"
        ),
    ),
    load_weights=".weights:load_weights",
    takes_encoders=True,
    paper="https://arxiv.org/abs/1505.04597",
)
