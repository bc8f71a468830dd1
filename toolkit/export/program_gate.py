"""The gate of ``predict.py``: what it finds without torch is compared with the exported model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.export.answers import compare_answers, moved, protocol_prompts
from toolkit.export.gate import Measured, limits_of
from toolkit.export.parity import LIMITS, Limits, compare_predictions, keep_worst
from toolkit.export.program import PROGRAM, run_program
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model, evaluating
from toolkit.models.simulated_prompts import BOX
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample

MOST_FOR_PROGRAM = 4
"""How many images of the data ``predict.py`` is run on, besides the odd ones."""


def gate_program(
    exported: Model,
    folder: Path,
    dataset: Dataset,
    odd: Sequence[Sample],
    measured: Measured,
    limits: Limits = LIMITS,
) -> None:
    """Run ``predict.py`` without torch, and compare what it finds with the exported model.

    Args:
        exported: the model.
        folder: where it and its program are.
        dataset: the first images of it are compared.
        odd: more images.
        measured: receives the results.
        limits: what may differ.

    Raises:
        ExportError: when it fails, or finds something else.
    """
    if not (folder / PROGRAM).exists():
        return
    some = [dataset[i] for i in range(min(len(dataset), MOST_FOR_PROGRAM))]
    samples = [Sample(sample.id, sample.image, prompts=_prompts(exported, sample)) for sample in some]
    samples += odd
    results = run_program(folder, samples, threads=torch.get_num_threads())
    measured.program = {}
    with evaluating(exported):
        for sample, found in zip(samples, results, strict=True):
            (wanted,) = exported.predict([sample])
            prediction = _prediction(sample, found, wanted)
            if sample.prompts is not None:
                where = f"{PROGRAM} (as the export), image {sample.id!r}"
                answers = _compare_program(exported, sample, wanted, prediction, where, limits)
                keep_worst(measured.program, answers)
                continue
            case = f"{PROGRAM} (as the export), "
            found_in_both = compare_predictions(wanted, prediction, limits_of(exported, limits), case)
            keep_worst(measured.program, found_in_both)


def _prompts(model: Model, sample: Sample) -> Prompts | None:
    """Prompts for an image of the data, if the model takes any: the boxes of its objects, and points."""
    if model.capability(Promptable) is None:
        return None
    return protocol_prompts(BOX, sample)


def _compare_program(
    exported: Model, sample: Sample, wanted: Prediction, found: Prediction, where: str, limits: Limits
) -> dict[str, float]:
    assert wanted.instances is not None
    assert found.instances is not None
    prompts = sample.prompts
    assert prompts is not None

    def also(row: int) -> Iterator[Instances]:
        for each in moved(prompts, row, sample.size):
            (other,) = exported.predict([sample.with_(prompts=each)])
            assert other.instances is not None
            yield other.instances

    return compare_answers(wanted.instances, found.instances, where, limits, also)


def _prediction(sample: Sample, found: Mapping[str, Any], wanted: Prediction) -> Prediction:
    """The arrays that ``predict.py`` wrote, as a prediction; what it does not have is left out of the
    comparison only where it follows from the rest.
    """
    arrays = {name: torch.from_numpy(value) for name, value in found.items()}
    instances = None
    if "boxes_xyxy" in arrays:
        masks = arrays.pop("masks", None)
        instances = Instances(
            sample.size,
            arrays.pop("boxes_xyxy").float().reshape(-1, 4),
            arrays.pop("labels").long(),
            masks=None if masks is None else Masks.from_dense(masks.bool()),
            scores=arrays.pop("scores").float(),
            keypoints=arrays.pop("keypoints", None),
        )
    label_map = arrays.pop("label_map", None)
    follows = {name: value for name, value in wanted.extras.items() if not isinstance(value, Tensor)}
    return Prediction(sample.id, sample.size, label_map, instances, {**arrays, **follows})
