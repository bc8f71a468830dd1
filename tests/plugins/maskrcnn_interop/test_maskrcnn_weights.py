from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from toolkit.plugins.maskrcnn.contract import Engine
from toolkit.plugins.maskrcnn.interop import caffe2
from toolkit.plugins.maskrcnn.interop.engine import Detectron2Engine, is_installed
from toolkit.plugins.maskrcnn.interop.weights import load_weights
from toolkit.plugins.maskrcnn.model import MaskRCNN
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings
from torch import Tensor
from torchvision.transforms.functional import normalize

from toolkit import registry
from toolkit.checkpoints import LoadReport
from toolkit.config import resolve
from toolkit.errors import CheckpointError, UsageError
from toolkit.models.building import build_model
from toolkit.models.semantic import IMAGENET_MEAN, IMAGENET_STD
from toolkit.models.start_weights import take_start_weights
from toolkit.types import Sample

pytestmark = [pytest.mark.filterwarnings("ignore")] if is_installed() else []  # of what Detectron2 imports
needs_detectron2 = pytest.mark.skipif(not is_installed(), reason="Detectron2 is not installed")

NARROW: dict[str, Any] = {"stem_out_channels": 8, "res2_out_channels": 16, "width_per_group": 8}
GROUPED: dict[str, Any] = {
    "norm": "GN",
    "stem_out_channels": 32,
    "width_per_group": 32,
    "res2_out_channels": 32,
}
TINY: dict[str, Any] = {
    "backbone": NARROW,
    "fpn": {"out_channels": 16},
    "rpn": {"pre_nms_topk_test": 50, "post_nms_topk_test": 30},
    "roi": {"score_thresh_test": 0.0, "detections_per_image": 10},
    "box_head": {"fc_dim": 16},
    "mask_head": {"num_conv": 1, "conv_dim": 16},
    "input": {"short_side_test": 0},
}
COCO = tuple(f"thing {i}" for i in range(80))
HEADS = {
    f"roi_heads.{part}.{kind}"
    for part in ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_head.predictor")
    for kind in ("weight", "bias")
}


def model_of(classes: tuple[str, ...] = COCO, engine: type[Engine] = MaskRCNN, **changes: Any) -> Engine:
    torch.manual_seed(5)
    return engine(MaskRCNNSettings(**{**TINY, **changes}), classes)


