"""Every plugin, dataset and evaluator that is built in keeps its contract, and none is left out."""

from __future__ import annotations

import unittest
from functools import cache
from typing import Any

import pytest
from support.small_settings import CANNOT, EVALUATORS, FOLDERS, MODELS, dataset_case

from toolkit import registry
from toolkit.registry.manifests import Manifest
from toolkit.testing import (
    DATASET_CHECKS,
    EVALUATOR_CHECKS,
    MODEL_CHECKS,
    TASK_CHECKS,
    DatasetCase,
    ModelCase,
    TaskCase,
)
from toolkit.testing.checks import check_declared

NOT_FOR = {
    "semantic": {"masks_and_boxes_agree", "prompts_are_answered", "objects_are_tracked"},
    "instance": {
        "prompts_are_answered",
        "objects_are_tracked",
        "windows_give_the_prediction",
        "confidence_is_of_the_prediction",
        "network_takes_its_input",
    },
    "classification": {
        "masks_and_boxes_agree",
        "prompts_are_answered",
        "objects_are_tracked",
        "windows_give_the_prediction",
        "confidence_is_of_the_prediction",
    },
    "promptable": {
        "windows_give_the_prediction",
        "confidence_is_of_the_prediction",
        "network_takes_its_input",
    },
}
"""The checks that say nothing about a model of this task."""


def built_in(found: registry.Registry[Any]) -> list[Manifest]:
    return [manifest for manifest in found if manifest.module.startswith("toolkit.")]


DATASETS = sorted([*FOLDERS, "shapes"])


@cache
def model_case(name: str) -> ModelCase:
    """One for all checks of a plugin, so that it is trained once."""
    return MODELS[name]


@pytest.fixture(scope="module")
def dataset_cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DatasetCase]:
    return {name: dataset_case(name, tmp_path_factory.mktemp(name)) for name in DATASETS}


def test_nothing_is_left_out() -> None:
    """Whoever adds a plugin, dataset or evaluator adds small settings for it to
    tests/support/small_settings.py.
    """
    assert sorted(MODELS) == [manifest.name for manifest in built_in(registry.plugins())]
    assert sorted(EVALUATORS) == [manifest.name for manifest in built_in(registry.evaluators())]
    assert [manifest.name for manifest in built_in(registry.datasets())] == DATASETS
    assert (len(MODEL_CHECKS), len(DATASET_CHECKS), len(EVALUATOR_CHECKS)) == (33, 11, 10)


@pytest.mark.parametrize("check", MODEL_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", MODELS)
def test_plugin(name: str, check: Any) -> None:
    case = model_case(name)
    if missing := case.manifest.missing_requirements():
        pytest.skip(f"needs {', '.join(missing)}")
    declared = check_declared(MODEL_CHECKS, {**case.manifest.cannot, **CANNOT.get(name, {})}, name)
    if check.__name__ in declared:
        pytest.skip(declared[check.__name__])
    if check.__name__ in NOT_FOR[case.manifest.task]:
        with pytest.raises(unittest.SkipTest):
            check(case)
        return
    check(case)


@pytest.mark.parametrize("check", DATASET_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", DATASETS)
def test_dataset(name: str, check: Any, dataset_cases: dict[str, DatasetCase]) -> None:
    case = dataset_cases[name]
    if check.__name__ in case.manifest.cannot:
        pytest.skip(case.manifest.cannot[check.__name__])
    check(case)


@pytest.mark.parametrize("check", EVALUATOR_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(EVALUATORS))
def test_evaluator(name: str, check: Any) -> None:
    check(EVALUATORS[name])


@pytest.mark.parametrize("check", TASK_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["semantic", "instance", "promptable", "panoptic", "classification"])
def test_task(name: str, check: Any) -> None:
    assert name in registry.tasks().names()
    check(TaskCase(name))
