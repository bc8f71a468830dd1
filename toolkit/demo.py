"""The demo: every family of models trained, measured and used on generated images, in minutes on two
cores.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.config import RunSettings, recipe_folder, resolve
from toolkit.data.dataset import Dataset, draw_sample, open_dataset
from toolkit.errors import TrainingError, UsageError
from toolkit.evaluation.report import Report
from toolkit.evaluation.requests import Computing, DataChoice
from toolkit.evaluation.runs import evaluate_run
from toolkit.formats.mask_folder import write_split
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.predictor import Predictor, load
from toolkit.models.building import load_model
from toolkit.models.capabilities import Promptable
from toolkit.models.prompted import prompted
from toolkit.runtime.files import atomic_write
from toolkit.runtime.locks import LOCK_FILE, locked
from toolkit.training.loop import train
from toolkit.visualization.drawing import confident
from toolkit.visualization.sheets import Row, SheetPart, contact_sheet, parts_sheet

logger = logging.getLogger("toolkit")

FAMILIES = {"unet": "unet-shapes", "maskrcnn": "maskrcnn-shapes", "sam2": "sam2-labpics-toy"}
"""One plugin of each family, and the recipe in ``configs/`` that the demo trains it with."""
SHEET_ROWS, PICTURE_ROWS = 6, 2
"""Number of images on the sheet of a family, and for each family in the picture of all families."""
SHEET_CELL = 224
SUMMARY, PICTURE, PROMPTS = "summary.json", "demo.jpg", "prompts.json"
MARK = ".toolkit-demo"


@dataclass(frozen=True)
class Part:
    """The results of one family: its reports on the test split, the seconds of training and of inference, its
    sheet of pictures, and its part of the picture of all families.
    """

    plugin: str
    data: str
    reports: list[Report]
    train_seconds: float
    infer_seconds: float
    images: int
    sheet: Path
    picture: SheetPart


def run_demo(
    out: Path,
    *,
    only: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    show_progress: bool = True,
) -> Iterator[Part]:
    """Train, evaluate and predict, one family after another; writes runs, results, contact sheets, one
    picture of all families and ``summary.json`` in ``out``.

    Args:
        out: folder for everything; an older demo in it is removed.
        only: plugins to show; when empty, all of ``FAMILIES`` whose packages are installed.
        overrides: settings laid over each recipe, nested.
        show_progress: show progress on standard error.

    Yields:
        Each family's part when it is done.

    Raises:
        UsageError: when ``out`` contains files that no demo wrote, or a plugin is not part of the demo.
        UnavailableError: when a plugin in ``only`` needs a package that is missing; says how to install it.
        TrainingError: when training was interrupted by Ctrl-C or SIGTERM.
    """
    unknown = [plugin for plugin in only if plugin not in FAMILIES]
    if unknown:
        raise UsageError(
            f"the demo does not include {', '.join(unknown)}. Expected one of: {', '.join(FAMILIES)}"
        )
    chosen = {
        plugin: recipe
        for plugin, recipe in FAMILIES.items()
        if (plugin in only if only else _is_installed(plugin))
    }
    settings = {
        plugin: resolve(config=recipe_folder() / f"{recipe}.yaml", overrides=overrides or {})
        for plugin, recipe in chosen.items()
    }
    figures, pictures = {}, []
    with locked(out):
        _claim(out)
        for plugin, run_settings in settings.items():
            part = _show(run_settings, out, show_progress)
            figures[plugin] = _figures(part)
            with atomic_write(out / SUMMARY, "w") as file:
                json.dump(figures, file, indent=2)
            pictures.append(part.picture)
            parts_sheet(pictures, out / PICTURE, cell=SHEET_CELL)
            yield part


def _is_installed(plugin: str) -> bool:
    """Whether the plugin's packages are installed; logs what is missing otherwise."""
    manifest = registry.plugins().get(plugin)
    missing = manifest.missing_requirements()
    if missing:
        logger.info(
            "Skipping %s, which needs %s. To include it: %s",
            plugin,
            ", ".join(missing),
            manifest.install_line(),
        )
    return not missing


def _claim(out: Path) -> None:
    """Remove an older demo, and nothing else.

    Raises:
        UsageError: when there are files that no demo has written; names one.
    """
    if out.exists():
        there = sorted(path for path in out.iterdir() if path.name != LOCK_FILE)
        others = [path for path in there if path.name not in _own_names()]
        if there and (others or not (out / MARK).exists()):
            raise UsageError(
                f"{out} contains files that are not from a demo, such as {(others or there)[0].name}. Hint:"
                " move them away, or choose another folder with --out"
            )
        for path in there:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    (out / MARK).touch()