def random_state(model: Engine, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    return {
        k: torch.rand(v.shape, generator=generator) + 0.1 if v.is_floating_point() else torch.tensor(3)
        for k, v in state.items()
    }


def arrays(state: dict[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value.numpy() for name, value in state.items()}


def write(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def zoo_file(path: Path, state: dict[str, Tensor], **more: Any) -> Path:
    return write(path, {"model": arrays(state), "__author__": "Detectron2 Model Zoo", **more})


def assert_taken(model: Engine, state: dict[str, Tensor], report: LoadReport) -> None:
    own = model.state_dict()
    assert set(report.loaded) <= set(state)
    for name in report.loaded:
        assert torch.equal(own[name], state[name]), name


def torch_file(path: Path, state: dict[str, Tensor]) -> Path:
    """As Detectron2's trainer saves its state."""
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    scheduler = {"base_lrs": [0.1], "last_epoch": 3}
    torch.save(
        {"model": state, "optimizer": optimizer.state_dict(), "scheduler": scheduler, "iteration": 3}, path
    )
    return path


def safetensors_file(path: Path, state: dict[str, Tensor]) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


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


# Backbones alone


def caffe2_name(name: str) -> str:
    """What Caffe2 calls a tensor of the backbone, of which the names are no secret (Detectron2's log prints
    both).
    """
    name = name.removeprefix("backbone.bottom_up.")
    layers = {
        "stem.conv1": "conv1",
        "shortcut": "branch1",
        ".conv1": ".branch2a",
        ".conv2": ".branch2b",
        ".conv3": ".branch2c",
    }
    for ours, theirs in layers.items():
        name = name.replace(ours, theirs)
    kinds = {
        ".norm.weight": "_bn_s",
        ".norm.bias": "_bn_b",
        ".norm.running_mean": "_bn_rm",
        ".norm.running_var": "_bn_riv",
        ".weight": "_w",
    }
    for ours, theirs in kinds.items():
        if name.endswith(ours):
            stem = name.removesuffix(ours)
            name = ("res_conv1" if stem == "conv1" and ours.startswith(".norm") else stem) + theirs
            break
    return name.replace(".", "_")


def bottom_up(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.startswith("backbone.bottom_up.")}


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
    with pytest.raises(CheckpointError, match="plainly for another model"):
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


# What is refused


def test_files_for_other_networks(tmp_path: Path) -> None:
    path = str(zoo_file(tmp_path / "r50.pkl", random_state(model_of())))
    deeper = {"backbone": {**NARROW, "depth": 101}}
    with pytest.raises(
        CheckpointError,
        match=(
            r"r50\.pkl holds another ResNet: .*res4\.\d+\..* is in the model only\. Hint: set"
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
    with pytest.raises(
        CheckpointError, match=r"unet\.pth is plainly for another model: only 0 of the \d+ tensors"
    ):
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
        ([1, 2], "holds a list: expected arrays by name"),
        ({}, "holds no arrays"),
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


# There and back, where Detectron2 is installed


def photo(seed: int = 0) -> Sample:
    return Sample(
        "photo",
        torch.randint(0, 256, (3, 64, 96), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8),
    )


@needs_detectron2
@pytest.mark.parametrize("engine", [MaskRCNN, Detectron2Engine])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "backbone": {"depth": 18, "norm": "BN"},
            "fpn": {"norm": "BN"},
            "box_head": {"norm": "BN", "num_conv": 1, "conv_dim": 8, "num_fc": 1},
        },
        {"backbone": GROUPED},
        {"backbone": GROUPED, "keypoint_count": 17, "keypoint_head": {"conv_dims": [8, 8]}, "masks": False},
    ],
)
def test_there_and_back(tmp_path: Path, engine: type[Engine], changes: dict[str, Any]) -> None:
    """Detectron2 -> toolkit -> Detectron2, by its own checkpointer: equal keys, tensors and outputs."""
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.modeling import build_model as build_theirs
    from toolkit.plugins.maskrcnn.interop.engine import to_cfg

    classes = ("a", "b", "c")
    model = model_of(classes, engine, **changes).eval()
    cfg = to_cfg(model.settings, len(classes))
    torch.manual_seed(3)
    theirs = build_theirs(cfg).eval()
    DetectionCheckpointer(theirs, str(tmp_path)).save("there", iteration=7)
    report = load_weights(model, str(tmp_path / "there.pth"))
    assert set(report.loaded) == set(theirs.state_dict()) == set(model.state_dict())

    torch.save({"model": model.export_state()}, tmp_path / "back.pth")
    torch.manual_seed(4)
    back = build_theirs(cfg).eval()
    incompatible = DetectionCheckpointer(back)._load_model(
        DetectionCheckpointer(back)._torch_load(str(tmp_path / "back.pth"))
    )
    assert (incompatible.missing_keys, incompatible.unexpected_keys, incompatible.incorrect_shapes) == (
        [],
        [],
        [],
    )
    for name, value in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
        assert torch.equal(model.state_dict()[name], value), name

    sample = photo()
    with torch.no_grad():
        (wanted,), (again,) = (
            theirs([{"image": sample.image.flip(0)}]),
            back([{"image": sample.image.flip(0)}]),
        )
        (found,) = model.predict([sample])
    assert torch.equal(wanted["instances"].pred_boxes.tensor, again["instances"].pred_boxes.tensor)
    assert found.instances is not None
    assert len(found.instances) == len(wanted["instances"]) > 0
    torch.testing.assert_close(
        found.instances.boxes_xyxy, wanted["instances"].pred_boxes.tensor, rtol=0, atol=0.01
    )
    torch.testing.assert_close(found.instances.scores, wanted["instances"].scores, rtol=0, atol=1e-4)


@needs_detectron2
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("norm", ["FrozenBN", "GN"])
def test_backbones_of_caffe2_as_detectron2_takes_them(tmp_path: Path, statistics: bool, norm: str) -> None:
    from detectron2.checkpoint import DetectionCheckpointer

    backbone = {**GROUPED, "norm": norm}
    state = bottom_up(random_state(model_of(backbone=backbone)))
    if not statistics:
        state = {name: value for name, value in state.items() if "running" not in name}
    blobs = {
        caffe2_name(name).replace("_bn_", "_gn_" if norm == "GN" else "_bn_"): value.numpy()
        for name, value in state.items()
    }
    path = write(tmp_path / "R-50.pkl", blobs | {"fc1000_w": np.zeros((10, 5), dtype="f4")})
    ours, theirs = (
        model_of(engine=MaskRCNN, backbone=backbone),
        model_of(engine=Detectron2Engine, backbone=backbone),
    )
    load_weights(ours, str(path))
    DetectionCheckpointer(theirs.whole).load(str(path))  # type: ignore[attr-defined]
    for name, value in bottom_up(dict(theirs.state_dict())).items():
        assert torch.equal(ours.state_dict()[name], value), name


@needs_detectron2
def test_names_of_caffe2_as_detectron2_reads_them() -> None:
    from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names

    layers = [
        "conv1",
        "res_conv1_bn",
        "fpn_inner_res5_2_sum",
        "fpn_inner_res4_5_sum_lateral",
        "fpn_res3_3_sum",
        "conv_rpn_fpn2",
        "rpn_cls_logits_fpn2",
    ]
    layers += [
        "rpn_bbox_pred_fpn2",
        "fc6",
        "fc7",
        "head_conv1",
        "cls_score",
        "bbox_pred",
        "_[mask]_fcn1",
        "conv5_mask",
        "mask_fcn_logits",
        "conv_fcn1",
    ]
    layers += ["kps_score_lowres", "fpn_inner_res2_2_sum_lateral_gn", "head_conv1_gn"]
    layers += [
        f"res{i}_{k}_{branch}"
        for i in range(2, 6)
        for k in range(3)
        for branch in ("branch1", "branch2a", "branch2b", "branch2c_bn", "branch2a_gn")
    ]
    names = [
        f"{layer}_{kind}"
        for layer in layers
        for kind in (("s", "b") if layer.endswith(("_bn", "_gn")) else ("w", "b"))
    ]
    tensors = {
        name: torch.randn(12, 2, generator=torch.Generator().manual_seed(i)) for i, name in enumerate(names)
    }
    theirs, _ = convert_c2_detectron_names(tensors)
    ours = caffe2.convert(tensors)
    assert len(theirs) == len(ours) == len(names)
    for name, value in theirs.items():  # theirs are ends of ours
        (mine,) = [mine for mine in ours if mine == name or mine.endswith(f".{name}")]
        assert torch.equal(ours[mine], value), name
