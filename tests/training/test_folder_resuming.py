"""Every setting that may change when a run goes on, for each way in which the run was started and is
resumed.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from toolkit.config import RunSettings, resolve
from toolkit.config.settings import leaves
from toolkit.errors import UsageError
from toolkit.training.folder import CONFIG_FILE, as_before, check_folder, may_change
from toolkit.training.length import with_length

STARTS: dict[str, dict[str, Any]] = {
    "recipe": {"plugin": "unet", "data": "shapes"},
    "recipe of objects": {"plugin": "maskrcnn", "data": "shapes"},
    "defaults": {"plugin": "unet", "data": "masks"},
    "defaults of sgd": {"plugin": "maskrcnn", "data": "coco"},
    "defaults that take prompts": {"plugin": "sam2", "data": "yolo", "overrides": ["batch_size=2"]},
    "another batch": {"plugin": "unet", "data": "shapes", "overrides": ["train.batch_size=4"]},
    "another rate": {"plugin": "unet", "data": "masks", "overrides": ["lr=0.02", "batch_size=6"]},
    "epochs": {"plugin": "deeplabv3", "data": "voc", "overrides": {"train": {"epochs": 3}}},
    "dotted keys": {"plugin": "unet", "data": "shapes", "overrides": {"train.steps": 40, "train.seed": 3}},
}
SLOW = {*STARTS} - {"recipe"}
EACH_START = [pytest.param(how, marks=pytest.mark.slow) if how in SLOW else how for how in STARTS]
IMAGES = 100


def started(how: str, run: Path) -> RunSettings:
    """The settings of a run as it keeps them in its folder, when it has begun."""
    settings = resolve(**STARTS[how])
    if settings.train.batch_size is None:  # as the run chooses one by its images
        settings = settings.model_copy(update={"train": settings.train.model_copy(update={"batch_size": 8})})
    settings = with_length(settings, IMAGES)
    if settings.weights == "auto":
        settings = settings.model_copy(update={"weights": "imagenet"})
    run.mkdir(exist_ok=True)
    (run / CONFIG_FILE).write_text(settings.to_yaml())
    return settings


def another(key: str, value: Any, annotation: Any) -> Any:
    """A value that a setting does not have, of its type."""
    special = {
        "train.device": "cuda:3",
        "train.best_metric": "loss",
        "data.dir": "/elsewhere",
        "train.loggers": ["csv"],
        "evaluators.coco.iou_types": ["bbox"],
        "lr_batch_size": 999,
    }
    if key in special:
        return special[key]
    kinds = [annotation]
    while kinds:
        kind = kinds.pop(0)
        if get_origin(kind) in (Union, types.UnionType):
            kinds += [one for one in get_args(kind) if one is not type(None)]
        elif get_origin(kind) is Literal:
            return next(choice for choice in get_args(kind) if choice != value)
        elif kind is bool:
            return not value
        elif kind is int:
            return 2 * (value or 1)
        elif kind is float:
            return (value or 0.25) / 2
        elif kind is str:
            return "" if value else "val"
        elif get_origin(kind) is tuple:
            more = "another" if get_args(kind)[0] is str else 1000
            return [*(value or (more,)), more]
    raise AssertionError(f"{key}: say here what else it may be than {value!r}")


def value_of(settings: RunSettings, key: str) -> Any:
    for step in key.split("."):
        settings = getattr(settings, step)
    return settings


def changes(settings: RunSettings, allowed: bool) -> Iterator[tuple[str, Any]]:
    """Each setting of the schema that may change, or may not, with a value that it does not have."""
    for key, field in leaves(type(settings)):
        if may_change(key) == allowed and not key.startswith(
            ("plugin", "augment", "evaluators.coco.keypoint")
        ):
            yield key, another(key, value_of(settings, key), field.annotation)


def consistent(key: str, value: Any) -> dict[str, Any]:
    """A change with what it cannot do without."""
    return {key: value, **({"train.steps": None} if key == "train.epochs" else {})}


def differing(one: RunSettings, other: RunSettings) -> set[str]:
    return {key for key, _ in leaves(type(one)) if value_of(one, key) != value_of(other, key)}


@pytest.mark.parametrize("how", EACH_START)
def test_what_may_change_may_change_and_nothing_else_does(how: str, tmp_path: Path) -> None:
    """Given on the command line, or as a mapping to ``toolkit.train``: over the settings of the run."""
    before = started(how, tmp_path)
    tried = set()
    for key, value in changes(before, allowed=True):
        now = as_before(
            tmp_path, resolve(config=tmp_path / CONFIG_FILE, overrides={key: value}, resuming=True)
        )
        check_folder(tmp_path, now, resume=True)
        also = {"train.steps": {"train.epochs"}, "train.epochs": {"train.steps"}}.get(key, set())
        assert {key} <= differing(before, now) <= {key, *also}, key
        tried.add(key)
    assert {"train.steps", "train.workers", "train.patience", "train.devices", "train.eval_every"} <= tried
    assert any(key.startswith("evaluators.") for key in tried), "what only measures"


@pytest.mark.parametrize("how", EACH_START)
def test_the_same_command_with_one_word_more_goes_on(how: str, tmp_path: Path) -> None:
    """As from Python with ``toolkit.resolve``: all settings come from the recipe again."""
    before = started(how, tmp_path)
    start = STARTS[how]
    for key, value in changes(before, allowed=True):
        given = start.get("overrides", ())
        more: Any = {**given, **consistent(key, value)} if isinstance(given, Mapping) else None
        if more is None:
            words = [
                f"{name}={'null' if one is None else str(one).replace(' ', '')}"
                for name, one in consistent(key, value).items()
            ]
            more = [*given, *(word.replace("True", "true").replace("False", "false") for word in words)]
        if key in ("train.steps", "train.epochs") and "epochs" in str(given):
            continue  # the command would then name both
        now = as_before(tmp_path, resolve(**{**start, "overrides": more}))
        check_folder(tmp_path, now, resume=True)
        assert value_of(now, key) != value_of(before, key), key


@pytest.mark.parametrize("how", ["recipe", "defaults of sgd", "another rate"])
def test_what_may_not_change_is_refused_by_name(how: str, tmp_path: Path) -> None:
    before = started(how, tmp_path)
    tried = 0
    for key, value in changes_of_training(before):
        now = before.model_copy(update={"train": before.train.model_copy(update={key: value})})
        with pytest.raises(UsageError, match=rf"train\.{key} was .* and is now "):
            check_folder(tmp_path, now, resume=True)
        tried += 1
    assert tried > 12


def changes_of_training(settings: RunSettings) -> Iterator[tuple[str, Any]]:
    train = settings.train
    for name, field in type(train).model_fields.items():
        if not may_change(f"train.{name}") and name not in ("lr_factors", "freeze", "milestones"):
            yield name, another(name, getattr(train, name), field.annotation)


def test_a_rate_stated_for_the_batch_in_force_is_the_same_rate(tmp_path: Path) -> None:
    before = started("recipe", tmp_path)
    assert before.train.lr_batch_size is None
    stated = before.train.model_copy(update={"lr_batch_size": before.train.batch_size})
    check_folder(tmp_path, before.model_copy(update={"train": stated}), resume=True)
    other = before.train.model_copy(update={"lr_batch_size": before.train.batch_size * 2})
    with pytest.raises(UsageError, match="lr_batch_size"):
        check_folder(tmp_path, before.model_copy(update={"train": other}), resume=True)


def test_a_batch_of_another_size_scales_the_recipes_rate_and_nothing_else_does() -> None:
    recipe = resolve(plugin="unet", data="shapes")
    other = resolve(plugin="unet", data="shapes", overrides=["train.steps=7", "train.workers=0"])
    assert other.train.lr_batch_size is recipe.train.lr_batch_size is None
    larger = resolve(plugin="unet", data="shapes", overrides=[f"batch_size={2 * recipe.train.batch_size}"])
    assert math.isclose(larger.train.scaled_lr(), 2 * recipe.train.lr)
