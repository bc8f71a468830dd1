"""The heads of the zoo's weights follow the names of COCO's classes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from toolkit.plugins.maskrcnn.interop.coco_classes import COCO, zoo_classes
from toolkit.plugins.maskrcnn.interop.engine import is_installed
from toolkit.plugins.maskrcnn.interop.weights import load_weights
from toolkit.plugins.maskrcnn.interop.zoo import ZOO
from toolkit.plugins.maskrcnn.model import MaskRCNN
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings

pytestmark = [pytest.mark.filterwarnings("ignore")] if is_installed() else []  # of what Detectron2 imports

SMALL: dict[str, Any] = {
    "backbone": {"stem_out_channels": 8, "res2_out_channels": 16, "width_per_group": 8},
    "fpn": {"out_channels": 16},
    "box_head": {"fc_dim": 16},
    "mask_head": {"num_conv": 1, "conv_dim": 16},
}
HEADS = ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_head.predictor")


def model(classes: tuple[str, ...], seed: int) -> MaskRCNN:
    torch.manual_seed(seed)
    made = MaskRCNN(MaskRCNNSettings(**SMALL), classes)
    for value in made.parameters():
        torch.nn.init.normal_(value)
    return made


def zoo_file(path: Path, of: MaskRCNN) -> str:
    arrays = {name: value.numpy() for name, value in of.state_dict().items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}, 2))
    return str(path)


def test_rows_of_the_zoo_follow_their_names(tmp_path: Path) -> None:
    classes = ("dog", "unicorn", "person")
    theirs, own = model(COCO, 1), model(classes, 2)
    start = {name: value.clone() for name, value in own.state_dict().items()}
    report = load_weights(own, zoo_file(tmp_path / ZOO["coco-r50-3x"].rsplit("/", 1)[-1], theirs))
    assert report.kept_classes == ("dog", "person")
    assert report.new_classes == ("unicorn",)
    assert set(report.by_class) == {
        f"roi_heads.{head}.{kind}" for head in HEADS for kind in ("weight", "bias")
    }
    now, zoo = own.state_dict(), theirs.state_dict()
    for name in report.by_class:
        each = 4 if "bbox_pred" in name else 1
        for place, label in enumerate(classes):
            mine = now[name][place * each : (place + 1) * each]
            at, source = (place, start) if label == "unicorn" else (COCO.index(label), zoo)
            assert torch.equal(mine, source[name][at * each : (at + 1) * each]), (name, label)
    for kind in ("weight", "bias"):
        background = f"roi_heads.box_predictor.cls_score.{kind}"
        assert torch.equal(now[background][-1], zoo[background][-1])


def test_as_many_classes_with_other_names_start_anew(tmp_path: Path) -> None:
    theirs, own = model(COCO, 1), model(tuple(f"thing {i}" for i in range(80)), 2)
    start = {name: value.clone() for name, value in own.state_dict().items()}
    report = load_weights(own, zoo_file(tmp_path / "model_final_f10217.pkl", theirs))
    assert len(report.reinitialized) == 6
    assert all(torch.equal(own.state_dict()[name], start[name]) for name in report.reinitialized)


def test_files_of_others_do_not_say_what_their_classes_are(tmp_path: Path) -> None:
    theirs, own = model(COCO, 1), model(tuple(f"thing {i}" for i in range(80)), 2)
    report = load_weights(own, zoo_file(tmp_path / "mine.pkl", theirs))
    assert not report.reinitialized


def test_a_file_of_the_zoo_is_known_by_its_name_and_its_head() -> None:
    for name, address in ZOO.items():
        path = Path(address.rsplit("/", 1)[-1])
        expected = None if name.startswith("imagenet") else COCO
        if name.startswith("coco-keypoint"):
            assert zoo_classes(path, 2) == ("person",)
            expected = None
        assert zoo_classes(path, 81) == expected
        assert zoo_classes(path, 3) is None
    assert zoo_classes(Path("model_final.pth"), 81) is None
    assert len(set(COCO)) == 80
