"""Which evaluators measure: made from settings by name, and refused where they cannot measure the task."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit import registry
from toolkit.config import resolve
from toolkit.errors import ConfigError, UnknownNameError, UsageError
from toolkit.evaluation.coco import Coco
from toolkit.evaluation.iou import IoU
from toolkit.evaluation.selection import build_evaluators

CLASSES = ("background", "disc")


def test_plain_values_are_checked_and_reach_the_evaluator() -> None:
    (iou,) = build_evaluators({"iou": {"void": "false_positive", "score_threshold": "0.25"}}, CLASSES)
    assert isinstance(iou, IoU)
    assert iou.classes == CLASSES
    assert iou.settings.void == "false_positive"
    assert iou.settings.score_threshold == 0.25


def test_they_come_in_the_order_of_the_settings_each_new() -> None:
    for names in (["iou", "coco"], ["coco", "iou"]):
        first, second = (build_evaluators({name: None for name in names}, CLASSES) for _ in range(2))
        assert [type(each).__name__.lower() for each in first] == names
        assert not {id(each) for each in first} & {id(each) for each in second}


def test_the_section_of_a_run_gives_what_its_values_give() -> None:
    chosen: dict[str, Any] = {"iou": {"score_threshold": 0.75}}
    settings = resolve(plugin="unet", data="shapes", overrides={"evaluators": chosen})
    (of_section,) = build_evaluators(settings.evaluators, CLASSES)
    (of_values,) = build_evaluators(settings.model_dump(mode="json")["evaluators"], CLASSES)
    assert isinstance(of_section, IoU)
    assert isinstance(of_values, IoU)
    assert of_section.settings == of_values.settings
    assert of_section.settings.score_threshold == 0.75


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, UsageError, r"no evaluator is chosen\. Hint: choose one, such as evaluators\.iou=\{\}"),
        ({"ioo": {}}, UnknownNameError, "iou"),
        ({"iou": {"voyd": 1}}, ConfigError, r"evaluators\.iou.*voyd"),
        ({"iou": {"score_threshold": "much"}}, ConfigError, r"evaluators\.iou.*score_threshold"),
    ],
)
def test_what_names_none_or_wrongly_is_refused(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        build_evaluators(settings, CLASSES)


def test_a_task_that_an_evaluator_cannot_measure_is_refused_with_its_owner() -> None:
    semantic, instance = (registry.tasks().get(name) for name in ("semantic", "instance"))
    with pytest.raises(UsageError) as caught:
        build_evaluators({"iou": {}, "coco": {}}, CLASSES, task=semantic, owner="runs/mine")
    assert str(caught.value) == (
        "the evaluator 'coco' measures instances, but runs/mine (semantic) predicts label_map. Hint: choose"
        " iou"
    )
    chosen = build_evaluators({"iou": {}, "coco": {}}, CLASSES, task=instance)
    assert [type(each) for each in chosen] == [IoU, Coco]
    assert len(build_evaluators({"coco": {}}, CLASSES)) == 1, "an unknown task refuses nothing"


def test_an_evaluator_named_by_its_path_is_loaded(tmp_path: Any) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from toolkit.evaluation.iou import IoU\n"
        "from toolkit.registry.manifests import EvaluatorManifest\n"
        "EVALUATOR = EvaluatorManifest(name='mine', summary='as iou', build=':build',"
        " settings='toolkit.evaluation.iou:IoUSettings')\n"
        "class Mine(IoU):\n    pass\n"
        "def build(settings, classes):\n    return Mine(settings, classes)\n"
    )
    with pytest.raises(UnknownNameError, match="which is not enough to run code"):
        build_evaluators({str(path): {}}, CLASSES)
    registry.add_path(path)
    (mine,) = build_evaluators({str(path): {"void": "false_positive"}}, CLASSES)
    assert type(mine).__name__ == "Mine"
    assert isinstance(mine, IoU)
    assert mine.settings.void == "false_positive"
