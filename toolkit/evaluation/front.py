"""``toolkit.evaluate`` and ``toolkit.compare``: evaluation from Python, with progress."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from toolkit.checkpoints import RunLike
from toolkit.config.tree import as_tree
from toolkit.data.dataset import Dataset
from toolkit.errors import UsageError
from toolkit.evaluation.compare import compare_runs
from toolkit.evaluation.report import Reports
from toolkit.evaluation.requests import Computing, DataChoice, Prompting
from toolkit.evaluation.run_figures import Comparison
from toolkit.evaluation.runs import evaluate_predictions, evaluate_run
from toolkit.models.sliding_window import Tiling
from toolkit.runtime.progress import shown_log


def evaluate(
    run: RunLike | None = None,
    *,
    predictions: str | os.PathLike[str] | None = None,
    data: str | Dataset | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    prompts: str | None = None,
    prompts_above: float | None = None,
    label_values: Literal["index", "dataset"] = "index",
    batch_size: int = 4,
    workers: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    tiling: Tiling | None = None,
    progress: bool = True,
) -> Reports:
    """Evaluate a run, or predictions on disk, on a split::

        toolkit.evaluate("runs/unet-msrc", split="test").metrics["mean_iou"]

    Args:
        run: a run's folder, a checkpoint file, or what ``toolkit.train`` or ``toolkit.load`` returned.
        predictions: instead of a run: a folder of label images, a ``predictions.json``, or a list of COCO
            results.
        data: the dataset, by name or as an open ``Dataset``; that of the run when None.
        data_dir: its folder; by default that of the run if the dataset is the same, else ``data/<name>``.
        split: the dataset's validation split when None.
        settings: settings of the sections ``model``, ``data.options`` and ``evaluators``: dotted keys with
            values, or ``key=value`` words.
        prompts: for a promptable run: the source of its prompts, as for ``toolkit.load``. None evaluates it
            with its prompt protocols.
        prompts_above: minimum score for a detection of another run to become a prompt; 0.05 when None.
        label_values: for a folder of label images: the meaning of their values, see ``evaluate_predictions``.
        batch_size: number of images per batch.
        workers: number of processes that read images.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``.
        tiling: when large images are predicted window by window, as for ``toolkit.load``; the metrics are
            those of what ``toolkit infer`` writes with the same windows.
        progress: whether to show progress on standard error.

    Returns:
        One report per evaluator. For a run with a named dataset, they are also saved in the run's folder.

    Raises:
        UsageError: when there is neither a run nor predictions, an evaluator cannot measure the model, or it
            cannot use the window.
        DataError: when the classes of model and dataset differ in more than their order or a background, or
            predictions do not fit the dataset.
    """
    if (run is None) == (predictions is None):
        raise UsageError("give either a run or predictions=PATH, to say what to evaluate")
    folder = None if data_dir is None else os.fspath(data_dir)
    if predictions is not None:
        if not isinstance(data, str):
            raise UsageError("predictions are evaluated on a dataset: add data=NAME")
        if tiling is not None:
            raise UsageError("predictions on disk need no windows. Hint: leave tiling out")
        if prompts is not None or prompts_above is not None:
            raise UsageError("predictions on disk take no prompts. Hint: leave prompts and prompts_above out")
        return Reports(
            evaluate_predictions(
                Path(predictions),
                data=data,
                data_dir=folder,
                split=split,
                overrides=as_tree(settings),
                label_values=label_values,
                show_progress=progress,
            )
        )
    assert run is not None  # it is one or the other
    with shown_log() if progress else contextlib.nullcontext():
        reports = evaluate_run(
            run,
            DataChoice(data, folder, split, as_tree(settings)),
            Computing(
                batch_size=batch_size,
                workers=workers,
                accelerator=device,
                precision=precision,
                show_progress=progress,
            ),
            Prompting(prompts, prompts_above),
            tiling,
        )
    return Reports(reports or ())


def compare(
    runs: Sequence[RunLike],
    *,
    data: str | Dataset | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    batch_size: int = 4,
    workers: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    tiling: Tiling | None = None,
    resamples: int | None = None,
    seed: int = 0,
    memory: bool = True,
    progress: bool = True,
) -> Comparison:
    """Evaluate runs on the same images, with their differences::

        toolkit.compare(["runs/unet-msrc", "runs/deeplabv3-msrc"], split="test")

    Args:
        runs: two or more, each as for ``evaluate``; the others are compared with the first.
        data: the dataset, by name or as an open ``Dataset``; that of the runs when None, if they have the
            same.
        data_dir, split, batch_size, workers, device, precision, tiling, progress: as for ``evaluate``.
        settings: settings of the sections ``data.options`` and ``evaluators``.
        out: a picture to write, with images, their truth, and the predictions of each run.
        resamples: number of bootstrap draws for the intervals; a suitable number for each evaluator when
            None.
        seed: seed of the draws.
        memory: whether to measure memory, in a separate process for each model, which takes seconds.

    Raises:
        UsageError: when there are fewer than two runs, they do not determine the dataset, or no metric is
            common to them.
        DataError: when the classes of a run are not those of the dataset.
    """
    with shown_log() if progress else contextlib.nullcontext():
        return compare_runs(
            runs,
            data=data,
            data_dir=None if data_dir is None else os.fspath(data_dir),
            split=split,
            overrides=as_tree(settings),
            batch_size=batch_size,
            workers=workers,
            accelerator=device,
            precision=precision,
            tiling=tiling,
            resamples=resamples,
            seed=seed,
            memory=memory,
            sheet=out,
            show_progress=progress,
        )
