"""Image classification: a small CNN, VGG16 and the models of timm, with the task and its evaluator."""

from toolkit.registry.manifests import EvaluatorManifest, PluginManifest, TaskManifest, Weights

TASK = TaskManifest(
    name="classification",
    summary="a class for the image as a whole, with its probability",
    truth=("class_probabilities",),
    predicts=("class_probabilities",),
    evaluators=("accuracy",),
    draw=".results:draw_class",
    write=".results:write_class",
    collect=".results:write_table",
    examples=".examples:examples",
    classes=("red", "green", "blue"),
    augment=({"name": "flip"}, {"name": "scale", "min": 0.8, "max": 1.25, "keep_size": True}),
)
EVALUATOR = EvaluatorManifest(
    name="accuracy",
    summary="classification: top-1 and top-5 accuracy, per class, confusion and calibration",
    build=".accuracy:build",
    settings=".accuracy:AccuracySettings",
    measures=("class_probabilities",),
)
PLUGIN = PluginManifest(
    name="classifier",
    summary="image classification: a small CNN, VGG16 of 2014, or any model of timm",
    task="classification",
    build=".model:build",
    settings=".settings:ClassifierSettings",
    evaluators=("accuracy",),
    defaults={
        "train": {
            "optimizer": "adamw",
            "lr": 1e-3,
            "weight_decay": 1e-2,
            "batch_size": 32,
            "schedule": "cosine",
        }
    },
    recommended={"augment": "auto"},
    weights=(
        Weights(
            "imagenet",
            "of the model's publisher: BSD-3-Clause for torchvision's, mostly Apache-2.0 or MIT for timm's;"
            " learned on ImageNet",
            "https://pytorch.org/vision/stable/models/vgg.html and https://huggingface.co/timm",
        ),
    ),
    load_weights=".weights:load_weights",
    cannot={
        "rows_follow_class_names": (
            "probabilities come in the order of the classes, which the check does not know;"
            " tests/plugins/test_classifier.py checks it"
        )
    },
    paper="https://arxiv.org/abs/1409.1556",
)
