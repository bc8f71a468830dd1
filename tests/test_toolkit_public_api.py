"""The names that scripts and plugins rely on. A change here is a change of the interface: say so in the
changelog.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

import toolkit

PUBLIC = [
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


def test_the_public_names_are_these() -> None:
    assert toolkit.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_imported_and_is_documented(name: str) -> None:
    value = getattr(toolkit, name)
    if name not in ("CONFIDENCE", "VOID"):
        assert value.__name__ == name
        assert value.__doc__


def test_what_is_public_shows_in_dir() -> None:
    code = (
        "import toolkit; print(sorted(set(toolkit.__all__) - set(dir(toolkit))), '__version__' in"
        " dir(toolkit))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'toolkit' has no attribute 'Modell'"):
        _ = toolkit.Modell
    with pytest.raises(ImportError):
        from toolkit import Modell  # noqa: F401


@pytest.mark.parametrize(
    "statement", ["import toolkit", "from toolkit import PluginManifest, DatasetManifest, EvaluatorManifest"]
)
def test_importing_the_package_brings_no_torch(statement: str) -> None:
    code = (
        f"{statement}; import sys; print(sorted({{'torch', 'numpy', 'cv2', 'pydantic', 'yaml'}} &"
        " set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_names_come_on_first_use() -> None:
    code = (
        "import toolkit, sys; before = 'torch' in sys.modules; toolkit.Sample; print(before, 'torch' in"
        " sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"
