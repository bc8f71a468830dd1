"""The checks of capabilities find the faults that are planted for them; and a model on the plain contract
that declares windows passes them, though it is built on nothing of the toolkit.
"""

from __future__ import annotations

import unittest
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.small_settings import MODELS
from torch import Tensor, nn

from toolkit import (
    CONFIDENCE,
    Exportable,
    Graph,
    Inspectable,
    Model,
    PixelMap,
    Prediction,
    Probabilistic,
    Prompts,
    Sample,
    Trackable,
)
from toolkit.testing import MODEL_CHECKS, ModelCase, run_checks
from toolkit.testing.capability_checks import (
    confidence_is_of_the_prediction,
    graphs_give_the_prediction,
    network_takes_its_input,
    objects_are_tracked,
    windows_give_the_prediction,
)

WINDOWED = str(Path(__file__).resolve().parents[1] / "support" / "windowed.py")


def test_a_model_on_the_plain_contract_passes_all_checks() -> None:
    results = list(run_checks(MODEL_CHECKS, ModelCase(WINDOWED)))
    assert [(result.name, result.message) for result in results if result.state == "failed"] == []
    assert next(r for r in results if r.name == "windows_give_the_prediction").state == "passed"


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
    ("fault", "message"), [("whole numbers", "expected floating"), ("odd", "not multiples of 8"), ("", "")]
)
def test_networks_that_do_not_take_their_input_are_found(fault: str, message: str) -> None:
    case = Made(WINDOWED, {"model": Looks(fault)})
    if not fault:
        network_takes_its_input(case)
        return
    with pytest.raises(AssertionError, match=message):
        network_takes_its_input(case)


class Exports(Model, Exportable):
    """Has one graph, rightly or wrongly."""

    def __init__(self, fault: str, network: nn.Module | None = None) -> None:
        super().__init__(("a", "b"))
        self.fault = fault
        self.network = nn.Conv2d(3, 2, 1) if network is None else network
        if fault == "weights" and network is not None:
            self.more = nn.Conv2d(3, 2, 1)

    def graphs(self) -> tuple[Graph, ...]:
        sizes = [(1, 4, 5), (2, 6, 7)] + ([] if self.fault == "few" else [(3, 1, 1)])
        examples = tuple((torch.zeros(b, 3, h, w),) for b, h, w in sizes)
        outputs: dict[str, tuple[int | str, ...]] = {"logits": ("batch", 2, "height", "width")}
        if self.fault == "axes":
            outputs = {"logits": ("batch", 2, "height", "height")}
        if self.fault == "outputs":
            outputs["more"] = (1,)
        inputs: dict[str, tuple[int | str, ...]] = {"images": ("batch", 3, "height", "width")}
        return (Graph("network", self.network, inputs, outputs, examples),)

    def with_graphs(self, graphs: Mapping[str, nn.Module]) -> Model:
        return Exports(self.fault, graphs["network"])

    @property
    def processing(self) -> Mapping[str, Any]:
        return {"mean": float("nan") if self.fault == "no json" else 0.5}

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        sign = -1 if self.fault == "other" and not isinstance(self.network, nn.Conv2d) else 1
        return [
            Prediction(s.id, s.size, (sign * self.network(s.image[None] / 255))[0].argmax(0).to(torch.uint8))
            for s in samples
        ]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("few", "has 2 examples; expected at least 3"),
        ("axes", r"logits of the graph 'network' is \[1, 2, 4, 5\], but declared as"),
        ("outputs", r"returns 1 tensors, but declares \['logits', 'more'\]"),
        ("weights", "weights besides those of the graphs: more.weight"),
        ("other", "the model predicts something else"),
        ("no json", "JSON"),
        ("", ""),
    ],
)
def test_graphs_that_do_not_give_the_prediction_are_found(fault: str, message: str) -> None:
    case = Made(WINDOWED, {"model": Exports(fault)})
    if not fault:
        graphs_give_the_prediction(case)
        return
    with pytest.raises((AssertionError, ValueError), match=message):
        graphs_give_the_prediction(case)


class Follows(Model, Trackable):
    """Tracks, rightly or wrongly."""

    def __init__(self, fault: str) -> None:
        super().__init__(("a",))
        self.fault = fault

    def track(
        self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
    ) -> Iterator[Prediction]:
        truth = MODELS["sam2"].samples(1)[0].instances
        assert truth is not None
        assert truth.masks is not None
        given = [each for index in sorted(prompts) for each in prompts[index]]
        count = len({name for each in given for name in each.ids or ()}) or sum(map(len, given))
        if self.fault == "forgets":
            count = sum(map(len, given))
        for frame in frames[: 2 if self.fault == "stops" else None]:
            labels = torch.arange(count) + (5 if self.fault == "numbers" else 0)
            masks = truth.masks[[i % len(truth) for i in range(count)]]
            if self.fault == "moves" and count > 1:
                masks = masks[list(range(count))[::-1]]
            found = type(truth)(frame.size, masks.boxes_xyxy(), labels, masks, torch.ones(count))
            yield Prediction(frame.id, frame.size, instances=found)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("stops", "but there are 3 frames"),
        ("numbers", "has objects numbered"),
        ("moves", "is another mask when it is tracked alone"),
        ("forgets", r"the id of one object gave objects numbered \[0, 1\]; expected 0 alone"),
        ("", ""),
    ],
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


class Sure(Model, Probabilistic):
    """Finds the first class everywhere; with faults."""

    def __init__(self, fault: str, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.fault = fault

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(s.id, s.size, torch.zeros(s.size, dtype=torch.uint8)) for s in samples]

    def predict_with_confidence(self, samples: Sequence[Sample]) -> list[Prediction]:
        found = []
        for each in self.predict(samples):
            values = torch.full(each.size, 7.0 if self.fault == "percent" else 0.7)
            label_map = each.label_map
            if self.fault == "other":
                label_map = torch.ones(each.size, dtype=torch.uint8)
            extras = {} if self.fault == "none" else {CONFIDENCE: PixelMap(values)}
            found.append(Prediction(each.sample_id, each.size, label_map, extras=extras))
        return found[1:] if self.fault == "fewer" else found


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("", None),
        ("none", "has no 'confidence' in its extras"),
        ("percent", "with values from 0 to 1"),
        ("other", "differs from that without in 100.0% of the pixels"),
        ("fewer", "predictions for"),
    ],
)
def test_confidence_that_does_not_fit_is_found(fault: str, message: str | None) -> None:
    model = Sure(fault, MODELS["unet"].classes)
    case = Made(WINDOWED, {"model": model})
    if message is None:
        confidence_is_of_the_prediction(case)
        return
    with pytest.raises(AssertionError, match=message):
        confidence_is_of_the_prediction(case)
