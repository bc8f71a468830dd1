"""The methods by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from toolkit.errors import UsageError
from toolkit.explaining import black_box, cams, gradients
from toolkit.explaining.subject import Map, Subject
from toolkit.models.capabilities import Explainable
from toolkit.models.contract import Model
from toolkit.models.graphs import RuntimeGraph


@dataclass(frozen=True)
class Method:
    """A way to explain.

    Attributes:
        name: its name.
        compute: computes the map; called in eval mode, with gradients.
        differentiates: whether it needs the capability ``Explainable``; the others only predict.
        has_layer: whether it looks at a layer.
    """

    name: str
    compute: Callable[[Subject], Map]
    differentiates: bool = True
    has_layer: bool = False


METHODS = {
    method.name: method
    for method in (
        Method("saliency", gradients.saliency),
        Method("smoothgrad", gradients.smoothgrad),
        Method("integrated-gradients", gradients.integrated_gradients),
        Method("cam", cams.cam),
        Method("gradcam", cams.gradcam, has_layer=True),
        Method("layercam", cams.layercam, has_layer=True),
        Method("drise", black_box.drise_map, differentiates=False),
    )
}
"""All methods, by name."""

DEFAULT = "layercam"


def find_method(name: str) -> Method:
    """A method by its name.

    Raises:
        UsageError: when there is none; names the nearest.
    """

    def plain(text: str) -> str:
        return text.lower().replace("_", "").replace("-", "")

    for method in METHODS.values():
        if plain(method.name) == plain(name):
            return method
    near = difflib.get_close_matches(name, METHODS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "choose one of these"
    raise UsageError(f"unknown method {name!r}; expected one of: {', '.join(METHODS)}. Hint: {hint}")


def check_possible(method: Method, model: Model, layer: str | None) -> None:
    """Check that a model has what a method needs.

    Raises:
        UsageError: when it does not; says which methods remain.
    """
    if layer is not None and not method.has_layer:
        with_layers = ", ".join(each.name for each in METHODS.values() if each.has_layer)
        raise UsageError(
            f"the method {method.name} looks at no layer of your choice. Hint: leave out --layer, or use one"
            f" of: {with_layers}"
        )
    exported = any(isinstance(each, RuntimeGraph) for each in model.modules())
    if method.differentiates and (exported or model.capability(Explainable) is None):
        others = [each.name for each in METHODS.values() if not each.differentiates]
        remain = f"methods that remain: {', '.join(others)}" if others else "no method remains"
        hint = f"--method {others[0]}" if others else "use a run that trains, rather than an exported model"
        why = "it is exported" if exported else "it does not declare the capability Explainable"
        raise UsageError(
            f"this model gives no gradients ({why}), which the method {method.name} needs;"
            f" {remain}. Hint: {hint}"
        )
