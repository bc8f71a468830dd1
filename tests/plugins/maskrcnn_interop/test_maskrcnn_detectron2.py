"""The two engines side by side, where Detectron2 is installed."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from maskrcnn_cases import weight
from toolkit.plugins.maskrcnn.contract import Engine
from toolkit.plugins.maskrcnn.interop import engine as engine_module
from toolkit.plugins.maskrcnn.interop.engine import Detectron2Engine, is_installed, why_not
from toolkit.plugins.maskrcnn.model import MaskRCNN, build
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings
from toolkit.plugins.maskrcnn.targets import make_targets, mask_targets
from torch import Tensor

from toolkit import registry
from toolkit.data.dataset import open_dataset
from toolkit.errors import ConfigError, InvalidDataError, UnavailableError
from toolkit.models.contract import total_loss
from toolkit.types import Instances, Masks, Prediction, Sample

pytestmark = [pytest.mark.filterwarnings("ignore")] if is_installed() else []  # of what Detectron2 imports
needs_detectron2 = pytest.mark.skipif(not is_installed(), reason="Detectron2 is not installed")

TINY: dict[str, Any] = {
    "backbone": {"stem_out_channels": 8, "res2_out_channels": 16, "width_per_group": 8},
    "fpn": {"out_channels": 16},
    "anchors": {"sizes": [[8], [16], [32], [64], [96]]},
    "rpn": {
        "batch_size_per_image": 64,
        "pre_nms_topk_train": 20,
        "pre_nms_topk_test": 30,
        "post_nms_topk_train": 40,
    },
    "roi": {"batch_size_per_image": 48, "score_thresh_test": 0.2},
    "box_head": {"fc_dim": 32},
    "mask_head": {"num_conv": 2, "conv_dim": 16},
    "keypoint_head": {"conv_dims": [16]},
    "input": {"short_side_train": [96, 112], "short_side_test": 96, "pixel_std": [57.375, 57.12, 58.395]},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "frozen": {},
    "bn": {
        "backbone": {"depth": 18, "norm": "BN"},
        "fpn": {"norm": "BN"},
        "mask_head": {"num_conv": 1, "conv_dim": 16, "norm": "BN"},
    },
    "gn": {
        "backbone": {
            "norm": "GN",
            "stem_out_channels": 64,
            "res2_out_channels": 64,
            "stride_in_1x1": False,
            "freeze_at": 0,
        },
        "fpn": {"norm": "GN", "out_channels": 64},
        "box_head": {"num_conv": 2, "conv_dim": 32, "num_fc": 1, "fc_dim": 32, "norm": "GN"},
    },
    "keypoints": {"keypoint_count": 4},
}
CLASSES = ("a", "b", "c")


def pair(settings: MaskRCNNSettings, classes: tuple[str, ...] = CLASSES) -> tuple[MaskRCNN, Detectron2Engine]:
    ours, theirs = MaskRCNN(settings, classes), Detectron2Engine(settings, classes)
    state = {name: weight(name, tuple(value.shape), 0) for name, value in ours.state_dict().items()}
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    return ours, theirs


def photos(with_objects: tuple[int, ...] = (4, 2)) -> list[Sample]:
    samples = []
    for i, count in enumerate(with_objects):
        generator = torch.Generator().manual_seed(i)
        height, width = 100 + 30 * i, 140 - 20 * i
        corner = torch.rand(count, 2, generator=generator) * torch.tensor([width - 60.0, height - 60.0])
        boxes = torch.cat(
            [corner, corner + 20 + 35 * torch.rand(count, 2, generator=generator)], dim=1
        ).round()
        dense = torch.zeros(count, height, width, dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(dense, boxes.int().tolist(), strict=True):
            mask[y0:y1, x0:x1] = torch.rand(y1 - y0, x1 - x0, generator=generator) > 0.2
        points = boxes[:, None, :2] + torch.rand(count, 4, 2, generator=generator) * (
            boxes[:, None, 2:] - boxes[:, None, :2]
        )
        keypoints = torch.cat(
            [points, torch.randint(0, 3, (count, 4, 1), generator=generator).float()], dim=2
        )
        masks = Masks.from_dense(dense) if count else Masks((height, width))
        labels = torch.randint(0, 3, (count,), generator=generator)
        instances = Instances((height, width), boxes.float(), labels, masks, keypoints=keypoints)
        image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
        samples.append(Sample(str(i), image, instances=instances))
    return samples


def assert_same(found: Prediction, wanted: Prediction) -> None:
    a, b = found.instances, wanted.instances
    assert a is not None
    assert b is not None
    assert len(a) == len(b)
    gap = (a.boxes_xyxy[None] - b.boxes_xyxy[:, None]).abs().amax(2) + (
        a.labels[None] != b.labels[:, None]
    ) * 1e9
    order = gap.argmin(dim=1)  # the best of equals may be either
    assert len(set(order.tolist())) == len(b)
    a = a[order]
    assert torch.equal(a.labels, b.labels)
    torch.testing.assert_close(a.boxes_xyxy, b.boxes_xyxy, rtol=0, atol=0.01)
    torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-4)
    if b.masks is not None:
        assert a.masks is not None
        for x, y in zip(a.masks.dense(), b.masks.dense(), strict=True):
            assert (x & y).sum() >= 0.999 * (x | y).sum() or (
                x ^ y
            ).sum() <= 1  # of a small one, a single pixel is more than that
    if b.keypoints is not None:
        torch.testing.assert_close(a.keypoints, b.keypoints, rtol=1e-4, atol=0.01)


def gradients(model: Engine, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    total_loss(losses).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_gradients_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """All within a fiftieth, since rounding takes a value across the bend of a ReLU now and then; most much
    closer.
    """
    assert set(ours) == set(theirs)
    ratios = {
        name: float((ours[name] - value).norm() / (value.norm() + 1e-4)) for name, value in theirs.items()
    }
    assert max(ratios.values()) <= 0.02, max(ratios, key=lambda name: ratios[name])
    assert sorted(ratios.values())[len(ratios) // 2] <= 2e-3


@needs_detectron2
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_engines_agree_with_the_sampler_as_it_is(variant: str) -> None:
    """One seed is one draw for both: lengths of sides, anchors, proposals; so is a trained model's next
    step.
    """
    ours, theirs = pair(MaskRCNNSettings(**{**TINY, **VARIANTS[variant]}))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert {name for name, p in ours.named_parameters() if p.requires_grad} == {
        name for name, p in theirs.named_parameters() if p.requires_grad
    }
    samples = photos()
    for found, wanted in zip(ours.eval().predict(samples), theirs.eval().predict(samples), strict=True):
        assert wanted.instances is not None
        assert len(wanted.instances)
        assert_same(found, wanted)
    mine, other = ours.validate(samples)[1], theirs.validate(samples)[1]
    assert {name: value.item() for name, value in mine.items()} == pytest.approx(
        {name: value.item() for name, value in other.items()}, rel=1e-4
    )
    both = []
    for model in (ours, theirs):
        model.train()
        torch.manual_seed(11)
        losses = model.loss([*samples, *photos((0,))])
        both.append((losses, gradients(model, losses), torch.get_rng_state()))
    (losses, found_gradients, state), (wanted_losses, wanted_gradients, wanted_state) = both
    assert torch.equal(state, wanted_state)  # as many random numbers were drawn
    wanted_values = {name: value.item() for name, value in wanted_losses.items()}
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(wanted_values, rel=1e-4)
    assert_gradients_close(found_gradients, wanted_gradients)
    for name, value in theirs.state_dict().items():  # batch norms have counted this batch
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-5)


@needs_detectron2
@pytest.mark.parametrize("count", [0, 3])
def test_batches_without_objects_train(count: int) -> None:
    ours, theirs = pair(MaskRCNNSettings(**TINY))
    for model in (ours, theirs):
        model.train()
    torch.manual_seed(1)
    mine = ours.loss(photos((0, count)))
    torch.manual_seed(1)
    other = theirs.loss(photos((0, count)))
    assert {name: value.item() for name, value in mine.items()} == pytest.approx(
        {name: value.item() for name, value in other.items()}, rel=1e-4
    )
    assert_gradients_close(gradients(ours, mine), gradients(theirs, other))


@needs_detectron2
def test_masks_to_learn_from_are_cut_as_detectron2_cuts_them() -> None:
    """Reference: Detectron2's ``BitMasks`` in the network's grid."""
    from detectron2.structures import BitMasks

    (sample,) = photos((6,))
    for size in ((100, 140), (73, 101), (211, 160)):
        target = make_targets(
            sample, size, class_count=3, with_masks=True, keypoint_count=0, device=torch.device("cpu")
        )
        assert target.masks is not None
        generator = torch.Generator().manual_seed(7)
        objects = torch.randint(0, 6, (50,), generator=generator)
        shift = 8 * torch.randn(50, 4, generator=generator)
        boxes = target.boxes[objects] + shift
        boxes = torch.cat([torch.minimum(boxes[:, :2], boxes[:, 2:] - 1), boxes[:, 2:]], dim=1).clamp(min=0)
        theirs = BitMasks(engine_module._masks_at(target.masks, size))[objects].crop_and_resize(boxes, 28)
        ours = mask_targets(target.masks, objects, boxes, size, 28)
        assert (ours.bool() != theirs).float().mean() < 1e-4


@needs_detectron2
def test_the_engine_moves_copies_and_changes_mode_as_a_whole() -> None:
    model = Detectron2Engine(MaskRCNNSettings(**TINY), CLASSES)
    model.train()
    assert model.whole.training
    assert model.whole.proposal_generator.training
    model.double()
    assert model.whole.pixel_mean.dtype == torch.float64
    assert next(model.whole.parameters()).dtype == torch.float64
    model.float()
    twin = copy.deepcopy(model)
    assert twin.whole.backbone is twin.backbone
    assert twin.whole.backbone is not model.whole.backbone
    model.predict(photos((1,)))
    assert model.training
    assert model.whole.training


@needs_detectron2
def test_losses_that_are_not_finite_are_left_to_the_training_loop() -> None:
    model = Detectron2Engine(MaskRCNNSettings(**TINY), CLASSES).train()
    with torch.no_grad():
        model.get_parameter("proposal_generator.rpn_head.anchor_deltas.bias").fill_(float("nan"))
    assert not torch.isfinite(total_loss(model.loss(photos())))


@needs_detectron2
def test_samples_without_labels_are_named() -> None:
    model = Detectron2Engine(MaskRCNNSettings(**TINY), CLASSES)
    with pytest.raises(InvalidDataError, match="sample 'x' has no instances"):
        model.loss([Sample("x", torch.zeros(3, 40, 40, dtype=torch.uint8))])


@needs_detectron2
def test_the_engine_that_is_asked_for_is_built() -> None:
    assert type(build(MaskRCNNSettings(**TINY), CLASSES)) is Detectron2Engine
    assert type(build(MaskRCNNSettings(**TINY, engine="detectron2"), CLASSES)) is Detectron2Engine
    assert type(build(MaskRCNNSettings(**TINY, engine="torchvision"), CLASSES)) is MaskRCNN
    narrow = {**TINY, "backbone": {"depth": 18, "norm": "BN", "res2_out_channels": 16}}
    assert type(build(MaskRCNNSettings(**narrow), CLASSES)) is MaskRCNN  # Detectron2 has no such network
    with pytest.raises(
        ConfigError,
        match=r"model\.engine=detectron2: backbone\.res2_out_channels is 16, .*ResNet-18 has 64.*Hint",
    ):
        build(MaskRCNNSettings(**narrow, engine="detectron2"), CLASSES)


@needs_detectron2
@pytest.mark.data
def test_full_size_on_photos(shared_data: Path) -> None:
    """ResNet-50 as it is, with random weights, on photos: detections at full size, losses and gradients at
    half of it.
    """
    manifest = registry.datasets().get("balloon")
    dataset = open_dataset(
        manifest,
        str(shared_data / "balloon"),
        "val",
        manifest.resolve(manifest.settings)() if manifest.settings else None,
    )
    settings = MaskRCNNSettings(
        roi={"score_thresh_test": 0.3},
        input={"pixel_std": [57.375, 57.12, 58.395], "short_side_train": [400]},
    )
    ours, theirs = pair(settings, ("balloon",))
    samples = [dataset[0], dataset[3]]
    for sample in samples:
        (found,), (wanted,) = ours.eval().predict([sample]), theirs.eval().predict([sample])
        assert wanted.instances is not None
        assert len(wanted.instances)
        assert_same(found, wanted)
    both = []
    for model in (ours, theirs):
        torch.manual_seed(0)
        losses = model.train().loss(samples)
        both.append((losses, gradients(model, losses)))
    wanted_values = {name: value.item() for name, value in both[1][0].items()}
    assert {name: value.item() for name, value in both[0][0].items()} == pytest.approx(
        wanted_values, rel=1e-4
    )
    assert_gradients_close(both[0][1], both[1][1])


# Where it is not installed


def test_what_detectron2_has_no_network_for() -> None:
    assert why_not(MaskRCNNSettings()) == ""
    assert why_not(MaskRCNNSettings(backbone={"depth": 34, "norm": "BN"})) == ""
    grouped = {"norm": "GN", "stem_out_channels": 16}
    assert (
        why_not(MaskRCNNSettings(backbone=grouped))
        == "backbone.stem_out_channels is 16, but its group norms have 32 groups"
    )
    assert why_not(MaskRCNNSettings(box_head={"norm": "GN", "num_conv": 4, "conv_dim": 48})).startswith(
        "box_head.conv_dim is 48"
    )
    assert why_not(MaskRCNNSettings(mask_head={"norm": "GN", "conv_dim": 48}, masks=False)) == ""


@pytest.mark.slow
def test_detectron2_is_not_imported_before_it_is_used() -> None:
    program = """
import sys
from toolkit.plugins.maskrcnn.model import build
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings
import toolkit.plugins.maskrcnn.interop.weights, toolkit.plugins.maskrcnn.interop.config
import toolkit.plugins.maskrcnn.interop.engine
tiny = {"stem_out_channels": 8, "res2_out_channels": 8, "width_per_group": 8}
heads = {"fpn": {"out_channels": 8}, "box_head": {"fc_dim": 8}, "mask_head": {"conv_dim": 8}}
build(MaskRCNNSettings(engine="torchvision", backbone=tiny, **heads), ["a"])
print("detectron2" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_an_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "is_installed", lambda: False)
    assert type(build(MaskRCNNSettings(**TINY), CLASSES)) is MaskRCNN
    with pytest.raises(
        ConfigError,
        match=(
            r"model\.engine=detectron2, but Detectron2 is not installed\. Hint: .*model\.engine=torchvision"
        ),
    ):
        build(MaskRCNNSettings(**TINY, engine="detectron2"), CLASSES)


def test_an_engine_that_is_broken() -> None:
    with pytest.raises(
        UnavailableError, match=r"installed but cannot be imported: .*Hint: .*model\.engine=torchvision"
    ):
        engine_module.import_quietly("no_such_module")
