"""Names of tensors in files, whatever stands before them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toolkit import registry
from toolkit.checkpoints import STATE_DICTS, read_foreign
from toolkit.errors import CheckpointError
from toolkit.models.building import build_model
from toolkit.models.contract import Model
from toolkit.models.semantic import SemanticModel
from toolkit.models.start_weights import take_start_weights
from toolkit.models.weight_names import names_in_files, unwrapped, without_common_steps

SMALL: dict[str, dict[str, Any]] = {
    "unet": {"encoder": "resnet18", "depth": 3, "width": 8},
    "deeplabv3": {
        "encoder": "tu-mobilenetv3_small_050",
        "output_stride": 16,
        "channels": 8,
        "atrous_rates": [1, 2],
    },
    "maskrcnn": {
        "engine": "torchvision",
        "backbone": {
            "depth": 18,
            "stem_out_channels": 8,
            "res2_out_channels": 8,
            "norm": "BN",
            "freeze_at": 0,
        },
        "fpn": {"out_channels": 16},
        "box_head": {"fc_dim": 32},
        "mask_head": {"num_conv": 1, "conv_dim": 16},
    },
}
CLASSES = ("one", "two", "three")


def built(name: str, seed: int = 0, classes: Sequence[str] = CLASSES) -> tuple[Model, Any]:
    plugin = registry.plugins().get(name)
    settings = plugin.resolve(plugin.settings)(**SMALL[name])
    torch.manual_seed(seed)
    return build_model(plugin, settings, classes), settings


@cache
def trained_elsewhere(name: str) -> Model:
    """The model in the files; no test changes it."""
    return built(name, seed=1)[0]


def prefixed(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {prefix + name: value for name, value in state.items()}


def compiled_inside(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As where one part was compiled or wrapped by itself."""
    return {name.replace(".", "._orig_mod.module.", 1): value for name, value in state.items()}


WRAPPINGS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": dict,
    "ddp of compiled": prefixed("module._orig_mod."),
    "compiled ddp": prefixed("_orig_mod.module."),
    "lightning": lambda state: {"state_dict": prefixed("model.")(state), "epoch": 3, "hyper": {"lr": 0.1}},
    "lightning with a criterion": lambda state: {
        "state_dict": {**prefixed("net.")(state), "criterion.weight": torch.ones(3)}
    },
    "a program of one's own": lambda state: {
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {0: {"step": torch.ones(())}}, "param_groups": [{"lr": 0.1}]},
        "loss": torch.ones(()),
    },
    "within within": lambda state: {"checkpoint": 1, "model": {"state_dict": prefixed("module.")(state)}},
    "an unknown word": lambda state: {"seg_net_weights": OrderedDict(state), "epoch": 9},
    "inside": compiled_inside,
}


@pytest.mark.parametrize("plugin", SMALL)
@pytest.mark.parametrize("exported", [False, True], ids=["own names", "exported names"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_all_plugins_read_the_files_of_all_programs(
    plugin: str, exported: bool, wrapping: str, tmp_path: Path
) -> None:
    theirs = trained_elsewhere(plugin)
    state = {
        name: value.clone()
        for name, value in (theirs.export_state() if exported else theirs.state_dict()).items()
    }
    torch.save(WRAPPINGS[wrapping](state), tmp_path / "theirs.pth")
    model, settings = built(plugin)
    start = take_start_weights(model, registry.plugins().get(plugin), str(tmp_path / "theirs.pth"), settings)
    assert start.report is not None
    own, expected = model.state_dict(), theirs.state_dict()
    differing = [name for name in own if not torch.equal(own[name], expected[name])]
    assert not [name for name in differing if not name.endswith("num_batches_tracked")]
    assert not start.report.reinitialized
    assert not start.report.missing


@pytest.mark.parametrize("name", STATE_DICTS)
def test_a_state_dict_may_be_called(name: str, tmp_path: Path) -> None:
    torch.save({name: {"a": torch.ones(2)}, "epoch": 1}, tmp_path / "file.pt")
    assert list(read_foreign(tmp_path / "file.pt")) == ["a"]


def test_two_dictionaries_of_tensors_leave_it_open_which_is_meant(tmp_path: Path) -> None:
    torch.save({"first": {"a": torch.ones(2)}, "second": {"a": torch.zeros(2)}}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match="contains no state dict: expected tensors by name.*Hint: save"):
        read_foreign(tmp_path / "file.pt")


def test_of_several_that_are_known_the_first_counts(tmp_path: Path) -> None:
    content = {"module": {"a": torch.zeros(2)}, "state_dict": {"a": torch.ones(2)}}
    torch.save(content, tmp_path / "file.pt")
    assert torch.equal(read_foreign(tmp_path / "file.pt")["a"], torch.ones(2))


NAMES = {"net.a": "net.a", "net.b": "net.b", "a": "net.a", "b": "net.b"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["net.a", "net.b"], ["net.a", "net.b"]),
        (["a", "b"], ["net.a", "net.b"]),
        (["module.a", "module.b"], ["net.a", "net.b"]),
        (["model.net.a", "model.net.b", "lr"], ["net.a", "net.b", "lr"]),
        (["student.a", "student.b", "teacher.a", "teacher.b"], ["net.a", "net.b", "teacher.a", "teacher.b"]),
        (["ema.a", "ema.b", "model.a"], ["net.a", "net.b", "model.a"]),  # most of them stand behind this
        (["head.a", "head.b"], ["head.a", "head.b"]),  # of another part that has such names, too
        (["x", "y"], ["x", "y"]),
        ([], []),
    ],
)
def test_what_stands_before_names(given: list[str], expected: list[str]) -> None:
    tensors = {name: torch.zeros(1) for name in given}
    assert list(unwrapped(tensors, NAMES)) == expected


def test_of_a_part_other_steps_may_stand_before() -> None:
    tensors = {
        "model.encoder.a": torch.zeros(1),
        "model.encoder.b": torch.zeros(1),
        "model.head": torch.ones(1),
    }
    assert list(unwrapped(tensors, ["a", "b"])) == [*tensors]
    assert list(unwrapped(tensors, ["a", "b"], inside=("encoder",))) == ["a", "b", "model.head"]
    assert list(without_common_steps(tensors)) == ["encoder.a", "encoder.b", "head"]
    assert list(without_common_steps({"model.a": torch.zeros(1), "a": torch.zeros(1)})) == ["model.a", "a"]
    assert list(without_common_steps({"model.net": torch.zeros(1)})) == ["net"]
    assert without_common_steps({}) == {}


def test_a_model_is_known_by_its_own_names_and_by_those_that_it_exports() -> None:
    model = SemanticModel(nn.Sequential(nn.Conv2d(3, 2, 1)), ("a", "b"))
    assert names_in_files(model) == {
        "network.0.weight": "network.0.weight",
        "network.0.bias": "network.0.bias",
        "0.weight": "network.0.weight",
        "0.bias": "network.0.bias",
    }
