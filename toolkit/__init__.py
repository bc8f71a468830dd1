"""A plugin-based toolkit for detection and segmentation.

``toolkit.train`` trains, ``toolkit.load(run).predict(image)`` predicts, ``toolkit.evaluate`` and
``toolkit.compare`` evaluate, ``toolkit.report`` shows what goes wrong, ``toolkit.predict_folder`` predicts
whole folders, ``toolkit.explain`` shows which pixels matter. The names below are imported on first use, so
that ``import toolkit`` is quick and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.config import ImageSettings, RunSettings, Settings, resolve
    from toolkit.data.dataset import Dataset, open_dataset
    from toolkit.evaluation.base import Evaluator
    from toolkit.evaluation.front import compare, evaluate
    from toolkit.evaluation.pairs import evaluate_panoptic
    from toolkit.evaluation.report import Report, Reports
    from toolkit.evaluation.run_figures import Comparison
    from toolkit.explaining.folder import explain_folder
    from toolkit.explaining.front import explain
    from toolkit.explaining.types import Explanation
    from toolkit.export.front import Exported, export_run
    from toolkit.inference import ImagePrediction, Predictor, Session, load
    from toolkit.inference.measurements import measure
    from toolkit.inference.panoptic import load_panoptic
    from toolkit.inference.pipeline import predict_folder
    from toolkit.models.capabilities import (
        Explainable,
        Exportable,
        Inspectable,
        Probabilistic,
        Promptable,
        Tileable,
        Trackable,
        Windowable,
    )
    from toolkit.models.contract import Model, TrainableModel
    from toolkit.models.graphs import Graph
    from toolkit.models.promptable import PromptableModel
    from toolkit.models.semantic import SemanticModel
    from toolkit.registry.manifests import DatasetManifest, EvaluatorManifest, PluginManifest, TaskManifest
    from toolkit.reporting.front import report
    from toolkit.training.front import train
    from toolkit.training.result import TrainResult
    from toolkit.types import (
        CONFIDENCE,
        VOID,
        Instances,
        Masks,
        PanopticMap,
        PixelMap,
        Prediction,
        Prompts,
        Sample,
        Segment,
        Target,
    )

__version__ = "0.1.0"

_HOMES = {
    "CONFIDENCE": "types",
    "VOID": "types",
    "Comparison": "evaluation.run_figures",
    "Dataset": "data.dataset",
    "DatasetManifest": "registry.manifests",
    "Evaluator": "evaluation.base",
    "EvaluatorManifest": "registry.manifests",
    "Explainable": "models.capabilities",
    "Explanation": "explaining.types",
    "Exportable": "models.capabilities",
    "Exported": "export.front",
    "Graph": "models.graphs",
    "ImagePrediction": "inference",
    "Inspectable": "models.capabilities",
    "Instances": "types",
    "Masks": "types",
    "Model": "models.contract",
    "PanopticMap": "types",
    "PixelMap": "types",
    "PluginManifest": "registry.manifests",
    "Prediction": "types",
    "Predictor": "inference",
    "Probabilistic": "models.capabilities",
    "Promptable": "models.capabilities",
    "PromptableModel": "models.promptable",
    "Prompts": "types",
    "Report": "evaluation.report",
    "Reports": "evaluation.report",
    "ImageSettings": "config",
    "RunSettings": "config",
    "Sample": "types",
    "Segment": "types",
    "SemanticModel": "models.semantic",
    "Session": "inference",
    "Settings": "config",
    "Target": "types",
    "TaskManifest": "registry.manifests",
    "Tileable": "models.capabilities",
    "Trackable": "models.capabilities",
    "TrainResult": "training.result",
    "TrainableModel": "models.contract",
    "Windowable": "models.capabilities",
    "compare": "evaluation.front",
    "evaluate": "evaluation.front",
    "evaluate_panoptic": "evaluation.pairs",
    "explain": "explaining.front",
    "explain_folder": "explaining.folder",
    "export_run": "export.front",
    "load": "inference",
    "load_panoptic": "inference.panoptic",
    "measure": "inference.measurements",
    "open_dataset": "data.dataset",
    "predict_folder": "inference.pipeline",
    "report": "reporting.front",
    "resolve": "config",
    "train": "training.front",
}

__all__ = [
    "CONFIDENCE",
    "VOID",
    "Comparison",
    "Dataset",
    "DatasetManifest",
    "Evaluator",
    "EvaluatorManifest",
    "Explainable",
    "Explanation",
    "Exportable",
    "Exported",
    "Graph",
    "ImagePrediction",
    "ImageSettings",
    "Inspectable",
    "Instances",
    "Masks",
    "Model",
    "PanopticMap",
    "PixelMap",
    "PluginManifest",
    "Prediction",
    "Predictor",
    "Probabilistic",
    "Promptable",
    "PromptableModel",
    "Prompts",
    "Report",
    "Reports",
    "RunSettings",
    "Sample",
    "Segment",
    "SemanticModel",
    "Session",
    "Settings",
    "Target",
    "TaskManifest",
    "Tileable",
    "Trackable",
    "TrainResult",
    "TrainableModel",
    "Windowable",
    "compare",
    "evaluate",
    "evaluate_panoptic",
    "explain",
    "explain_folder",
    "export_run",
    "load",
    "load_panoptic",
    "measure",
    "open_dataset",
    "predict_folder",
    "report",
    "resolve",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"toolkit.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
