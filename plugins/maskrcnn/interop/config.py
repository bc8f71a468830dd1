"""Detectron2's YAML files as recipes of this toolkit::

    python -m toolkit.plugins.maskrcnn.interop.config mask_rcnn_R_50_FPN_3x.yaml > recipe.yaml
    toolkit train --config recipe.yaml --data balloon

Anything that a recipe cannot express is an error that names Detectron2's key, its value and its source (a
file, or Detectron2's default). Anything that this toolkit always does in one way, or decides elsewhere, is in
comments at the beginning of the recipe. Nothing is silently ignored.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toolkit.config import TrainSettings
from toolkit.config.tree import Tree, nest, parse_words
from toolkit.errors import ConfigError, ToolkitError
from toolkit.reading.yaml_text import dump_yaml
from toolkit.reading.yaml_written import forget_text
from toolkit.runtime.text import printable
from toolkit.wording import counted

from ..settings import MaskRCNNSettings
from .keys import (
    ALSO,
    DIFFERENT,
    ELSEWHERE,
    ONLY,
    SAID_ELSEWHERE,
    SETTINGS,
    begins_with,
    is_known,
    usual_res2_channels,
)
from .yaml_files import Given, literal, read_config, shown
from .zoo import name_of

_KEYS = {setting.setting: key for key, setting in SETTINGS.items()} | {
    "train.eval_every": "TEST.EVAL_PERIOD",
    "train.seed": "SEED",
}
"""Detectron2's key for each setting."""


def to_recipe(given: Mapping[str, Given], path: Path) -> Tree:
    """Convert Detectron2 values to a recipe of this toolkit.

    Args:
        given: the result of ``read_config``.
        path: the file, for messages.

    Returns:
        ``plugin``, ``weights``, ``model``, ``augment`` and ``train``, ready for ``--config``; only values
        that differ from the plugin's own defaults are listed under ``model``.

    Raises:
        ConfigError: lists all keys that Detectron2 does not have, or that are not supported.
    """
    faults = [_unknown(key, value) for key, value in given.items() if not is_known(key)]
    values = {key: given.get(key, Given(setting.default)) for key, setting in SETTINGS.items()}
    values |= {key: given.get(key, Given(default)) for key, default in ELSEWHERE.items()}
    idle = _idle(values)
    for key, (default, only) in ONLY.items():
        value = given.get(key, Given(default))
        if _plain(value.value) not in (only, *ALSO.get(key, ())) and not key.startswith(idle):
            faults.append(f"{key}: this network supports only {shown(only)}, not {value}")
    flat = {
        setting.setting: _plain(setting.read(values[key].value))
        for key, setting in SETTINGS.items()
        if not key.startswith(idle)
    }
    flat["model.keypoint_count"] = flat.get("model.keypoint_count", 0)
    faults += _backbone(flat, values) + _train(flat, values)
    tree = nest(flat)
    model = _validated(MaskRCNNSettings, tree["model"], "model", values, faults)
    _validated(TrainSettings, tree["train"], "train", values, faults)
    recipe = {
        "plugin": "maskrcnn",
        "weights": _weights(values["MODEL.WEIGHTS"], faults),
        "model": {} if model is None else model.model_dump(mode="json", exclude_defaults=True),
        "augment": _augment(values, faults),
        "train": tree["train"],
    }
    if sigmas := _sigmas(values, faults):
        recipe["evaluators"] = {"coco": {"keypoint_sigmas": sigmas}}
    if faults:
        raise ConfigError(
            f"{path}: {counted(len(faults), 'error')}\n" + "\n".join(f"  {fault}" for fault in faults)
        )
    return recipe


def remarks(given: Mapping[str, Given]) -> list[str]:
    """What the recipe for these values does differently from Detectron2, and what it leaves open; each remark
    begins with Detectron2's key.
    """
    values = {key: given.get(key, Given(default)) for key, default in ELSEWHERE.items()}
    values["MODEL.MASK_ON"] = given.get("MODEL.MASK_ON", Given(SETTINGS["MODEL.MASK_ON"].default))
    idle = _idle(values) + (() if values["MODEL.MASK_ON"].value else ("INPUT.MASK_FORMAT",))
    found = []
    for key, (default, ours, meaning) in DIFFERENT.items():
        value = given.get(key, Given(default))
        if value.value != ours and not key.startswith(idle):
            found.append(f"{key}: {meaning}; {value}")
    for key, value in given.items():
        if (known := begins_with(key, SAID_ELSEWHERE)) is not None:
            found.append(f"{key}: {SAID_ELSEWHERE[known]}; {value}")
    return found


