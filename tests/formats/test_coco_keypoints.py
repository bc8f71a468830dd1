"""Half a pixel between COCO's keypoints and ours, on every way in and out."""

from __future__ import annotations

import numpy as np
import torch

from toolkit.formats.coco_keypoints import from_indices, to_indices
from toolkit.formats.coco_results import result_instances
from toolkit.inference.coco_documents import coco_annotations
from toolkit.types import Instances


def test_a_point_on_a_pixel_is_in_its_middle_and_one_that_is_not_there_stays() -> None:
    points = np.array([[[3, 4, 2], [0, 0, 1], [0, 0, 0]]], np.float64)
    assert from_indices(points).tolist() == [[[3.5, 4.5, 2], [0.5, 0.5, 1], [0, 0, 0]]]
    assert (to_indices(from_indices(points)) == points).all()
    assert points[0, 0, 0] == 3, "what was given is not written to"
    assert from_indices(np.zeros((0, 3))).shape == (0, 3)


def test_detections_come_back_from_their_file_as_they_were() -> None:
    boxes, points = (
        torch.tensor([[10.0, 10, 30, 40]]),
        torch.tensor([[[12.25, 20.5, 0.75], [29.5, 39.0, 0.125]]]),
    )
    found = Instances((50, 60), boxes, torch.tensor([1]), scores=torch.tensor([0.5]), keypoints=points)
    (written,) = coco_annotations(found)
    assert written["keypoints"] == [11.75, 20.0, 0.75, 29.0, 38.5, 0.125]
    read = result_instances([written | {"label": 1}], (50, 60))
    assert read.keypoints is not None
    assert torch.equal(read.keypoints, points)
