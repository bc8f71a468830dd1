"""How true the maps of each method are, for each family of models, on generated images::

    PYTHONPATH=. python benchmarks/explanations.py [--images 20] [--families unet maskrcnn …] [--runs FOLDER]

Every image is explained by every method that the model supports, and each map plays the pointing game, is
compared with random maps by deletion and insertion, and with the map of the same model with random weights.
Prints one table per family. Models without a run in ``--runs`` are trained there first, in one to ten minutes
each.
"""

from __future__ import annotations

import argparse
import copy
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import torch

import toolkit
from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import UsageError
from toolkit.explaining.black_box import prediction_score
from toolkit.explaining.deletion import DeletionGame, DeletionOptions, Faithfulness
from toolkit.explaining.front import Explainer
from toolkit.explaining.methods import METHODS
from toolkit.explaining.pointing import Pointing, hit_rate, point, truth_for
from toolkit.explaining.prediction_intervals import student_t
from toolkit.explaining.sanity import UNRELATED, last_layers_first, map_correlation, randomize
from toolkit.explaining.subject import Effort, Subject
from toolkit.explaining.targets import NothingToExplainError, Question
from toolkit.inference.predictor import Predictor, load
from toolkit.types import Sample, Target

FAMILIES: dict[str, list[str]] = {
    "unet": ["plugin=unet", "config=unet-shapes"],
    "deeplabv3": ["plugin=deeplabv3", "config=deeplabv3-shapes"],
    "maskrcnn": ["plugin=maskrcnn", "config=maskrcnn-shapes"],
    "sam2": ["plugin=sam2", "config=sam2-labpics-toy"],
    "classifier": ["plugin=classifier", "config=classifier-image-folder"],
}
LEAST_AREA = 150
"""Smallest object in pixels that a promptable model is asked for."""


@dataclass
class Figures:
    """What the maps of one method reached."""

    games: list[Pointing] = field(default_factory=list)
    faithful: list[Faithfulness] = field(default_factory=list)
    correlations: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def row(self, method: str) -> list[str]:
        hits = hit_rate(self.games)
        gains = [each.chance.random.mean - each.deletion.area for each in self.faithful]
        low, high = interval(gains)
        count = len(self.faithful)
        related = [abs(each) for each in self.correlations]
        return [
            method,
            f"{hits.mean:.2f} ({hits.low:.2f} … {hits.high:.2f})",
            f"{mean([each.deletion.area for each in self.faithful]):.2f}",
            f"{mean([each.chance.random.mean for each in self.faithful]):.2f}",
            f"{low:+.2f} … {high:+.2f}",
            f"{sum(each.deletes_better for each in self.faithful)} of {count}",
            f"{sum(each.inserts_better for each in self.faithful)} of {count}",
            f"{mean(related):.2f}",
            f"{sum(each < UNRELATED for each in related)} of {len(related)}",
            f"{self.seconds / max(1, count):.1f}",
        ]


COLUMNS = (
    *("method", "pointing game", "deletion", "random", "gain, 95 %"),
    *("better by deletion", "by insertion", "correlation", "below 0.3", "s per map"),
)


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def interval(values: list[float]) -> tuple[float, float]:
    """The 95 % interval of the mean, by Student's t."""
    if len(values) < 2:
        return math.nan, math.nan
    middle = mean(values)
    spread = math.sqrt(sum((value - middle) ** 2 for value in values) / (len(values) - 1) / len(values))
    return middle - student_t(len(values) - 1) * spread, middle + student_t(len(values) - 1) * spread


def trained(family: str, runs: Path) -> Path:
    """The run of a family, trained if it does not exist."""
    run = runs / family
    if (run / "last.safetensors").is_file() or (run / "best.safetensors").is_file():
        return run
    words = dict(word.split("=", 1) for word in FAMILIES[family])
    overrides = [f"{key}={value}" for key, value in words.items() if "." in key]
    if family == "classifier":
        overrides.append(f"data.dir={single_shapes(runs / 'single-shapes')}")
    if family == "sam2":
        overrides.append(f"data.dir={vessels(runs / 'labpics')}")
    settings = toolkit.resolve(
        plugin=words["plugin"],
        config=words["config"],
        data=words.get("data"),
        overrides=[*overrides, "train.report=false", "train.workers=0"],
    )
    print(f"training {family} in {run}", flush=True)
    toolkit.train(settings, run)
    return run


def one_shape(split: str) -> Dataset:
    """Images with a single shape, for models of the class of an image."""
    options = {"size": 64, "max_shapes": 1, "empty_fraction": 0, "noise": 0.2, "train": 800, "val": 80}
    return open_dataset(registry.datasets().get("shapes"), None, split, options)


