"""Predictions on disk as a model: what it predicts is what the files hold, and nothing of the image."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from toolkit.data.dataset import Dataset
from toolkit.errors import DataError
from toolkit.evaluation.driver import Subject, evaluate
from toolkit.evaluation.iou import IoU, IoUSettings
from toolkit.evaluation.protocols import plan_measurements
from toolkit.formats.predictions import PredictionFiles
from toolkit.models.contract import TrainableModel
from toolkit.models.recorded import RecordedModel
from toolkit.types import VOID, Sample

CLASSES = ("ground", "square", "disc")


def label_map(seed: int, size: tuple[int, int] = (5, 7)) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 4, size, dtype=np.uint8)
    return np.where(values == 3, VOID, values).astype(np.uint8)


class Blank(Dataset):
    """Black images with true label maps."""

    classes = CLASSES
    ids = ("deep/a", "b", "c")

    def __getitem__(self, index: int) -> Sample:
        truth = torch.from_numpy(label_map(index + 10))
        return Sample(self.ids[index], torch.zeros((3, 5, 7), dtype=torch.uint8), truth)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A label image for each sample of ``Blank``."""
    (tmp_path / "deep").mkdir()
    for i, name in enumerate(Blank.ids):
        cv2.imwrite(str(tmp_path / f"{name}.png"), label_map(i))
    return tmp_path


def test_it_predicts_what_the_files_hold_in_the_order_of_the_samples(folder: Path) -> None:
    model = RecordedModel(PredictionFiles(folder, CLASSES))
    assert model.classes == CLASSES
    for order in ([0, 1, 2], [2, 0], [1], []):
        predictions = model.predict([Blank()[i] for i in order])
        assert [each.sample_id for each in predictions] == [Blank.ids[i] for i in order]
        for i, prediction in zip(order, predictions, strict=True):
            assert prediction.label_map is not None
            assert prediction.label_map.equal(torch.from_numpy(label_map(i)))


def test_it_is_measured_as_any_model(folder: Path) -> None:
    model = RecordedModel(PredictionFiles(folder, CLASSES))
    subject, evaluators = Subject(model, with_loss=True), [IoU(IoUSettings(), CLASSES)]
    found = evaluate(subject, Blank(), plan_measurements(model, evaluators), batch_size=2)
    truth = np.stack([label_map(i + 10) for i in range(3)])
    guess = np.stack([label_map(i) for i in range(3)])
    guess[truth == VOID] = VOID
    expected = [((truth == k) & (guess == k)).sum() / ((truth == k) | (guess == k)).sum() for k in range(3)]
    assert found.reports[0].per_class["iou"] == pytest.approx(expected)
    assert found.losses == {}, "files know no loss"


def test_it_has_nothing_to_learn_and_lies_on_the_cpu(folder: Path) -> None:
    model = RecordedModel(PredictionFiles(folder, CLASSES))
    assert not isinstance(model, TrainableModel)
    assert list(model.parameters()) == []
    assert model.device == torch.device("cpu")
    assert not model.state_dict()


def test_what_is_missing_or_of_another_size_is_named(folder: Path) -> None:
    model = RecordedModel(PredictionFiles(folder, CLASSES))
    image = torch.zeros((3, 5, 8), dtype=torch.uint8)
    with pytest.raises(DataError, match=r"b\.png is \[5, 7\].*the image b is \[5, 8\]"):
        model.predict([Blank()[0], Sample("b", image)])
    with pytest.raises(DataError, match="elsewhere has no prediction in"):
        model.predict([Sample("elsewhere", image)])


def test_an_image_of_which_a_file_of_objects_says_nothing_has_none(tmp_path: Path) -> None:
    entry = {"image_id": 4, "category_id": 2, "bbox": [1, 1, 3, 2], "score": 0.5}
    (tmp_path / "results.json").write_text(json.dumps([entry, entry | {"score": 0.25}]))
    files = PredictionFiles(tmp_path / "results.json", CLASSES, image_ids={"b": 4, "c": 9})
    found, nothing = (each.instances for each in RecordedModel(files).predict([Blank()[1], Blank()[2]]))
    assert found is not None
    assert found.boxes_xyxy.tolist() == [[1, 1, 4, 3]] * 2
    assert found.labels.tolist() == [1, 1]
    assert found.scores is not None
    assert found.scores.tolist() == [0.5, 0.25]
    assert nothing is not None
    assert len(nothing) == 0
