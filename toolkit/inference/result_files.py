"""The files of one prediction, as written by the toolkit's own tasks."""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.data.label_maps import write_label_map
from toolkit.data.segments import PANOPTIC
from toolkit.formats.coco_panoptic import segment_records, write_panoptic_png
from toolkit.inference.coco_documents import coco_annotations
from toolkit.runtime.files import atomic_write
from toolkit.types import Prediction
from toolkit.visualization.palettes import Palette


def write_labels(prediction: Prediction, folder: Path, stem: str, palette: Palette) -> dict[str, str]:
    """Write a label map as a PNG of class indexes, with the classes' colors as its palette.

    Raises:
        OutputError: when the file cannot be written.
    """
    if prediction.label_map is None:
        return {}
    path = f"labels/{stem}.png"
    write_label_map(folder / path, prediction.label_map, palette)
    return {"label_map": path}


def write_objects(prediction: Prediction, folder: Path, stem: str, palette: Palette) -> dict[str, str]:
    """Write objects as JSON, each as in COCO results.

    Raises:
        OutputError: when the file cannot be written.
    """
    if prediction.instances is None:
        return {}
    path = f"instances/{stem}.json"
    with atomic_write(folder / path, "w") as file:
        json.dump(coco_annotations(prediction.instances), file)
    return {"instances": path}


def write_segments(prediction: Prediction, folder: Path, stem: str, palette: Palette) -> dict[str, str]:
    """Write segments as COCO does: a PNG whose colors are their ids, and a JSON file that describes them.

    Raises:
        OutputError: when a file cannot be written.
    """
    panoptic = prediction.get(PANOPTIC)
    if panoptic is None:
        return {}
    picture, records = f"panoptic/{stem}.png", f"panoptic/{stem}.json"
    ids = write_panoptic_png(folder / picture, panoptic, palette)
    with atomic_write(folder / records, "w") as file:
        json.dump(segment_records(panoptic, ids), file)
    return {"panoptic": picture, "segments": records}