def _idle(values: Mapping[str, Given]) -> tuple[str, ...]:
    """Prefixes of the keys of heads that the network does not have."""
    used = {
        "MODEL.ROI_MASK_HEAD.": values["MODEL.MASK_ON"].value,
        "MODEL.ROI_KEYPOINT_HEAD.": values["MODEL.KEYPOINT_ON"].value,
    }
    return tuple(head for head, is_used in used.items() if not is_used)


def _backbone(flat: dict[str, Any], values: Mapping[str, Given]) -> list[str]:
    """Leave out the channels of res2 if they are the usual ones; returns errors."""
    depth, channels = flat["model.backbone.depth"], flat["model.backbone.res2_out_channels"]
    if channels == usual_res2_channels(depth):
        del flat["model.backbone.res2_out_channels"]
    if depth in (18, 34) and channels != 64:
        return [
            "MODEL.RESNETS.RES2_OUT_CHANNELS: must be 64 for ResNet-18 and 34 in Detectron2, not"
            f" {values['MODEL.RESNETS.RES2_OUT_CHANNELS']}"
        ]
    return []


def _train(flat: dict[str, Any], values: Mapping[str, Given]) -> list[str]:
    """Fill in the training settings that follow from several keys; returns errors."""
    faults = []
    steps, schedule = flat["train.steps"], flat["train.schedule"]
    flat["train.optimizer"] = "sgd"
    milestones = flat.pop("train.milestones")
    if schedule == "multistep":
        flat["train.milestones"] = milestones
        if isinstance(milestones, tuple) and all(isinstance(n, int) for n in (steps, *milestones)):
            # later ones have no effect in Detectron2, and are errors here
            flat["train.milestones"] = [step for step in milestones if step < steps]
    if schedule not in ("multistep", "cosine"):
        faults.append(
            "SOLVER.LR_SCHEDULER_NAME: expected WarmupMultiStepLR or WarmupCosineLR, not"
            f" {values['SOLVER.LR_SCHEDULER_NAME']}"
        )
        flat["train.schedule"] = "constant"
    warmup = values["SOLVER.WARMUP_ITERS"]
    if isinstance(steps, int) and isinstance(warmup.value, int) and 0 < steps < 2 * warmup.value:
        faults.append(
            f"SOLVER.WARMUP_ITERS: warm-up may take at most half of the {steps} steps here, not {warmup}."
            f" Hint: SOLVER.WARMUP_ITERS={steps // 2} on the command line or in the file, or a larger"
            " SOLVER.MAX_ITER"
        )
    decay = values["SOLVER.WEIGHT_DECAY_BIAS"]
    if decay.value not in (None, values["SOLVER.WEIGHT_DECAY"].value):
        faults.append(
            "SOLVER.WEIGHT_DECAY_BIAS: biases use the same weight decay as all weights"
            f" ({values['SOLVER.WEIGHT_DECAY']}), not"
            f" {decay}"
        )
    period = values["TEST.EVAL_PERIOD"].value
    if period or (isinstance(steps, int) and steps > 0):
        # 0 means only at the end
        flat["train.eval_every"] = period or steps
    seed = values["SEED"].value
    if not isinstance(seed, int) or seed >= 0:
        flat["train.seed"] = seed
    return faults


def _augment(values: Mapping[str, Given], faults: list[str]) -> list[Tree]:
    flip = values["INPUT.RANDOM_FLIP"]
    if flip.value == "none":
        return []
    if flip.value not in ("horizontal", "vertical"):
        faults.append(f"INPUT.RANDOM_FLIP: expected horizontal, vertical or none, not {flip}")
    step: Tree = {"name": "flip", "p": 0.5, "direction": flip.value}
    if flip.value == "vertical" and values["MODEL.KEYPOINT_ON"].value:
        # Detectron2 swaps left and right keypoints only in horizontal flips
        step["keypoint_pairs"] = []
    return [step]


