"""Each check of a model finds the fault that is planted for it, and finds nothing where there is none."""

from __future__ import annotations

import dataclasses
import sys
import unittest
from pathlib import Path
from typing import Any

import pytest
import torch

from toolkit import Instances, Masks, Prediction
from toolkit.errors import UsageError
from toolkit.testing import MODEL_CHECKS, ModelCase, run_checks
from toolkit.testing.checks import promise

FAULTY = str(Path(__file__).resolve().parents[1] / "support" / "faulty.py")
TEMPLATES = Path(__file__).resolve().parents[2] / "toolkit" / "testing" / "templates"
BY_NAME = {check.__name__: check for check in MODEL_CHECKS}
PLANTED = {
    "builds": "differs between two models built with the same seed",
    "predictions_fit_the_samples": "has sample_id 'GENERATED-0-0'",
    "any_image_size": r"an image of 1×1 pixels .*RuntimeError",
    "batch_equals_singles": "predicted differently alone and in a batch of 4: the label maps differ in",
    "truth_is_not_looked_at": "changes when its labels are removed",
    "predicting_is_repeatable": "changes from one call to the next",
    "no_objects": "cross_entropy is nan",
    "one_class": r"\w+",
    "loss_is_finite": "the loss has no gradient",
    "loss_is_a_mean_over_samples": "the loss of 4 samples is .* but the mean of their losses is",
    "loss_falls": "after 20 steps on one batch the loss is .*; it was",
    "gradients_reach_all_parameters": "no gradient reaches unused in 20 steps",
    "missing_labels_are_named": "does not name the sample 'generated-0-0'",
    "samples_stay_as_they_are": "'generated-0-0' was overwritten",
    "predicting_leaves_no_trace": "predict switches to training mode: the model, body",
    "training_is_repeatable": "two training runs with the same seed differ in",
    "mixed_precision": "BFloat16",
    "save_and_load": "after saving and loading, the ",
    "weights_start_other_classes": r"these tensors do not fit: odd\d",
    "rows_follow_class_names": "classes in another order, the prediction for 'generated-0-0' is different",
    "moves_between_devices": r"got one on the CPU: float32 \[3, 1, 1\]",
    "runs_in_two_processes": "different weights",
}


def faulty(*faults: str) -> ModelCase:
    return ModelCase(FAULTY, {"faults": list(faults)})


def outcomes(case: ModelCase) -> dict[str, str]:
    return {result.name: f"{result.state}: {result.message}" for result in run_checks(MODEL_CHECKS, case)}


def test_a_plugin_without_faults_passes_all_checks_that_concern_it() -> None:
    found = outcomes(faulty())
    assert list(found) == list(BY_NAME)
    assert {name for name, outcome in found.items() if outcome != "passed: "} == {
        "masks_and_boxes_agree",
        "prompts_are_answered",
        "windows_give_the_prediction",
        "confidence_is_of_the_prediction",
        "network_takes_its_input",
        "graphs_give_the_prediction",
        "objects_are_tracked",
        "scores_have_gradients",
        "layers_have_maps",
    }
    assert found["masks_and_boxes_agree"] == "skipped: a semantic model predicts no objects"


@pytest.mark.parametrize("fault", PLANTED)
def test_each_fault_is_found_by_its_check(fault: str) -> None:
    with pytest.raises(Exception, match=PLANTED[fault]):
        BY_NAME[fault](faulty(fault))


def test_every_check_is_tried_with_a_fault() -> None:
    others = {
        "manifest_holds",
        "settings_are_documented",
        "masks_and_boxes_agree",
        "prompts_are_answered",  # these two below
        "windows_give_the_prediction",
        "confidence_is_of_the_prediction",
        "network_takes_its_input",
        "graphs_give_the_prediction",
        "objects_are_tracked",  # these five in test_capability_checks.py
        "scores_have_gradients",
        "layers_have_maps",  # these two in test_explanation_checks.py
    }
    assert set(PLANTED) | others == set(BY_NAME)


def test_faults_are_found_beside_others() -> None:
    """All that can be had together, at once."""
    found = outcomes(ModelCase(FAULTY))
    planted = ModelCase(FAULTY).model_settings().faults  # type: ignore[attr-defined]
    assert len(planted) == 10
    assert {name for name, outcome in found.items() if outcome.startswith("failed")} == set(planted)


def test_the_authors_line_is_named_for_an_error_of_his_code() -> None:
    (result,) = run_checks([BY_NAME["one_class"]], faulty("one_class"))
    assert result.state == "failed"
    assert "faulty.py, line " in result.message
    assert result.promise == promise(BY_NAME["one_class"])


def template(tmp_path: Path, kind: str, **changes: Any) -> ModelCase:
    path = tmp_path / f"{kind}.py"
    text = (TEMPLATES / f"{kind}.py").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return ModelCase(str(path), {"width": 8}, steps=60)


