"""What an encoder that has learned to classify crops is worth to a U-Net or a DeepLabv3::

    PYTHONPATH=. python benchmarks/classifier_transfer.py
    PYTHONPATH=. python benchmarks/classifier_transfer.py --data msrc --data-dir photos/msrc_v2

For each seed, a classifier is trained on crops of the objects in the training images, and a network for
segmentation with the same encoder learns in equally many steps from random weights, from the classifier's
encoder, and from this encoder frozen. On ``shapes``, the crops are those of ``toolkit data sample
image-folder``. On ``msrc``, each labeled segment of the training photos is cut out with some of its
surroundings, so that both learn from the same photos. Prints the mean IoU on held-out images (the validation
split of ``shapes``, the test split of ``msrc``), and the paired differences to random weights with a 95 %
interval (Student's t over the seeds).
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import stats

import toolkit
from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.training.log import read_metrics
from toolkit.types import Sample
from toolkit.visualization.drawing import write_picture

START = {
    "random weights": ["weights=none"],
    "encoder of the classifier": [],
    "the same, frozen": ["train.freeze=encoder"],
}
LEAST = 24
"""Pixels that the shorter side of a segment has at least to be cut out of a photo."""
MARGIN = 0.1
"""Of the longer side of a segment, around it."""


@dataclass(frozen=True)
class Study:
    """What is learned on a dataset.

    Attributes:
        epochs: of the classifier.
        steps: of the network for segmentation.
        crops: height and width to which crops are resized, in pixels.
        classifier, segmentation: settings of both.
    """

    epochs: int
    steps: int
    crops: int
    classifier: list[str] = field(default_factory=list)
    segmentation: list[str] = field(default_factory=list)


STUDIES = {
    "shapes": Study(6, 60, 32, segmentation=["model.norm=batch", "data.options.size=64"]),
    "msrc": Study(12, 100, 64, segmentation=["data.val_split=test"]),
}


def pretrained(args: argparse.Namespace, seed: int, data: Path, out: Path) -> float:
    """Train a classifier; its accuracy on the validation split."""
    words = [
        f"model.architecture={args.encoder}",
        "model.norm=batch",
        "model.dropout=0",
        f"model.size=[{args.crops},{args.crops}]",
        f"data.dir={data}",
        f"train.epochs={args.epochs}",
        "train.eval_every=1000000",  # once, at the end
        *STUDIES[args.data].classifier,
        *common(args, seed),
    ]
    toolkit.train(toolkit.resolve(plugin="classifier", data="image-folder", overrides=words), out)
    return last(out, "top1")


def segmented(args: argparse.Namespace, seed: int, steps: int, start: list[str], out: Path) -> float:
    """Train a network for segmentation; its mean IoU on held-out images."""
    words = [
        f"model.encoder=tu-{args.encoder}",
        *(["model.upsampling=nearest", "model.width=8"] if args.plugin == "unet" else []),
        *([] if args.data_dir is None else [f"data.dir={args.data_dir}"]),
        f"train.steps={steps}",
        f"train.eval_every={steps}",
        *STUDIES[args.data].segmentation,
        *args.set,
        *start,
        *common(args, seed),
    ]
    toolkit.train(toolkit.resolve(plugin=args.plugin, data=args.data, overrides=words), out)
    return last(out, "mean_iou")


def common(args: argparse.Namespace, seed: int) -> list[str]:
    return [
        f"train.device={args.device}",
        f"train.precision={args.precision}",
        f"train.workers={args.workers}",
        f"train.seed={seed}",
        "train.report=false",
        "data.in_memory=true",
    ]


def last(run: Path, metric: str) -> float:
    """A metric of the last validation."""
    values = [line[f"val/{metric}"] for line in read_metrics(run) if f"val/{metric}" in line]
    return float(values[-1] or math.nan)


def write_crops(args: argparse.Namespace, folder: Path) -> None:
    """Write what the classifier learns from: crops in one folder per class."""
    if args.data == "shapes":
        draw = registry.datasets().get("image-folder")
        draw.resolve(draw.sample)(folder, size=64)
        return
    for split in ("train", "val"):
        dataset = open_dataset(registry.datasets().get(args.data), args.data_dir, split, {})
        for index in range(len(dataset)):
            cut_out(dataset[index], dataset, folder / split)


def cut_out(sample: Sample, dataset: Dataset, folder: Path) -> None:
    """Write each segment of a photo with some of its surroundings."""
    found = sample.instances
    if found is None:
        return
    height, width = sample.size
    for number, (box, label) in enumerate(zip(found.boxes_xyxy.tolist(), found.labels.tolist(), strict=True)):
        x0, y0, x1, y1 = box
        if min(x1 - x0, y1 - y0) < LEAST:
            continue
        around = MARGIN * max(x1 - x0, y1 - y0)
        left, up = max(0, round(x0 - around)), max(0, round(y0 - around))
        right, down = min(width, round(x1 + around)), min(height, round(y1 + around))
        crop = sample.image[:, up:down, left:right].permute(1, 2, 0).contiguous().numpy()
        write_picture(folder / dataset.classes[label] / f"{sample.id}-{number}.png", crop)


def interval(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences."""
    spread = stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1)
    return float(differences.mean() - spread), float(differences.mean() + spread)


