"""Graphs of tensors: what a model declares, and how one runs in the place of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from toolkit import Graph
from toolkit.errors import ConfigError, InvalidDataError, UsageError
from toolkit.models import graphs
from toolkit.models.graphs import RuntimeGraph, accelerator_for, as_tuple, device_for
from toolkit.runtime.engines import Engine


class Adding(Engine):
    """Adds its inputs, and says so in another order than it is asked for."""

    runtime, ran_on, outputs = "adding 1", ("CPU",), ("sum", "count")

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        return [sum(inputs.values()), np.array([len(inputs)])]


def graph(opened: list[tuple[str, int]] | None = None) -> RuntimeGraph:
    def opening(device: str, threads: int) -> Engine:
        if opened is not None:
            opened.append((device, threads))
        return Adding()

    return RuntimeGraph("adder", ("a", "b"), ("count", "sum"), opening)


def test_tensors_go_through_in_the_declared_order() -> None:
    opened: list[tuple[str, int]] = []
    adder = graph(opened)
    assert adder.ran_on == ()
    count, total = adder(torch.ones(2, 3).t(), torch.full((3, 2), 2.0))
    assert count.tolist() == [2]
    assert torch.equal(total, torch.full((3, 2), 3.0))
    adder(torch.ones(1), torch.ones(1))
    assert opened == [("cpu", torch.get_num_threads())], "it is prepared once"
    assert adder.ran_on == ("CPU",)


def test_it_is_prepared_again_on_another_device() -> None:
    opened: list[tuple[str, int]] = []
    adder = graph(opened)
    adder.prepared()
    adder.to("meta").prepared()
    assert [device for device, _ in opened] == ["cpu", "meta"]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidDataError, match=r"'adder' takes 2 tensors \(a, b\), not 1"):
        graph()(torch.ones(1))
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(ConfigError, match="Hint: use the precision fp32 here"),
    ):
        graph()(torch.ones(1), torch.ones(1))


def test_examples_have_the_inputs_of_the_graph() -> None:
    with pytest.raises(UsageError, match=r"needs examples of its 1 inputs \(images\); it has \[2\]"):
        Graph("net", nn.Identity(), {"images": (1,)}, {"out": (1,)}, ((torch.ones(1), torch.ones(1)),))
    with pytest.raises(UsageError, match="must be an identifier"):
        Graph("../net", nn.Identity(), {"images": (1,)}, {"out": (1,)}, ((torch.ones(1),),))


def test_one_result_or_several() -> None:
    one = torch.ones(1)
    assert as_tuple(one) == (one,)
    assert as_tuple([one, one]) == (one, one)


def placed(*, usable: bool) -> nn.Module:
    """A model with a graph whose runtime can use GPUs or not."""
    return nn.Sequential(
        RuntimeGraph("adder", ("a",), ("b",), lambda *_: Adding(), lambda device: usable or device == "cpu")
    )


@pytest.mark.parametrize(("usable", "expected"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_the_cpu_where_the_runtime_does_not_use_the_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, usable: bool, expected: str
) -> None:
    here = {"auto": "cuda"}
    monkeypatch.setattr(graphs, "find_device", lambda name="auto": torch.device(here.get(name, name)))
    models = [nn.Linear(1, 1), placed(usable=True), placed(usable=usable)]
    assert device_for(models).type == expected
    assert ("Everything is computed on the CPU rather than on cuda" in caplog.text) != usable
    assert accelerator_for(models, "auto") == ("auto" if usable else "cpu")
    assert accelerator_for(models, "cuda") == "cuda"
    assert device_for(models, "cuda").type == "cuda", "what was asked for by name is not replaced"
    assert device_for([nn.Linear(1, 1)]).type == "cuda"


def test_a_graph_for_one_size_refuses_others() -> None:
    axes = (("batch", 2), ("batch", 2))
    adder = RuntimeGraph("adder", ("a", "b"), ("count", "sum"), lambda *_: Adding(), axes=axes)
    assert adder(torch.ones(3, 2), torch.ones(3, 2))[0].tolist() == [2]
    for other in (torch.ones(3, 4), torch.ones(2)):
        with pytest.raises(InvalidDataError, match="takes b of batch x 2, but this image makes it"):
            adder(torch.ones(3, 2), other)
