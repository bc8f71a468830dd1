from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from toolkit.plugins.maskrcnn.interop import keys
from toolkit.plugins.maskrcnn.interop.config import Given, main, read_config, to_recipe
from toolkit.plugins.maskrcnn.interop.engine import is_installed, to_cfg
from toolkit.plugins.maskrcnn.interop.zoo import ZOO, name_of
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings

from toolkit.config import TrainSettings, resolve
from toolkit.errors import ConfigError

needs_detectron2 = pytest.mark.skipif(not is_installed(), reason="Detectron2 is not installed")
pytestmark = [pytest.mark.filterwarnings("ignore")] if is_installed() else []  # of what Detectron2 imports

BASE = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  BACKBONE: {NAME: "build_resnet_fpn_backbone"}
  RESNETS: {OUT_FEATURES: ["res2", "res3", "res4", "res5"]}
  FPN: {IN_FEATURES: ["res2", "res3", "res4", "res5"]}
  ANCHOR_GENERATOR: {SIZES: [[32], [64], [128], [256], [512]], ASPECT_RATIOS: [[0.5, 1.0, 2.0]]}
  RPN:
    IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]
    PRE_NMS_TOPK_TRAIN: 2000
    PRE_NMS_TOPK_TEST: 1000
    POST_NMS_TOPK_TRAIN: 1000
  ROI_HEADS: {NAME: "StandardROIHeads", IN_FEATURES: ["p2", "p3", "p4", "p5"]}
  ROI_BOX_HEAD: {NAME: "FastRCNNConvFCHead", NUM_FC: 2, POOLER_RESOLUTION: 7}
  ROI_MASK_HEAD: {NUM_CONV: 4}
DATASETS:
  TRAIN: ("coco_2017_train",)
  TEST: ("coco_2017_val",)
SOLVER:
  IMS_PER_BATCH: 16
  BASE_LR: 0.02
  STEPS: (60000, 80000)
  MAX_ITER: 90000
INPUT:
  MIN_SIZE_TRAIN: (640, 672, 704, 736, 768, 800)
VERSION: 2
"""
MASK = """
_BASE_: "../Base.yaml"
MODEL:
  WEIGHTS: "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
  MASK_ON: True
SOLVER:
  STEPS: (210000, 250000)
  MAX_ITER: 270000
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as Detectron2's ``configs``."""
    (tmp_path / "coco").mkdir()
    (tmp_path / "Base.yaml").write_text(BASE)
    (tmp_path / "coco" / "mask.yaml").write_text(MASK)
    return tmp_path


def recipe_of(path: Path, **overrides: Any) -> dict[str, Any]:
    return to_recipe(
        read_config(path, {key.replace("__", "."): value for key, value in overrides.items()}), path
    )


def faults_of(path: Path, text: str = "", **overrides: Any) -> str:
    if text:
        path = path.with_name("changed.yaml")
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        recipe_of(path, **overrides)
    return str(caught.value)


def test_the_standard_file_is_the_plugin_as_it_is(folder: Path) -> None:
    recipe = recipe_of(folder / "coco" / "mask.yaml")
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


def test_settings_come_from_where_they_are_said(folder: Path) -> None:
    path = folder / "coco" / "other.yaml"
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
    assert recipe["augment"] == []  # a mirror image would swap the keypoints


