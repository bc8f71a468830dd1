"""Fine-tuning SAM 2: images per second after the first epoch, against the short recipe's loop as published.

``python benchmarks/sam2_training.py [--device auto|cpu|cuda] [--json]``

The recipe takes one image per step through ``SAM2ImagePredictor``, encoder included, prompts each object with
a random point, and trains the prompt encoder and the mask decoder. Ours does the same steps on features that
the first epoch has cached on disk. Both see the same generated photos of 1024 pixels with the same objects,
one image per step, and start from the same random weights, which do not affect the time. On a GPU both run in
the same precision: fp16 with a GradScaler, as the recipe does, float32 and bf16. On a CPU, where its autocast
has no effect, the recipe runs in float32, and ours also in bf16.

Also printed: the disk space of the cache per image, and the memory that a pass over it adds to the process.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import Comparison, compare, parse, report
from torch import Tensor

from toolkit import registry
from toolkit.data.dataset import open_dataset
from toolkit.models.contract import total_loss
from toolkit.types import Sample

PHOTOS, OBJECTS = 2, 4
LR, WEIGHT_DECAY = 1e-5, 4e-5
TITLE = "Fine-tuning SAM 2, an epoch after the first"
TARGET: dict[str, float | None] = {"cpu": 5.0, "cuda": None}  # not measured on a GPU yet


def photos() -> list[Sample]:
    """Photos of 1024 pixels with the same number of objects each."""
    options = {"size": 1024, "max_shapes": 8, "empty_fraction": 0}
    dataset = open_dataset(registry.datasets().get("shapes"), None, "train", options)
    found = (dataset[i] for i in range(len(dataset)))
    enough = (
        s.with_(instances=s.instances[:OBJECTS])
        for s in found
        if s.instances is not None and len(s.instances) >= OBJECTS
    )
    return [next(enough) for _ in range(PHOTOS)]


class Recipe:
    """The loop of the short recipe, from its description: one image per step, one random point per object."""

    def __init__(
        self, network: Any, samples: list[Sample], device: torch.device, dtype: torch.dtype | None
    ) -> None:
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        self.predictor = SAM2ImagePredictor(network)
        self.device, self.samples, self.dtype = device, samples, dtype
        network.sam_mask_decoder.train(True)
        network.sam_prompt_encoder.train(True)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.rng = np.random.default_rng(0)

    def epoch(self) -> None:
        """A step for each image."""
        for sample in self.samples:
            assert sample.instances is not None
            assert sample.instances.masks is not None
            self.step(
                sample.image.permute(1, 2, 0).contiguous().numpy(), sample.instances.masks.dense().numpy()
            )

    def step(self, image: np.ndarray[Any, Any], masks: np.ndarray[Any, Any]) -> None:
        """Forward, loss, backward, optimizer."""
        points = []
        for mask in masks:
            pixels = np.argwhere(mask)
            y, x = pixels[self.rng.integers(len(pixels))]
            points.append([[x, y]])
        with torch.amp.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            loss = self.loss(image, masks, np.array(points))
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def loss(
        self, image: np.ndarray[Any, Any], masks: np.ndarray[Any, Any], points: np.ndarray[Any, Any]
    ) -> Tensor:
        """Cross-entropy of the pixels and 0.05 times the error of the predicted IoU, on the first mask."""
        predictor, network = self.predictor, self.predictor.model
        predictor.set_image(image)
        _, coordinates, labels, _ = predictor._prep_prompts(
            points, np.ones(points.shape[:2]), None, None, True
        )
        sparse, dense = network.sam_prompt_encoder(points=(coordinates, labels), boxes=None, masks=None)
        low, scores, _, _ = network.sam_mask_decoder(
            image_embeddings=predictor._features["image_embed"][-1].unsqueeze(0),
            image_pe=network.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            repeat_image=len(points) > 1,
            high_res_features=[level[-1].unsqueeze(0) for level in predictor._features["high_res_feats"]],
        )
        found = torch.sigmoid(predictor._transforms.postprocess_masks(low, predictor._orig_hw[-1])[:, 0])
        truth = torch.from_numpy(masks.astype(np.float32)).to(self.device)
        pixels = (-truth * torch.log(found + 1e-5) - (1 - truth) * torch.log(1 - found + 1e-5)).mean()
        both = (truth * (found > 0.5)).sum((1, 2))
        ious = both / (truth.sum((1, 2)) + (found > 0.5).sum((1, 2)) - both)
        return pixels + 0.05 * (scores[:, 0] - ious).abs().mean()


class Ours:
    """The same steps by the plugin, on features from the disk."""

    def __init__(
        self, size: str, samples: list[Sample], device: torch.device, folder: Path, dtype: torch.dtype | None
    ) -> None:
        from toolkit.plugins.sam2.model import build
        from toolkit.plugins.sam2.settings import Sam2Settings

        torch.manual_seed(0)
        self.model = (
            build(Sam2Settings(size=size, max_objects=OBJECTS, cache={"folder": str(folder)}), ("object",))
            .to(device)
            .train()
        )
        self.optimizer = torch.optim.AdamW(self.model.parameter_groups(LR, WEIGHT_DECAY), lr=LR)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.device, self.dtype, self.samples = device, dtype, samples

    def epoch(self) -> None:
        """A step for each image."""
        for sample in self.samples:
            with torch.amp.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
                loss = total_loss(self.model.loss([sample]))
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()


def against_recipe(
    size: str,
    samples: list[Sample],
    device: torch.device,
    folder: Path,
    dtype: torch.dtype | None,
    rounds: int,
) -> Comparison:
    """Time epochs of both alternately; the first one, in which ours encodes the images, is not counted."""
    torch.manual_seed(0)
    from toolkit.plugins.sam2.upstream import build_network

    ours = Ours(size, samples, device, folder, dtype)
    same = None if device.type == "cpu" else dtype
    recipe = Recipe(build_network("2.1", size, 1024).to(device), samples, device, same)
    name = f"{size}, {OBJECTS} objects, {'float32' if dtype is None else str(dtype).removeprefix('torch.')}"
    return compare(
        name,
        ("cached features", ours.epoch),
        (f"short recipe, {'float32' if same is None else str(same).removeprefix('torch.')}", recipe.epoch),
        rounds=rounds,
        target=TARGET[device.type],
        device=device.type,
    )


def main() -> int:
    warnings.filterwarnings("ignore", ".torch.jit.script. is deprecated")
    options = parse(TITLE, with_device=True)
    device = torch.device(options.device)
    samples = photos()
    cases = (
        [("tiny", None), ("tiny", torch.bfloat16), ("tiny", torch.float16), ("large", torch.float16)]
        if device.type == "cuda"
        else [("tiny", None), ("tiny", torch.bfloat16)]
    )
    comparisons = []
    with tempfile.TemporaryDirectory() as name:
        for size, dtype in cases:
            comparisons.append(against_recipe(size, samples, device, Path(name), dtype, rounds=5))
        sizes = [path.stat().st_size for path in Path(name).glob("*/*.features")]
        print(
            f"cache: {max(sizes) / 1e6:.1f} MB of disk per image;"
            f" {added_memory(samples, Path(name), device):.0f} MB of memory for a pass",
            file=sys.stderr,
        )
    return report(TITLE, comparisons, options)


def added_memory(samples: list[Sample], folder: Path, device: torch.device) -> float:
    """Megabytes by which the largest memory of the process grows when all features are read once more."""
    from toolkit.plugins.sam2.model import build
    from toolkit.plugins.sam2.settings import Sam2Settings

    torch.manual_seed(0)
    model = build(Sam2Settings(size="tiny", cache={"folder": str(folder)}), ("object",)).to(device).train()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(10):
        model.encode(samples)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


if __name__ == "__main__":
    sys.exit(main())
