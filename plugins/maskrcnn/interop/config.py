"""Detectron2's YAML files as recipes of this toolkit::

    python -m toolkit.plugins.maskrcnn.interop.config mask_rcnn_R_50_FPN_3x.yaml > recipe.yaml
    toolkit train --config recipe.yaml --data balloon

Anything that a recipe cannot express is an error that names key, value and file; nothing is silently ignored.
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from toolkit.config import TrainSettings
from toolkit.config.tree import Tree, nest, read_yaml
from toolkit.errors import ConfigError, ToolkitError
from toolkit.runtime.text import printable

from ..settings import MaskRCNNSettings
from .keys import ELSEWHERE, ONLY, SETTINGS, is_known, usual_res2_channels
from .zoo import name_of

BASE = "_BASE_"


@dataclass(frozen=True)
class Given:
    """A value and its source (file or command line); the source is empty for Detectron2's defaults."""

    value: Any
    source: str = ""

    def __str__(self) -> str:
        return f"{_shown(self.value)} ({self.source or 'Detectron2 default'})"


def read_config(path: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Given]:
    """The values set in a file and its base files, by dotted keys.

    Args:
        path: a Detectron2 YAML file; ``_BASE_`` may name one or several files, relative to the file that
            names them.
        overrides: dotted keys and values that override them.

    Raises:
        ConfigError: when a file cannot be read or is not YAML, or files include each other in a loop.
    """
    given = _read(path, ())
    return given | {key: Given(value, "the command line") for key, value in (overrides or {}).items()}


def _read(path: Path, based_on_it: tuple[Path, ...]) -> dict[str, Given]:
    resolved = path.resolve()
    if resolved in based_on_it:
        circle = " -> ".join(str(p) for p in (*based_on_it[based_on_it.index(resolved) :], resolved))
        raise ConfigError(f"{path} includes itself through {BASE}: {circle}. Hint: break the loop")
    tree = read_yaml(path)
    bases = tree.pop(BASE, [])
    given: dict[str, Given] = {}
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str) or "://" in base:
            raise ConfigError(
                f"{path}: {BASE} must name local files, not {base!r}. Hint: download the file and give its"
                " path"
            )
        given |= _read(path.parent / Path(base).expanduser(), (*based_on_it, resolved))
    return given | {key: Given(_literal(value), str(path)) for key, value in _flat(tree)}


def _flat(tree: Tree, prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in tree.items():
        pairs += (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, dict) and value
            else [(f"{prefix}{key}", value)]
        )
    return pairs


def _literal(value: Any) -> Any:
    """YAML has no tuples; Detectron2's files write them as text, ``(60000, 80000)``."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def to_recipe(given: Mapping[str, Given], path: Path) -> Tree:
    """Convert Detectron2 values to a recipe of this toolkit.

    Args:
        given: from ``read_config``.
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
    used = {
        "MODEL.ROI_MASK_HEAD.": bool(values["MODEL.MASK_ON"].value),
        "MODEL.ROI_KEYPOINT_HEAD.": bool(values["MODEL.KEYPOINT_ON"].value),
    }
    idle = tuple(head for head, is_used in used.items() if not is_used)
    for key, (default, only) in ONLY.items():
        value = given.get(key, Given(default))
        if _plain(value.value) != only and not key.startswith(idle):
            faults.append(f"{key}: this network supports only {_shown(only)}, not {value}")
    flat = {
        setting.setting: _plain(setting.read(values[key].value))
        for key, setting in SETTINGS.items()
        if not key.startswith(idle)
    }
    flat["model.keypoint_count"] = flat.get("model.keypoint_count", 0)
    if flat["model.backbone.depth"] in (18, 34) and flat["model.backbone.res2_out_channels"] != 64:
        faults.append(
            "MODEL.RESNETS.RES2_OUT_CHANNELS: must be 64 for ResNet-18 and 34 in Detectron2, not"
            f" {values['MODEL.RESNETS.RES2_OUT_CHANNELS']}"
        )
    if flat["model.backbone.res2_out_channels"] == usual_res2_channels(flat["model.backbone.depth"]):
        del flat["model.backbone.res2_out_channels"]
    faults += _train(flat, values)
    tree = nest(flat)
    model = _validated(MaskRCNNSettings, tree["model"], "model", values, faults)
    _validated(TrainSettings, tree["train"], "train", values, faults)
    weights = _weights(values["MODEL.WEIGHTS"], faults)
    recipe = {
        "plugin": "maskrcnn",
        "weights": weights,
        "model": {} if model is None else model.model_dump(mode="json", exclude_defaults=True),
        "augment": _augment(values, faults),
        "train": tree["train"],
    }
    if sigmas := _plain(values["TEST.KEYPOINT_OKS_SIGMAS"].value):
        recipe["evaluators"] = {"coco": {"keypoint_sigmas": list(sigmas)}}
    if faults:
        raise ConfigError(
            f"{path}: {len(faults)} fault{'s' * (len(faults) > 1)}\n"
            + "\n".join(f"  {fault}" for fault in faults)
        )
    return recipe


