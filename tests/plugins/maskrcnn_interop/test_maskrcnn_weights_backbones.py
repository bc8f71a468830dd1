"""Files that hold a backbone alone: those of Caffe2, and torchvision's ResNets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from toolkit.plugins.maskrcnn.interop import caffe2
from toolkit.plugins.maskrcnn.interop.engine import is_installed
from toolkit.plugins.maskrcnn.interop.weights import load_weights
from toolkit.plugins.maskrcnn.model import MaskRCNN
from torchvision.transforms.functional import normalize
from weights_cases import (
    assert_taken,
    bottom_up,
    caffe2_name,
    model_of,
    photo,
    random_state,
    write,
    zoo_file,
)

from toolkit.errors import CheckpointError, UsageError
from toolkit.models.semantic import IMAGENET_MEAN, IMAGENET_STD

pytestmark = [pytest.mark.filterwarnings("ignore")] if is_installed() else []  # of what Detectron2 imports


def test_names_of_caffe2() -> None:
    names = {
        "conv1_w": "backbone.bottom_up.stem.conv1.weight",
        "res_conv1_bn_s": "backbone.bottom_up.stem.conv1.norm.weight",
        "conv1_gn_b": "backbone.bottom_up.stem.conv1.norm.bias",
        "res2_0_branch1_w": "backbone.bottom_up.res2.0.shortcut.weight",
        "res4_22_branch2a_bn_gamma": "backbone.bottom_up.res4.22.conv1.norm.weight",
        "res4_22_branch2b_bn_running_var": "backbone.bottom_up.res4.22.conv2.norm.running_var",
        "res5_2_branch2c_bn_riv": "backbone.bottom_up.res5.2.conv3.norm.running_var",
        "fpn_inner_res5_2_sum_w": "backbone.fpn_lateral5.weight",
        "fpn_inner_res2_2_sum_lateral_b": "backbone.fpn_lateral2.bias",
        "fpn_res3_3_sum_gn_s": "backbone.fpn_output3.norm.weight",
        "conv_rpn_fpn2_w": "proposal_generator.rpn_head.conv.weight",
        "rpn_cls_logits_fpn2_b": "proposal_generator.rpn_head.objectness_logits.bias",
        "rpn_bbox_pred_fpn2_w": "proposal_generator.rpn_head.anchor_deltas.weight",
        "fc6_w": "roi_heads.box_head.fc1.weight",
        "head_conv3_gn_s": "roi_heads.box_head.conv3.norm.weight",
        "_[mask]_fcn2_w": "roi_heads.mask_head.mask_fcn2.weight",
        "conv5_mask_b": "roi_heads.mask_head.deconv.bias",
        "conv_fcn8_w": "roi_heads.keypoint_head.conv_fcn8.weight",
        "kps_score_lowres_w": "roi_heads.keypoint_head.score_lowres.weight",
        "fc1000_w": "fc1000_w",
        "something_else": "something_else",
    }
    assert {name: caffe2.rename(name) for name in names} == names


@pytest.mark.parametrize("statistics", [True, False])
def test_backbones_of_caffe2(tmp_path: Path, statistics: bool) -> None:
    """MSRA's R-50.pkl: with batch norms folded into scale and shift, or with all four parts."""
    model = model_of()
    state = bottom_up(random_state(model))
    if not statistics:
        state = {name: value for name, value in state.items() if "running" not in name}
    blobs = {caffe2_name(name): value.numpy() for name, value in state.items()}
    assert "res_conv1_bn_s" in blobs
    assert "res2_0_branch2a_w" in blobs
    extra = {"fc1000_w": np.zeros((10, 5)), "conv1_w_momentum": np.zeros(3)}
    for content in (blobs | extra, {"blobs": blobs | extra, "cfg": "MODEL: {}"}):
        fresh = model_of()
        report = load_weights(fresh, str(write(tmp_path / "R-50.pkl", content)))
        assert set(report.loaded) == set(state)
        assert_taken(fresh, state, report)
        assert report.unexpected == ("fc1000_w",)
        assert all(not name.startswith("backbone.bottom_up.") for name in report.missing)
        if not statistics:  # none is a mean of 0 and a variance of 1, as Detectron2 fills them in
            own = bottom_up(dict(fresh.state_dict()))
            assert all(
                bool((value == 1).all()) for name, value in own.items() if name.endswith("running_var")
            )
            assert all(
                bool((value == 0).all()) for name, value in own.items() if name.endswith("running_mean")
            )


