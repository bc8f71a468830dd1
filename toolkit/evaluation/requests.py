"""What somebody wants measured, as it goes from a command or a verb down to what does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolkit.data.dataset import Dataset


@dataclass(frozen=True)
class DataChoice:
    """What to measure on.

    Attributes:
        data: the dataset, by name or as it is; that of the run when None.
        data_dir: its folder; that of the run's own settings when the dataset is the same, else
            ``data/<name>``.
        split: the dataset's validation split when None.
        overrides: settings of the sections ``model``, ``data.options`` and ``evaluators`` by full or bare
            keys; they are laid over the run's.
    """

    data: str | Dataset | None = None
    data_dir: str | None = None
    split: str | None = None
    overrides: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Prompting:
    """Where the prompts of a promptable model come from.

    Attributes:
        prompts: a file, or ``from:RUN`` for another run's detections, as for ``toolkit.load``; its answers
            are then evaluated as detections, by the evaluator ``coco`` unless others are named. None measures
            it by its prompt protocols.
        above: the score that a detection needs to become a prompt, as for ``toolkit.load``.
    """

    prompts: str | None = None
    above: float | None = None


@dataclass(frozen=True)
class Computing:
    """How to go about it, which does not change what is measured.

    Attributes:
        batch_size: images at a time.
        workers: processes that read images.
        devices: devices, or CPU processes, on each node.
        num_nodes: number of machines.
        accelerator, precision: as for training.
        show_progress: show progress on standard error.
    """

    batch_size: int = 4
    workers: int = 0
    devices: int = 1
    accelerator: str = "auto"
    precision: str = "fp32"
    show_progress: bool = False
    num_nodes: int = 1


@dataclass(frozen=True)
class OpenedSplit:
    """A split that is measured on, and where it comes from.

    Attributes:
        dataset: the split, with the labels that are compared.
        data: the dataset, by name or as it was given.
        folder, options: that it was opened with, as for ``open_dataset``.
        split: its name.
    """

    dataset: Dataset
    data: str | Dataset
    split: str
    folder: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
