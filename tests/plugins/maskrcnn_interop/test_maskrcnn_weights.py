from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toolkit.plugins.maskrcnn.interop.engine import is_installed
from toolkit.plugins.maskrcnn.interop.weights import load_weights
from torch import Tensor
from weights_cases import (
    NARROW,
    TINY,
    arrays,
    assert_taken,
    model_of,
    random_state,
    safetensors_file,
    torch_file,
    write,
    zoo_file,
)

from toolkit import registry
from toolkit.checkpoints import LoadReport
from toolkit.config import resolve
from toolkit.errors import CheckpointError
from toolkit.models.building import build_model
from toolkit.models.start_weights import take_start_weights

pytestmark = [pytest.mark.filterwarnings("ignore")] if is_installed() else []  # of what Detectron2 imports

HEADS = {
    f"roi_heads.{part}.{kind}"
    for part in ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_head.predictor")
    for kind in ("weight", "bias")
}


WRITERS: dict[str, Callable[[Path, dict[str, Tensor]], Path]] = {
    "model_final.pkl": zoo_file,
    "bare.pkl": lambda path, state: write(path, arrays(state), 4),
    "torch.pkl": torch_file,
    "model_0000003.pth": torch_file,
    "parallel.pth": lambda path, state: torch_file(
        path, {f"module.{name}": value for name, value in state.items()}
    ),
    "model.safetensors": safetensors_file,
}


@pytest.mark.parametrize("file", WRITERS)
def test_every_kind_of_file(tmp_path: Path, file: str) -> None:
    model = model_of()
    state = random_state(model)
    report = load_weights(model, str(WRITERS[file](tmp_path / file, state)))
    assert_taken(model, state, report)
    assert report == LoadReport(loaded=tuple(state))


@pytest.mark.parametrize("norm", ["BN", "SyncBN", "GN"])
def test_other_norms(tmp_path: Path, norm: str) -> None:
    changes = {
        "backbone": {**NARROW, "norm": norm, "stem_out_channels": 32, "width_per_group": 32, "freeze_at": 2},
        "fpn": {"norm": norm},
    }
    model = model_of(**changes)
    state = random_state(model)
    without_counts = {
        name: value for name, value in state.items() if not name.endswith("num_batches_tracked")
    }
    report = load_weights(model, str(zoo_file(tmp_path / "model.pkl", without_counts)))
    assert_taken(model, state, report)
    assert report == LoadReport(loaded=tuple(without_counts))


def test_heads_for_other_classes_start_anew_and_are_named(tmp_path: Path) -> None:
    state = random_state(model_of())
    path = zoo_file(tmp_path / "coco.pkl", state)
    model = model_of(("balloon",))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = load_weights(model, str(path))
    assert set(report.reinitialized) == HEADS == set(model.class_tensors)
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    assert set(report.loaded) == set(state) - HEADS
    assert_taken(model, state, report)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in HEADS)
    assert (
        "6 start from random values because the classes differ: roi_heads.box_predictor.cls_score.weight"
        in str(report)
    )


def test_what_differs_for_another_reason_is_said(tmp_path: Path) -> None:
    state = random_state(model_of())
    report = load_weights(
        model_of(box_head={"fc_dim": 24}, keypoint_count=5, keypoint_head={"conv_dims": [4]}),
        str(zoo_file(tmp_path / "coco.pkl", state)),
    )
    assert set(report.missing) == {
        f"roi_heads.keypoint_head.{layer}.{kind}"
        for layer in ("conv_fcn1", "score_lowres")
        for kind in ("weight", "bias")
    }
    # the predictor's weights have another number of inputs, too: still a head that starts anew
    assert set(report.mismatched) == {
        "roi_heads.box_head.fc1.weight: [16, 784] -> [24, 784]",
        "roi_heads.box_head.fc1.bias: [16] -> [24]",
        "roi_heads.box_head.fc2.weight: [16, 16] -> [24, 24]",
        "roi_heads.box_head.fc2.bias: [16] -> [24]",
    }
    report = load_weights(model_of(masks=False), str(tmp_path / "coco.pkl"))
    assert {name.split(".")[1] for name in report.unexpected} == {"mask_head"}


