"""There and back, where Detectron2 is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toolkit.plugins.maskrcnn.contract import Engine
from toolkit.plugins.maskrcnn.interop import caffe2
from toolkit.plugins.maskrcnn.interop.engine import Detectron2Engine, is_installed
from toolkit.plugins.maskrcnn.interop.weights import load_weights
from toolkit.plugins.maskrcnn.model import MaskRCNN
from weights_cases import GROUPED, bottom_up, caffe2_name, model_of, photo, random_state, write

pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="Detectron2 is not installed"),
    # of what Detectron2 imports
    pytest.mark.filterwarnings("ignore"),
]


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
