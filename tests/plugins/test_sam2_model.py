"""SAM 2 as a model of the toolkit: its answers, its settings, and what odd input comes to."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

from sam2_cases import objects, scene, toy
from toolkit.plugins.sam2.settings import Sam2Settings

from toolkit.errors import InvalidDataError, UsageError
from toolkit.evaluation.protocols import predict_protocols
from toolkit.models.capabilities import MaskPromptable, Trackable
from toolkit.types import Prompts


def test_no_prompts_have_no_answers_and_labels_come_back() -> None:
    model = toy()
    (encoded,) = model.encode([scene()])
    none = model.answer(encoded, Prompts(boxes_xyxy=torch.zeros(0, 4)))
    assert len(none) == 0
    assert none.masks is not None
    box = torch.tensor([[2.0, 2, 30, 40], [5, 5, 60, 50]])
    assert model.answer(encoded, Prompts(boxes_xyxy=box, labels=torch.tensor([1, 0]))).labels.tolist() == [
        1,
        0,
    ]
    assert model.answer(encoded, Prompts(boxes_xyxy=box)).labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (
            Prompts(torch.tensor([[[3.0, 3]], [[85, 3]]]), torch.tensor([[1], [1]])),
            r"prompt 1 has a point outside the image: \[85\.0, 3\.0\]",
        ),
        (Prompts(torch.tensor([[[3.0, -1]]]), torch.tensor([[0]])), "prompt 0 has a point outside"),
        (
            Prompts(torch.tensor([[[3.0, 3]], [[9, 9]]]), torch.tensor([[1], [-1]])),
            "prompt 1 has neither a point nor a box",
        ),
        (
            Prompts(boxes_xyxy=torch.tensor([[90.0, 3, 95, 9]])),
            "prompt 0 has a box \\(x0, y0, x1, y1\\) outside the image",
        ),
    ],
)
def test_prompts_that_are_not_in_the_image_are_named(prompts: Prompts, message: str) -> None:
    model = toy()
    (encoded,) = model.encode([scene().with_(path="bench/a.jpg")])
    with pytest.raises(InvalidDataError, match=r"^bench/a\.jpg, of 84 × 60 pixels.*" + message):
        model.answer(encoded, prompts)


def test_padding_far_outside_is_no_prompt() -> None:
    model = toy()
    (encoded,) = model.encode([scene()])
    padded = Prompts(torch.tensor([[[9.0, 9], [-99, 1e9]]]), torch.tensor([[1, -1]]))
    plain = Prompts(torch.tensor([[[9.0, 9]]]), torch.tensor([[1]]))
    assert model.answer(encoded, padded).masks == model.answer(encoded, plain).masks


def test_chunks_do_not_change_answers() -> None:
    sample = scene(7)
    assert sample.instances is not None
    prompts = Prompts(boxes_xyxy=sample.instances.boxes_xyxy)
    results = []
    for chunk in (1, 3, 100):
        model = toy(chunk=chunk)
        with torch.no_grad():
            results.append(model.mask_logits(model.encode([sample])[0], prompts))
    for logits, scores in results[1:]:
        assert torch.allclose(logits, results[0][0], atol=1e-5)
        assert torch.allclose(scores, results[0][1], atol=1e-5)


def test_protocols_encode_once_and_answer_one_to_one() -> None:
    model = toy().eval()
    empty = np.zeros((2, 30, 30), dtype=bool)
    empty[1, 3:9, 4:8] = True
    samples = [scene(3), scene(0), objects(empty)]
    found = predict_protocols(model, samples)
    assert set(found) == {"box", "point", "point+2"}
    for predictions in found.values():
        for sample, prediction in zip(samples, predictions, strict=True):
            assert sample.instances is not None
            assert prediction.instances is not None
            assert prediction.instances.labels.tolist() == sample.instances.labels.tolist()


def test_settings_have_the_defaults_of_their_preset_and_size() -> None:
    lab, sam2, small = (
        Sam2Settings(**options).filled() for options in ({}, {"preset": "sam2"}, {"size": "toy"})
    )
    assert (lab.image_size, lab.trainable, lab.prompts, lab.corrections, lab.mask) == (
        1024,
        "decoder",
        "point",
        0,
        "first",
    )
    assert (sam2.prompts, sam2.corrections, sam2.mask) == ("mix", 7, "best")
    assert (small.image_size, small.trainable) == (128, "full")
    assert Sam2Settings(version=2.0).version == "2.0", "as YAML reads it"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_size": 100}, "multiple of 32"),
        ({"image_size": 32}, "greater than or equal to 64"),
        ({"size": "huge"}, "base_plus"),
        ({"version": 2.2}, "'2.0' or '2.1'"),
        ({"size": "toy", "version": "2.0"}, "toy exists only in version 2.1"),
        ({"trainable": "encoder"}, "decoder"),
        ({"lora": {"rank": 0}}, "greater than or equal to 1"),
        ({"cache": {"max_gb": 0}}, "greater than 0"),
        ({"cache": {"maxgb": 1}}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sam2Settings(**values)


def test_models_can_be_copied_and_sent_to_other_processes() -> None:
    model, sample = toy().eval(), scene()
    (mine,) = model.encode([sample])
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        (theirs,) = other.encode([sample])
        assert torch.equal(theirs.features.embedding, mine.features.embedding)
        with torch.no_grad():
            other.network.no_mem_embed.add_(1)
        assert torch.allclose(
            other.encode([sample])[0].features.embedding, mine.features.embedding + 1, atol=1e-5
        ), "it uses its own network"
        assert torch.equal(model.encode([sample])[0].features.embedding, mine.features.embedding)


# Masks and earlier answers as prompts


def answers_with(predictor: Any, row: int, prompts: Prompts, low: Any) -> tuple[Any, Any]:
    """What the package's own predictor answers to one prompt with a mask."""
    given: dict[str, Any] = {"mask_input": low, "multimask_output": False, "return_logits": True}
    if prompts.points_xy is not None and prompts.point_labels is not None:
        used = prompts.point_labels[row] >= 0
        given["point_coords"] = prompts.points_xy[row][used].numpy()
        given["point_labels"] = prompts.point_labels[row][used].numpy()
    if prompts.boxes_xyxy is not None:
        given["box"] = prompts.boxes_xyxy[row].numpy()
    _, ious, logits = predictor.predict(**given)
    return logits[0], float(ious[0])


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
@pytest.mark.parametrize("kind", ["alone", "point", "points", "box", "box and point"])
@pytest.mark.parametrize("resized", [False, True])
def test_earlier_answers_are_taken_as_the_image_predictor_takes_them(kind: str, resized: bool) -> None:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    model, sample = toy(mask="best").eval(), scene(3, size=(50, 70), seed=4)
    predictor = SAM2ImagePredictor(model.network)
    predictor._bb_feat_sizes = [(16, 16), (8, 8), (4, 4)]  # written out for 1024 pixels there
    predictor.set_image(sample.image.permute(1, 2, 0).contiguous().numpy())
    generator = torch.Generator().manual_seed(1)
    low = torch.randn(3, 16, 16, generator=generator) * 20  # beyond the bound, too
    points = torch.rand(3, 2, 2, generator=generator) * torch.tensor([70, 50])
    labels = torch.tensor([[1, 0], [1, 1], [0, 1]])
    boxes = torch.tensor([[2.0, 3, 30, 40], [5, 5, 60, 45], [1, 1, 20, 20]])
    fields: dict[str, Any] = {
        "alone": {},
        "point": {"points_xy": points[:, :1], "point_labels": labels[:, :1]},
        "points": {"points_xy": points, "point_labels": labels},
        "box": {"boxes_xyxy": boxes},
        "box and point": {"points_xy": points[:, :1], "point_labels": labels[:, :1], "boxes_xyxy": boxes},
    }[kind]
    given = low.repeat_interleave(4, 1).repeat_interleave(4, 2) if resized else low
    prompts = Prompts(**fields, logits=given)
    with torch.no_grad():
        logits, scores = model.mask_logits(model.encode([sample])[0], prompts)
    small = torch.nn.functional.interpolate(
        given.clamp(-32, 32)[:, None], (16, 16), mode="bilinear", align_corners=False, antialias=True
    )
    for row in range(3):
        expected, score = answers_with(predictor, row, prompts, small[row].numpy())
        assert np.abs(logits[row].clamp(-32, 32).numpy() - expected).max() < 1e-4
        assert scores[row].item() == pytest.approx(score, abs=1e-5)


