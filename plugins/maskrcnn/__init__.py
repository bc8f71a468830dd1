"""Mask R-CNN with a feature pyramid: Detectron2's network with Detectron2's names for its weights, whether
Detectron2 is installed or not.
"""

from toolkit.registry.manifests import PluginManifest, Weights

from .interop.zoo import FROM_RANDOM, LICENSE, PAGE, ZOO, download_of

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
            "lr": 0.0025,
            "weight_decay": 1e-4,
            "batch_size": 2,
            "schedule": "cosine",
            "warmup_steps": 1000,
            "eval_batch_size": 1,
        }
    },
    recommended={"weights": "auto", "augment": "auto", "train": {"batch_size": None}},
    weights=tuple(
        Weights(name, LICENSE, PAGE, download_of(address), instead=FROM_RANDOM)
        for name, address in ZOO.items()
    ),
    load_weights=".interop.weights:load_weights",
    reads=("detectron2",),
    cannot={
        "loss_is_a_mean_over_samples": (
            "as in Detectron2, the heads' losses are means over the regions drawn from the whole batch, and "
            "images are padded to the largest"
        )
    },
    paper="https://arxiv.org/abs/1703.06870",
)