def table(figures: dict[str, list[float]]) -> str:
    """The figures of all seeds in Markdown."""
    base = np.array(figures["random weights"])
    lines = ["| start | mean IoU | difference | 95 % interval | better in |", "|---|---|---|---|---|"]
    for name, values in figures.items():
        found = np.array(values)
        cells = [name, f"{found.mean():.3f}", "", "", ""]
        if name != "random weights" and len(found) > 1:
            low, high = interval(found - base)
            cells[2:] = [f"{(found - base).mean():+.3f}", f"{low:+.3f} … {high:+.3f}"]
            cells.append(f"{int((found > base).sum())} of {len(found)}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="shapes", choices=list(STUDIES))
    parser.add_argument("--data-dir", type=Path, help="folder of the photos, for msrc")
    parser.add_argument("--plugin", default="unet", choices=["unet", "deeplabv3"])
    parser.add_argument("--encoder", default="test_resnet", help="a model of timm")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--epochs", type=int, help="of the classifier")
    parser.add_argument("--steps", type=int, nargs="+", help="of the segmentation; several: one table each")
    parser.add_argument("--crops", type=int, help="to which crops are resized, in pixels")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the segmentation"
    )
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    study = STUDIES[args.data]
    args.epochs, args.crops = args.epochs or study.epochs, args.crops or study.crops
    args.steps = args.steps or [study.steps]
    if args.data == "msrc" and args.data_dir is None:
        parser.error("--data msrc needs the folder of the photos: --data-dir FOLDER")
    return args


def main() -> None:
    args = parsed()
    figures: dict[int, dict[str, list[float]]] = {steps: {name: [] for name in START} for steps in args.steps}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_crops(args, root / "crops")
        for seed in args.seeds:
            classifier = root / f"classifier-{seed}"
            top1 = pretrained(args, seed, root / "crops", classifier)
            print(f"seed {seed}: top-1 of the classifier {top1:.3f}", flush=True)
            for steps in args.steps:
                for name, start in START.items():
                    out = root / f"run-{seed}"
                    words = start if "weights=none" in start else [f"weights={classifier}", *start]
                    figures[steps][name].append(segmented(args, seed, steps, words, out))
                    shutil.rmtree(out)
                found = (f"{name} {values[-1]:.3f}" for name, values in figures[steps].items())
                print(f"seed {seed}, {steps} steps: mean IoU: {', '.join(found)}", flush=True)
            shutil.rmtree(classifier)
    for steps, found in figures.items():
        print(f"\n{steps} steps\n\n{table(found)}")


if __name__ == "__main__":
    main()
