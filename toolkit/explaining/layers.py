"""Looks at the feature maps of a layer while a model computes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from toolkit.errors import UsageError
from toolkit.models.capabilities import Explainable


def layer_name(model: nn.Module, name: str) -> str:
    """The full name of a layer, as in ``named_modules``, from that or from its end, such as ``layer4`` for
    ``network.encoder.layer4``.

    Raises:
        UsageError: when there is no such layer, or several end like this; names the nearest.
    """
    names: list[str] = [each for each, _ in model.named_modules() if each]
    if name in names:
        return name
    ending = [each for each in names if each.endswith(f".{name}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        some = ", ".join(ending[:5]) + (", …" if len(ending) > 5 else "")
        raise UsageError(f"{len(ending)} layers are called {name!r}: {some}. Hint: give the full name of one")
    raise UsageError(f"the model has no layer {name!r}. Hint: {_advice(model, name, names)}")


def _advice(model: nn.Module, name: str, names: list[str]) -> str:
    last = {each.split(".")[-1]: each for each in names}
    near = difflib.get_close_matches(name, names, n=3) or [
        last[each] for each in difflib.get_close_matches(name, last, n=3)
    ]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    suggested = model.layers()[:5] if isinstance(model, Explainable) else ()
    return f"choose one of {', '.join(suggested or names[:5])}"


def default_layer(explainable: Explainable) -> str:
    """The layer for methods that need one, if none is named.

    Raises:
        UsageError: when the model names none.
    """
    layers = explainable.layers()
    if not layers:
        raise UsageError(
            "this model names no layer with feature maps. Hint: name one with --layer, or"
            " use a method that needs none, such as saliency"
        )
    return layers[0]


@contextmanager
def recorded(model: nn.Module, name: str) -> Iterator[list[Tensor]]:
    """Context manager that records the outputs of a layer in a list, in the graph of what the model computes
    from them.

    The model continues with a copy, so that an operation in place, such as a ReLU, leaves the recorded
    output as it is.

    Args:
        model: the model.
        name: the full name of the layer.
    """
    outputs: list[Tensor] = []

    def keep(module: nn.Module, args: object, output: object) -> object:
        if not isinstance(output, Tensor):
            raise UsageError(
                f"the layer {name!r} returns a {type(output).__name__}, not feature maps. Hint: choose a"
                " layer inside it"
            )
        outputs.append(output)
        return output.clone()

    hook = model.get_submodule(name).register_forward_hook(keep)
    try:
        yield outputs
    finally:
        hook.remove()


def feature_maps(outputs: list[Tensor], model: nn.Module, name: str) -> Tensor:
    """The one output of a layer that was recorded, ``[B, C, h, w]``.

    Raises:
        UsageError: when it ran never or several times, or returned something else.
    """
    good = model.layers() if isinstance(model, Explainable) else ()
    hint = f"Hint: choose one of {', '.join(good)}" if good else "Hint: choose another layer"
    if len(outputs) != 1:
        times = "never" if not outputs else f"{len(outputs)} times"
        raise UsageError(f"the layer {name!r} runs {times} for an image; expected once. {hint}")
    (output,) = outputs
    if output.dim() != 4 or not output.is_floating_point():
        raise UsageError(
            f"the layer {name!r} returns {list(output.shape)}; expected feature maps [batch, channels,"
            f" height, width]. {hint}"
        )
    return output


def record_maps(model: nn.Module, name: str, compute: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """The result of a computation, and the feature maps of a layer in it.

    Raises:
        UsageError: as ``feature_maps``.
    """
    with recorded(model, name) as outputs:
        result = compute()
    return result, feature_maps(outputs, model, name)
