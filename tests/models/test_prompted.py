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
from toolkit.models.capabilities import MaskPromptable
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
    # Another process needs to know no more than this.
    assert model.expected_images() == ("a", "b")
    model = PromptedModel(BoxAnswer(["whatever"]), FromFile(path))
    model.expect_images(("a", "b"))
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
    with pytest.raises(UsageError, match="this model takes no prompts"):
        prompted(Detector(["cat"]), "auto")
    with pytest.raises(UsageError, match="itself needs prompts"):
        FromDetector(BoxAnswer(["cat"]))

    class Semantic(Model):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            return [
                Prediction(s.id, s.size, label_map=torch.zeros(s.size, dtype=torch.uint8)) for s in samples
            ]

    with pytest.raises(UsageError, match="this model predicts no instances"):
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
    with pytest.raises(InvalidDataError, match="does not overlap the image"):
        session.box(20, 0, 30, 9)
    assert not session.undo()
    with pytest.raises(UsageError, match="this model takes no prompts"):
        Session(Predictor(Detector(["cat"]), device="cpu"), np.zeros((12, 16, 3), dtype=np.uint8))


# Ids and order


def test_answers_come_in_the_order_of_the_file_with_their_ids(tmp_path: Path) -> None:
    """Through mixed kinds of prompts, and although the model gets them kind by kind."""
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "a.png"), np.full((12, 16, 3), 90, np.uint8))
    path = tmp_path / "prompts.csv"
    path.write_text(
        "image,object,x,y,x0,y0,x1,y1\n"
        "a,third,5,5,,,,\na,1st,,,1,1,4,4\na,,7,7,,,,\na,both,2,2,2,2,9,9\na,99,,,0,0,3,3\na,third,6,5,,,,\n"
    )
    predictor = Predictor(prompted(BoxAnswer(["whatever"]), str(path)), device="cpu")
    predict_folder(predictor, [photos], tmp_path / "out")
    document = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [(each["object"], each["bbox"][:2]) for each in document["annotations"]] == [
        ("third", [5, 5]),
        ("1st", [1, 1]),
        ("1", [7, 7]),
        ("both", [2, 2]),
        ("99", [0, 0]),
    ]


def test_objects_that_nobody_named_have_no_ids() -> None:
    (found,) = PromptedModel(BoxAnswer(["x"]), FromDetector(Detector(["dog", "cat"]))).predict([sample()])
    assert found.instances is not None
    assert found.instances.ids is None
    (everything,) = prompted(BoxAnswer(["cat"]), "auto").predict([sample()])
    assert everything.instances is not None
    assert everything.instances.ids is None


# The score of detections


@pytest.mark.parametrize(("above", "count"), [(0.0, 2), (0.01, 2), (0.05, 1), (0.5, 1), (0.51, 0), (1.0, 0)])
def test_detections_below_the_score_are_no_prompts(above: float, count: int) -> None:
    model = PromptedModel(BoxAnswer(["x"]), FromDetector(Detector(["dog", "cat"]), score_threshold=above))
    (prediction,) = model.predict([sample()])
    assert prediction.instances is not None
    assert len(prediction.instances) == count
    assert prediction.instances.masks is not None


