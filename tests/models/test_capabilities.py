"""Capabilities are what a model says it can do: asked for by their kind, answered by wrappers for the model
inside, and served by commands that know no plugin.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.small_settings import MODELS
from torch import Tensor, nn

from toolkit import (
    Explainable,
    Exportable,
    Graph,
    Inspectable,
    Instances,
    Model,
    Prediction,
    Probabilistic,
    Promptable,
    Prompts,
    Sample,
    Target,
    Tileable,
    Trackable,
    registry,
)
from toolkit.cli import main
from toolkit.models.prompted import PromptedModel

WINDOWED = Path(__file__).resolve().parents[1] / "support" / "windowed.py"
ALL: tuple[type[Any], ...] = (
    Exportable,
    Tileable,
    Inspectable,
    Probabilistic,
    Promptable,
    Trackable,
    Explainable,
)
DECLARED = {
    "classifier": {Exportable, Inspectable, Explainable},
    "unet": {Exportable, Tileable, Inspectable, Probabilistic, Explainable},
    "deeplabv3": {Exportable, Tileable, Inspectable, Probabilistic, Explainable},
    "deeplabv3plus": {Exportable, Tileable, Inspectable, Probabilistic, Explainable},
    "maskrcnn": {Exportable, Explainable},
    "sam2": {Exportable, Promptable, Trackable, Explainable},
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_what_the_built_in_models_declare(name: str) -> None:
    if MODELS[name].manifest.missing_requirements():
        pytest.skip("its packages are not installed")
    model = MODELS[name].build()
    assert {kind for kind in ALL if model.capability(kind) is not None} == DECLARED[name]
    assert all(model.capability(kind) is model for kind in DECLARED[name])


class Everything(Model, Exportable, Tileable, Inspectable, Probabilistic, Promptable, Trackable, Explainable):
    """Declares all there is."""

    def __init__(self) -> None:
        super().__init__(("a",))
        self.network = nn.Conv2d(3, 1, 1)

    def logits(self, images: Tensor) -> Tensor:
        return self.network_input(images)[:, :1]

    def network_input(self, images: Tensor) -> Tensor:
        return images.float()

    def predict_with_confidence(self, samples: Sequence[Sample]) -> list[Prediction]:
        return self.predict(samples)

    def graphs(self) -> tuple[Graph, ...]:
        return ()

    def with_graphs(self, graphs: Mapping[str, nn.Module]) -> Model:
        return self

    @property
    def processing(self) -> Mapping[str, Any]:
        return {}

    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        return [sample.size for sample in samples]

    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        return self.find_all(encoded)

    def find_all(self, encoded: Any) -> Instances:
        return Instances.empty(encoded)

    def track(
        self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
    ) -> Iterator[Prediction]:
        yield from self.predict(frames)

    def score(self, images: Tensor, target: Target) -> Tensor:
        return images.mean((1, 2, 3))

    def layers(self) -> tuple[str, ...]:
        return ("network",)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(s.id, s.size, instances=self.find_all(s.size)) for s in samples]


class Plain(Model):
    """Declares nothing, though it has a method of the right name."""

    def logits(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 1, *images.shape[2:])

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return []


def test_capabilities_are_declared_and_not_guessed_from_methods() -> None:
    model, plain = Everything(), Plain(("a",))
    assert [model.capability(kind) for kind in ALL] == [model] * len(ALL)
    assert [plain.capability(kind) for kind in ALL] == [None] * len(ALL)


def test_defaults_say_the_least() -> None:
    model = Everything()
    assert not model.shrinks_large_images
    assert model.divisor == 1
    assert model.protocols == ("box", "point", "point+2")
    assert model.channel_order == "RGB"
    placed = model.maps_in_image(torch.tensor([[[0.0, 1.0]]]), (2, 4))
    torch.testing.assert_close(placed, torch.tensor([[[0.0, 0.25, 0.75, 1.0]] * 2]))
    assert model.program == ()


@pytest.mark.parametrize("kind", ALL)
def test_what_is_promised_has_to_be_written(kind: type[Any]) -> None:
    missing = [name for name, value in vars(kind).items() if getattr(value, "__isabstractmethod__", False)]
    assert missing
    assert inspect.isabstract(kind)
    empty = type("Empty", (Model, kind), {"predict": Plain.predict})
    with pytest.raises(TypeError, match=missing[0]):
        empty(("a",))


def test_a_prompted_model_answers_for_the_one_inside_what_prompting_leaves_as_it_is() -> None:
    inside = Everything()
    wrapped = PromptedModel(inside, None)
    assert wrapped.capability(Promptable) is inside
    assert wrapped.capability(Trackable) is inside
    assert wrapped.capability(Explainable) is inside
    assert wrapped.capability(Tileable) is None, "its windows would not be prompted"
    assert wrapped.capability(Inspectable) is None
    twice = PromptedModel(wrapped, None)
    assert twice.capability(Trackable) is inside
    assert PromptedModel(Plain(("a",)), None).capability(Promptable) is None


def test_the_wrapped_model_of_a_plugin_is_the_one_that_tracks() -> None:
    if MODELS["sam2"].manifest.missing_requirements():
        pytest.skip("its packages are not installed")
    model = MODELS["sam2"].build()
    assert PromptedModel(model, None).capability(Trackable) is model
    assert registry.task_of(MODELS["sam2"].manifest).name == "promptable"


def test_windows_of_a_model_on_the_plain_contract_are_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copied to a folder outside the package, as a user would have it."""
    plugin = tmp_path / "mine.py"
    plugin.write_text(WINDOWED.read_text(encoding="utf-8"), encoding="utf-8")
    options = ["train.device=cpu", "train.steps=20", "data.options.size=64", "data.options.train=8"]
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
