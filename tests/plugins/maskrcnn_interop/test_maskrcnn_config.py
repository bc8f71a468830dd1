from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from config_cases import recipe_of
from toolkit.plugins.maskrcnn.interop.config import main, remarks
from toolkit.plugins.maskrcnn.interop.yaml_files import read_config
from toolkit.plugins.maskrcnn.interop.zoo import ZOO, name_of
from toolkit.plugins.maskrcnn.model import build
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings

from toolkit.config import TrainSettings, resolve
from toolkit.types import Instances, Sample


def test_the_standard_file_is_the_plugin_as_it_is(mask_yaml: Path) -> None:
    recipe = recipe_of(mask_yaml)
    assert recipe["plugin"] == "maskrcnn"
    assert recipe["weights"] == "imagenet-r50"
    assert recipe["model"] == {}
    assert MaskRCNNSettings(**recipe["model"]) == MaskRCNNSettings()
    assert recipe["augment"] == [{"name": "flip", "p": 0.5, "direction": "horizontal"}]
    train = TrainSettings(**recipe["train"])
    assert (train.optimizer, train.lr, train.batch_size, train.steps, train.milestones) == (
        "sgd",
        0.02,
        16,
        270000,
        (210000, 250000),
    )
    assert (train.schedule, train.gamma, train.momentum, train.weight_decay) == (
        "multistep",
        0.1,
        0.9,
        0.0001,
    )
    assert (train.warmup_steps, train.warmup_factor, train.precision, train.checkpoint_every) == (
        1000,
        0.001,
        "fp32",
        5000,
    )


def test_settings_come_from_where_they_are_said(mask_yaml: Path) -> None:
    path = mask_yaml.with_name("other.yaml")
    path.write_text("""
_BASE_: [mask.yaml]
MODEL:
  WEIGHTS: ""
  KEYPOINT_ON: true
  PIXEL_STD: [57.375, 57.120, 58.395]
  BACKBONE: {FREEZE_AT: 0}
  RESNETS: {DEPTH: 18, NORM: GN, STRIDE_IN_1X1: false, RES2_OUT_CHANNELS: 64}
  FPN: {NORM: GN}
  ROI_HEADS: {IOU_THRESHOLDS: [0.6], NUM_CLASSES: 3}
  ROI_BOX_HEAD: {NUM_CONV: 4, NUM_FC: 1, NORM: GN, SMOOTH_L1_BETA: 0.5}
  ROI_KEYPOINT_HEAD:
    NUM_KEYPOINTS: 5
    CONV_DIMS: [64, 64]
    NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS: false
    LOSS_WEIGHT: 4
INPUT: {FORMAT: RGB, MIN_SIZE_TRAIN: [640, 864], MIN_SIZE_TRAIN_SAMPLING: range, MIN_SIZE_TEST: 0}
SOLVER: {LR_SCHEDULER_NAME: WarmupCosineLR, AMP: {ENABLED: true}, WEIGHT_DECAY_NORM: 0.01}
TEST: {DETECTIONS_PER_IMAGE: 50, EVAL_PERIOD: 2500, KEYPOINT_OKS_SIGMAS: [0.1, 0.1, 0.1, 0.1, 0.1]}
SEED: 7
OUTPUT_DIR: elsewhere
""")
    recipe = recipe_of(path)
    settings, train = MaskRCNNSettings(**recipe["model"]), TrainSettings(**recipe["train"])
    assert recipe["weights"] == "none"
    assert (
        settings.backbone.depth,
        settings.backbone.norm,
        settings.backbone.stride_in_1x1,
        settings.backbone.freeze_at,
    ) == (
        18,
        "GN",
        False,
        0,
    )
    assert (settings.fpn.norm, settings.box_head.norm, settings.mask_head.norm) == ("GN", "GN", "none")
    assert (
        settings.keypoint_count,
        settings.keypoint_head.conv_dims,
        settings.keypoint_head.loss_weight,
    ) == (5, (64, 64), 4)
    assert not settings.keypoint_head.normalize_by_visible
    assert (
        settings.roi.iou_threshold,
        settings.roi.detections_per_image,
        settings.box_head.smooth_l1_beta,
    ) == (0.6, 50, 0.5)
    assert (settings.input.format, settings.input.short_side_sampling, settings.input.short_side_train) == (
        "RGB",
        "range",
        (640, 864),
    )
    assert settings.input.short_side_test == 0
    assert settings.weight_decay_norm == 0.01
    assert (train.schedule, train.milestones, train.precision, train.eval_every, train.seed) == (
        "cosine",
        (),
        "fp16",
        2500,
        7,
    )
    assert recipe["evaluators"] == {"coco": {"keypoint_sigmas": [0.1] * 5}}
    assert recipe["augment"] == [{"name": "flip", "p": 0.5, "direction": "horizontal"}]


