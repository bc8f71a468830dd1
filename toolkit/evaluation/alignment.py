"""Predictions of models whose classes stand in another order, or have a background that the dataset does not
name.
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
from toolkit.types import BACKGROUND, VOID, Prediction


def alignment_for(model: Model, dataset: Dataset, owner: str) -> Alignment | None:
    """What turns a model's predictions into a dataset's classes; None where that is not needed.

    The classes of a promptable model are those of the prompts that it is given.

    Raises:
        DataError: when the classes differ.
    """
    if isinstance(model, Promptable):
        return None
    alignment = Alignment(model.classes, dataset.classes, owner)
    return alignment if alignment.is_needed else None


class Alignment:
    """Turns predictions in a model's classes into predictions in a dataset's, by their names.

    Only a background may be missing on either side. Where the dataset has none it becomes void, which is "no
    class".

    Args:
        classes: of the model.
        wanted: of the dataset.
        owner: the model, for the message.

    Raises:
        DataError: when the two differ in another class.
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
        self.table = torch.full((VOID + 1,), VOID, dtype=torch.uint8)
        for index, name in enumerate(classes):
            self.table[index] = wanted.index(name) if name in wanted else VOID

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
        return replace(prediction, label_map=label_map, instances=instances)
