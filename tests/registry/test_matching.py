"""What goes together: every plugin, dataset and evaluator that is built in, and what a refusal says."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from support.small_settings import MODELS, dataset_case

from toolkit import registry
from toolkit.checkpoints import read_checkpoint
from toolkit.cli import main
from toolkit.config import resolve
from toolkit.errors import UsageError
from toolkit.registry.manifests import DatasetManifest, EvaluatorManifest, TaskManifest
from toolkit.registry.matching import check_measurable, check_trainable, conversion_for

LEARNS_FROM = {
    "semantic": {"semantic", "instance"},  # objects can be painted, and regions cannot be told apart
    "instance": {"instance"},
    "promptable": {"promptable"},
    "panoptic": {"panoptic", "instance"},  # objects are segments of things
    "classification": {"classification"},
}
MEASURED_BY = {
    "semantic": {"iou"},
    "instance": {"iou", "coco"},
    "promptable": {"iou", "coco", "objects"},
    "panoptic": {"iou", "coco", "pq"},
    "classification": {"accuracy"},
}
NEEDS = {
    "semantic": "label_map",
    "instance": "instances",
    "promptable": "instances",
    "classification": "class_probabilities",
}
PREDICTS = {
    "semantic": "label_map",
    "instance": "instances",
    "promptable": "answers or instances",
    "classification": "class_probabilities",
}
NAMES = sorted(plugin.name for plugin in registry.plugins())


def test_all_that_is_built_in_is_in_the_tables() -> None:
    assert {task.name for task in registry.tasks()} == set(LEARNS_FROM) == set(MEASURED_BY)
    assert {each.name for each in registry.evaluators()} == set().union(*MEASURED_BY.values())
    assert {"unet", "maskrcnn"} <= set(NAMES)


@pytest.mark.parametrize("plugin", NAMES)
def test_every_pair_is_resolved_or_refused_with_what_each_has_and_needs(plugin: str) -> None:
    """As the tables above say, which are not the manifests."""
    task = registry.plugins().get(plugin).task
    refused = 0
    for data, evaluator in itertools.product(registry.datasets(), registry.evaluators()):
        fits = LEARNS_FROM[task] & set(data.tasks)
        measurable = evaluator.name in MEASURED_BY[task]
        words = [f"evaluators.{evaluator.name}={{}}"]
        if fits and measurable:
            settings = resolve(plugin=plugin, data=data.name, overrides=words)
            assert evaluator.name in type(settings.evaluators).model_fields
            continue
        refused += 1
        with pytest.raises(UsageError) as caught:
            resolve(plugin=plugin, data=data.name, overrides=words)
        message = str(caught.value)
        assert f"plugin {plugin!r} ({task})" in message
        assert "Hint: choose" in message
        if not fits:
            assert f"is trained on {NEEDS[task]}, which dataset {data.name!r} does not have" in message
            assert f"it is for {' or '.join(data.tasks)} models" in message
        else:
            assert f"evaluator {evaluator.name!r} measures {' or '.join(evaluator.measures)}, but" in message
            assert f"predicts {PREDICTS[task]}" in message
    assert refused or task == "promptable"


def dataset(*tasks: str) -> DatasetManifest:
    return DatasetManifest(name="mine", summary="for tests", build="x:y", tasks=tasks)


def test_what_a_dataset_is_itself_is_not_converted() -> None:
    semantic, instance = (registry.tasks().get(name) for name in ("semantic", "instance"))
    painting = "toolkit.data.painting:ObjectsAsClasses"
    assert conversion_for(semantic, dataset("semantic")) == ""
    assert conversion_for(semantic, dataset("instance", "semantic")) == ""
    assert conversion_for(semantic, dataset("instance")) == painting
    assert conversion_for(semantic, dataset("promptable")) is None
    assert conversion_for(semantic, dataset()) is None
    assert conversion_for(instance, dataset("semantic", "promptable")) is None


def test_the_first_conversion_that_applies_is_taken_and_all_can_be_resolved() -> None:
    task = TaskManifest(
        name="count",
        summary="how many there are",
        truth=("number",),
        predicts=("number",),
        conversions={"lines": "a:b", "instance": "c:d", "semantic": "e:f"},
    )
    assert conversion_for(task, dataset("semantic", "instance")) == "c:d"
    for built_in in registry.tasks():
        for source, reference in built_in.conversions.items():
            assert registry.tasks().get(source)
            assert (built_in.resolve(reference).__doc__ or "").strip(), "its first line is what users read"


def test_a_task_of_a_plugins_own_says_what_it_needs() -> None:
    plugin = registry.plugins().get("unet")
    task = TaskManifest(
        name="depth", summary="how far", truth=("depth", "valid"), predicts=("depth",), evaluators=("mae",)
    )
    with pytest.raises(
        UsageError, match=r"\(depth\) is trained on depth and valid, which dataset 'mine' does"
    ):
        check_trainable(plugin, task, dataset("semantic"))
    check_trainable(plugin, task, dataset("depth"))
    iou = registry.evaluators().get("iou")
    with pytest.raises(UsageError, match=r"runs/x \(depth\) predicts depth\. Hint: choose mae$"):
        check_measurable(iou, task, "runs/x")


def test_an_evaluator_that_does_not_say_what_it_measures_is_taken_to_fit() -> None:
    silent = EvaluatorManifest(name="mae", summary="for tests", build="x:y")
    other = EvaluatorManifest(name="other", summary="for tests", build="x:y", measures=("depth", "flow"))
    bare = TaskManifest(name="bare", summary="for tests", truth=("x",), predicts=("heat",))
    for task in [*registry.tasks(), bare]:
        check_measurable(silent, task, "it")
    with pytest.raises(UsageError, match=r"measures depth or flow, but it \(bare\) predicts heat\.$"):
        check_measurable(other, bare, "it")


def test_objects_are_converted_for_a_semantic_plugin_and_the_run_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "balloon"
    folder.mkdir()
    case = dataset_case("balloon", folder)
    words = [f"model.{key}={value}" for key, value in MODELS["unet"].settings.items()]
    words += ["train.steps=1", "train.batch_size=2", "train.workers=0", "train.device=cpu", "augment=[]"]
    words += [f"data.options.{key}={value}" for key, value in case.options.items()]
    command = ["train", "--plugin", "unet", "--data", "balloon", "--data-dir", str(folder)]
    with caplog.at_level("INFO", logger="toolkit"):
        assert main([*command, "--out", str(tmp_path / "run"), *words]) == 0
    said = (
        "Labels converted: The objects of each image are painted into a label map; everything else is"
        " background."
    )
    assert said in caplog.messages
    _, manifest = read_checkpoint(tmp_path / "run" / "last.safetensors")
    assert manifest is not None
    assert manifest.classes[0] == "background"
    assert len(manifest.classes) > 1


def test_nothing_is_said_where_nothing_is_converted(
    tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["train.steps=1", "train.device=cpu"]
    with caplog.at_level("INFO", logger="toolkit"):
        assert main(["train", "--plugin", tiny, "--data", tiny, "--out", str(tmp_path / "run"), *words]) == 0
    assert "parameters" in caplog.text
    assert "converted" not in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--plugin", "maskrcnn", "--data", "brain-mri"],
            "plugin 'maskrcnn' (instance) is trained on instances, which dataset 'brain-mri' does not have",
        ),
        (
            ["--plugin", "unet", "--data", "shapes", "evaluators.coco={}"],
            "the evaluator 'coco' measures instances, but plugin 'unet' (semantic) predicts label_map",
        ),
    ],
)
def test_what_does_not_fit_is_refused_at_the_door(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "brain-mri").mkdir(parents=True)
    options = [word for word in words if "=" in word]
    command = ["train", *(word for word in words if "=" not in word)]
    for out in ([], ["--out", "deep/run"]):
        assert main([*command, *out, *options]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["brain-mri", "data"]