def test_what_older_files_have_besides_is_passed_over(tmp_path: Path) -> None:
    model = model_of()
    state = random_state(model)
    extra = {
        "pixel_mean": torch.zeros(3, 1, 1),
        "pixel_std": torch.ones(3, 1, 1),
        "proposal_generator.anchor_generator.cell_anchors.0": torch.zeros(3, 4),
    }
    report = load_weights(model, str(zoo_file(tmp_path / "old.pkl", state | extra)))
    assert report == LoadReport(loaded=tuple(state))


# What is refused


def test_files_for_other_networks(tmp_path: Path) -> None:
    path = str(zoo_file(tmp_path / "r50.pkl", random_state(model_of())))
    deeper = {"backbone": {**NARROW, "depth": 101}}
    with pytest.raises(
        CheckpointError,
        match=(
            r"r50\.pkl contains another ResNet: .*res4\.\d+\..* is in the model only\. Hint: set"
            r" model\.backbone\.depth"
        ),
    ):
        load_weights(model_of(**deeper), path)
    shallower = zoo_file(tmp_path / "r101.pkl", random_state(model_of(**deeper)))
    with pytest.raises(CheckpointError, match="is in the file only"):
        load_weights(model_of(), str(shallower))
    model = model_of()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    others = torch_file(
        tmp_path / "unet.pth", {"encoder.conv1.weight": torch.zeros(3), "decoder.weight": torch.zeros(3)}
    )
    with pytest.raises(CheckpointError, match=r"unet\.pth is for another model: only 0 of the \d+ tensors"):
        load_weights(model, str(others))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_norms_that_do_not_go_together(tmp_path: Path) -> None:
    group = {"backbone": {**NARROW, "norm": "GN"}}
    batch = {"backbone": {**NARROW, "norm": "BN"}}
    of_batch = str(zoo_file(tmp_path / "bn.pkl", random_state(model_of())))
    of_group = str(zoo_file(tmp_path / "gn.pkl", random_state(model_of(**group))))
    with pytest.raises(CheckpointError, match=r"bn\.pkl was trained with batch norm, but .* is a group norm"):
        load_weights(model_of(**group), of_batch)
    with pytest.raises(
        CheckpointError,
        match=r"gn\.pkl has no statistics for the batch norm .*Hint: .*model\.backbone\.norm=GN",
    ):
        load_weights(model_of(**batch), of_group)


class Harm:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


def test_files_that_would_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = model_of()
    content = {"model": arrays(random_state(model)), "__author__": Harm()}
    with pytest.raises(CheckpointError, match=r"evil\.pkl is refused: it asks for (posix|nt)\.mkdir"):
        load_weights(model, str(write(tmp_path / "evil.pkl", content)))
    torch.save({"model": random_state(model), "more": Harm()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth is refused"):
        load_weights(model, str(tmp_path / "evil.pth"))
    (tmp_path / "evil.pth").rename(tmp_path / "torch.pkl")
    with pytest.raises(CheckpointError, match=r"torch\.pkl is refused"):
        load_weights(model, str(tmp_path / "torch.pkl"))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "contains a list: expected arrays by name"),
        ({}, "contains no arrays"),
        ({"model": {"a": "text"}, "__author__": "us"}, "expected arrays by name, but 'a' (str) names a str"),
        ({"model": {3: np.zeros(3)}}, "but '3' (int) names an array"),
        ({"a": [np.zeros(3)]}, "'a' (str) names a list"),
    ],
)
def test_contents_that_are_no_weights(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_weights(model_of(), str(write(tmp_path / "odd.pkl", content)))


def test_absent_files() -> None:
    with pytest.raises(CheckpointError, match=r"absent\.pkl cannot be read"):
        load_weights(model_of(), "absent.pkl")


def test_training_starts_from_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the door that every run goes through."""
    monkeypatch.setenv("TOOLKIT_WEIGHTS", str(tmp_path / "empty"))
    path = zoo_file(tmp_path / "coco.pkl", random_state(model_of()))
    options = {"model": {**TINY, "engine": "torchvision"}, "weights": str(path)}
    settings = resolve(plugin="maskrcnn", data="labelme", overrides=options)
    plugin = registry.plugins().get("maskrcnn")
    model = build_model(plugin, settings.model, ("circle", "square"))
    start = take_start_weights(model, plugin, settings.weights)
    assert start.report is not None
    assert set(start.report.reinitialized) == HEADS