def test_masks_that_are_not_in_their_boxes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = template(tmp_path, "instance")
    model = case.training.model
    honest = model.predict

    def moved(samples: Any) -> list[Prediction]:
        found = []
        for prediction in honest(samples):
            instances = prediction.instances
            assert instances is not None
            assert instances.masks is not None
            masks = Masks.from_dense(instances.masks.dense().roll(3, 2))
            found.append(
                dataclasses.replace(prediction, instances=dataclasses.replace(instances, masks=masks))
            )
        return found

    BY_NAME["masks_and_boxes_agree"](case)
    monkeypatch.setattr(model, "predict", moved)
    with pytest.raises(AssertionError, match=r"a mask covers \[.*\], but its box is \[.*\]\. Hint"):
        BY_NAME["masks_and_boxes_agree"](case)
    monkeypatch.setattr(model, "predict", lambda samples: [_nothing(sample) for sample in samples])
    with pytest.raises(unittest.SkipTest, match="no object with a mask was predicted"):
        BY_NAME["masks_and_boxes_agree"](case)


def _nothing(sample: Any) -> Prediction:
    return Prediction(
        sample.id, sample.size, instances=Instances.empty(sample.size, with_masks=True, with_scores=True)
    )


@pytest.mark.parametrize(
    ("line", "instead", "message"),
    [
        (
            "prompts.labels is None else prompts.labels",
            "True else prompts.labels",
            r"labels of the prompts, \[\d.*came back as \[0",
        ),
        ('("box", "point")', "()", "protocols is empty"),
        (
            "masks = Masks.from_dense(inside)",
            "inside = inside[:1]; labels = labels[:1]; scores = scores[:1]; masks = Masks.from_dense(inside)",
            "answered with 1 objects",
        ),
    ],
)
def test_prompts_that_are_not_answered_are_found(
    tmp_path: Path, line: str, instead: str, message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        BY_NAME["prompts_are_answered"](template(tmp_path, "promptable", **{line: instead}))


def test_manifests_that_promise_what_is_not_there_are_found(tmp_path: Path) -> None:
    text = Path(FAULTY).read_text(encoding="utf-8")
    for old, new, message in (
        ('summary="', f'summary="{"very " * 30}', "Hint: shorten it to one line"),
        (
            'name="faulty",',
            'name="faulty", requires=("no-such-package",),',
            r"no-such-package \(not installed\). Hint: pip install",
        ),
        ('build=":build"', 'build=":TEN"', "is not callable"),
    ):
        (tmp_path / "other.py").write_text(text.replace(old, new), encoding="utf-8")
        (result, *_) = run_checks(MODEL_CHECKS[:1], ModelCase(str(tmp_path / "other.py")))
        assert result.state == "failed"
        assert pytest.importorskip("re").search(message, result.message)
        (tmp_path / "other.py").unlink()


def test_settings_without_a_word_are_found(tmp_path: Path) -> None:
    text = Path(FAULTY).read_text(encoding="utf-8").replace('    """Names of checks."""\n', "")
    (tmp_path / "mute.py").write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match="faults of FaultySettings has no docstring"):
        BY_NAME["settings_are_documented"](ModelCase(str(tmp_path / "mute.py")))


def test_what_cannot_be_done_is_declared_and_skipped_with_the_reason(tmp_path: Path) -> None:
    text = Path(FAULTY).read_text(encoding="utf-8")
    declared = text.replace(
        'name="faulty",', 'name="modest", cannot={"any_image_size": "it needs 4 pixels"},'
    )
    (tmp_path / "modest.py").write_text(declared, encoding="utf-8")
    case = ModelCase(str(tmp_path / "modest.py"), {"faults": ["any_image_size", "no_objects"]})
    checks = [BY_NAME["any_image_size"], BY_NAME["no_objects"]]
    first, second = run_checks(checks, case)
    assert (first.state, first.message) == ("skipped", "it needs 4 pixels")
    assert second.state == "failed"
    (_, second) = run_checks(checks, case, {"no_objects": "there are always some"})
    assert (second.state, second.message) == ("skipped", "there are always some")
    with pytest.raises(
        UsageError,
        match="'no_object', but there is no such check. Expected one of: any_image_size, no_objects",
    ):
        list(run_checks(checks, case, {"no_object": "?"}))
    with pytest.raises(UsageError, match="gives no reason"):
        list(run_checks(checks, case, {"no_objects": " "}))


def test_a_model_that_does_not_learn_skips_what_is_about_learning(tmp_path: Path) -> None:
    text = (
        Path(FAULTY)
        .read_text(encoding="utf-8")
        .replace("TrainableModel", "Model")
        .replace("def loss(", "def _loss(")
    )
    (tmp_path / "fixed.py").write_text(text.replace('name="faulty"', 'name="fixed"'), encoding="utf-8")
    found = outcomes(ModelCase(str(tmp_path / "fixed.py"), {"faults": []}))
    assert not [name for name, outcome in found.items() if outcome.startswith("failed")]
    assert found["loss_falls"] == "skipped: the model is not trainable: Faulty is not a TrainableModel"
    assert found["save_and_load"] == "passed: "


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    modules, grad = set(sys.modules), torch.is_grad_enabled()
    outcomes(faulty())
    assert torch.is_grad_enabled() == grad
    assert not torch.distributed.is_initialized()
    assert {name for name in set(sys.modules) - modules if name.startswith("toolkit_user")} <= {
        "toolkit_user_plugins",
        "toolkit_user_plugins.faulty",
    }
