"""What a recipe cannot express is named as Detectron2 names it, with its value and where that is from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_cases import faults_of, recipe_of
from toolkit.plugins.maskrcnn.interop.config import main, to_recipe
from toolkit.plugins.maskrcnn.interop.yaml_files import read_config

from toolkit.errors import ConfigError


def test_all_faults_at_once_each_with_key_value_and_file(mask_yaml: Path) -> None:
    path = mask_yaml.with_name("changed.yaml")
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
    assert message.startswith(f"{path}: 11 errors")
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
        ({"MODEL.WEIGHTS": "https://elsewhere/model.pkl"}, "Hint: download them and set the path"),
        ({"MODEL.WEIGHTS": "detectron2://ImageNetPretrained/FAIR/X-101-32x8d.pkl"}, "MODEL.WEIGHTS"),
        ({"TEST.PRECISE_BN.ENABLED": True}, "TEST.PRECISE_BN.ENABLED"),
        ({"MODEL": 3}, "MODEL: Detectron2 has no such key"),
        ({"MODEL.ROI_HEADS.IOU_THRESHOLDS": 0.5, "INPUT.MIN_SIZE_TRAIN": [[1]]}, "INPUT.MIN_SIZE_TRAIN"),
        ({"MODEL.ROI_HEADS.IOU_THRESHOLDS": (0.4, 0.6)}, "MODEL.ROI_HEADS.IOU_THRESHOLDS"),
        ({"SOLVER.STEPS": ["soon"]}, "SOLVER.STEPS"),
        ({"SOLVER.MAX_ITER": "long"}, "SOLVER.MAX_ITER"),
        ({"SOLVER.LR_SCHEDULER_NAME": ["a"], "SOLVER.AMP.ENABLED": {}}, "SOLVER.AMP.ENABLED"),
        ({"TEST.EVAL_PERIOD": "often"}, "TEST.EVAL_PERIOD: Input should be a valid integer"),
    ],
)
def test_values_that_cannot_be_honored(mask_yaml: Path, values: dict[str, Any], message: str) -> None:
    path = mask_yaml
    with pytest.raises(ConfigError) as caught:
        to_recipe(read_config(path, values), path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "keys_and_values"),
    [
        (
            {"MODEL.ROI_BOX_HEAD.NUM_FC": 0},
            [
                "MODEL.ROI_BOX_HEAD.NUM_CONV, MODEL.ROI_BOX_HEAD.NUM_FC: ",
                "MODEL.ROI_BOX_HEAD.NUM_CONV is 0 (Detectron2 default)",
                "MODEL.ROI_BOX_HEAD.NUM_FC is 0 (the command line)",
            ],
        ),
        (
            {"MODEL.ANCHOR_GENERATOR.SIZES": [[16], [32], [64]]},
            [
                "MODEL.ANCHOR_GENERATOR.SIZES: MODEL.ANCHOR_GENERATOR.SIZES must be 5 non-empty lists",
                "is [[16], [32], [64]] (the command line)",
            ],
        ),
        (
            {"MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[1.0], [1.0], [0.5, 2.0], [1.0], [1.0]]},
            [
                "MODEL.ANCHOR_GENERATOR.SIZES, MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS, ",
                "same number of anchors",
            ],
        ),
        (
            {"INPUT.MIN_SIZE_TRAIN_SAMPLING": "range"},
            [
                "INPUT.MIN_SIZE_TRAIN, INPUT.MIN_SIZE_TRAIN_SAMPLING: ",
                "INPUT.MIN_SIZE_TRAIN is [640, 672, 704, 736, 768, 800] (",
            ],
        ),
        ({"MODEL.RPN.IOU_THRESHOLDS": [0.9, 0.2]}, ["MODEL.RPN.IOU_THRESHOLDS: "]),
        ({"MODEL.PIXEL_MEAN": [float("nan"), 1.0, 1.0]}, ["MODEL.PIXEL_MEAN: "]),
        ({"SOLVER.STEPS": (500, 200)}, ["SOLVER.STEPS: SOLVER.STEPS must ", "is [500, 200] ("]),
        ({"SEED": "lucky"}, ["SEED: Input should be a valid integer", "not 'lucky' (the command line)"]),
        ({"TEST.EVAL_PERIOD": -5}, ["TEST.EVAL_PERIOD: ", "not -5"]),
        (
            {"SOLVER.MAX_ITER": 700},
            [
                "SOLVER.WARMUP_ITERS: warm-up may take at most half of the 700 steps here, not 1000"
                " (Detectron2 default). Hint: SOLVER.WARMUP_ITERS=350 on the command line"
            ],
        ),
        (
            {"MODEL.KEYPOINT_ON": True, "TEST.KEYPOINT_OKS_SIGMAS": [0.1, 0.2]},
            ["TEST.KEYPOINT_OKS_SIGMAS: ", "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS=17 (Detectron2 default)"],
        ),
        (
            {
                "MODEL.KEYPOINT_ON": True,
                "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS": 2,
                "TEST.KEYPOINT_OKS_SIGMAS": [0.1, "b"],
            },
            ["TEST.KEYPOINT_OKS_SIGMAS: "],
        ),
        ({"FLOAT32_PRECISION": "medium"}, ["FLOAT32_PRECISION: this network supports only '', not 'medium'"]),
    ],
)
def test_settings_at_odds_are_named_as_detectron2_names_them(
    mask_yaml: Path, values: dict[str, Any], keys_and_values: list[str]
) -> None:
    path = mask_yaml
    with pytest.raises(ConfigError) as caught:
        to_recipe(read_config(path, values), path)
    message = str(caught.value)
    assert message.startswith(f"{path}: 1 error\n  {keys_and_values[0]}")
    for said in keys_and_values:
        assert said in message


def test_the_hint_about_warm_up_works(mask_yaml: Path) -> None:
    path = mask_yaml
    hint = faults_of(path, SOLVER__MAX_ITER=61).partition("Hint: SOLVER.WARMUP_ITERS=")[2].split()[0]
    assert recipe_of(path, SOLVER__MAX_ITER=61, SOLVER__WARMUP_ITERS=int(hint))["train"]["warmup_steps"] == 30


def test_detectron2s_own_defaults_are_another_network(mask_yaml: Path) -> None:
    (mask_yaml.with_name("bare.yaml")).write_text("MODEL: {MASK_ON: True}\n")
    message = faults_of(mask_yaml.with_name("bare.yaml"))
    assert (
        "MODEL.BACKBONE.NAME: this network supports only 'build_resnet_fpn_backbone', not"
        " 'build_resnet_backbone'"
        " (Detectron2 default)" in message
    )


@pytest.mark.parametrize("word", ["SOLVER.STEPS=[1, 2", "SEED=!!python/name:os.getcwd", "SEED", "=3"])
def test_words_on_the_command_line_are_checked(
    mask_yaml: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(mask_yaml), word]) == 2
    assert word in capsys.readouterr().err
