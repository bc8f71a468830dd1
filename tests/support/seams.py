"""An instance and a semantic plugin whose answers depend on how much of an image they see, and data of bright
ellipses to measure them on, for the tests of what predicts window by window.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from toolkit import Instances, Masks, PluginManifest, Prediction, Sample, SemanticModel, Settings
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.models.capabilities import Windowable
from toolkit.models.contract import Model, TrainableModel

CLASSES = ("disc",)
GROUNDS = ("ground", "disc")
PLUGIN = (
    PluginManifest(
        name="seams-objects",
        summary="connected bright regions",
        task="instance",
        build=":build_objects",
        evaluators=("coco",),
    ),
    PluginManifest(
        name="seams-map",
        summary="pixels brighter than their surroundings",
        task="semantic",
        build=":build_map",
        evaluators=("iou",),
    ),
    PluginManifest(
        name="seams-learner",
        summary="connected bright regions, with a loss",
        task="instance",
        build=":build_learner",
        evaluators=("coco",),
        defaults={"train": {"steps": 2, "batch_size": 2, "workers": 0}},
    ),
)


class Regions(Model, Windowable):
    """Connected bright regions; the score is the brightness relative to what is seen of the image."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.unused = nn.Parameter(torch.zeros(1))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(sample.id, sample.size, instances=self._found(sample)) for sample in samples]

    def _found(self, sample: Sample) -> Instances:
        gray = sample.image[0].numpy()
        count, regions = cv2.connectedComponents((gray > 100).astype(np.uint8), connectivity=4)
        dense = [regions == number for number in range(1, count)]
        masks = Masks.from_dense(np.stack(dense)) if dense else Masks(sample.size)
        scores = [float(gray[mask].mean() / (gray.mean() + 200)) for mask in dense]
        labels = torch.zeros(len(dense), dtype=torch.int64)
        return Instances(
            sample.size, masks.boxes_xyxy(), labels, masks, torch.tensor(scores, dtype=torch.float32)
        )


class LearningRegions(Regions, TrainableModel):
    """The same with a loss: the share of the image that objects cover."""

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        shares = []
        for sample in samples:
            assert sample.instances is not None
            assert sample.instances.masks is not None
            shares.append(float(sample.instances.masks.areas().sum()) / sample.image[0].numel())
        return {"share": (self.unused + 1).sum() * sum(shares) / len(shares)}


class Brighter(nn.Module):
    """Logits by which a pixel is of class 1 if it is clearly brighter than the mean of what is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        gray = images.mean(1, keepdim=True)
        raised = (gray - gray.mean((2, 3), keepdim=True)) * self.factor - 0.6
        return torch.cat([-raised, raised], dim=1)


def build_objects(settings: Settings, classes: Sequence[str]) -> Regions:
    return Regions(classes)


def build_learner(settings: Settings, classes: Sequence[str]) -> LearningRegions:
    return LearningRegions(classes)


def build_map(settings: Settings, classes: Sequence[str]) -> SemanticModel:
    return SemanticModel(Brighter(), classes)


def write_run(folder: Path, plugin: str) -> Path:
    """A run of one of the plugins, trained on nothing."""
    model: Model = Regions(CLASSES) if plugin == "seams-objects" else SemanticModel(Brighter(), GROUNDS)
    task = "instance" if plugin == "seams-objects" else "semantic"
    folder.mkdir(parents=True)
    evaluators = {"coco" if plugin == "seams-objects" else "iou": {}}
    manifest = CheckpointManifest(plugin, task, tuple(model.classes), config={"evaluators": evaluators})
    save_checkpoint(folder / "best.safetensors", model.state_dict(), manifest)
    return folder


def write_data(folder: Path, size: tuple[int, int] = (100, 140), images: int = 3) -> Path:
    """Images with ellipses as COCO (``annotations/instances_val.json``, ``val/``), and as label images
    (``images``, ``labels``, ``val.txt``).
    """
    rng = np.random.default_rng(5)
    for name in ("val", "annotations", "images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    document = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "disc"}]}
    for number in range(images):
        image, truth = rng.integers(0, 80, size, dtype=np.uint8), np.zeros(size, np.uint8)
        for _ in range(12):
            center = tuple(int(value) for value in rng.integers(5, 95, 2) * (size[1] / 100, size[0] / 100))
            disc = np.zeros(size, np.uint8)
            cv2.ellipse(disc, center, tuple(rng.integers(4, 14, 2).tolist()), 0, 0, 360, 1, -1)
            if (disc & truth).any():
                continue
            truth |= disc
            image[disc > 0] = int(rng.integers(110, 250))
            if rng.random() < 0.6:  # the others are mistakes of the model
                code = Masks.from_dense(disc[None] > 0)
                x0, y0, x1, y1 = code.boxes_xyxy()[0].tolist()
                run = {"size": list(size), "counts": code.to_coco()[0]["counts"].decode()}
                document["annotations"].append(
                    {
                        "id": len(document["annotations"]) + 1,
                        "image_id": number + 1,
                        "category_id": 1,
                        "bbox": [x0, y0, x1 - x0, y1 - y0],
                        "area": int(disc.sum()),
                        "segmentation": run,
                        "iscrowd": 0,
                    }
                )
        name = f"{number}.png"
        document["images"].append({"id": number + 1, "file_name": name, "height": size[0], "width": size[1]})
        for part in ("val", "images"):
            cv2.imwrite(str(folder / part / name), np.repeat(image[..., None], 3, axis=2))
        cv2.imwrite(str(folder / "labels" / name), truth)
    (folder / "annotations" / "instances_val.json").write_text(json.dumps(document))
    (folder / "classes.txt").write_text("\n".join(GROUNDS))
    (folder / "val.txt").write_text("\n".join(map(str, range(images))))
    return folder
