"""The toolkit's networks against figures that Detectron2 computed (tests/fixtures/maskrcnn/make.py)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskrcnn_cases import (
    CASES,
    STEPS,
    Case,
    Figures,
    difference,
    pinned_sampler,
    projections,
    scenes,
    some_channels,
    weight,
)
from toolkit.plugins.maskrcnn.contract import Engine
from toolkit.plugins.maskrcnn.interop.config import Given, to_recipe
from toolkit.plugins.maskrcnn.interop.engine import Detectron2Engine, is_installed
from toolkit.plugins.maskrcnn.model import MaskRCNN
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings

from toolkit.config import TrainSettings
from toolkit.models.contract import total_loss
from toolkit.training.optimizer import build_optimizer, build_schedule, set_learning_rate
from toolkit.types import Instances, Masks, Sample

pytestmark = [pytest.mark.filterwarnings("ignore")] if is_installed() else []  # of what Detectron2 imports

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "maskrcnn"
ENGINES: dict[str, type[Engine]] = {"torchvision": MaskRCNN, "detectron2": Detectron2Engine}
TRAINED = [pytest.param(name, marks=pytest.mark.slow) if name == "gn_r50" else name for name in CASES]


@cache
def wanted(name: str) -> tuple[int, Figures]:
    """The seed of the weights, and the figures."""
    with np.load(FOLDER / f"{name}.npz") as file:
        figures = dict(file)
    return json.loads(str(figures.pop("about")))["seed"], figures


def settings_of(case: Case) -> tuple[MaskRCNNSettings, TrainSettings]:
    recipe = to_recipe({key: Given(value, "the test") for key, value in case.keys.items()}, Path("case.yaml"))
    return MaskRCNNSettings(**recipe["model"]), TrainSettings(**recipe["train"])


def make(name: str, engine: str) -> Engine:
    if engine == "detectron2" and not is_installed():
        pytest.skip("Detectron2 is not installed")
    case, (seed, _) = CASES[name], wanted(name)
    model = ENGINES[engine](settings_of(case)[0], [f"class {i}" for i in range(case.class_count)])
    model.load_state_dict(
        {key: weight(key, tuple(value.shape), seed) for key, value in model.state_dict().items()}
    )
    return model


def samples_of(case: Case) -> list[Sample]:
    samples = []
    for i, scene in enumerate(scenes(case)):
        size = scene.image.shape[:2]
        dense = (
            np.stack([thing.mask for thing in scene.things])
            if scene.things
            else np.zeros((0, *size), dtype=bool)
        )
        instances = Instances(
            size,
            torch.tensor([thing.box_xyxy for thing in scene.things]).reshape(-1, 4),
            torch.tensor([thing.label for thing in scene.things], dtype=torch.int64),
            masks=Masks.from_dense(dense) if len(dense) else Masks(size),
            keypoints=torch.tensor(
                np.array([thing.keypoints for thing in scene.things]), dtype=torch.float32
            ).reshape(-1, 5, 3),
            is_crowd=torch.tensor([thing.is_crowd for thing in scene.things], dtype=torch.bool),
        )
        samples.append(
            Sample(str(i), torch.from_numpy(scene.image).permute(2, 0, 1).contiguous(), instances=instances)
        )
    return samples


def detections(model: Engine, case: Case) -> Figures:
    out: dict[str, Any] = {}
    for i, sample in enumerate(samples_of(case)):
        (prediction,) = model.predict([sample])
        found = prediction.instances
        assert found is not None
        assert found.scores is not None
        out[f"{i}/boxes"], out[f"{i}/scores"], out[f"{i}/labels"] = (
            found.boxes_xyxy.numpy(),
            found.scores.numpy(),
            found.labels.numpy(),
        )
        if found.masks is not None:
            out[f"{i}/masks"] = np.packbits(found.masks.dense().flatten(1).numpy(), axis=1)
        if found.keypoints is not None:
            out[f"{i}/keypoints"] = found.keypoints.numpy()
    return out


def inside(model: MaskRCNN, case: Case) -> Figures:
    """What lies between image and detections."""
    out: dict[str, Any] = {}
    with torch.no_grad():
        for i, sample in enumerate(samples_of(case)):
            size = model.test_size(sample)
            batch = model.batch([sample], [size])
            features = model.backbone(batch)
            out[f"{i}/input"] = projections(f"input {i}", batch)
            out |= {
                f"{i}/res{level}": some_channels(x)
                for level, x in enumerate(model.backbone.bottom_up(batch), start=2)
            }
            out |= {f"{i}/p{level}": some_channels(x) for level, x in enumerate(features, start=2)}
            generator = model.proposal_generator
            out[f"{i}/proposals"] = generator.proposals(generator(features), [size], training=False)[
                0
            ].numpy()
    return out


def training(model: Engine, case: Case) -> Figures:
    out: dict[str, Any] = {}
    options = settings_of(case)[1]
    model.train()
    optimizer = build_optimizer(model, options)
    factor = build_schedule(options, STEPS)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    samples = samples_of(case)
    with pinned_sampler():
        for step in range(STEPS):
            set_learning_rate(optimizer, factor(step))
            losses = model.loss(samples)
            optimizer.zero_grad()
            total_loss(losses).backward()
            out |= {f"step {step}/{name}": value.detach().double().numpy() for name, value in losses.items()}
            out[f"step {step}/lr"] = np.array(optimizer.param_groups[0]["lr"])
            if step == 0:
                out |= {
                    f"gradient/{name}": projections(name, p.grad)
                    for name, p in model.named_parameters()
                    if p.grad is not None
                }
            optimizer.step()
    for name, value in model.state_dict().items():
        if not torch.equal(value, start[name]):
            out[f"change/{name}"] = projections(name, value.double() - start[name].double())
    return out


def part(figures: Figures, *beginnings: str) -> Figures:
    return {name: value for name, value in figures.items() if name.startswith(beginnings)}


def assert_equal(given: Figures, expected: Figures) -> None:
    assert set(given) == set(expected)
    assert not difference(expected, given)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_detections_are_those_of_detectron2(name: str, engine: str) -> None:
    expected = {
        key: value
        for key, value in wanted(name)[1].items()
        if key.split("/")[1] in ("boxes", "scores", "labels", "masks", "keypoints")
    }
    assert sum(len(expected[f"{i}/scores"]) for i in range(3)) > 20
    assert_equal(detections(make(name, engine).eval(), CASES[name]), expected)


@pytest.mark.parametrize("name", CASES)
def test_features_and_proposals_are_those_of_detectron2(name: str) -> None:
    kinds = ("input", "proposals", *(f"res{i}" for i in range(2, 6)), *(f"p{i}" for i in range(2, 7)))
    expected = {key: value for key, value in wanted(name)[1].items() if key.split("/")[1] in kinds}
    model = make(name, "torchvision").eval()
    assert isinstance(model, MaskRCNN)
    assert_equal(inside(model, CASES[name]), expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", TRAINED)
def test_losses_gradients_and_steps_of_sgd_are_those_of_detectron2(name: str, engine: str) -> None:
    expected = part(wanted(name)[1], "step", "gradient", "change")
    given = training(make(name, engine), CASES[name])
    losses = {"loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc"}
    losses |= {"loss_mask"} if CASES[name].keys["MODEL.MASK_ON"] else set()
    losses |= {"loss_keypoint"} if CASES[name].keys.get("MODEL.KEYPOINT_ON") else set()
    assert {key.split("/")[1] for key in part(expected, "step 0/")} == losses | {"lr"}
    assert_equal(given, expected)


def test_a_small_error_would_be_seen() -> None:
    """The comparison can fail: a weight of one per mille more, another rounding of the coordinates, a score
    of a thousandth more.
    """
    _, expected = wanted("frozen_r50")
    for name, change in (("0/p2", 1e-3), ("0/boxes", 0.02), ("0/scores", 1e-3), ("step 0/loss_cls", 1e-3)):
        assert difference(expected, expected | {name: expected[name] + np.float32(change)}).startswith(name)
    masks = expected["0/masks"].copy()
    masks[0, :2] ^= 255
    assert difference(expected, expected | {"0/masks": masks}).startswith("0/masks")
    gradient = next(name for name in expected if name.startswith("gradient/"))
    assert difference(expected, expected | {gradient: expected[gradient] * 1.05}).startswith("gradient")
