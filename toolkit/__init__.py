"""A plugin-based toolkit for detection and segmentation.

``toolkit.load(run).predict(image)`` predicts with a trained model. The names below are imported on first use,
so that ``import toolkit`` is quick and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.config import Settings, resolve
    from toolkit.data.dataset import Dataset
    from toolkit.evaluation.base import Evaluator
    from toolkit.evaluation.report import Report
    from toolkit.inference import load
    from toolkit.models.capabilities import Inspectable, Promptable, Tileable, Trackable
    from toolkit.models.contract import Model, TrainableModel
    from toolkit.models.promptable import PromptableModel
    from toolkit.models.semantic import SemanticModel
    from toolkit.registry.manifests import DatasetManifest, EvaluatorManifest, PluginManifest, TaskManifest
    from toolkit.training.loop import train
    from toolkit.types import VOID, Instances, Masks, PixelMap, Prediction, Prompts, Sample

__version__ = "0.1.0"

_HOMES = {
    "VOID": "types",
    "Dataset": "data.dataset",
    "DatasetManifest": "registry.manifests",
    "Evaluator": "evaluation.base",
    "EvaluatorManifest": "registry.manifests",
    "Inspectable": "models.capabilities",
    "Instances": "types",
    "Masks": "types",
    "Model": "models.contract",
    "PixelMap": "types",
    "PluginManifest": "registry.manifests",
    "Prediction": "types",
    "Promptable": "models.capabilities",
    "PromptableModel": "models.promptable",
    "Prompts": "types",
    "Report": "evaluation.report",
    "Sample": "types",
    "SemanticModel": "models.semantic",
    "Settings": "config",
    "TaskManifest": "registry.manifests",
    "Tileable": "models.capabilities",
    "Trackable": "models.capabilities",
    "TrainableModel": "models.contract",
    "load": "inference",
    "resolve": "config",
    "train": "training.loop",
}

__all__ = [
    "VOID",
    "Dataset",
    "DatasetManifest",
    "Evaluator",
    "EvaluatorManifest",
    "Inspectable",
    "Instances",
    "Masks",
    "Model",
    "PixelMap",
    "PluginManifest",
    "Prediction",
    "Promptable",
    "PromptableModel",
    "Prompts",
    "Report",
    "Sample",
    "SemanticModel",
    "Settings",
    "TaskManifest",
    "Tileable",
    "Trackable",
    "TrainableModel",
    "load",
    "resolve",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"toolkit.{_HOMES[name]}"), name)
