"""Checks what a plugin's model returns at each call, so that a mistake is reported where it happens.

Nothing here reads values, so there is no waiting for a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from toolkit.errors import InvalidDataError
from toolkit.models.contract import Model
from toolkit.types import Prediction, Sample
from toolkit.wording import some

SHOWN = 8
"""Number of samples that a message names."""


def checked_losses(
    losses: Any, samples: Sequence[Sample], *, owner: str, with_gradient: bool
) -> dict[str, Tensor]:
    """The losses that a model returned for a batch.

    Args:
        losses: the returned value; scalar floating tensors by name are expected.
        samples: the batch.
        owner: the plugin, or the model, for messages.
        with_gradient: whether their sum must depend on trainable parameters.

    Raises:
        InvalidDataError: when it is anything else; names the owner and the samples.
    """
    where = f"{owner}, loss of {_named(samples)}"
    if not isinstance(losses, Mapping) or not losses:
        raise InvalidDataError(
            f"{where}: expected a dictionary of losses by name, such as {{'cross_entropy': loss}}, not"
            f" {_described(losses)}. Hint: return at least one loss, for every batch"
        )
    for name, value in losses.items():
        if not isinstance(name, str):
            raise InvalidDataError(
                f"{where}: expected names for the losses, not {name!r}. Hint: return {{'loss': loss}}"
            )
        if not isinstance(value, Tensor):
            raise InvalidDataError(
                f"{where}: {name!r} is {_described(value)}; expected a tensor with one number, whose"
                " gradient can be computed. Hint: leave out .item() and float()"
            )
        if value.dim() or not value.is_floating_point():
            raise InvalidDataError(
                f"{where}: {name!r} is {_described(value)}; expected a floating tensor with one number and no"
                " dimension. Hint: take the mean over the samples, by .mean()"
            )
    if with_gradient and not any(value.requires_grad for value in losses.values()):
        raise InvalidDataError(
            f"{where}: no loss depends on trainable parameters. Hint: compute it from the network's output,"
            " without .detach() or torch.no_grad(); if a batch has nothing to train on, return"
            " output.sum() * 0; and make sure that train.freeze leaves something to train"
        )
    return dict(losses)


def checked_predictions(predictions: Any, samples: Sequence[Sample], owner: str) -> list[Prediction]:
    """The predictions that a model returned for a batch.

    Raises:
        InvalidDataError: when they are not one prediction for each sample, in order and of its size; names
            the owner and the samples.
    """
    where = f"{owner}, predictions for {_named(samples)}"
    if not isinstance(predictions, Sequence) or isinstance(predictions, (str, bytes)):
        raise InvalidDataError(
            f"{where}: expected a list with one Prediction per sample, not {_described(predictions)}. Hint:"
            " return [toolkit.Prediction(sample.id, sample.size, …) for each sample]"
        )
    if len(predictions) != len(samples):
        raise InvalidDataError(
            f"{where}: {len(predictions)} for {len(samples)} samples; expected one per sample. Hint: predict"
            " every sample that is given, in order"
        )
    for sample, prediction in zip(samples, predictions, strict=True):
        if not isinstance(prediction, Prediction):
            raise InvalidDataError(
                f"{where}: expected a toolkit.Prediction for each, not {_described(prediction)}. Hint: return"
                " [toolkit.Prediction(sample.id, sample.size, …) for each sample]"
            )
        if prediction.sample_id != sample.id or prediction.size != sample.size:
            raise InvalidDataError(
                f"{where}: expected the prediction for {sample.id!r}, {sample.size[0]}×{sample.size[1]}"
                f" (height×width), but found one for {prediction.sample_id!r},"
                f" {prediction.size[0]}×{prediction.size[1]}. Hint: return them in the order of the"
                " samples, each with the id and the size of its sample"
            )
    return list(predictions)


def checked_pair(returned: Any, samples: Sequence[Sample], owner: str) -> tuple[Any, Any]:
    """What ``TrainableModel.validate`` returned, checked to be predictions and losses.

    Raises:
        InvalidDataError: when it is not a pair.
    """
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise InvalidDataError(
            f"{owner}, validate for {_named(samples)}: expected a tuple of predictions and losses, not"
            f" {_described(returned)}. Hint: return predictions, losses"
        )
    return returned


def owner_of(model: nn.Module) -> str:
    """How messages refer to a model whose plugin is not known here."""
    inner = model.model if isinstance(getattr(model, "model", None), Model) else model
    return f"the model {type(inner).__name__}"


def _named(samples: Sequence[Sample]) -> str:
    names = some([sample.path or sample.id for sample in samples], SHOWN)
    return f"the sample{'s' if len(samples) > 1 else ''} {names}"


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if value is None:
        return "None"
    if isinstance(value, (Mapping, Sequence)) and not len(value):
        return f"an empty {type(value).__name__}"
    return f"a {type(value).__name__}"
