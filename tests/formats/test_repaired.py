"""Samples are repaired as they are read; the command and the copies it writes are tried in test_data_fix."""

from __future__ import annotations

import pickle

import torch

from toolkit.data.dataset import Dataset
from toolkit.data.faults import fault
from toolkit.errors import DataError
from toolkit.formats.repaired import RepairedSplit, repaired
from toolkit.types import VOID, Instances, Masks, Sample


class Odd(Dataset):
    """Three samples with objects and a label map."""

    classes = ("a", "b")
    palette = ((1, 1, 1), (2, 2, 2))
    ids = ("0", "1", "2")

    def __getitem__(self, index: int) -> Sample:
        fault(DataError(f"record {index} is odd"))
        dense = torch.zeros((4, 20, 30), dtype=torch.bool)
        dense[0, 2:12, 3:13] = dense[1, 2:12, 3:13] = dense[3, 10:20, 20:30] = True
        masks = Masks.from_dense(dense)
        boxes = masks.boxes_xyxy()
        boxes[3] = torch.tensor([0.0, 0, 10, 10])
        instances = Instances((20, 30), boxes, torch.tensor([0, 0, 1, 1]), masks)
        label_map = torch.tensor([[0, 1, VOID, 1]] * 20, dtype=torch.uint8).repeat(1, 8)[:, :30].contiguous()
        return Sample(self.ids[index], torch.zeros((3, 20, 30), dtype=torch.uint8), label_map, instances)


def test_a_sample_is_repaired_and_each_change_is_listed() -> None:
    copy = repaired(Odd(), "train", [2, 0], ("b", "a"))
    assert type(copy) is RepairedSplit
    assert copy.ids == ["2", "0"]
    assert copy.palette == ((2, 2, 2), (1, 1, 1))
    assert copy.changes == []
    sample = copy[0]
    found = sample.instances
    assert found is not None
    assert found.labels.tolist() == [1, 0], "the first and the last, in the new order of classes"
    assert found.boxes_xyxy.tolist() == [[3, 2, 13, 12], [20, 10, 30, 20]]
    assert sample.label_map is not None
    assert sample.label_map[0, :4].tolist() == [1, 0, VOID, 0]
    assert [(each.image, each.object, each.change) for each in copy.changes] == [
        ("2", "", "left out"),
        ("2", "1", "left out the object"),
        ("2", "2", "left out the object"),
        ("2", "3", "took the box of the mask"),
    ]
    assert copy.changes[0].found == "record 2 is odd"
    again = len(copy.changes)
    copy[0]
    assert len(copy.changes) == again, "reading a sample twice changes it once"
    copy[1]
    assert len(copy.changes) == 2 * again
    assert pickle.loads(pickle.dumps(copy)).ids == ["2", "0"]
