"""``toolkit.report``: a report from Python, with names or objects and progress."""

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
from toolkit.evaluation.requests import Computing, DataChoice, Prompting
from toolkit.models.sliding_window import Tiling
from toolkit.reporting.measuring import ReportOptions, report_predictions, report_run
from toolkit.reporting.written import WrittenReport
from toolkit.runtime.progress import shown_log


def report(
    run: RunLike | None = None,
    *,
    predictions: str | os.PathLike[str] | None = None,
    data: str | Dataset | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    prompts: str | None = None,
    prompts_above: float | None = None,
    compare: RunLike | None = None,
    out: str | os.PathLike[str] | None = None,
    label_values: Literal["index", "dataset"] = "index",
    batch_size: int = 4,
    workers: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    tiling: Tiling | None = None,
    resamples: int | None = None,
    seed: int = 0,
    copies: bool = True,
    explanations: Sequence[str | os.PathLike[str]] = (),
    progress: bool = True,
) -> WrittenReport:
    """Measure a run, or predictions on disk, and write a page that shows what goes wrong and where::

        toolkit.report("runs/unet-msrc", split="test").path

    Args:
        run: a run's folder, a checkpoint file, or what ``toolkit.train`` or ``toolkit.load`` returned.
        predictions: in place of a run, as for ``toolkit.evaluate``.
        data, data_dir, split, settings, label_values: as for ``toolkit.evaluate``.
        prompts, prompts_above: as for ``toolkit.evaluate``; ``compare`` gets the same, if it takes prompts.
        compare: another run, measured on the same images, that the run is compared with.
        out: the page to write, ``.html``; the same figures are written beside it as ``.json``. When None,
            ``report.html`` in the run's folder, or here for predictions.
        batch_size: images at a time.
        workers: processes that read images.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``.
        tiling: when large images are predicted window by window, as for ``toolkit.load``.
        resamples: bootstrap draws for the intervals; as many as are made in a few seconds when None.
        seed: fixes the draws.
        copies: whether to look for near-duplicates, also in the other splits of the dataset, which are read
            for up to five seconds.
        explanations: folders that ``toolkit explain`` wrote, to show their maps and scores.
        progress: whether to count images on standard error.

    Raises:
        UsageError: when there is neither a run nor predictions, ``compare``, ``prompts`` or ``tiling`` are
            given with predictions, a model cannot use the window, or ``out`` is no page.
        DataError: when the classes of model and dataset differ in more than their order or a background, or
            predictions do not fit the dataset.
    """
    if (run is None) == (predictions is None):
        raise UsageError("give either a run or predictions=PATH, to say what to report on")
    choice = DataChoice(data, None if data_dir is None else os.fspath(data_dir), split, as_tree(settings))
    computing = Computing(
        batch_size=batch_size,
        workers=workers,
        accelerator=device,
        precision=precision,
        show_progress=progress,
    )
    options = ReportOptions(
        out=out,
        compare=compare,
        resamples=resamples,
        seed=seed,
        copies=copies,
        explanations=explanations,
    )
    with shown_log() if progress else contextlib.nullcontext():
        if run is not None:
            return report_run(run, choice, computing, Prompting(prompts, prompts_above), options, tiling)
        assert predictions is not None  # it is one or the other
        if not isinstance(data, str):
            raise UsageError("predictions are measured on a dataset that is named: data=NAME")
        if compare is not None:
            raise UsageError(
                "predictions cannot be compared with a run here. Hint: leave compare out, and report on each"
            )
        if tiling is not None:
            raise UsageError("predictions on disk need no windows. Hint: leave tiling out")
        if prompts is not None or prompts_above is not None:
            raise UsageError("predictions on disk take no prompts. Hint: leave prompts and prompts_above out")
        return report_predictions(
            Path(predictions), choice, label_values=label_values, computing=computing, options=options
        )
