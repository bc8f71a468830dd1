"""What a plugin's model returns is checked in words, at each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toolkit import Dataset, Model, Prediction, Sample, TrainableModel
from toolkit.config import resolve
from toolkit.errors import InvalidDataError, UsageError
from toolkit.evaluation.driver import Subject, predict_batches
from toolkit.inference.predictor import Predictor
from toolkit.models.returned import checked_losses, checked_predictions
from toolkit.training.loop import train


def sample(name: str = "photos/a.jpg", size: tuple[int, int] = (4, 6)) -> Sample:
    return Sample(name, torch.zeros((3, *size), dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8))


def learned(value: float = 1.0, shape: tuple[int, ...] = ()) -> Tensor:
    return torch.full(shape, value, requires_grad=True) * 1


LOSSES: dict[str, tuple[Any, str]] = {
    "nothing": (None, "a dictionary of losses by name.*not None"),
    "an empty dictionary": ({}, "not an empty dict"),
    "a tensor": (learned(), r"not a tensor float32 \[\]"),
    "a list": ([learned()], "not a list"),
    "a number": (
        {"loss": 0.5},
        r"'loss' is a float; expected a tensor with one number.*Hint: leave out \.item",
    ),
    "none inside": ({"a": learned(), "b": None}, "'b' is None; expected a tensor"),
    "a vector": ({"dice": learned(shape=(4,))}, r"'dice' is a tensor float32 \[4\].*no dimension.*mean"),
    "a vector of one": ({"dice": learned(shape=(1,))}, r"'dice' is a tensor float32 \[1\]"),
    "a whole number": (
        {"count": torch.tensor(3)},
        r"'count' is a tensor int64 \[\]; expected a floating tensor",
    ),
    "numbers for names": ({0: learned()}, "names for the losses, not 0"),
    "a constant": (
        {"a": torch.tensor(0.5), "b": learned().detach()},
        "no loss depends on trainable parameters",
    ),
}


@pytest.mark.parametrize("case", LOSSES)
def test_losses_that_are_none(case: str) -> None:
    losses, message = LOSSES[case]
    with pytest.raises(InvalidDataError, match=message) as caught:
        checked_losses(losses, [sample(), sample("b.jpg")], owner="plugin 'mine'", with_gradient=True)
    said = str(caught.value)
    assert said.startswith("plugin 'mine', loss of the samples photos/a.jpg, b.jpg: ")
    assert "Hint: " in said


def test_losses_that_are_right() -> None:
    losses = {"a": learned(), "b": torch.tensor(0.5), "c": learned(float("nan")).half()}
    assert checked_losses(losses, [sample()], owner="p", with_gradient=True) == losses
    with torch.no_grad():
        constant = {"a": torch.tensor(0.5)}
        assert checked_losses(constant, [sample()], owner="p", with_gradient=False) == constant


def test_of_many_samples_some_are_named() -> None:
    with pytest.raises(InvalidDataError, match="s7 and 12 more"):
        checked_losses({}, [sample(f"s{i}") for i in range(20)], owner="p", with_gradient=True)


def prediction(of: Sample, **other: Any) -> Prediction:
    size = other.get("size", of.size)
    return Prediction(other.get("name", of.id), size, torch.zeros(size, dtype=torch.uint8))


PREDICTIONS: dict[str, tuple[Callable[[Sequence[Sample]], Any], str]] = {
    "nothing": (lambda s: None, "a list with one Prediction per sample, not None"),
    "one of its own": (lambda s: prediction(s[0]), "not a Prediction"),
    "too few": (lambda s: [prediction(s[0])], "1 for 2 samples"),
    "too many": (lambda s: [prediction(one) for one in (*s, *s)], "4 for 2 samples"),
    "arrays": (
        lambda s: [one.label_map for one in s],
        r"a toolkit.Prediction for each, not a tensor uint8 \[4, 6\]",
    ),
    "another order": (
        lambda s: [prediction(one) for one in s[::-1]],
        "for 'a', 4×6 .*, but found one for 'b', 8×6",
    ),
    "another size": (lambda s: [prediction(one, size=(2, 3)) for one in s], "found one for 'a', 2×3"),
}


class Returns(TrainableModel):
    """Returns what it is told to."""

    def __init__(self, predicts: Any = None, loses: Any = None, classes: Sequence[str] = ("x", "y")) -> None:
        super().__init__(classes)
        self.predicts, self.loses = predicts, loses
        self.layer = nn.Linear(1, 1)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        found: list[Prediction] = (
            self.predicts(samples) if self.predicts else [prediction(one) for one in samples]
        )
        return found

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        value = self.layer.weight.sum() * 0
        return self.loses(value) if self.loses else {"loss": value}  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", PREDICTIONS)
def test_predictions_that_are_none(case: str) -> None:
    returns, message = PREDICTIONS[case]
    samples = [sample("a"), sample("b", (8, 6))]
    with pytest.raises(InvalidDataError, match=message) as caught:
        checked_predictions(returns(samples), samples, "plugin 'mine'")
    assert str(caught.value).startswith("plugin 'mine', predictions for the samples a, b: ")
    assert "Hint: " in str(caught.value)
    model = Returns(returns)
    with pytest.raises(InvalidDataError, match="the model Returns, predictions for the samples a, b"):
        Predictor(model, device="cpu").predict_samples(samples)
    for with_loss in (False, True):
        with pytest.raises(InvalidDataError, match="the model Returns, predictions for the samples a, b"):
            list(predict_batches([Subject(model, with_loss=with_loss)], [samples]))


def test_what_validate_returns() -> None:
    class Odd(Returns):
        def validate(self, samples: Sequence[Sample]) -> Any:
            return self.predict(samples)

    with pytest.raises(InvalidDataError, match="validate for the sample a: expected a tuple"):
        list(predict_batches([Subject(Odd(), with_loss=True)], [[sample("a")]]))
    with pytest.raises(InvalidDataError, match="loss of the sample a: .*not None"):
        list(predict_batches([Subject(Returns(loses=lambda value: None), with_loss=True)], [[sample("a")]]))


class Few(Dataset):
    classes = ("ground", "square")
    ids = ("train/0", "train/1")

    def __getitem__(self, index: int) -> Sample:
        return sample(self.ids[index])


@pytest.mark.parametrize(
    ("loses", "message"),
    [
        (lambda value: None, "not None"),
        (lambda value: {}, "an empty dict"),
        (lambda value: {"loss": value.item()}, "'loss' is a float"),
        (lambda value: {"loss": value[None].repeat(3)}, r"'loss' is a tensor float32 \[3\]"),
        (lambda value: {"loss": value.detach()}, "no loss depends on trainable parameters"),
    ],
)
def test_a_run_names_plugin_and_samples(tiny: str, tmp_path: Path, loses: Any, message: str) -> None:
    settings = resolve(
        plugin=tiny, data=tiny, overrides=["train.device=cpu", "train.workers=0", "batch_size=2"]
    )
    model = Returns(loses=loses, classes=Few.classes)
    with pytest.raises(InvalidDataError, match=message) as caught:
        train(settings, tmp_path / "run", model=model, train_set=Few())
    assert "plugin 'tiny', loss of the samples train/" in str(caught.value)


def test_a_batch_that_batch_norm_cannot_learn_from_is_named(tiny: str, tmp_path: Path) -> None:
    def one_value(value: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.BatchNorm1d(1)(value[None, None]).sum()}

    settings = resolve(
        plugin=tiny, data=tiny, overrides=["train.device=cpu", "train.workers=0", "batch_size=1"]
    )
    with pytest.raises(InvalidDataError, match=r"train/\d \(4×6\).*single value.*Hint: train.batch_size=2"):
        train(
            settings, tmp_path / "run", model=Returns(loses=one_value, classes=Few.classes), train_set=Few()
        )


def test_a_model_for_other_classes_than_the_data_is_not_trained(tiny: str, tmp_path: Path) -> None:
    """The same in another order are others, too."""
    settings = resolve(plugin=tiny, data=tiny, overrides=["train.device=cpu", "train.workers=0"])
    with pytest.raises(UsageError, match="square, ground, but those of the training data are"):
        train(settings, tmp_path / "run", model=Returns(classes=Few.classes[::-1]), train_set=Few())
    assert not (tmp_path / "run").exists()
    assert isinstance(Returns(), Model)
