"""The checks of capabilities find the faults that are planted for them; and a model on the plain contract
that declares windows is served by windows, summary and checks, though it is built on nothing of the toolkit.
"""

from __future__ import annotations

import json
import unittest
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.small_settings import MODELS
from torch import Tensor, nn

from toolkit import Inspectable, Model, Prediction, Prompts, Sample, Tileable, Trackable, registry
from toolkit.cli import main
from toolkit.testing import MODEL_CHECKS, ModelCase, run_checks
from toolkit.testing.capability_checks import (
    network_takes_its_input,
    objects_are_tracked,
    windows_give_the_prediction,
)

WINDOWED = str(Path(__file__).resolve().parents[1] / "support" / "windowed.py")


def test_a_model_on_the_plain_contract_passes_all_checks() -> None:
    results = list(run_checks(MODEL_CHECKS, ModelCase(WINDOWED)))
    assert [(result.name, result.message) for result in results if result.state == "failed"] == []
    assert next(r for r in results if r.name == "windows_give_the_prediction").state == "passed"


def test_it_infers_by_windows_and_is_summarized(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Copied to a folder outside the package, as a user would have it."""
    plugin = tmp_path / "mine.py"
    plugin.write_text(Path(WINDOWED).read_text(encoding="utf-8"), encoding="utf-8")
    options = ["train.accelerator=cpu", "train.steps=20", "data.options.size=64", "data.options.train=8"]
    run = str(tmp_path / "run")
    command = [
        "train",
        "--plugin",
        str(plugin),
        "--data",
        "shapes",
        "--out",
        run,
        *options,
        "data.options.val=4",
    ]
    assert main(command) == 0
    photos = tmp_path / "photos"
    photos.mkdir()
    photo = np.random.default_rng(0).integers(0, 256, (150, 170, 3), dtype=np.uint8)
    cv2.imwrite(str(photos / "large.png"), photo)
    for name, window in (("whole", []), ("windows", ["--window", "64"])):
        words = [
            "infer",
            run,
            str(photos),
            "--out",
            str(tmp_path / name),
            "--plugin",
            str(plugin),
            "--device",
            "cpu",
        ]
        assert main([*words, *window]) == 0
    records = [json.loads((tmp_path / n / "manifest.jsonl").read_text()) for n in ("whole", "windows")]
    assert [record.get("window") for record in records] == [None, 64]
    maps = [
        cv2.imread(str(tmp_path / n / "labels" / "large.png"), cv2.IMREAD_UNCHANGED)
        for n in ("whole", "windows")
    ]
    assert (maps[0] == maps[1]).mean() > 0.99  # two convolutions see three pixels
    capsys.readouterr()
    assert main(["summary", str(plugin), "--size", "32x48", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["flops"] == 32 * 48 * (27 * 8 + 8 * 21)
    assert [(layer["name"], layer["output_shapes"]) for layer in summary["layers"]] == [
        ("body", [[1, 8, 32, 48]]),
        ("head", [[1, 21, 32, 48]]),
    ]


@pytest.mark.parametrize(
    ("fault", "message"), [("halved", "logits of an image of"), ("negated", "differs from its prediction in")]
)
def test_windows_that_do_not_fit_are_found(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        windows_give_the_prediction(ModelCase(WINDOWED, {"fault": fault}))


class Looks(Model, Inspectable):
    """Names a network, rightly or wrongly."""

    def __init__(self, fault: str) -> None:
        super().__init__(("a",))
        self.fault, self.network, self.divisor = fault, nn.Conv2d(3, 1, 3), 8

    def network_input(self, images: Tensor) -> Tensor:
        if self.fault == "whole numbers":
            self.network = nn.Identity()
            return images
        return torch.zeros(len(images), 3, 16, 17 if self.fault == "odd" else 24)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        raise NotImplementedError


class Made(ModelCase):
    """A case whose model is given."""

    def build(self, classes: Sequence[str] | None = None, *, seed: int = 0) -> Model:
        made: Model = self.settings["model"]
        return made


@pytest.mark.parametrize(
    ("fault", "message"), [("whole numbers", "expected floating"), ("odd", "no multiples of 8"), ("", "")]
)
def test_networks_that_do_not_take_their_input_are_found(fault: str, message: str) -> None:
    case = Made(WINDOWED, {"model": Looks(fault)})
    if not fault:
        network_takes_its_input(case)
        return
    with pytest.raises(AssertionError, match=message):
        network_takes_its_input(case)


class Follows(Model, Trackable):
    """Tracks, rightly or wrongly."""

    def __init__(self, fault: str) -> None:
        super().__init__(("a",))
        self.fault = fault

    def track(
        self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
    ) -> Iterator[Prediction]:
        case = MODELS["sam2"]
        for frame in frames[: 2 if self.fault == "stops" else None]:
            truth = case.samples(1)[0].instances
            assert truth is not None
            labels = torch.arange(len(truth)) + (5 if self.fault == "numbers" else 0)
            found = type(truth)(frame.size, truth.boxes_xyxy, labels, truth.masks, torch.ones(len(truth)))
            yield Prediction(frame.id, frame.size, instances=found)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("fault", "message"), [("stops", "of 3 frames"), ("numbers", "has objects numbered"), ("", "")]
)
def test_objects_that_are_lost_are_found(fault: str, message: str) -> None:
    case = Made("sam2", {"model": Follows(fault)})
    if not fault:
        objects_are_tracked(case)
        return
    with pytest.raises(AssertionError, match=message):
        objects_are_tracked(case)


def test_what_is_not_declared_is_skipped_with_the_reason() -> None:
    case = Made(WINDOWED, {"model": Looks("")})
    for check, name in ((windows_give_the_prediction, "Tileable"), (objects_are_tracked, "Trackable")):
        with pytest.raises(unittest.SkipTest, match=f"does not declare the capability {name}"):
            check(case)


def test_wrappers_answer_for_the_model_inside() -> None:
    from toolkit.models.prompted import PromptedModel

    model = MODELS["sam2"].build()
    wrapped = PromptedModel(model, None)
    assert wrapped.capability(Trackable) is model
    assert wrapped.capability(Tileable) is None
    assert registry.task_of(MODELS["sam2"].manifest).name == "promptable"
