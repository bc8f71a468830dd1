"""What Mask R-CNN, SAM 2 and classifiers explain: one of several objects, one answer, the part of the image
that the network sees.
"""

from __future__ import annotations

import warnings

import pytest
import torch
from support.small_settings import MODELS
from torch import Tensor

from toolkit import Predictor, Prompts, Sample, Target
from toolkit.errors import UsageError
from toolkit.explaining.front import Explainer, shares
from toolkit.explaining.methods import METHODS
from toolkit.explaining.subject import Effort, Subject
from toolkit.explaining.targets import Question
from toolkit.models.contract import Model
from toolkit.models.prompted import PromptedModel
from toolkit.testing import ModelCase
from toolkit.testing.pretend_device import pretended_device, send_away

SIZE = (64, 96)
BOXES = torch.tensor([[6.0, 8.0, 30.0, 40.0], [60.0, 20.0, 90.0, 56.0]])


def masks() -> Tensor:
    """Filled boxes, bool ``[2, H, W]``."""
    found = torch.zeros(2, *SIZE, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(found, BOXES.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    return found


def photo() -> Sample:
    """Two bright objects on noise."""
    image = torch.randint(0, 90, (3, *SIZE), generator=torch.Generator().manual_seed(0))
    for number, mask in enumerate(masks()):
        image[number, mask] += 150
    return Sample("photo", image.to(torch.uint8))


def maskrcnn(**changes: object) -> Model:
    case = MODELS["maskrcnn"]
    return ModelCase(case.plugin, {**case.settings, **changes}).build()


@pytest.mark.parametrize("part", ["class", "mask"])
@pytest.mark.parametrize("method", ["saliency", "layercam"])
def test_the_map_moves_when_another_object_is_explained(part: str, method: str) -> None:
    explainer = Explainer(Predictor(maskrcnn(), device="cpu"), method=method)
    found = [
        explainer.explain_target(photo(), Target("object", 1, mask, box, part=part))  # type: ignore[arg-type]
        for mask, box in zip(masks(), BOXES, strict=True)
    ]
    for this, other in ((0, 1), (1, 0)):
        own, another = (
            shares(found[this].map, found[i].target)["inside"] / found[i].figures["area"]
            for i in (this, other)
        )
        assert own > 1.5 * another, "most of the map lies on the object that is explained"


def test_an_objects_score_is_the_logit_that_its_detection_had() -> None:
    """Boxes that are detected are scored by the same head, so the classes' order is that of the scores."""
    model = maskrcnn(roi={**MODELS["maskrcnn"].settings["roi"], "score_thresh_test": 0.0})
    explainer = Explainer(Predictor(model, device="cpu"), Question(object=0), method="saliency")
    found = explainer.explain(photo())
    features = model.backbone(model.batch([photo()], [SIZE]))
    logits = model.roi_heads.class_logits(features, [found.target.box_xyxy[None]])[0]  # type: ignore
    assert found.score == pytest.approx(float(logits[found.target.label].detach()), rel=1e-4)  # type: ignore


def test_images_are_resized_and_padded_as_for_predictions() -> None:
    model = maskrcnn(
        input={**MODELS["maskrcnn"].settings["input"], "short_side_test": 80, "long_side_test": 200}
    )
    target = Target("object", 1, masks()[1], BOXES[1])
    with torch.no_grad():
        score = float(model.score(photo().image[None].float(), target))
        features = model.backbone(model.batch([photo()], [(80, 120)]))
        logits = model.roi_heads.class_logits(features, [BOXES[1:] * 1.25])
    assert score == pytest.approx(float(logits[0, 1]), abs=0.02), "up to the rounding of resized pixels"
    maps = torch.zeros(1, 24, 32)  # of 80 × 120 pixels, padded to 96 × 128, at a stride of 4
    maps[0, :20, :30] = 1
    placed = model.maps_in_image(maps, SIZE)
    assert placed.shape == (1, *SIZE)
    assert float(placed[0, :60, :90].min()) == 1


def test_a_network_without_masks_has_none_to_explain() -> None:
    model = maskrcnn(masks=False)
    with pytest.raises(UsageError, match="trained without masks .* Hint: explain the class"):
        model.score(photo().image[None].float(), Target("object", 0, None, BOXES[0], part="mask"))


@pytest.mark.parametrize("name", ["maskrcnn", "sam2", "classifier"])
def test_other_kinds_of_targets_are_refused(name: str) -> None:
    if MODELS[name].manifest.missing_requirements():
        pytest.skip("its packages are not installed")
    model = MODELS[name].build()
    with pytest.raises(UsageError, match="cannot explain a target of kind 'region': it explains"):
        model.score(photo().image[None].float(), Target("region", 0, masks()[0]))
    if name != "sam2":
        kind = Target("object", 99, None, BOXES[0]) if name == "maskrcnn" else Target("class", 99)
        with pytest.raises(UsageError, match="there is no class 99"):
            model.score(photo().image[None].float(), kind)


@pytest.mark.parametrize("rough_masks", [False, True])
def test_the_answer_to_another_prompt_has_another_map(rough_masks: bool) -> None:
    case = MODELS["sam2"]
    if case.manifest.missing_requirements():
        pytest.skip("the package sam2 is not installed")
    inner = ModelCase(case.plugin, {**case.settings, "rough_masks": rough_masks}).build()
    explainer = Explainer(Predictor(PromptedModel(inner, None), device="cpu"), method="saliency")
    maps = []
    for mask, box in zip(masks(), BOXES, strict=True):
        target = Target("prompt", mask=mask, prompts=Prompts(boxes_xyxy=box[None]))
        maps.append(explainer.explain_target(photo(), target))
    first, second = maps
    own = shares(first.map, first.target)["inside"] - shares(second.map, first.target)["inside"]
    assert own > 0.05
    assert shares(second.map, second.target)["inside"] - shares(first.map, second.target)["inside"] > 0.05


def test_the_score_of_an_answer_is_the_mean_of_its_logits() -> None:
    case = MODELS["sam2"]
    if case.manifest.missing_requirements():
        pytest.skip("the package sam2 is not installed")
    model = case.build()
    prompts, mask = Prompts(boxes_xyxy=BOXES[:1]), masks()[0]
    with torch.no_grad():
        logits, _ = model.mask_logits(model.encode([photo()])[0], prompts)
        large = torch.nn.functional.interpolate(logits[:, None], SIZE, mode="bilinear")[0, 0]
        target = Target("prompt", mask=mask, prompts=prompts)
        score = float(model.score(photo().image[None].float(), target))
    assert score == pytest.approx(float(large[mask].mean()), rel=1e-3, abs=1e-4)


def test_what_a_classifier_crops_away_does_not_matter() -> None:
    case = MODELS["classifier"]
    model = ModelCase(case.plugin, {**case.settings, "fit": "crop"}).build()
    for method in ("saliency", "layercam"):
        explainer = Explainer(Predictor(model, device="cpu"), method=method)
        values = explainer.explain_target(photo(), Target("class", 1)).map
        assert not values[:, :16].any()
        assert not values[:, 80:].any()
        assert values[:, 16:80].any(), method


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_method_explains_every_model_or_says_why_not(name: str) -> None:
    if MODELS[name].manifest.missing_requirements():
        pytest.skip("its packages are not installed")
    pytest.importorskip("captum.attr")
    targets = {
        "maskrcnn": Target("object", 1, masks()[0], BOXES[0]),
        "sam2": Target("prompt", mask=masks()[0], prompts=Prompts(boxes_xyxy=BOXES[:1])),
    }
    given = Predictor(MODELS[name].build(), device="cpu")
    for method in METHODS.values():
        if not method.differentiates:
            continue
        explainer = Explainer(given, method=method.name, effort=Effort(samples=2, steps=2))
        target = targets.get(name, Target("class", 1))
        if method.name == "cam":
            with pytest.raises(UsageError, match="Hint: use gradcam"):
                explainer.explain_target(photo(), target)
            continue
        assert explainer.explain_target(photo(), target).map.shape == SIZE


@pytest.mark.parametrize("name", sorted(MODELS))
def test_maps_are_the_same_on_another_device(name: str) -> None:
    """On the simulated one, on which tensors on different devices are an error."""
    if MODELS[name].manifest.missing_requirements():
        pytest.skip("its packages are not installed")
    targets = {
        "maskrcnn": Target("object", 1, masks()[0], BOXES[0], part="mask"),
        "sam2": Target("prompt", mask=masks()[0], prompts=Prompts(boxes_xyxy=BOXES[:1])),
        "classifier": Target("class", 1),
    }
    target = targets.get(name, Target("region", 1, masks()[0]))
    subject = Subject(MODELS[name].build(), photo(), target)
    methods = [METHODS[each] for each in ("saliency", "layercam")]
    here = [method.compute(subject).values for method in methods]
    with warnings.catch_warnings(), pretended_device():
        warnings.simplefilter("ignore")  # torch's, about its own wrappers
        send_away(subject.model)
        there = [method.compute(subject).values.cpu() for method in methods]
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-6 * float(one.max()))
