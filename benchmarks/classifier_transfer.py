"""What an encoder that has learned to classify crops is worth to a U-Net::

    PYTHONPATH=. python benchmarks/classifier_transfer.py

For each seed, a classifier is trained on crops of the generated shapes (``toolkit data sample
image-folder``), and a U-Net with the same encoder learns to segment the shapes in equally many steps from
random weights, from the classifier's encoder, and from this encoder frozen. Prints the mean IoU on the
validation split, and the paired differences to random weights with a 95 % interval (Student's t over the
seeds).
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

import toolkit
from toolkit import registry
from toolkit.training.log import read_metrics

START = {
    "random weights": ["weights=none"],
    "encoder of the classifier": [],
    "the same, frozen": ["train.freeze=encoder"],
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
        f"train.seed={seed}",
        *common(args),
    ]
    toolkit.train(toolkit.resolve(plugin="classifier", data="image-folder", overrides=words), out)
    return last(out, "top1")


def segmented(args: argparse.Namespace, seed: int, start: list[str], out: Path) -> float:
    """Train a U-Net; its mean IoU on the validation split."""
    words = [
        f"model.encoder=tu-{args.encoder}",
        "model.norm=batch",
        "model.upsampling=nearest",
        "model.width=8",
        f"data.options.size={args.size}",
        f"data.options.train={args.images}",
        f"train.steps={args.steps}",
        f"train.eval_every={args.steps}",
        f"train.seed={seed}",
        *start,
        *common(args),
    ]
    toolkit.train(toolkit.resolve(plugin="unet", data="shapes", overrides=words), out)
    return last(out, "mean_iou")


def common(args: argparse.Namespace) -> list[str]:
    return [f"train.device={args.device}", "train.report=false", f"train.workers={args.workers}"]


def last(run: Path, metric: str) -> float:
    """A metric of the last validation."""
    values = [line[f"val/{metric}"] for line in read_metrics(run) if f"val/{metric}" in line]
    return float(values[-1] or math.nan)


def interval(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences."""
    spread = stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1)
    return float(differences.mean() - spread), float(differences.mean() + spread)


def table(figures: dict[str, list[float]]) -> str:
    """The figures of all seeds in Markdown."""
    base = np.array(figures["random weights"])
    lines = ["| start | mean IoU | difference | 95 % interval |", "|---|---|---|---|"]
    for name, values in figures.items():
        found = np.array(values)
        cells = [name, f"{found.mean():.3f}", "", ""]
        if name != "random weights" and len(found) > 1:
            low, high = interval(found - base)
            cells[2:] = [f"{(found - base).mean():+.3f}", f"{low:+.3f} … {high:+.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="test_resnet", help="a model of timm")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--epochs", type=int, default=6, help="of the classifier")
    parser.add_argument("--steps", type=int, default=60, help="of the U-Net")
    parser.add_argument("--images", type=int, default=320, help="that the U-Net learns from")
    parser.add_argument("--size", type=int, default=64, help="of the generated images, in pixels")
    parser.add_argument("--crops", type=int, default=32, help="to which crops are resized, in pixels")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    figures: dict[str, list[float]] = {name: [] for name in START}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        draw = registry.datasets().get("image-folder")
        draw.resolve(draw.sample)(root / "crops", size=args.size)
        for seed in args.seeds:
            classifier = root / f"classifier-{seed}"
            top1 = pretrained(args, seed, root / "crops", classifier)
            for name, start in START.items():
                out = root / f"unet-{seed}"
                words = start if "weights=none" in start else [f"weights={classifier}", *start]
                figures[name].append(segmented(args, seed, words, out))
                shutil.rmtree(out)
            found = ", ".join(f"{name} {values[-1]:.3f}" for name, values in figures.items())
            print(f"seed {seed}: top-1 of the classifier {top1:.3f}; mean IoU: {found}", flush=True)
    print(table(figures))


if __name__ == "__main__":
    main()
