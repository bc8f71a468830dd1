"""Folder inference: how close it comes to the limit set by the cores, and its gain over a naive loop.

``python benchmarks/folder_inference.py [--json]``

Both numbers come from one process and interleaved runs over the same generated 1080p JPEGs, with the same
network (a small convolutional one with random weights; only its time matters):

- ``of_possible``: the minimum time that the cores need, divided by the pipeline's time. The minimum is the
  model's own time (all cores, images in memory) plus the CPU time of decoding and writing divided by the
  number of cores; with a GPU, the model's time alone.
- ``gain``: the time of a straightforward loop, divided by the pipeline's. The loop reads with Pillow,
  interpolates the logits to full size, takes the arg-max in torch and writes with Pillow. Neither draws
  overlays here. ``differing_pixels`` says how much the label maps differ (the network rounds differently in
  channels-last memory).
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.data.images import read_image
from toolkit.data.label_maps import read_label_map
from toolkit.inference.inputs import find_images
from toolkit.inference.pipeline import Work, predict_folder
from toolkit.inference.predictor import Predictor
from toolkit.inference.results import ResultFolder
from toolkit.models.semantic import IMAGENET_MEAN, IMAGENET_STD, SemanticModel
from toolkit.runtime.devices import find_device
from toolkit.types import Sample

CLASSES = tuple(f"class {i}" for i in range(21))


def network(photo: Tensor) -> nn.Sequential:
    """Logits at an eighth of the image's size; 20 GFLOP for 1080p. Each class wins somewhere in the photo, as
    after training.
    """
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels_in, channels_out, stride in ((3, 32, 2), (32, 64, 2), (64, 128, 2), (128, 128, 1)):
        layers += [nn.Conv2d(channels_in, channels_out, 3, stride, 1), nn.ReLU()]
    head = nn.Conv2d(128, len(CLASSES), 1)
    model = nn.Sequential(*layers, head)
    with torch.no_grad():
        logits = model(normalized(photo))
        spread, mean = logits.std((0, 2, 3)), logits.mean((0, 2, 3))
        head.weight.div_(spread[:, None, None, None])
        head.bias.sub_(mean).div_(spread)
    return model


def normalized(image: Tensor) -> Tensor:
    """uint8 ``[3, H, W]`` to float32 ``[1, 3, H, W]``, as ``SemanticModel`` does by default."""
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    return ((image / 255 - mean) / std)[None]


def write_photos(folder: Path, count: int, height: int, width: int) -> None:
    """Smooth noise of several scales: as large as camera JPEGs, and as slow to decode."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(count):
        picture = np.zeros((height, width, 3), np.float32)
        for cell in (256, 64, 16, 4):
            noise = rng.normal(0, cell**0.5, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
            picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:04}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])


def naive_loop(model: nn.Module, photos: list[Path], out: Path) -> None:
    """The straightforward loop."""
    out.mkdir()
    palette = [value for i in range(256) for value in (i, i, i)]
    for path in photos:
        image = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).contiguous()
        with torch.no_grad():
            logits = model(normalized(image))
            logits = F.interpolate(logits, image.shape[1:], mode="bilinear")
            label_map = logits.argmax(dim=1)[0]
        result = Image.fromarray(label_map.numpy().astype(np.uint8))
        result.putpalette(palette)
        result.save(out / f"{path.stem}.png")


def wall(action: Callable[[], object]) -> float:
    """The duration in seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Bench:
    """The parts to be timed, over one folder of photos."""

    def __init__(self, folder: Path, work: Work, device: str) -> None:
        self.folder, self.work, self.runs = folder, work, 0
        self.photos = sorted((folder / "photos").iterdir())
        plain = network(read_image(self.photos[0]))
        self.naive_model = copy.deepcopy(plain).to(find_device(device))
        self.predictor = Predictor(SemanticModel(plain, CLASSES), device=device)

    def _fresh(self) -> Path:
        self.runs += 1
        return self.folder / f"out{self.runs}"

    def pipeline(self, overlays: bool) -> float:
        """Seconds for the folder."""
        return wall(
            lambda: predict_folder(
                self.predictor, [self.folder / "photos"], self._fresh(), work=self.work, overlays=overlays
            )
        )

    def naive(self) -> float:
        """Seconds for the folder."""
        return wall(lambda: naive_loop(self.naive_model, self.photos, self._fresh()))

    def least(self, overlays: bool) -> float:
        """Model time plus the CPU time of the rest spread over the cores, batch by batch so that few photos
        lie in memory at once.
        """
        on_cpu = self.predictor.device.type == "cpu"
        images = find_images([self.folder / "photos"])
        model_time, rest = 0.0, 0.0
        with ResultFolder(self._fresh(), CLASSES, self.predictor.palette, overlays=overlays) as results:
            for first in range(0, len(images), self.work.batch_size):
                batch = images[first : first + self.work.batch_size]
                start = time.thread_time()
                samples = [Sample(image.name, read_image(image.path)) for image in batch]
                rest += time.thread_time() - start
                start = time.perf_counter()
                predictions = self.predictor.predict_samples(samples)
                model_time += time.perf_counter() - start
                start = time.thread_time()
                for image, sample, prediction in zip(batch, samples, predictions, strict=True):
                    results.append(results.write(image, sample, prediction, None))
                rest += time.thread_time() - start
        return model_time + (rest / (os.cpu_count() or 1) if on_cpu else 0)

    def differing(self) -> float:
        """The largest part of the pixels of an image in which the naive loop's label map differs from the
        pipeline's.
        """
        ours, theirs = self._fresh(), self._fresh()
        predict_folder(self.predictor, [self.folder / "photos"], ours, work=self.work, overlays=False)
        naive_loop(self.naive_model, self.photos[:3], theirs)
        pairs = (
            (read_label_map(theirs / f"{p.stem}.png"), read_label_map(ours / "labels" / f"{p.stem}.png"))
            for p in self.photos[:3]
        )
        return max(float((a != b).float().mean()) for a, b in pairs)


def measure(count: int, rounds: int, work: Work, device: str) -> dict[str, float]:
    """Run everything ``rounds`` times, interleaved; medians."""
    cv2.setNumThreads(1)  # so that the CPU time of a thread is all that its decoding and writing costs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder / "photos", count, 1080, 1920)
        bench = Bench(folder, work, device)
        differing = bench.differing()
        times: dict[str, list[float]] = {}
        for _ in range(rounds):
            for key, action in {
                "least": lambda: bench.least(overlays=False),
                "pipeline": lambda: bench.pipeline(overlays=False),
                "naive": bench.naive,
                "least_overlays": lambda: bench.least(overlays=True),
                "pipeline_overlays": lambda: bench.pipeline(overlays=True),
            }.items():
                times.setdefault(key, []).append(action())
        medians = {key: statistics.median(values) / count for key, values in times.items()}
    return {
        "of_possible": medians["least"] / medians["pipeline"],
        "of_possible_with_overlays": medians["least_overlays"] / medians["pipeline_overlays"],
        "gain": medians["naive"] / medians["pipeline"],
        "differing_pixels": differing,
        **{f"{key}_seconds_per_image": value for key, value in medians.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--workers", type=int, default=Work().workers)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    figures = measure(args.images, args.rounds, Work(args.batch_size, args.workers), args.device)
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:38}{value:9.4f}")


if __name__ == "__main__":
    main()
