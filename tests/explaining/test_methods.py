"""Methods are found by name, and asked only of models that have what they need."""

from __future__ import annotations

import pytest
import torch
from support.explained import Fixed, Pooled, semantic

from toolkit import Instances
from toolkit.errors import UsageError
from toolkit.explaining.methods import DEFAULT, METHODS, Method, check_possible, find_method
from toolkit.models.graphs import RuntimeGraph
from toolkit.runtime.engines import Engine

PLAIN = Fixed(Instances.empty((4, 4), with_scores=True))


def test_names_are_read_as_people_write_them() -> None:
    assert find_method("Grad-CAM").name == "gradcam"
    assert find_method("integrated_gradients").name == "integrated-gradients"
    assert DEFAULT in METHODS
    for name in METHODS:
        assert find_method(name).name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gradcma", "unknown method 'gradcma'.* Hint: did you mean 'gradcam'"),
        ("xyzzy", "choose one of these"),
    ],
)
def test_unknown_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_method(name)


def test_a_layer_is_only_for_methods_that_look_at_one() -> None:
    check_possible(find_method("gradcam"), semantic(), "tanh")
    with pytest.raises(
        UsageError, match="saliency looks at no layer of your choice.* one of: gradcam, layer"
    ):
        check_possible(find_method("saliency"), semantic(), "tanh")


def test_a_model_without_gradients_says_which_methods_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(subject: object) -> object:
        raise NotImplementedError

    monkeypatch.setitem(METHODS, "black-box", Method("black-box", nothing, differentiates=False))  # type: ignore[arg-type]
    for name, method in METHODS.items():
        check_possible(method, Pooled(), None)
        if not method.differentiates:
            check_possible(method, PLAIN, None)
            continue
        with pytest.raises(
            UsageError, match=f"this model gives no gradients .* {name} needs; .*black-box.*Hint: --"
        ):
            check_possible(method, PLAIN, None)


def test_an_exported_model_says_which_methods_remain() -> None:
    def never(device: str) -> Engine:
        raise NotImplementedError

    graph = RuntimeGraph("network", ("images",), ("logits",), never)
    model = semantic().with_graphs({"network": graph})
    check_possible(find_method("drise"), model, None)
    with pytest.raises(
        UsageError,
        match=r"\(it is exported\), which the method layercam .* remain: drise\. Hint: --method drise",
    ):
        check_possible(find_method("layercam"), model, None)


def test_maps_of_all_methods_are_of_the_image() -> None:
    from support.explained import sample

    from toolkit import Target
    from toolkit.explaining.subject import Effort, Subject

    for name, method in METHODS.items():
        if not method.differentiates:
            continue
        if name in ("smoothgrad", "integrated-gradients"):
            pytest.importorskip("captum.attr")
        given = Subject(Pooled(), sample(), Target("class", 2), effort=Effort(samples=2, steps=2))
        values = method.compute(given).values
        assert values.shape == (24, 36), name
        assert bool(torch.isfinite(values).all()), name
