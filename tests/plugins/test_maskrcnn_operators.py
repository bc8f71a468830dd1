"""Each operator of the plugin's own can be turned off: it is not called then, and results stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toolkit.plugins.maskrcnn.layers import Conv2d, FrozenBatchNorm2d
from toolkit.plugins.maskrcnn.model import MaskRCNN
from toolkit.plugins.maskrcnn.ops.paste import paste_masks, sample_masks
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings, OperatorSettings
from torch import Tensor, nn

from toolkit.config import resolve
from toolkit.data.generated import generate
from toolkit.types import Prediction, Sample

CLASSES = ("disc", "box")
OPERATORS = tuple(OperatorSettings.model_fields)


def network(**operators: bool) -> MaskRCNN:
    """A narrow network with random weights, wide enough for Winograd's algorithm and with norms that do
    something.
    """
    torch.manual_seed(0)
    settings = MaskRCNNSettings.model_validate(
        {
            "engine": "torchvision",
            "backbone": {"depth": 18, "freeze_at": 2, "stem_out_channels": 8, "res2_out_channels": 8},
            "fpn": {"out_channels": 96},
            "anchors": {"sizes": [[16], [32], [64], [128], [256]]},
            "roi": {"batch_size_per_image": 32, "detections_per_image": 20, "score_thresh_test": 0.0},
            "box_head": {"fc_dim": 32},
            "mask_head": {"num_conv": 1, "conv_dim": 96},
            "input": {"short_side_train": [], "short_side_test": 0, "pixel_std": [57.375, 57.12, 58.395]},
            "operators": operators,
        }
    )
    model = MaskRCNN(settings, CLASSES)
    for part in model.modules():
        if isinstance(part, FrozenBatchNorm2d):
            nn.init.uniform_(part.weight, 0.8, 1.2)
            nn.init.normal_(part.bias, std=0.1)
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.8, 1.2)
    assert model.roi_heads.mask_head is not None
    nn.init.normal_(model.roi_heads.mask_head.predictor.weight, std=1)  # so that masks have edges
    return model


def samples() -> list[Sample]:
    return generate(CLASSES, [(96, 121)] * 2, objects=3, seed=1)


def predictions(model: MaskRCNN) -> list[Prediction]:
    return model.eval().predict(samples())


def losses_and_gradients(model: MaskRCNN) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    torch.manual_seed(0)
    losses = model.train().loss(samples())
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    return losses, {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def all_off() -> dict[str, bool]:
    return dict.fromkeys(OPERATORS, False)


OFF = [*({name: False} for name in OPERATORS), all_off()]


@pytest.mark.parametrize("off", OFF, ids=[*OPERATORS, "all"])
def test_detections_are_the_same_without(off: dict[str, bool]) -> None:
    for mine, other in zip(predictions(network()), predictions(network(**off)), strict=True):
        found, expected = mine.instances, other.instances
        assert found is not None
        assert expected is not None
        assert len(found) == len(expected) > 5
        assert torch.equal(found.labels, expected.labels)
        torch.testing.assert_close(found.boxes_xyxy, expected.boxes_xyxy, rtol=1e-4, atol=1e-2)
        torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-4)
        assert found.masks is not None
        assert expected.masks is not None
        areas = [torch.as_tensor(instances.masks.areas()) for instances in (found, expected)]  # type: ignore[union-attr]
        assert (areas[1] > 20).sum() > 3
        differing = [(a != b).sum() for a, b in zip(found.masks.dense(), expected.masks.dense(), strict=True)]
        assert max(differing) <= 3, "a pixel on the threshold may fall to either side"


@pytest.mark.parametrize("off", OFF, ids=[*OPERATORS, "all"])
def test_losses_and_gradients_are_the_same_without(off: dict[str, bool]) -> None:
    losses, gradients = losses_and_gradients(network())
    expected_losses, expected = losses_and_gradients(network(**off))
    torch.testing.assert_close(losses, expected_losses, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-3 * scale, msg=name)


class CalledError(Exception):
    """An operator ran."""


def fail(*_: object) -> Any:
    raise CalledError


def fold_nothing(conv: nn.Conv2d, norm: object) -> tuple[Tensor, Tensor | None]:
    return fail() if norm is not None else (conv.weight, conv.bias)


@pytest.mark.parametrize("work", [predictions, losses_and_gradients])
@pytest.mark.parametrize(
    ("name", "inside", "watch"),
    [
        ("roi_align", "ops.roi_align._RoIAlign.apply", fail),
        ("winograd", "ops.winograd.conv3x3", fail),
        ("fused_convolution", "ops.convolution.fold", fold_nothing),
        ("fused_convolution", "ops.convolution._pack", fail),
        ("paste", "postprocessing.paste_masks", fail),
    ],
)
def test_one_that_is_off_is_not_called(
    name: str,
    inside: str,
    watch: Callable[..., Any],
    work: Callable[[MaskRCNN], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"toolkit.plugins.maskrcnn.{inside}", watch)
    work(network(**{name: False}))
    if name == "paste" and work is losses_and_gradients:
        return  # nothing is pasted while learning
    with pytest.raises(CalledError):
        work(network())


@pytest.mark.parametrize("norm", ["none", "FrozenBN", "BN", "GN"])
@pytest.mark.parametrize("with_residual", [False, True])
def test_a_layer_by_plain_operators_is_exactly_those(norm: str, with_residual: bool) -> None:
    torch.manual_seed(0)
    conv = Conv2d(96, 96, 3, norm=norm, relu=True).eval()
    conv.operators = OperatorSettings.model_validate(all_off())
    x = torch.randn(1, 96, 60, 60)
    residual = torch.randn(1, 96, 60, 60) if with_residual else None
    with torch.no_grad():
        expected = torch.nn.functional.conv2d(x, conv.weight, conv.bias, padding=1)
        expected = expected if conv.norm is None else conv.norm(expected)
        expected = expected if residual is None else expected + residual
        assert torch.equal(conv(x, residual), expected.relu())


@pytest.mark.parametrize("seed", range(6))
def test_masks_by_sampling_are_those_by_pasting(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(20, 2, generator=generator) * 300 - 100
    boxes = torch.cat([corner, corner + torch.exp(torch.rand(20, 2, generator=generator) * 8 - 3)], dim=1)
    boxes[0, 2:] = boxes[0, :2]
    masks = torch.rand(20, 28, 28, generator=generator)
    masks = masks.round() if seed % 2 else masks
    assert sample_masks(masks, boxes, (90, 130), 0.4) == paste_masks(masks, boxes, (90, 130), 0.4)
    assert len(sample_masks(masks[:0], boxes[:0], (9, 13))) == 0


def test_they_are_turned_off_by_a_setting_of_the_run() -> None:
    settings = resolve(plugin="maskrcnn", data="shapes", overrides=["model.operators.winograd=false"])
    assert isinstance(settings.model, MaskRCNNSettings)
    assert settings.model.operators == OperatorSettings(winograd=False)