@pytest.mark.parametrize(
    ("prompts", "above", "message"),
    [
        (
            "auto",
            0.3,
            r"--prompts-above 0\.3: --prompts auto has no scores\. Hint: leave out --prompts-above",
        ),
        ("points.csv", 0.3, r"--prompts points\.csv has no scores"),
        ("from:run", 1.5, r"--prompts-above must be a score from 0 to 1, not 1\.5"),
        ("from:run", -0.1, "from 0 to 1"),
        ("from:run", float("nan"), "from 0 to 1, not nan"),
    ],
)
def test_a_score_that_has_no_effect_is_refused(prompts: str, above: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prompted(BoxAnswer(["x"]), prompts, prompts_above=above)


# Masks and earlier answers


class Remembers(BoxAnswer, MaskPromptable):
    """Answers with the mask it is given or its earlier answer, and the pixel that is pointed at."""

    refines = True
    asked: list[Prompts]

    def answer_logits(self, encoded: Any, prompts: Prompts) -> tuple[Instances, Tensor]:
        self.asked = [*getattr(self, "asked", []), prompts]
        dense = torch.zeros(len(prompts), *encoded, dtype=torch.bool)
        if prompts.masks is not None:
            dense |= prompts.masks.dense()
        if prompts.logits is not None:
            dense |= prompts.logits > 0
        if prompts.points_xy is not None:
            for row, points in enumerate(prompts.points_xy.long().tolist()):
                x, y = points[-1]
                dense[row, y, x] = True
        found = Masks.from_dense(dense)
        labels = torch.zeros(len(dense), dtype=torch.int64)
        return Instances(encoded, found.boxes_xyxy(), labels, found, torch.ones(len(dense))), dense.float()


def blank() -> np.ndarray[Any, Any]:
    return np.zeros((12, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize(("refine", "areas"), [(None, [1, 2, 3]), (True, [1, 2, 3]), (False, [1, 1, 1])])
def test_a_session_hands_back_earlier_answers_where_the_model_was_trained_so(
    refine: bool | None, areas: list[int]
) -> None:
    model = Remembers(["x"])
    session = Session(Predictor(prompted(model, "auto"), device="cpu"), blank(), refine=refine)
    found = [int(session.point(x, 3).sum()) for x in (1, 4, 8)]
    assert found == areas
    assert [each.logits is not None for each in model.asked] == [False, *[refine is not False] * 2]
    session.undo()
    assert int(session.point(9, 9).sum()) == areas[2], "what was undone is forgotten"
    session.box(1, 1, 5, 5)
    assert model.asked[-1].logits is None, "a box begins anew"
    session.new_object()
    session.point(2, 2)
    assert model.asked[-1].logits is None, "and so does another object"


@pytest.mark.parametrize("refine", [True, False])
def test_a_mask_can_be_given_and_corrected(refine: bool) -> None:
    model = Remembers(["x"])
    session = Session(Predictor(model, device="cpu"), blank(), refine=refine)
    given = np.zeros((12, 16), dtype=bool)
    given[2:5, 3:9] = True
    assert np.array_equal(session.mask(given).numpy(), given)
    assert int(session.point(0, 0).sum()) == 19
    assert model.asked[-1].has_masks
    assert (model.asked[-1].masks is None) == refine
    assert session.undo()
    assert int(session.mask(torch.from_numpy(~given)).sum()) == 12 * 16 - 18
    assert session.instances.masks is not None
    assert len(session.instances) == 1


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((12, 16), dtype=bool), r"must be bool \[12, 16\] with at least one pixel, not empty"),
        (np.ones((16, 12), dtype=bool), r"not bool \[16, 12\]"),
        (np.ones((12, 16), dtype=np.uint8), r"not uint8 \[12, 16\]"),
        (np.ones((1, 12, 16), dtype=bool), r"not bool \[1, 12, 16\]"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask: np.ndarray[Any, Any], message: str) -> None:
    session = Session(Predictor(Remembers(["x"]), device="cpu"), blank())
    with pytest.raises(InvalidDataError, match=message):
        session.mask(mask)
    assert not session.undo()


def test_a_model_that_takes_no_masks_says_so() -> None:
    session = Session(Predictor(BoxAnswer(["x"]), device="cpu"), blank())
    with pytest.raises(UsageError, match="this model takes no masks as prompts"):
        session.mask(np.ones((12, 16), dtype=bool))
    with pytest.raises(UsageError, match="this model cannot take its earlier answers"):
        Session(Predictor(BoxAnswer(["x"]), device="cpu"), blank(), refine=True)
    masks = Masks.from_dense(np.ones((1, 12, 16), dtype=bool))
    with pytest.raises(UsageError, match="have masks or logits, which this model does not take"):
        BoxAnswer(["x"]).predict([sample().with_(prompts=Prompts(masks=masks))])