def test_a_mask_changes_the_answer_and_one_for_each_object() -> None:
    model, sample = toy(mask="best").eval(), scene(3, seed=2)
    assert sample.instances is not None
    assert sample.instances.masks is not None
    (encoded,) = model.encode([sample])
    boxes = sample.instances.boxes_xyxy
    with torch.no_grad():
        plain, _ = model.mask_logits(encoded, Prompts(boxes_xyxy=boxes))
        several, _ = model.mask_logits(encoded, Prompts(boxes_xyxy=boxes, masks=sample.instances.masks))
        for row in range(3):
            one = Prompts(boxes_xyxy=boxes[[row]], masks=sample.instances.masks[[row]])
            assert torch.allclose(model.mask_logits(encoded, one)[0][0], several[row], atol=1e-5)
    assert (plain - several).abs().amax((1, 2)).min() > 1e-3


def test_answers_come_with_logits_that_correct_them() -> None:
    model, sample = toy(preset="sam2").eval(), scene(2)
    assert sample.instances is not None
    (encoded,) = model.encode([sample])
    prompts = Prompts(boxes_xyxy=sample.instances.boxes_xyxy)
    found, logits = model.answer_logits(encoded, prompts)
    assert logits.shape == (2, 16, 16)
    again = Prompts(boxes_xyxy=prompts.boxes_xyxy, logits=logits)
    assert len(model.answer(encoded, again)) == len(found) == 2
    assert model.refines
    assert not toy(preset="lab").refines
    assert toy(preset="lab", corrections=2).refines


def test_masks_that_do_not_fit_the_image_or_the_model_are_refused() -> None:
    sample = scene().with_(path="bench/a.jpg")
    model = toy()
    wrong = Prompts(masks=objects(np.ones((1, 60, 80), dtype=bool)).instances.masks)  # type: ignore[union-attr]
    with pytest.raises(InvalidDataError, match=r"^bench/a\.jpg, of 84 × 60 .*masks are of 80 × 60 pixels"):
        model.answer(model.encode([sample])[0], wrong)
    drawn = toy(rough_masks=True)
    assert drawn.capability(MaskPromptable) is None
    assert drawn.capability(Trackable) is drawn
    with pytest.raises(UsageError, match=r"trained with model\.rough_masks"):
        drawn.answer(drawn.encode([sample])[0], Prompts(logits=torch.zeros(1, 16, 16)))