def _sigmas(values: Mapping[str, Given], faults: list[str]) -> list[float]:
    """The standard deviations of the keypoints for the evaluator; empty for COCO's own."""
    given = values["TEST.KEYPOINT_OKS_SIGMAS"]
    sigmas = _plain(given.value)
    if sigmas == () or not values["MODEL.KEYPOINT_ON"].value:
        return []
    count = values["MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS"]
    are_numbers = isinstance(sigmas, tuple) and all(
        isinstance(each, (int, float)) and each > 0 for each in sigmas
    )
    if not are_numbers or len(sigmas) != count.value:
        faults.append(
            "TEST.KEYPOINT_OKS_SIGMAS: expected a number above 0 for each of the"
            f" MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS={count}, not {given}"
        )
        return []
    return list(sigmas)


def _weights(weights: Given, faults: list[str]) -> str:
    """The value of ``weights=`` for a recipe."""
    if not weights.value:
        return "none"
    name = name_of(str(weights.value))
    if name is None and "://" in str(weights.value):
        faults.append(
            f"MODEL.WEIGHTS: expected a file, or model zoo weights that fit this network, not {weights}."
            " Hint: download them and set the path of the file"
        )
    return name or str(weights.value)


def _unknown(key: str, value: Given) -> str:
    known = [*SETTINGS, *ONLY, *ELSEWHERE, *DIFFERENT]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    return f"{key}: Detectron2 has no such key{f'; did you mean {near[0]}?' if near else ''}: {value}"


def _validated(
    cls: type[Any], tree: Tree, section: str, values: Mapping[str, Given], faults: list[str]
) -> Any:
    """The settings of a section; errors refer to Detectron2's keys."""
    try:
        return cls.model_validate(tree)
    except ValidationError as error:
        for fault in error.errors():
            path = [section, *(str(part) for part in fault["loc"])]
            faults.append(_in_detectron2s_words(path, fault["msg"].removeprefix("Value error, "), values))
    return None


def _in_detectron2s_words(path: Sequence[str], message: str, values: Mapping[str, Given]) -> str:
    """An error in a setting, or in several that contradict each other, in terms of Detectron2's keys.

    Args:
        path: the path of the setting, or of the group of settings.
        message: the error; it names settings by the last part of their path.
        values: Detectron2's values.
    """
    for length in range(len(path), 0, -1):
        if key := _KEYS.get(".".join(path[:length])):
            return f"{key}: {message}, not {values[key]}"
    group = {
        setting.rpartition(".")[2]: key
        for setting, key in _KEYS.items()
        if setting.startswith(".".join([*path, ""]))
    }
    named = {name: key for name, key in group.items() if re.search(rf"\b{name}\b", message)} or group
    for name, key in named.items():
        message = re.sub(rf"\b{name}\b", key, message)
    found = ", ".join(f"{key} is {values[key]}" for key in named.values())
    return f"{', '.join(named.values())}: {message}; {found}"


def _plain(value: Any) -> Any:
    """Lists as tuples, so that the two can be compared."""
    return tuple(_plain(part) for part in value) if isinstance(value, (list, tuple)) else value


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _jsonable(inner) for key, inner in value.items()}
    return [_jsonable(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def main(words: Sequence[str]) -> int:
    """Print the recipe for a file; ``KEY=VALUE`` arguments override it."""
    if not words or words[0].startswith("-"):
        sys.stderr.write(
            "usage: python -m toolkit.plugins.maskrcnn.interop.config FILE [KEY=VALUE …] > recipe.yaml\n"
        )
        return 0 if words and words[0] in ("-h", "--help") else 2
    path = Path(words[0])
    try:
        overrides = {}
        for word in words[1:]:
            key, equals, _ = word.partition("=")
            if not key or not equals:
                raise ConfigError(f"expected KEY=VALUE, such as TEST.PRECISE_BN.ENABLED=False, not {word!r}")
            overrides[key] = literal(forget_text(parse_words([word])[key]))
        given = read_config(path, overrides)
        recipe = to_recipe(given, path)
    except ToolkitError as error:
        sys.stderr.write(f"error: {printable(error)}\n")
        return error.exit_code
    for line in (f"from {path}; not included in the recipe:", *remarks(given)):
        # on one line, whatever the names contain
        shown_line = "".join(each if each.isprintable() else " " for each in line)
        sys.stdout.write(f"# {shown_line}\n")
    sys.stdout.write(dump_yaml(_jsonable(recipe)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