def test_the_recipe_trains(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the command prints is what --config takes."""
    assert (
        main(
            [
                str(folder / "coco" / "mask.yaml"),
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


def test_the_command(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "toolkit.plugins.maskrcnn.interop.config"]
    good = subprocess.run(
        [*command, str(folder / "coco" / "mask.yaml")], capture_output=True, text=True, check=False
    )
    assert good.returncode == 0
    assert yaml.safe_load(good.stdout) == recipe_of(folder / "coco" / "mask.yaml")
    bad = subprocess.run(
        [*command, str(tmp_path / "absent.yaml")], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    assert "absent.yaml does not exist" in bad.stderr
    assert "Traceback" not in bad.stderr
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 2


def test_all_faults_at_once_each_with_key_value_and_file(folder: Path) -> None:
    path = folder / "coco" / "changed.yaml"
    message = faults_of(
        path,
        """
_BASE_: mask.yaml
MODEL:
  RESNETS: {NUM_GROUPS: 32, NORM: LN, DEPTH: "many"}
  ROI_HEADS: {NAME: CascadeROIHeads}
  ROI_MASK_HED: {NUM_CONV: 8}
  RPN: {NMS_THRESH: 1.5, IOU_THRESHOLDS: [0.7, 0.3]}
INPUT: {CROP: {ENABLED: true}}
SOLVER: {BASE_LR: -1, WEIGHT_DECAY_BIAS: 0.5, LR_SCHEDULER_NAME: StepLR, CLIP_GRADIENTS: {ENABLED: true}}
""",
    )
    assert message.startswith(f"{path}: 11 faults")
    for said in (
        f"MODEL.RESNETS.NUM_GROUPS: this network supports only 1, not 32 ({path})",
        f"not 'LN' ({path})",
        f"not 'many' ({path})",
        "MODEL.ROI_HEADS.NAME: this network supports only 'StandardROIHeads', not 'CascadeROIHeads'",
        (
            "MODEL.ROI_MASK_HED.NUM_CONV: Detectron2 has no such key; did you mean"
            " MODEL.ROI_MASK_HEAD.NUM_CONV?: 8"
        ),
        "MODEL.RPN.NMS_THRESH: ",
        "not 1.5",
        "INPUT.CROP.ENABLED: this network supports only False, not True",
        "SOLVER.BASE_LR: Input should be greater than 0, not -1",
        "SOLVER.WEIGHT_DECAY_BIAS: ",
        "SOLVER.LR_SCHEDULER_NAME: expected WarmupMultiStepLR or WarmupCosineLR, not 'StepLR'",
        "SOLVER.CLIP_GRADIENTS.ENABLED: ",
    ):
        assert said in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"MODEL.RESNETS.DEPTH": 34}, "MODEL.RESNETS.RES2_OUT_CHANNELS: must be 64 for ResNet-18 and 34"),
        (
            {"SOLVER.WARMUP_ITERS": 200000},
            (
                "SOLVER.WARMUP_ITERS: warm-up may take at most half of the 270000 steps here, not 200000 (the"
                " command line)"
            ),
        ),
        (
            {"INPUT.RANDOM_FLIP": "both"},
            "INPUT.RANDOM_FLIP: expected horizontal, vertical or none, not 'both'",
        ),
        (
            {"INPUT.RANDOM_FLIP": "horizontal", "MODEL.KEYPOINT_ON": True},
            "have to swap left and right keypoints",
        ),
        ({"MODEL.WEIGHTS": "https://elsewhere/model.pkl"}, "Hint: download them and set the path"),
        ({"MODEL.WEIGHTS": "detectron2://ImageNetPretrained/FAIR/X-101-32x8d.pkl"}, "MODEL.WEIGHTS"),
        ({"TEST.PRECISE_BN.ENABLED": True}, "TEST.PRECISE_BN.ENABLED"),
        ({"MODEL": 3}, "MODEL: Detectron2 has no such key"),
        ({"MODEL.ROI_HEADS.IOU_THRESHOLDS": 0.5, "INPUT.MIN_SIZE_TRAIN": [[1]]}, "INPUT.MIN_SIZE_TRAIN"),
        ({"MODEL.ROI_HEADS.IOU_THRESHOLDS": (0.4, 0.6)}, "MODEL.ROI_HEADS.IOU_THRESHOLDS"),
        ({"SOLVER.STEPS": ["soon"]}, "SOLVER.STEPS"),
        ({"SOLVER.MAX_ITER": "long"}, "SOLVER.MAX_ITER"),
        ({"SOLVER.LR_SCHEDULER_NAME": ["a"], "SOLVER.AMP.ENABLED": {}}, "SOLVER.AMP.ENABLED"),
        ({"TEST.EVAL_PERIOD": "often"}, "eval_every"),
    ],
)
def test_values_that_cannot_be_honoured(folder: Path, values: dict[str, Any], message: str) -> None:
    path = folder / "coco" / "mask.yaml"
    with pytest.raises(ConfigError) as caught:
        to_recipe(read_config(path, values), path)
    assert message in str(caught.value)


def test_detectron2s_own_defaults_are_another_network(folder: Path) -> None:
    (folder / "bare.yaml").write_text("MODEL: {MASK_ON: True}\n")
    message = faults_of(folder / "bare.yaml")
    assert (
        "MODEL.BACKBONE.NAME: this network supports only 'build_resnet_fpn_backbone', not"
        " 'build_resnet_backbone'"
        " (Detectron2 default)" in message
    )


def test_later_milestones_do_nothing_and_a_short_run_keeps_its_warm_up(folder: Path) -> None:
    train = recipe_of(folder / "coco" / "mask.yaml", SOLVER__MAX_ITER=300)["train"]
    assert (train["milestones"], train["warmup_steps"]) == ([], 1000)
    TrainSettings(**train)


def test_weights_may_be_a_file(folder: Path) -> None:
    assert (
        recipe_of(folder / "coco" / "mask.yaml", MODEL__WEIGHTS="weights/mine.pth")["weights"]
        == "weights/mine.pth"
    )
    assert name_of("catalog://ImageNetPretrained/FAIR/R-50-GN") == "imagenet-r50-gn"
    assert all(name_of(address) == name for name, address in ZOO.items())


def test_files_in_a_circle_are_named(tmp_path: Path) -> None:
    for name, base in (("a", "b"), ("b", "c"), ("c", "b")):
        (tmp_path / f"{name}.yaml").write_text(f"_BASE_: {base}.yaml\n")
    with pytest.raises(
        ConfigError, match=r"b\.yaml includes itself through _BASE_: .*b\.yaml -> .*c\.yaml -> .*b\.yaml"
    ):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_BASE_: absent.yaml", r"absent\.yaml does not exist"),
        ("_BASE_: https://elsewhere/base.yaml", "must name local files"),
        ("_BASE_: [3]", "must name local files, not 3"),
        ("- a list", "must hold keys and values"),
        ("MODEL: {", "is not valid YAML"),
        ("SIZES: !!python/object/apply:eval ['1']", "line 1, column 8: the tag .*python/object/apply:eval"),
        ("SEED: 1\nSEED: 2", "stands here twice"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "file.yaml")


def test_a_base_is_relative_to_the_file_that_names_it_and_later_ones_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "one.yaml").write_text("SEED: 1\nVIS_PERIOD: 1\nOUTPUT_DIR: one\n")
    (tmp_path / "inner" / "two.yaml").write_text("_BASE_: one.yaml\nSEED: 2\n")
    (tmp_path / "three.yaml").write_text("SEED: 3\nVIS_PERIOD: 3\n")
    (tmp_path / "all.yaml").write_text("_BASE_: [inner/two.yaml, ~/three.yaml]\nSEED: 4\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    given = read_config(tmp_path / "all.yaml")
    assert {key: value.value for key, value in given.items()} == {
        "SEED": 4,
        "VIS_PERIOD": 3,
        "OUTPUT_DIR": "one",
    }
    assert given["OUTPUT_DIR"].source.endswith("inner/one.yaml")


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for key, value in tree.items():
        pairs |= (
            flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping) and value
            else {f"{prefix}{key}": value}
        )
    return pairs


def plain(value: Any) -> Any:
    return tuple(plain(part) for part in value) if isinstance(value, (list, tuple)) else value


@needs_detectron2
def test_every_key_of_detectron2_is_known_with_its_default() -> None:
    from detectron2.config import get_cfg

    defaults = flat(get_cfg())
    assert [key for key in defaults if not keys.is_known(key)] == []
    assert [key for key in (*keys.SETTINGS, *keys.ONLY, *keys.ELSEWHERE) if key not in defaults] == []
    assert [
        key
        for key in defaults
        if sum(key in table for table in (keys.SETTINGS, keys.ONLY, keys.ELSEWHERE)) > 1
    ] == []
    ours = (
        {key: entry.default for key, entry in keys.SETTINGS.items()}
        | {key: value for key, (value, _) in keys.ONLY.items()}
        | keys.ELSEWHERE
    )
    assert {key: plain(defaults[key]) for key in ours} == {key: plain(value) for key, value in ours.items()}


@needs_detectron2
def test_detectron2s_own_files_come_back_as_they_went() -> None:
    """File -> settings -> configuration is what Detectron2 reads from the file, or the file is refused."""
    from detectron2 import model_zoo
    from detectron2.config import get_cfg

    folder = Path(model_zoo.__file__).parent / "configs"
    taken = []
    for path in sorted(folder.rglob("*.yaml")):
        try:
            recipe = to_recipe(read_config(path), path)
        except ConfigError:
            continue
        taken.append(path.stem)
        theirs = get_cfg()
        theirs.merge_from_file(str(path))
        settings = MaskRCNNSettings(**recipe["model"])
        ours = to_cfg(settings, theirs.MODEL.ROI_HEADS.NUM_CLASSES)
        used = [key for key, entry in keys.SETTINGS.items() if entry.setting.startswith("model.")] + list(
            keys.ONLY
        )
        idle = tuple(
            f"MODEL.ROI_{head}_HEAD"
            for head, on in (("MASK", settings.masks), ("KEYPOINT", settings.keypoint_count))
            if not on
        )
        a, b = flat(theirs), flat(ours)
        assert {k: plain(a[k]) for k in used if not k.startswith(idle)} == {
            k: plain(b[k]) for k in used if not k.startswith(idle)
        }, path
        assert a["MODEL.KEYPOINT_ON"] == b["MODEL.KEYPOINT_ON"]
    expected = {
        "mask_rcnn_R_50_FPN_3x",
        "mask_rcnn_R_101_FPN_3x",
        "keypoint_rcnn_R_50_FPN_3x",
        "faster_rcnn_R_50_FPN_1x",
        "mask_rcnn_R_50_FPN_3x_gn",
    }
    assert expected | {
        "scratch_mask_rcnn_R_50_FPN_3x_gn",
        "scratch_mask_rcnn_R_50_FPN_9x_gn",
        "mask_rcnn_R_50_FPN_1x_cls_agnostic",
    } <= set(taken)


@needs_detectron2
def test_learning_rates_are_those_of_detectron2(folder: Path) -> None:
    import torch
    from detectron2.config import get_cfg
    from detectron2.solver import build_lr_scheduler

    from toolkit.training.optimizer import build_schedule

    for name in ("WarmupMultiStepLR", "WarmupCosineLR"):
        values = {
            "SOLVER.MAX_ITER": 200,
            "SOLVER.STEPS": (120, 170),
            "SOLVER.WARMUP_ITERS": 50,
            "SOLVER.LR_SCHEDULER_NAME": name,
        }
        train = TrainSettings(**recipe_of(folder / "coco" / "mask.yaml", **values)["train"])
        cfg = get_cfg()
        cfg.merge_from_list([word for pair in values.items() for word in pair])
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = build_lr_scheduler(cfg, optimizer)
        factor = build_schedule(train, 200)
        for step in range(200):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(factor(step), rel=1e-6, abs=1e-9), (
                name,
                step,
            )
            optimizer.step()
            scheduler.step()


def test_given_values_say_where_they_come_from() -> None:
    assert str(Given((1, 2), "a.yaml")) == "[1, 2] (a.yaml)"
    assert str(Given("x")) == "'x' (Detectron2 default)"
