"""The demo: every family of models trained, measured and used on generated images, in minutes on two cores."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.config import RunSettings, resolve
from toolkit.dataset import Dataset, open_dataset
from toolkit.errors import UsageError
from toolkit.evaluation.measure import measure_run
from toolkit.evaluation.report import Report
from toolkit.files import atomic_write
from toolkit.formats.mask_folder import write_split
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.predictor import load
from toolkit.training.loop import train
from toolkit.visualization import Row, contact_sheet

DATA = "shapes"
PLUGINS = ("unet",)
"""The families shown, one plugin each; a family joins by its recipe ``configs/<plugin>-shapes.yaml``."""
SHEET_ROWS = 6
SHEET_CELL = 224
SUMMARY = "summary.json"
MARK = ".toolkit-demo"


@dataclass(frozen=True)
class Part:
    """What came of one family: its report on the test split, the seconds of training, and the pictures."""

    plugin: str
    reports: list[Report]
    train_seconds: float
    infer_seconds: float
    images: int
    sheet: Path


def run_demo(out: Path, *, overrides: Mapping[str, Any] | None = None, show_progress: bool = True) -> list[Part]:
    """Train, measure and infer; leaves runs, results, one contact sheet a family and ``summary.json`` in ``out``.

    Args:
        out: folder for everything; an older demo in it is cleared away.
        overrides: settings laid over each recipe, nested.
        show_progress: draw progress bars.

    Raises:
        UsageError: when ``out`` holds anything that no demo has written.
    """
    settings = {plugin: resolve(plugin=plugin, data=DATA, overrides=overrides or {}) for plugin in PLUGINS}
    _claim(out)
    parts = [_show(settings[plugin], out, show_progress) for plugin in PLUGINS]
    with atomic_write(out / SUMMARY, "w") as file:
        json.dump({part.plugin: _figures(part) for part in parts}, file, indent=2)
    return parts


def _claim(out: Path) -> None:
    """Clear away an older demo, and nothing else."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise UsageError(f"{out} holds files that are not a demo's. Repair: choose another folder by --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def _show(settings: RunSettings, out: Path, show_progress: bool) -> Part:
    """One family, from training to pictures."""
    plugin = settings.plugin
    run = out / plugin
    test_set = open_dataset(registry.datasets().get(DATA), None, "test", settings.data.options)
    for _ in write_split(test_set, "test", out / "photos"):
        pass
    began = time.perf_counter()
    train(settings, run, show_progress=show_progress)
    trained = time.perf_counter()
    reports = measure_run(run, data=DATA, split="test") or []
    measured = time.perf_counter()
    summary = predict_folder(load(run), [out / "photos" / "images"], out / f"{plugin}-results")
    done = time.perf_counter()
    sheet = out / f"{plugin}.jpg"
    _draw(run, test_set, sheet)
    return Part(plugin, reports, trained - began, done - measured, summary.done, sheet)


def _draw(run: Path, test_set: Dataset, sheet: Path) -> None:
    predictor = load(run)
    samples = [test_set[i] for i in range(min(SHEET_ROWS, len(test_set)))]
    rows: list[Row] = [(s.image, s, p) for s, p in zip(samples, predictor.predict_samples(samples), strict=True)]
    contact_sheet(rows, sheet, classes=predictor.classes, palette=predictor.palette, cell=SHEET_CELL)


def _figures(part: Part) -> dict[str, object]:
    metrics = {name: value for report in part.reports for name, value in report.to_dict()["metrics"].items()}
    return {
        "metrics": metrics,
        "train_seconds": round(part.train_seconds, 1),
        "infer_images_per_second": round(part.images / part.infer_seconds, 1),
        "contact_sheet": part.sheet.name,
    }
