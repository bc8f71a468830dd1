"""D-RISE against the plain loop of its reference: one mask after the other, each made in full size, one photo
per prediction, as many masks as are wanted::

    PYTHONPATH=. python benchmarks/drise.py [--run RUN]

Both explain the same target of the same U-Net on the same device with the same masks. The gain has parts:
batches and masks from small matrices, and windows of large photos, which are timed with equal numbers of
masks (and give the same map); and the early stop, after which fewer of the 5,000 masks of the paper are used.
Where a window has less than a fifth of the area, equal numbers of masks must be 5 times as fast; in smaller
photos, all parts together.
Without ``--run``, the U-Net of ``configs/unet-shapes.yaml`` is trained first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from _timing import Options, compare, report
from torch import Tensor
from torch.nn import functional as F

from toolkit import registry
from toolkit.config import recipe_folder, resolve
from toolkit.data.dataset import open_dataset
from toolkit.explaining.batches import Score
from toolkit.explaining.black_box import prediction_score, window_finder
from toolkit.explaining.drise import DriseMap, DriseOptions, Shortcut, drise, mean_color
from toolkit.explaining.front import Explainer
from toolkit.explaining.random_masks import SHIFTS, RandomMasks, draw_masks
from toolkit.explaining.ranks import correlation
from toolkit.explaining.targets import Question
from toolkit.inference.predictor import Predictor, load
from toolkit.training.loop import train
from toolkit.types import Sample, Target

PAPER = 5000
"""Number of masks in Petsiuk et al. 2021."""
WANTED = 5.0
"""How many times as fast as the plain loop."""


def plain_loop(score: Score, image: Tensor, masks: RandomMasks, count: int) -> Tensor:
    """The map of the first ``count`` masks, float32 ``[H, W]``."""
    height, width = (int(length) for length in image.shape[1:])
    weighted, visible, fill = torch.zeros(height, width), torch.zeros(height, width), mean_color(image)
    for number in range(count):
        grid = masks.grids[number]
        size = [(points + 1) * cell for points, cell in zip(grid.shape, masks.cells, strict=True)]
        whole = F.interpolate(grid[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        top, left = (
            int(shift) * cell // SHIFTS for shift, cell in zip(masks.shifts[number], masks.cells, strict=True)
        )
        mask = whole[top : top + height, left : left + width]
        value = float(score((fill + mask * (image - fill)).round().to(torch.uint8)[None])[0])
        weighted += value * mask
        visible += mask
    return weighted / visible


def subject(predictor: Predictor, size: int) -> tuple[Sample, Target]:
    """A photo of generated shapes and a region that the model finds in it."""
    options = {"size": size, "max_shapes": 5 * (size // 128) ** 2, "empty_fraction": 0}
    dataset = open_dataset(registry.datasets().get("shapes"), None, "val", options)
    for number in range(len(dataset)):
        sample = dataset[number]
        assert sample.instances is not None
        boxes = sample.instances.boxes_xyxy
        sides = (boxes[:, 2:] - boxes[:, :2]).amin(1)
        x, y = boxes[int(sides.argmin())].view(2, 2).mean(0).tolist()
        question = Question(point=(x, y))
        target = Explainer(predictor, question, method="drise").target(sample)
        if target.label and target.mask is not None and float(target.mask.sum()) > 200:
            return sample, target
    raise AssertionError("the model finds no region")


def with_batches(
    score: Score, sample: Sample, masks: RandomMasks, shortcut: Shortcut | None = None
) -> DriseMap:
    return drise(score, sample.image, DriseOptions(stable=None), masks=masks, shortcut=shortcut)


def part_of(found: DriseMap, sample: Sample) -> float:
    """The fraction of a photo that most masks were predicted in."""
    return 1.0 if found.window is None else found.window.area / (sample.size[0] * sample.size[1])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="a U-Net on shapes; trained when left out")
    parser.add_argument("--masks", type=int, default=1000, help="masks of the timing with equal numbers")
    parser.add_argument(
        "--reference", type=int, default=PAPER, help="masks of the map that the early one is compared with"
    )
    parser.add_argument("--windows-only", action="store_true", help="do not time batches on their own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 384], help="of the photos, in pixels")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    options = Options(args.device, args.json)
    comparisons, lines, reached = [], [], True
    with tempfile.TemporaryDirectory() as folder:
        run = args.run or Path(folder) / "run"
        if args.run is None:
            train(resolve(config=recipe_folder() / "unet-shapes.yaml"), run, show_progress=False)
        predictor = load(run, device=args.device)
        for size in args.sizes:
            sample, target = subject(predictor, size)
            score = prediction_score(predictor.model, sample, target)
            masks = draw_masks(sample.size, args.masks)
            expected = plain_loop(score, sample.image, masks, args.masks)
            plain = ("plain loop", lambda: plain_loop(score, sample.image, masks, args.masks))  # noqa: B023
            finder = window_finder(predictor.model, sample, target)
            ways = {"batches": None, "batches and windows": finder}
            if args.windows_only:
                del ways["batches"]
            for name, shortcut in ways.items():
                found = with_batches(score, sample, masks, shortcut)
                same = correlation(found.map.numpy(), expected.numpy())
                assert same > 0.999, f"the maps differ: correlation {same}"
                part = part_of(found, sample)
                comparison = compare(
                    f"{size} x {size} pixels, {args.masks} masks, {name} ({part:.2f} of the area)",
                    ("ours", lambda: with_batches(score, sample, masks, shortcut)),  # noqa: B023
                    plain,
                    rounds=args.rounds,
                    target=WANTED if part < 1 / WANTED else None,
                    device=args.device,
                )
                comparisons.append(comparison)
            early = drise(score, sample.image, DriseOptions(), shortcut=finder)
            full = drise(score, sample.image, DriseOptions(args.reference, stable=None), shortcut=finder)
            fewer = PAPER / early.masks
            total = comparison.ratio * fewer
            reached = reached and total >= WANTED
            same = correlation(early.map.numpy(), full.map.numpy())
            lines.append(
                f"{size} x {size} pixels: stable after {early.masks} of {PAPER} masks ({fewer:.1f} times"
                f" fewer); correlation with the map of {args.reference} masks {same:.3f}; altogether"
                f" {total:.1f} times as fast as the plain loop over {PAPER} masks"
            )
    missed = report("D-RISE, U-Net on generated shapes, equal numbers of masks", comparisons, options)
    if not args.json:
        print("\n".join(lines))
    return 0 if reached and not missed else 1


if __name__ == "__main__":
    sys.exit(main())
