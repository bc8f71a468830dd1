"""A promptable model with somebody to prompt it, from Python and from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from toolkit.errors import InvalidDataError, UsageError
from toolkit.inference.interactive import Session
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.predictor import Predictor
from toolkit.models.contract import Model
from toolkit.models.promptable import PromptableModel
from toolkit.models.prompted import FromDetector, FromFile, PromptedModel, prompted
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample


def boxes_as_masks(boxes: Tensor, size: tuple[int, int]) -> Masks:
    dense = np.zeros((len(boxes), *size), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


class BoxAnswer(PromptableModel):
    """Answers a box with its pixels and a point with its pixel; finds one object by itself."""

    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        return [sample.size for sample in samples]

    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        boxes = prompts.boxes_xyxy
        if boxes is None:
            assert prompts.points_xy is not None
            boxes = torch.cat([prompts.points_xy[:, 0], prompts.points_xy[:, 0] + 1], dim=1)
        assert prompts.labels is not None
        return Instances(
            encoded, boxes, prompts.labels, boxes_as_masks(boxes, encoded), torch.full((len(boxes),), 0.8)
        )

    def find_all(self, encoded: Any) -> Instances:
        return self.answer(
            encoded, Prompts(boxes_xyxy=torch.tensor([[0.0, 0, 2, 2]]), labels=torch.tensor([0]))
        )

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        raise NotImplementedError


class Detector(Model):
    """Finds a cat and, of little certainty, a dog; and one cat without any area."""

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        boxes = torch.tensor([[1.0, 1, 5, 6], [2, 2, 4, 4], [3, 3, 3, 9]])
        return [
            Prediction(
                s.id,
                s.size,
                instances=Instances(
                    s.size, boxes, torch.tensor([1, 0, 1]), scores=torch.tensor([0.5, 0.01, 0.9])
                ),
            )
            for s in samples
        ]


def sample(name: str = "a") -> Sample:
    return Sample(name, torch.zeros((3, 12, 16), dtype=torch.uint8))


def test_detections_become_prompts_with_their_classes_and_scores() -> None:
    model = PromptedModel(BoxAnswer(["whatever"]), FromDetector(Detector(["dog", "cat"])))
    assert model.classes == ("dog", "cat")
    for prediction in model.predict([sample("a"), sample("b")]):
        found = prediction.instances
        assert found is not None
        assert found.boxes_xyxy.tolist() == [[1, 1, 5, 6]]
        assert found.labels.tolist() == [1]
        assert found.scores is not None
        assert found.scores.tolist() == pytest.approx([0.8 * 0.5])


def test_a_file_gives_each_image_its_own_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(
        json.dumps(
            {
                "a": [{"box_xyxy": [1, 1, 4, 4]}, {"points_xy": [[7, 8]], "class": "cup"}],
                "b": [{"points_xy": [[0, 0]]}],
            }
        )
    )
    model = PromptedModel(BoxAnswer(["whatever"]), FromFile(path))
    model.expect_images(["a", "b", "c"])
    a, b, c = (prediction.instances for prediction in model.predict([sample("a"), sample("b"), sample("c")]))
    assert a is not None
    assert a.boxes_xyxy.tolist() == [[1, 1, 4, 4], [7, 8, 8, 9]]
    assert a.labels.tolist() == [0, 1]
    assert a.masks is not None
    assert a.masks.areas().tolist() == [9, 1]
    assert b is not None
    assert len(b) == 1
    assert c is not None
    assert len(c) == 0
    assert c.masks is not None


def test_auto_leaves_it_to_the_model() -> None:
    model = prompted(BoxAnswer(["cat"]), "auto")
    assert model.classes == ("object",)
    (prediction,) = model.predict([sample().with_(prompts=Prompts(boxes_xyxy=torch.zeros(3, 4)))])
    assert prediction.instances is not None
    assert len(prediction.instances) == 1


def test_what_cannot_be_prompted_or_cannot_prompt_is_refused() -> None:
    with pytest.raises(UsageError, match="Detector takes no prompts"):
        prompted(Detector(["cat"]), "auto")
    with pytest.raises(UsageError, match="itself needs prompts"):
        FromDetector(BoxAnswer(["cat"]))

    class Semantic(Model):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            return [
                Prediction(s.id, s.size, label_map=torch.zeros(s.size, dtype=torch.uint8)) for s in samples
            ]

    with pytest.raises(UsageError, match="Semantic predicts no instances"):
        FromDetector(Semantic(["cat"])).prompts([sample()])


def test_a_folder_with_a_file_of_prompts(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        cv2.imwrite(str(photos / name), np.full((12, 16, 3), 90, np.uint8))
    path = tmp_path / "prompts.csv"
    path.write_text("image,x0,y0,x1,y1,class\nb.png,2,3,7,9,cup\n")
    predictor = Predictor(prompted(BoxAnswer(["whatever"]), str(path)), device="cpu")
    assert predict_folder(predictor, [photos], tmp_path / "out").done == 2
    document = json.loads((tmp_path / "out" / "predictions.json").read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    assert [(names[each["image_id"]], each["bbox"]) for each in document["annotations"]] == [
        ("deep/b.png", [2, 3, 5, 6])
    ]
    assert [category["name"] for category in document["categories"]] == ["cup"]


def test_a_session_answers_corrects_and_undoes() -> None:
    model = BoxAnswer(["whatever"])
    encodings = []
    model.encode = lambda samples: encodings.append(1) or [sample.size for sample in samples]  # type: ignore[method-assign,func-returns-value]
    session = Session(Predictor(prompted(model, "auto"), device="cpu"), np.zeros((12, 16, 3), dtype=np.uint8))
    assert len(session.instances) == 0
    assert session.point(3, 4).nonzero().tolist() == [[4, 3]]
    session.new_object("cup")
    assert int(session.box(2, 2, 5, 40).sum()) == 3 * 10  # cut to the image
    assert int(session.box(2, 2, 4, 4).sum()) == 4
    assert session.classes == ("object", "cup")
    assert session.instances.labels.tolist() == [0, 1]
    assert session.instances.masks is not None
    assert session.instances.masks.areas().tolist() == [1, 4]
    assert session.undo()
    assert session.instances.masks.areas().tolist() == [1, 30]
    assert session.undo()
    assert session.undo()  # the new object
    assert session.instances.labels.tolist() == [0]
    assert session.undo()
    assert not session.undo()
    assert len(session.instances) == 0
    assert encodings == [1]


def test_a_session_refuses_what_lies_outside_and_what_takes_no_prompts() -> None:
    session = Session(Predictor(BoxAnswer(["whatever"]), device="cpu"), np.zeros((12, 16, 3), dtype=np.uint8))
    with pytest.raises(
        InvalidDataError, match=r"the point \(16, 3\) lies outside the image, which is 16 × 12"
    ):
        session.point(16, 3)
    with pytest.raises(InvalidDataError, match="covers nothing"):
        session.box(20, 0, 30, 9)
    assert not session.undo()
    with pytest.raises(UsageError, match="Detector takes no prompts"):
        Session(Predictor(Detector(["cat"]), device="cpu"), np.zeros((12, 16, 3), dtype=np.uint8))
