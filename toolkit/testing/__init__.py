"""Conformance checks for plugins, datasets, evaluators and tasks, for pytest and for ``toolkit plugins
check``.
"""

from toolkit.testing.checks import Result, run_checks
from toolkit.testing.contracts import DatasetContract, EvaluatorContract, ModelContract
from toolkit.testing.dataset_checks import DatasetCase
from toolkit.testing.evaluator_checks import EvaluatorCase
from toolkit.testing.model_case import ModelCase
from toolkit.testing.suites import DATASET_CHECKS, EVALUATOR_CHECKS, MODEL_CHECKS, TASK_CHECKS
from toolkit.testing.task_checks import TaskCase

__all__ = [
    "DATASET_CHECKS",
    "EVALUATOR_CHECKS",
    "MODEL_CHECKS",
    "TASK_CHECKS",
    "DatasetCase",
    "DatasetContract",
    "EvaluatorCase",
    "EvaluatorContract",
    "ModelCase",
    "ModelContract",
    "Result",
    "TaskCase",
    "run_checks",
]
