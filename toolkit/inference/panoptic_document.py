"""``panoptic.json``: the segments of all images of a folder, in the format of COCO's panoptic results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.errors import DataError
from toolkit.formats.coco_panoptic import panoptic_categories
from toolkit.formats.panoptic_results import PANOPTIC_FILE
from toolkit.reading.json_text import load_json
from toolkit.runtime.files import atomic_write


def write_document(folder: Path, records: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Write ``panoptic.json``, whose PNGs are in ``panoptic/``; images count from 1 and categories as in
    ``predictions.json``.

    Args:
        folder: the folder of the results.
        records: the records of the images that are done, from their manifest.
        about: the contents of ``about.json``; ``things`` of its ``model`` lists the thing classes.

    Raises:
        DataError: when the file of an image can no longer be read.
        OutputError: when the file cannot be written.
    """
    images, annotations = [], []
    for number, record in enumerate(records, start=1):
        outputs = record["outputs"]
        if "panoptic" not in outputs or "segments" not in outputs:
            continue
        height, width = record["size"]
        images.append({"id": number, "file_name": record["image"], "width": width, "height": height})
        segments = load_json(folder / outputs["segments"], "the segments of an image", DataError)
        picture = outputs["panoptic"].removeprefix(f"{Path(PANOPTIC_FILE).stem}/")
        annotations.append({"image_id": number, "file_name": picture, "segments_info": segments})
    things = dict(about.get("model") or {}).get("things", ())
    document = {
        "info": {key: value for key, value in about.items() if key != "classes"},
        "images": images,
        "categories": panoptic_categories(about["classes"], things),
        "annotations": annotations,
    }
    with atomic_write(folder / PANOPTIC_FILE, "w") as file:
        json.dump(document, file)