def test_the_background_class_of_caffe2_is_the_first(tmp_path: Path) -> None:
    model = model_of(("a", "b"))
    state = bottom_up(random_state(model))
    blobs = {caffe2_name(name): value.numpy() for name, value in state.items()}
    scores, boxes = (
        np.arange(3 * 16, dtype="f4").reshape(3, 16),
        np.arange(12 * 16, dtype="f4").reshape(12, 16),
    )
    masks = np.arange(3 * 16, dtype="f4").reshape(3, 16, 1, 1)
    blobs |= {"cls_score_w": scores, "bbox_pred_w": boxes, "mask_fcn_logits_w": masks}
    load_weights(model, str(write(tmp_path / "model.pkl", {"blobs": blobs})))
    own = model.state_dict()
    assert np.array_equal(own["roi_heads.box_predictor.cls_score.weight"], scores[[1, 2, 0]])
    assert np.array_equal(own["roi_heads.box_predictor.bbox_pred.weight"], boxes[4:])
    assert np.array_equal(own["roi_heads.mask_head.predictor.weight"], masks[1:])


def test_names_without_their_beginning_are_matched_where_the_file_asks_for_it(tmp_path: Path) -> None:
    """Detectron2's converter of torchvision's ResNets writes such files."""
    model = model_of()
    state = bottom_up(random_state(model))
    short = {name.removeprefix("backbone.bottom_up."): value for name, value in state.items()}
    report = load_weights(model, str(zoo_file(tmp_path / "r50.pkl", short, matching_heuristics=True)))
    assert set(report.loaded) == set(state)
    assert_taken(model, state, report)
    with pytest.raises(CheckpointError, match="is for another model"):
        load_weights(model_of(), str(zoo_file(tmp_path / "r50.pkl", short)))


def test_names_that_could_be_two_are_refused(tmp_path: Path) -> None:
    path = zoo_file(
        tmp_path / "short.pkl", {"conv1.weight": torch.zeros(8, 3, 7, 7)}, matching_heuristics=True
    )
    with pytest.raises(CheckpointError, match=r"'conv1\.weight' could be '.*' or '.*' of the model"):
        load_weights(model_of(), str(path))


TORCHVISION = {"format": "RGB", "pixel_mean": [123.675, 116.28, 103.53], "pixel_std": [58.395, 57.12, 57.375]}


@pytest.mark.parametrize(("depth", "norm"), [(18, "BN"), (50, "FrozenBN")])
def test_resnets_of_torchvision(tmp_path: Path, depth: int, norm: str) -> None:
    """Reference: the features of torchvision's own network on images that are prepared as it wants them."""
    torch.manual_seed(2)
    theirs = getattr(torchvision.models, f"resnet{depth}")().eval()
    state = theirs.state_dict()
    for name, value in state.items():
        if "running" in name or "bn" in name:
            value.add_(0.2 * torch.rand(value.shape)) if value.is_floating_point() else None
    torch.save(state, tmp_path / "resnet.pth")
    backbone = {"depth": depth, "norm": norm, "stride_in_1x1": False}
    model = model_of(backbone=backbone, input=TORCHVISION).eval()
    report = load_weights(model, str(tmp_path / "resnet.pth"))
    assert report.unexpected == ("fc.weight", "fc.bias")
    assert not [name for name in report.missing if "bottom_up" in name]
    image = photo().image
    with torch.no_grad():
        x = theirs.maxpool(
            theirs.relu(theirs.bn1(theirs.conv1(normalize(image[None] / 255, IMAGENET_MEAN, IMAGENET_STD))))
        )
        assert isinstance(model, MaskRCNN)
        found = model.backbone.bottom_up(model.batch([photo()], [(64, 96)]))
        for layer, features in zip(
            (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), found, strict=True
        ):
            x = layer(x)
            torch.testing.assert_close(features, x, rtol=1e-3, atol=1e-3)
    with pytest.raises(
        UsageError,
        match=(
            r"resnet\.pth was trained by torchvision.*Hint: add model\.input\.format=RGB"
            r" model\.input\.pixel_mean=\["
        ),
    ):
        load_weights(model_of(backbone=backbone), str(tmp_path / "resnet.pth"))
    if depth == 50:
        with pytest.raises(UsageError, match=r"Hint: add model\.backbone\.stride_in_1x1=False$"):
            load_weights(model_of(backbone={"depth": 50}, input=TORCHVISION), str(tmp_path / "resnet.pth"))