def single_shapes(folder: Path) -> Path:
    """Write images with one shape into folders of their classes."""
    for split in ("train", "val"):
        dataset = one_shape(split)
        for index in range(len(dataset)):
            sample = dataset[index]
            assert sample.instances is not None
            name = dataset.classes[int(sample.instances.labels[0])]
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            pixels = sample.image.permute(1, 2, 0).numpy()[..., ::-1]
            cv2.imwrite(str(folder / split / name / f"{sample.id}.png"), pixels)
    return folder


def vessels(folder: Path) -> Path:
    """Write the generated images of vessels that promptable models learn from, unless they are there."""
    if not folder.exists():
        manifest = registry.datasets().get("labpics")
        manifest.resolve(manifest.sample)(folder)
    return folder


def data_of(family: str, runs: Path) -> Dataset:
    """The held-out images of a family."""
    if family == "classifier":
        return one_shape("val")
    if family == "sam2":
        return open_dataset(registry.datasets().get("labpics"), vessels(runs / "labpics"), "test")
    return open_dataset(registry.datasets().get("shapes"), None, "test")


def questions(family: str, dataset: Dataset) -> Iterator[tuple[Sample, Question]]:
    """Images with what is asked about them."""
    for index in range(len(dataset)):
        sample = dataset[index]
        if family != "sam2":
            yield sample, Question()
            continue
        objects = sample.instances
        if objects is None or objects.masks is None or not len(objects):
            continue
        areas = objects.masks.areas()
        if int(areas.max()) >= LEAST_AREA:
            x0, y0, x1, y1 = objects.boxes_xyxy[int(areas.argmax())].tolist()
            yield sample, Question(box=(x0, y0, x1, y1))


def found_targets(
    predictor: Predictor, family: str, dataset: Dataset, count: int
) -> Iterator[tuple[Sample, Target, Any]]:
    """Images, targets about which the model is right, and their true pixels."""
    for sample, question in questions(family, dataset):
        if count == 0:
            return
        try:
            target = Explainer(predictor, question, method="saliency").target(sample)
        except NothingToExplainError:
            continue
        truth = truth_for(in_classes(target, predictor.classes, dataset.classes), sample, dataset.classes)
        if truth is not None:
            count -= 1
            yield sample, target, truth


def in_classes(target: Target, classes: tuple[str, ...], others: tuple[str, ...]) -> Target:
    if target.label is None or target.kind == "prompt":
        return target
    return replace(target, label=others.index(classes[target.label]))


def forgetful(predictor: Predictor) -> Any:
    """A copy of the model with random weights."""
    model = copy.deepcopy(predictor.model)
    for number, name in enumerate(last_layers_first(model)):
        randomize(model.get_submodule(name), number)
    return model


def measured(family: str, run: Path, dataset: Dataset, args: argparse.Namespace) -> dict[str, Figures]:
    """The figures of all methods for one family."""
    predictor = load(run, device=args.device)
    random = forgetful(predictor)
    effort = Effort(batch_size=8, masks=args.masks)
    figures: dict[str, Figures] = defaultdict(Figures)
    methods = {}
    for name in args.methods:
        try:
            methods[name] = Explainer(predictor, method=name, effort=effort)
        except UsageError as error:
            print(f"{family}: no {name}: {error}")
    for number, (sample, target, truth) in enumerate(found_targets(predictor, family, dataset, args.images)):
        score = prediction_score(predictor.model, sample, target)
        game = DeletionGame(score, sample.image, DeletionOptions(batch_size=8, draws=args.draws))
        for name, explainer in list(methods.items()):
            if name == "drise" and number >= args.drise_images:
                continue
            start = time.perf_counter()
            try:
                found = explainer.explain_target(sample, target)
            except UsageError as error:
                print(f"{family}: no {name}: {error}")
                del methods[name]
                continue
            kept = figures[name]
            kept.seconds += time.perf_counter() - start
            kept.games.append(point(found.map, truth))
            kept.faithful.append(game.judge(found.map))
            masks = int(found.figures.get("masks", effort.masks))
            subject = Subject(random, sample, target, found.layer, replace(effort, masks=masks))
            values = torch.nan_to_num(explainer.compute(subject).values.detach().float().cpu())
            kept.correlations.append(map_correlation(found.map, values))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--images", type=int, default=20, help="of each family")
    parser.add_argument("--drise-images", type=int, default=20, help="of these for drise, which takes long")
    parser.add_argument("--masks", type=int, default=2000, help="most masks of drise")
    parser.add_argument("--draws", type=int, default=10, help="random maps")
    parser.add_argument("--runs", type=Path, help="folder of the runs; a temporary one when left out")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        runs = args.runs or Path(temporary)
        for family in args.families:
            figures = measured(family, trained(family, runs), data_of(family, runs), args)
            print(f"\n### {family}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
            for name, found in figures.items():
                print(f"| {' | '.join(found.row(name))} |", flush=True)


if __name__ == "__main__":
    main()
