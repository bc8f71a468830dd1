"""``toolkit.explain``: from a model and an image to a map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.explained import Fixed, Pooled, image, sample, save_run, semantic
from torch import nn

import toolkit
from toolkit import Explanation, Instances, Predictor, Target
from toolkit.errors import InvalidDataError, UsageError
from toolkit.explaining.front import Explainer, place_of, shares
from toolkit.explaining.targets import NothingToExplainError, Question


def predictor(model: toolkit.Model | None = None, **how: str) -> Predictor:
    return Predictor(model or semantic(), device="cpu", **how)  # type: ignore[arg-type]


def test_one_image_gives_one_explanation_and_a_list_a_list() -> None:
    given = predictor()
    found = toolkit.explain(given, image(), class_name="cow", method="saliency")
    assert isinstance(found, Explanation)
    assert (found.method, found.target.label, found.layer) == ("saliency", 1, None)
    assert found.map.shape == (24, 36)
    pixels = np.asarray(image().permute(1, 2, 0))
    several = toolkit.explain(given, [image(), pixels], class_name="cow", method="saliency")
    assert isinstance(several, list)
    assert all(torch.equal(each.map, found.map) for each in several)
    assert toolkit.explain(given, []) == []


def test_the_score_is_the_models_own_and_the_default_method_names_its_layer() -> None:
    given = predictor()
    found = toolkit.explain(given, image(), class_name="cow")
    assert isinstance(found, Explanation)
    model = given.model
    assert found.layer == "network.tanh"
    with torch.no_grad():
        score = model.score(image()[None].float(), found.target)  # type: ignore[operator]
    assert found.score == pytest.approx(float(score))


def test_gradients_are_computed_wherever_the_caller_is() -> None:
    wanted = toolkit.explain(predictor(), image(), class_name="cow")
    assert isinstance(wanted, Explanation)
    for context in (torch.no_grad, torch.inference_mode):
        given = predictor()
        with context():
            found = toolkit.explain(given, image(), class_name="cow")
        assert isinstance(found, Explanation)
        assert torch.equal(found.map, wanted.map)


def test_nothing_of_the_model_changes() -> None:
    given = predictor()
    before = {name: value.clone() for name, value in given.model.state_dict().items()}
    toolkit.explain(given, image(), method="gradcam")
    assert all(torch.equal(value, before[name]) for name, value in given.model.state_dict().items())
    assert all(parameter.grad is None for parameter in given.model.parameters())
    assert not given.model.training


def test_a_run_is_loaded_with_its_device_and_precision(tmp_path: object) -> None:
    run = save_run("classifier", tmp_path / "run")  # type: ignore[operator]
    full = toolkit.explain(run, image(), device="cpu")
    half = toolkit.explain(run, image(), device="cpu", precision="bf16")
    assert isinstance(full, Explanation)
    assert isinstance(half, Explanation)
    assert not torch.equal(full.map, half.map)
    assert float((full.map - half.map).abs().max()) < 0.2 * float(full.map.max())


def test_bad_questions_are_found_before_an_image_is_read() -> None:
    given = predictor()
    for how, message in (
        ({"method": "gradcma"}, "did you mean 'gradcam'"),
        ({"class_name": "cwo"}, "did you mean 'cow'"),
        ({"layer": "tnah"}, "no layer 'tnah'.* did you mean 'network.tanh'"),
        ({"layer": "tanh", "method": "saliency"}, "looks at no layer"),
    ):
        with pytest.raises(UsageError, match=message):
            toolkit.explain(given, "nowhere.jpg", **how)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="gives no gradients"):
        toolkit.explain(predictor(Fixed(Instances.empty((24, 36), with_scores=True))), image())


def test_nothing_to_explain_is_an_error_of_its_own() -> None:
    with pytest.raises(NothingToExplainError, match="outside the image"):
        toolkit.explain(predictor(), image(), point=(100.0, 3.0))


def test_a_map_that_is_not_finite_is_refused() -> None:
    model = semantic()
    assert isinstance(model.network, nn.Sequential)
    with torch.no_grad():
        model.network.tanh.register_forward_hook(lambda module, args, output: output * float("nan"))
    explainer = Explainer(predictor(model), Question("cow"), method="saliency")
    with pytest.raises(InvalidDataError, match="NaN or infinite values. Hint: use the precision fp32"):
        explainer.explain_target(sample(), Target("class", 1))


def test_shares_say_how_much_of_a_map_is_on_its_target() -> None:
    values = torch.zeros(4, 5)
    values[0, :4], values[3, 0] = 1, -7
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[0, :2] = True
    assert shares(values, Target("region", 1, mask)) == {"inside": 0.5, "area": 0.1}
    assert shares(-values.abs(), Target("region", 1, mask)) == {"inside": 0.0, "area": 0.1}
    assert shares(values, Target("class", 1)) == {}
    boxed = Target("object", 1, box_xyxy=torch.tensor([0.0, 0.0, 2.0, 2.0]))
    assert shares(values, boxed) == {"inside": 0.5, "area": pytest.approx(0.2)}


def test_a_box_has_at_least_a_pixel() -> None:
    target = Target("object", 1, box_xyxy=torch.tensor([2.2, 1.1, 2.3, 1.2]))
    place = place_of(target, torch.zeros(4, 5))
    assert place is not None
    assert place.nonzero().tolist() == [[1, 2]]


def test_the_predicted_class_of_an_image_is_the_default() -> None:
    found = toolkit.explain(predictor(Pooled().eval()), image(), method="cam")
    assert isinstance(found, Explanation)
    assert found.target.kind == "class"
    assert found.figures == {}