def _own_names() -> set[str]:
    """What a demo writes into its folder."""
    datasets = {recipe.partition("-")[2] for recipe in FAMILIES.values()}
    datasets |= {name.partition("-")[0] for name in datasets}
    return {
        *(MARK, SUMMARY, PROMPTS, PICTURE),
        *(f"{plugin}{end}" for plugin in FAMILIES for end in ("", "-results", ".jpg")),
        *(f"{name}{end}" for name in datasets for end in ("", "-photos")),
    }


def _show(settings: RunSettings, out: Path, show_progress: bool) -> Part:
    """One family, from training to pictures."""
    plugin = settings.plugin
    manifest, run = registry.plugins().get(plugin), out / plugin
    settings = _with_sample(settings, out)
    test_set = open_dataset(
        registry.datasets().get(settings.data.name), settings.data.dir, "test", settings.data.options
    )
    photos = out / f"{settings.data.name}-photos"
    for _ in write_split(test_set, "test", photos):
        pass
    began = time.perf_counter()
    if not train(settings, run, show_progress=show_progress).finished:
        raise TrainingError(f"the demo was interrupted while it trained {plugin}. Hint: run it again")
    trained = time.perf_counter()
    choice = DataChoice(settings.data.name, split="test")
    reports = evaluate_run(run, choice, Computing(show_progress=show_progress)) or []
    predictor = load(run)
    if predictor.model.capability(Promptable) is not None:
        # The dataset's own classes, so that truth and predictions get the same names and colors.
        model = prompted(load_model(run)[0], _boxes(test_set, out), classes=test_set.classes)
        predictor = Predictor(model, name=predictor.name)
    measured = time.perf_counter()
    results = out / f"{plugin}-results"
    summary = predict_folder(predictor, [photos / "images"], results, progress=show_progress)
    done = time.perf_counter()
    sheet = out / f"{plugin}.jpg"
    picture = _draw(predictor, test_set, sheet, f"{plugin}: {registry.tasks().get(manifest.task).summary}")
    return Part(
        plugin, settings.data.name, reports, trained - began, done - measured, summary.done, sheet, picture
    )


def _with_sample(settings: RunSettings, out: Path) -> RunSettings:
    """The settings with a folder of generated sample files, for a dataset that reads files."""
    manifest = registry.datasets().get(settings.data.name)
    if not manifest.needs_folder:
        return settings
    folder = out / settings.data.name
    if not folder.exists():
        draw_sample(manifest, folder)
    return settings.model_copy(update={"data": settings.data.model_copy(update={"dir": str(folder)})})


def _boxes(dataset: Dataset, out: Path) -> str:
    """A file of prompts: a box around each object."""
    prompts = {}
    for sample in (dataset[i] for i in range(len(dataset))):
        if sample.instances is not None and len(sample.instances):
            pairs = zip(sample.instances.boxes_xyxy.tolist(), sample.instances.labels.tolist(), strict=True)
            prompts[sample.id] = [{"box_xyxy": box, "class": dataset.classes[label]} for box, label in pairs]
    path = out / PROMPTS
    with atomic_write(path, "w") as file:
        json.dump(prompts, file)
    return str(path)


def _draw(predictor: Predictor, test_set: Dataset, sheet: Path, title: str) -> SheetPart:
    samples = [test_set[i] for i in range(min(SHEET_ROWS, len(test_set)))]
    predictor.model.expect_images(test_set.ids)
    predictions = [confident(p, predictor.model.draw_above) for p in predictor.predict_samples(samples)]
    rows: list[Row] = [(s.image, s, p) for s, p in zip(samples, predictions, strict=True)]
    classes, palette = predictor.classes, predictor.palette
    contact_sheet(rows, sheet, classes=classes, palette=palette, cell=SHEET_CELL)
    return SheetPart(title, rows[:PICTURE_ROWS], classes, palette)


def _figures(part: Part) -> dict[str, object]:
    metrics = {name: value for report in part.reports for name, value in report.to_dict()["metrics"].items()}
    return {
        "data": part.data,
        "metrics": metrics,
        "train_seconds": round(part.train_seconds, 1),
        "infer_images_per_second": round(part.images / part.infer_seconds, 1),
        "contact_sheet": part.sheet.name,
    }