def _train(flat: dict[str, Any], values: Mapping[str, Given]) -> list[str]:
    """Fill in the training settings that follow from several keys; returns what is wrong with them."""
    faults = []
    steps, schedule = flat["train.steps"], flat["train.schedule"]
    flat["train.optimizer"] = "sgd"
    milestones = flat.pop("train.milestones")
    if schedule == "multistep":
        flat["train.milestones"] = milestones
        if isinstance(milestones, tuple) and all(isinstance(n, int) for n in (steps, *milestones)):
            flat["train.milestones"] = [
                step for step in milestones if step < steps
            ]  # later ones do nothing in Detectron2, and are errors here
    if schedule not in ("multistep", "cosine"):
        faults.append(
            "SOLVER.LR_SCHEDULER_NAME: expected WarmupMultiStepLR or WarmupCosineLR, not"
            f" {values['SOLVER.LR_SCHEDULER_NAME']}"
        )
        flat["train.schedule"] = "constant"
    warmup = values["SOLVER.WARMUP_ITERS"]
    if (
        warmup.source
        and isinstance(steps, int)
        and isinstance(warmup.value, int)
        and warmup.value > steps // 2
    ):
        faults.append(
            f"SOLVER.WARMUP_ITERS: warm-up may take at most half of the {steps} steps here, not {warmup}"
        )
    decay = values["SOLVER.WEIGHT_DECAY_BIAS"]
    if decay.value not in (None, values["SOLVER.WEIGHT_DECAY"].value):
        faults.append(
            "SOLVER.WEIGHT_DECAY_BIAS: biases use the same weight decay as all weights"
            f" ({values['SOLVER.WEIGHT_DECAY']}), not"
            f" {decay}"
        )
    period, seed = values["TEST.EVAL_PERIOD"].value, values["SEED"].value
    flat["train.eval_every"] = period or steps  # 0 is at the end only
    if isinstance(seed, int) and seed >= 0:
        flat["train.seed"] = seed
    return faults


def _augment(values: Mapping[str, Given], faults: list[str]) -> list[Tree]:
    flip = values["INPUT.RANDOM_FLIP"]
    if flip.value == "none":
        return []
    if flip.value not in ("horizontal", "vertical"):
        faults.append(f"INPUT.RANDOM_FLIP: expected horizontal, vertical or none, not {flip}")
    if values["MODEL.KEYPOINT_ON"].value:
        if flip.source:
            faults.append(
                "INPUT.RANDOM_FLIP: flipping would have to swap left and right keypoints, which is not"
                f" supported here; expected none, not {flip}"
            )
        return []
    return [{"name": "flip", "p": 0.5, "direction": flip.value}]


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
    known = [*SETTINGS, *ONLY, *ELSEWHERE]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    return f"{key}: Detectron2 has no such key{f'; did you mean {near[0]}?' if near else ''}: {value}"


def _validated(
    cls: type[Any], tree: Tree, section: str, values: Mapping[str, Given], faults: list[str]
) -> Any:
    """The settings of a section; errors refer to Detectron2's keys."""
    keys = {setting.setting: key for key, setting in SETTINGS.items()}
    try:
        return cls.model_validate(tree)
    except ValidationError as error:
        for fault in error.errors():
            path = [section, *(str(part) for part in fault["loc"])]
            while path and ".".join(path) not in keys:
                path.pop()
            message = fault["msg"].removeprefix("Value error, ")
            key = keys.get(".".join(path))
            where = (
                f"{key}: {message}, not {values[key]}"
                if key
                else f"{section}.{'.'.join(str(part) for part in fault['loc'])}: {message}"
            )
            faults.append(where)
    return None


def _plain(value: Any) -> Any:
    """Lists as tuples, so that the two can be compared."""
    return tuple(_plain(part) for part in value) if isinstance(value, (list, tuple)) else value


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)


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
            key, equals, text = word.partition("=")
            if not equals:
                raise ConfigError(f"expected KEY=VALUE, such as TEST.PRECISE_BN.ENABLED=False, not {word!r}")
            overrides[key] = _literal(yaml.safe_load(text))
        recipe = to_recipe(read_config(path, overrides), path)
    except ToolkitError as error:
        sys.stderr.write(f"error: {printable(error)}\n")
        return error.exit_code
    sys.stdout.write(f"# from {path}\n")
    sys.stdout.write(yaml.safe_dump(_jsonable(recipe), sort_keys=False, allow_unicode=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