def test_the_recipe_trains(mask_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the command prints is what --config takes."""
    assert (
        main(
            [
                str(mask_yaml),
                "SOLVER.MAX_ITER=300",
                "SOLVER.WARMUP_ITERS=100",
                "INPUT.RANDOM_FLIP=none",
            ]
        )
        == 0
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(capsys.readouterr().out)
    run = resolve(config=path, data="shapes")
    assert (run.plugin, run.weights, run.train.steps, run.train.milestones, run.augment) == (
        "maskrcnn",
        "imagenet-r50",
        300,
        (),
        (),
    )
    assert run.train.scaled_lr() == 0.02
    smaller = resolve(config=path, data="shapes", overrides=["train.batch_size=2"])
    assert smaller.train.scaled_lr() == pytest.approx(0.0025)


def test_the_command(mask_yaml: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "toolkit.plugins.maskrcnn.interop.config"]
    good = subprocess.run([*command, str(mask_yaml)], capture_output=True, text=True, check=False)
    assert good.returncode == 0
    assert yaml.safe_load(good.stdout) == recipe_of(mask_yaml)
    bad = subprocess.run(
        [*command, str(tmp_path / "absent.yaml")], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    assert "absent.yaml does not exist" in bad.stderr
    assert "Traceback" not in bad.stderr
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 2


def test_keypoints_are_flipped_as_there(mask_yaml: Path) -> None:
    """Detectron2 swaps left and right where it flips horizontally, and not where it flips vertically."""
    path = mask_yaml

    def flips(direction: str, *, keypoints: bool) -> Any:
        return recipe_of(path, MODEL__KEYPOINT_ON=keypoints, INPUT__RANDOM_FLIP=direction)["augment"]

    across, over = ({"name": "flip", "p": 0.5, "direction": each} for each in ("horizontal", "vertical"))
    assert flips("horizontal", keypoints=True) == flips("horizontal", keypoints=False) == [across]
    assert flips("vertical", keypoints=True) == [over | {"keypoint_pairs": []}]
    assert flips("vertical", keypoints=False) == [over]
    assert flips("none", keypoints=True) == []


def test_what_is_done_in_another_way_or_decided_elsewhere_is_mentioned(mask_yaml: Path) -> None:
    path = mask_yaml
    said = remarks(read_config(path, {"FLOAT32_PRECISION": "highest", "MODEL.ROI_HEADS.NUM_CLASSES": 3}))
    assert [remark.partition(":")[0] for remark in said] == [
        "DATALOADER.ASPECT_RATIO_GROUPING",
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS",
        "INPUT.MASK_FORMAT",
        "FLOAT32_PRECISION",
        "DATASETS.TRAIN",
        "DATASETS.TEST",
        "MODEL.ROI_HEADS.NUM_CLASSES",
    ]
    assert recipe_of(path, FLOAT32_PRECISION="highest") == recipe_of(path)
    assert said[1] == (
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS: images without objects are also used in training; True"
        " (Detectron2 default)"
    )
    same = {
        "DATALOADER.ASPECT_RATIO_GROUPING": False,
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False,
        "MODEL.MASK_ON": False,
        "MODEL.KEYPOINT_ON": True,
    }
    (mask_yaml.with_name("bare.yaml")).write_text("SEED: 1\n")
    assert [
        remark.partition(":")[0] for remark in remarks(read_config(mask_yaml.with_name("bare.yaml"), same))
    ] == ["MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE"]


def test_remarks_are_comments_whatever_stands_in_them(
    mask_yaml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = mask_yaml.with_name("odd.yaml")
    path.write_text('_BASE_: mask.yaml\nDATASETS: {"X\\nplugin: evil\\nY": "a\\nweights: evil"}\n')
    assert main([str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert yaml.safe_load("\n".join(lines)) == recipe_of(mask_yaml)
    assert any("DATASETS.X plugin: evil Y" in line for line in lines if line.startswith("# "))


def test_faster_rcnn_learns_from_boxes_alone(mask_yaml: Path) -> None:
    """A file that does not turn the mask head on, and objects without masks."""
    small = {"MODEL.RESNETS.DEPTH": 18, "MODEL.RESNETS.RES2_OUT_CHANNELS": 64, "MODEL.FPN.OUT_CHANNELS": 16}
    small |= {"MODEL.ROI_BOX_HEAD.FC_DIM": 16, "INPUT.MIN_SIZE_TRAIN": 64, "INPUT.MIN_SIZE_TEST": 64}
    recipe = recipe_of(mask_yaml.parent.parent / "Base.yaml", **small)
    assert recipe["model"]["masks"] is False
    model = build(MaskRCNNSettings(**recipe["model"], engine="torchvision"), ("a", "b"))
    assert not [name for name in model.state_dict() if "mask" in name]
    boxes, labels = torch.tensor([[4.0, 5, 40, 30], [30, 20, 60, 60]]), torch.tensor([0, 1])
    photo = Sample(
        "x", torch.zeros(3, 64, 64, dtype=torch.uint8), instances=Instances((64, 64), boxes, labels)
    )
    losses = model.train().loss([photo])
    assert set(losses) == {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg"}
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    found = model.eval().predict([photo])[0].instances
    assert found is not None
    assert found.masks is None


def test_later_milestones_do_nothing(mask_yaml: Path) -> None:
    path = mask_yaml
    train = recipe_of(path, SOLVER__MAX_ITER=300, SOLVER__WARMUP_ITERS=150)["train"]
    assert (train["milestones"], train["warmup_steps"]) == ([], 150)
    TrainSettings(**train)


def test_weights_may_be_a_file(mask_yaml: Path) -> None:
    assert recipe_of(mask_yaml, MODEL__WEIGHTS="weights/mine.pth")["weights"] == "weights/mine.pth"
    assert name_of("catalog://ImageNetPretrained/FAIR/R-50-GN") == "imagenet-r50-gn"
    assert all(name_of(address) == name for name, address in ZOO.items())
