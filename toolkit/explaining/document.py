"""The document of a folder of explanations, ``explanations.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import toolkit
from toolkit.data.image_files import EXPLANATIONS, RESULT_MANIFEST
from toolkit.errors import DataError, UsageError
from toolkit.explaining.types import Explanation
from toolkit.inference.predictor import Predictor
from toolkit.reading.files import is_there
from toolkit.reading.json_text import load_json
from toolkit.runtime.files import atomic_write
from toolkit.types import Target

if TYPE_CHECKING:
    from toolkit.explaining.front import Explainer


NOTHING_SHOWN = "the map has no values above 0, so it shows nothing"


def check_free(folder: Path) -> None:
    """Check that a folder contains no results yet; those of a command that was stopped do not count.

    Raises:
        UsageError: when it does.
    """
    if is_there(folder / RESULT_MANIFEST):
        raise UsageError(
            f"{folder} contains results of toolkit infer. Hint: choose another folder with --out"
        )
    path = folder / EXPLANATIONS
    if not is_there(path):
        return
    try:
        content = load_json(path, "explanations", DataError)
    except DataError:
        content = None
    unfinished = isinstance(content, dict) and content.get("finished") is False
    if not unfinished:
        raise UsageError(
            f"{folder} already contains explanations. Hint: choose another folder with --out, or remove them"
        )


def about_explanations(predictor: Predictor, explainer: Explainer | None = None) -> dict[str, Any]:
    """What the document says about the model and the method."""
    about: dict[str, Any] = {
        "toolkit": toolkit.__version__,
        "model": {"name": predictor.name, **predictor.about},
        "classes": list(predictor.classes),
        "precision": predictor.precision,
    }
    if explainer is not None:
        about |= {"method": explainer.method.name, "layer": explainer.layer}
        about |= {"effort": asdict(explainer.effort)}
    return about


def entry_of(explanation: Explanation, classes: Sequence[str]) -> dict[str, Any]:
    """What the document says about the explanation of one image, without its files. ``peak`` is x and y of
    the most important pixel, ``range`` the smallest and the largest value of the map. A map without values
    above 0 has a ``note``.
    """
    row, column = explanation.peak
    note = {} if bool((explanation.map > 0).any()) else {"note": NOTHING_SHOWN}
    return note | {
        "method": explanation.method,
        "target": target_document(explanation.target, classes),
        "layer": explanation.layer,
        "score": explanation.score,
        "range": [float(explanation.map.min()), float(explanation.map.max())],
        "peak": [column, row],
        "figures": dict(explanation.figures),
    }


def target_document(target: Target, classes: Sequence[str]) -> dict[str, Any]:
    """A target as plain values; masks are left out."""
    found: dict[str, Any] = {"kind": target.kind}
    if target.label is not None:
        found["class"] = _name(target.label, classes)
    if target.kind == "object":
        assert target.box_xyxy is not None  # a Target checks it
        found |= {"object": target.number, "part": target.part, "box": target.box_xyxy.tolist()}
    if target.prompts is not None:
        prompts = target.prompts
        found |= {} if prompts.points_xy is None else {"points": prompts.points_xy[0].tolist()}
        found |= {} if prompts.boxes_xyxy is None else {"box": prompts.boxes_xyxy[0].tolist()}
    if target.mask is not None:
        found["pixels"] = int(target.mask.sum())
    return found


def target_words(target: Target, classes: Sequence[str]) -> str:
    """A target in a few words."""
    name = "" if target.label is None else _name(target.label, classes)
    if target.kind == "object":
        number = "" if target.number is None else f" {target.number}"
        return f"object{number} ({name}){', its mask' if target.part == 'mask' else ''}"
    if target.kind == "prompt":
        return "answer to the prompt"
    return f"region of {name}" if target.kind == "region" else name


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if label < len(classes) else str(label)


def write_document(
    folder: Path, about: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], *, finished: bool
) -> None:
    """Write the document; what is undefined becomes null.

    Raises:
        OutputError: when it cannot be written.
    """
    content = {**about, "finished": finished, "images": list(entries)}
    with atomic_write(folder / EXPLANATIONS, "w") as file:
        json.dump(_defined(content), file, indent=2, allow_nan=False)
        file.write("\n")


def _defined(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _defined(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_defined(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
