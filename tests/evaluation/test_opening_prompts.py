"""A run is opened with its data and its prompts in one way, whoever measures it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import bright_boxes, bright_detector

from toolkit import registry
from toolkit.checkpoints import BEST, CheckpointManifest, save_checkpoint
from toolkit.cli import main
from toolkit.errors import DataError, UsageError
from toolkit.evaluation.opening import open_run
from toolkit.evaluation.requests import Computing, DataChoice, Prompting
from toolkit.evaluation.runs import evaluate_run
from toolkit.models.prompted import PromptedModel

CPU = Computing(accelerator="cpu")


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A promptable run and one of a detector, which know the dataset ``bright``."""
    models = [
        (bright_boxes.Answers(("box",)), "answers"),
        (bright_detector.BrightDetector(("box",)), "bright-detector"),
    ]
    for (model, plugin), task, module in zip(
        models, ("promptable", "instance"), (bright_boxes, bright_detector), strict=True
    ):
        registry.add_path(str(module.__file__))
        config = {"data": {"name": "bright"}, "evaluators": {module.PLUGIN.evaluators[0]: {}}}
        (tmp_path / plugin).mkdir()
        manifest = CheckpointManifest(plugin, task, ("box",), config=config)
        save_checkpoint(tmp_path / plugin / BEST, model.state_dict(), manifest)
    return tmp_path / "answers", tmp_path / "bright-detector"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A box for each image but the last, the first two of which are right."""
    file = tmp_path / "prompts.csv"
    boxes = ["val-0,3,2,15,12,box", "val-1,5,3,17,13,box", "val-2,20,14,30,22,box"]
    file.write_text("\n".join(["image,x0,y0,x1,y1,class", *boxes]))
    return file


def test_without_prompts_a_run_is_what_it_was_trained_to_be(runs: tuple[Path, Path]) -> None:
    opened = open_run(runs[0], DataChoice(), Prompting())
    assert (opened.opened.data, opened.opened.split, len(opened.opened.dataset)) == ("bright", "val", 4)
    assert list(opened.evaluators) == ["objects"]
    assert not isinstance(opened.model, PromptedModel)
    train = open_run(runs[0], DataChoice(split="train"), Prompting()).opened
    assert train.dataset.ids == [f"train-{i}" for i in range(4)]


def test_with_prompts_it_predicts_detections(runs: tuple[Path, Path], prompts: Path) -> None:
    opened = open_run(runs[0], DataChoice(), Prompting(str(prompts)))
    assert isinstance(opened.model, PromptedModel)
    assert (list(opened.evaluators), opened.threshold) == (["coco"], 0)
    opened = open_run(runs[0], DataChoice(overrides={"evaluators.iou": {}}), Prompting(f"from:{runs[1]}"))
    assert (list(opened.evaluators), opened.threshold) == (["iou"], 0.5)
    sample = opened.opened.dataset[0]
    (prediction,) = opened.model.predict([sample])
    assert prediction.instances is not None
    assert prediction.instances.scores is not None
    assert prediction.instances.scores.tolist() == pytest.approx([0.81, 0.18])


def test_the_score_that_a_detection_needs_to_become_a_prompt(runs: tuple[Path, Path]) -> None:
    opened = open_run(runs[0], DataChoice(), Prompting(f"from:{runs[1]}", 0.5))
    (prediction,) = opened.model.predict([opened.opened.dataset[0]])
    assert prediction.instances is not None
    assert len(prediction.instances) == 1


def test_answers_to_prompts_are_measured_as_detections(runs: tuple[Path, Path], prompts: Path) -> None:
    (report,) = evaluate_run(runs[0], computing=CPU, prompting=Prompting(str(prompts))) or []
    assert report.name == "coco"
    assert report.metrics["segm/AR100"] == 0.5
    assert (runs[0] / "eval-bright-val-prompted.json").is_file()
    reports = evaluate_run(runs[0], computing=CPU) or []
    assert [each.name for each in reports] == [
        f"objects, protocol {name}" for name in ("box", "point", "point+2")
    ]


def test_prompts_that_cannot_be_measured_are_refused(runs: tuple[Path, Path], prompts: Path) -> None:
    for prompting, says in [
        (Prompting("auto"), "objects found without prompts have no classes"),
        (Prompting(None, 0.5), "Hint: add --prompts from:RUN"),
        (Prompting(str(prompts), 0.5), "has no scores"),
    ]:
        with pytest.raises(UsageError, match=says):
            open_run(runs[0], DataChoice(), prompting)
    with pytest.raises(UsageError, match="takes no prompts"):
        open_run(runs[1], DataChoice(), Prompting(str(prompts)))
    prompts.write_text("image,x0,y0,x1,y1,class\nnobody,0,0,5,5,box\n")
    with pytest.raises(DataError, match="nobody"):
        open_run(runs[0], DataChoice(), Prompting(str(prompts)))


def test_predictions_on_disk_take_no_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("eval", "report"):
        words = [command, "--predictions", str(tmp_path), "--data", "shapes", "--prompts", "auto"]
        assert main(words) == 2
        assert "predictions on disk take no prompts" in capsys.readouterr().err
