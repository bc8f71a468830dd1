"""The label statistics of a run: one file, and a line for each split."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from toolkit.config import RunSettings
from toolkit.data.label_counts import LabelCounts, count_labels
from toolkit.runtime.files import atomic_write
from toolkit.training.splits import Splits

LABELS_FILE = "labels.json"
SECONDS = 5.0
"""Time limit for counting the labels of a split; of a large split, only a random part is counted."""


def label_lines(
    folder: Path, settings: RunSettings, splits: Splits, truth: Sequence[str], *, seconds: float = SECONDS
) -> Iterator[str]:
    """Count the labels that a run trains and validates on, write them to ``labels.json``, and describe them.
    Nothing is counted if the file exists, as in a resumed run, and nothing written if the task has labels of
    another kind.

    Args:
        folder: the folder of the run.
        settings: the settings of the run; they name the splits.
        splits: the data.
        truth: the fields of a sample that the model learns from.
        seconds: time limit for each split.

    Raises:
        OutputError: when the file cannot be written.
    """
    if (folder / LABELS_FILE).exists():
        return
    used = {"training": (settings.data.train_split, splits.train)}
    if splits.val is not None:
        used["validation"] = (settings.data.val_split, splits.val)
    counted = {
        purpose: (split, count_labels(dataset, fields=truth, seconds=seconds))
        for purpose, (split, dataset) in used.items()
    }
    if not any(counts.has_labels for _, counts in counted.values()):
        return
    document = {purpose: {"split": split, **counts.to_dict()} for purpose, (split, counts) in counted.items()}
    with atomic_write(folder / LABELS_FILE, "w") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
    yield from (
        f"Labels for {purpose}: {line}" for purpose, (_, counts) in counted.items() if (line := counts.line())
    )
    if note := _missing(counted["training"][1]):
        yield note


def _missing(counts: LabelCounts) -> str:
    """A sentence about classes that cannot be learned; empty if there are none, or if not all images were
    counted.
    """
    if counts.counted < counts.images or not counts.missing:
        return ""
    names = ", ".join(counts.missing)
    return f"No training image has labels of {len(counts.missing)} of {len(counts.classes)} classes: {names}"
