"""Aligns predictions of models whose classes are in a different order, or include a background that the
dataset does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.errors import DataError
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model
from toolkit.types import BACKGROUND, VOID, PanopticMap, Prediction


def alignment_for(model: Model, dataset: Dataset, owner: str) -> Alignment | None:
    """The conversion of a model's predictions to a dataset's classes; None if none is needed.

    A promptable model has the classes of its prompts.

    Raises:
        DataError: when the classes differ.
    """
    if isinstance(model, Promptable):
        return None
    alignment = Alignment(model.classes, dataset.classes, owner)
    return alignment if alignment.is_needed else None


class Alignment:
    """Converts predictions from a model's classes to a dataset's, matched by name.

    Only a background may be missing on either side. If the dataset has none, it becomes void, which means "no
    class".

    Args:
        classes: the classes of the model.
        wanted: the classes of the dataset.
        owner: the model, for the message.

    Raises:
        DataError: when they differ in any other class.
    """

    def __init__(self, classes: Sequence[str], wanted: Sequence[str], owner: str) -> None:
        only_model = sorted(set(classes) - set(wanted) - {BACKGROUND})
        only_data = sorted(set(wanted) - set(classes) - {BACKGROUND})
        if only_model or only_data:
            sides = [f"only the model has {', '.join(only_model)}"] if only_model else []
            sides += [f"only the dataset has {', '.join(only_data)}"] if only_data else []
            raise DataError(
                f"{owner} cannot be evaluated on this dataset, because the classes differ:"
                f" {'; '.join(sides)}. Hint:"
                " choose another --data"
            )
        self.is_needed = tuple(classes) != tuple(wanted)
        self._labels = [wanted.index(name) if name in wanted else None for name in classes]
        self.table = torch.full((VOID + 1,), VOID, dtype=torch.uint8)
        for index, label in enumerate(self._labels):
            self.table[index] = VOID if label is None else label

    def __call__(self, prediction: Prediction) -> Prediction:
        """The prediction in the dataset's classes."""
        if not self.is_needed:
            return prediction
        label_map: Tensor | None = None
        if prediction.label_map is not None:
            label_map = self.table[prediction.label_map.int()]
        instances = prediction.instances
        if instances is not None:
            labels = self.table[instances.labels].long()
            kept = labels != VOID
            instances = replace(instances, labels=labels)[kept]
        extras = {
            name: value.relabeled(self._labels) if isinstance(value, PanopticMap) else value
            for name, value in prediction.extras.items()
        }
        return replace(prediction, label_map=label_map, instances=instances, extras=extras)
