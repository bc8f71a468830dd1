"""Writes objects in the formats of CVAT and Label Studio, in the way of ``toolkit.formats.writers``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from toolkit.data.dataset import Dataset
from toolkit.errors import DataError
from toolkit.formats.brush import encode_brush
from toolkit.formats.cvat_masks import encode_cvat_mask
from toolkit.formats.label_studio_shapes import in_pixels
from toolkit.formats.regions import Polygon, Region
from toolkit.formats.writers import Writer, dense, tight_box, write_json
from toolkit.runtime.files import atomic_write
from toolkit.types import Masks, Size

CVAT_FILE, TASKS_FILE, CONFIG_FILE = "annotations.xml", "tasks.json", "config.xml"


class CvatWriter(Writer):
    """``SPLIT/annotations.xml`` as CVAT exports it, beside ``SPLIT/images/``; several polygons of an object
    share a ``group_id``, and objects that are not polygons are written as masks.
    """

    opens_with = "cvat"

    def __init__(self, dataset: Dataset, split: str, folder: Any) -> None:
        super().__init__(dataset, split, folder)
        self.images = f"{split}/images"
        self._parts: list[str] = []
        _check_text(self.classes)

    def add(self, sample_id: str, file_name: str, size: Size, regions: Sequence[Region]) -> None:
        """Collect the element of the image."""
        _check_text([file_name])
        number = len(self._parts)
        lines = [
            f'  <image id="{number}" name={quoteattr(file_name)} width="{size[1]}" height="{size[0]}">',
            *(
                line
                for place, region in enumerate(regions, start=1)
                for line in self._shapes(region, place, size)
            ),
            "  </image>",
        ]
        self._parts.append("\n".join(lines))

    def _shapes(self, region: Region, number: int, size: Size) -> list[str]:
        common = f'label={quoteattr(self.classes[region.label])} source="manual" occluded="0" z_order="0"'
        if region.polygons:
            group = f' group_id="{number}"' if len(region.polygons) > 1 else ""
            return [
                f'    <polygon {common}{group} points="{_pairs(part)}"></polygon>' for part in region.polygons
            ]
        x0, y0, x1, y1 = tight_box(region, size)
        if not region.has_mask:
            return [f'    <box {common} xtl="{x0!r}" ytl="{y0!r}" xbr="{x1!r}" ybr="{y1!r}"></box>']
        left, top, right, bottom = map(int, (x0, y0, x1, y1))
        rle = ", ".join(map(str, encode_cvat_mask(dense(region, size)[top:bottom, left:right])))
        place = f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'
        return [f'    <mask {common} rle="{rle}" {place}></mask>']

    def finish(self) -> None:
        """Write the file."""
        labels = "".join(
            f"<label><name>{escape(name)}</name><type>any</type><attributes></attributes></label>"
            for name in self.classes
        )
        meta = (
            f"  <meta><task><name>{escape(self.split)}</name><size>{len(self._parts)}</size>"
            f"<mode>annotation</mode><labels>{labels}</labels></task></meta>"
        )
        head = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>", meta]
        with atomic_write(self.folder / self.split / CVAT_FILE, "w") as file:
            file.write("\n".join([*head, *self._parts, "</annotations>", ""]))


def _pairs(flat: Polygon) -> str:
    return ";".join(
        f"{x!r},{y!r}" for x, y in zip(map(float, flat[::2]), map(float, flat[1::2]), strict=True)
    )


def _check_text(names: Sequence[str]) -> None:
    """Refuse names that XML cannot hold.

    Raises:
        DataError: names the first.
    """
    for name in names:
        if re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", name):
            raise DataError(
                f"the name {name!r} has a character that XML cannot hold. Hint: rename it, or choose another"
                " format"
            )


class LabelStudioWriter(Writer):
    """``SPLIT/tasks.json`` as Label Studio exports and imports it, beside ``SPLIT/images/``, and the labeling
    configuration ``config.xml``. An object that is not one polygon is written as a mask of the brush.
    """

    opens_with = "label-studio"

    def __init__(self, dataset: Dataset, split: str, folder: Any) -> None:
        super().__init__(dataset, split, folder)
        self.images = f"{split}/images"
        self._tasks: list[dict[str, Any]] = []
        _check_text(self.classes)

    def add(self, sample_id: str, file_name: str, size: Size, regions: Sequence[Region]) -> None:
        """Collect the task of the image."""
        results = [
            {
                "id": f"object{number}",
                "to_name": "image",
                "original_width": size[1],
                "original_height": size[0],
                "image_rotation": 0,
                **self._shape(region, size),
            }
            for number, region in enumerate(regions)
        ]
        number = len(self._tasks) + 1
        self._tasks.append(
            {
                "id": number,
                "data": {"image": f"/data/local-files/?d={quote(f'{self.images}/{file_name}')}"},
                "annotations": [{"id": number, "result": results, "was_cancelled": False}],
            }
        )

    def _shape(self, region: Region, size: Size) -> dict[str, Any]:
        names = [self.classes[region.label]]
        if not region.has_mask:
            value = {**box_value(tight_box(region, size), size), "rectanglelabels": names}
            return {"type": "rectanglelabels", "from_name": "rectangle", "value": value}
        counts = region.counts(size)
        if len(region.polygons) == 1:
            found = _result_of_polygon(region.polygons[0], size, names)
            again = in_pixels([value for point in found["value"]["points"] for value in point], size)
            if Masks.from_polygons([[again]], size).counts[0] == counts:
                return found
        return {
            "type": "brushlabels",
            "from_name": "brush",
            "value": {"format": "rle", "rle": encode_brush(dense(region, size)), "brushlabels": names},
        }

    def finish(self) -> None:
        """Write the tasks and the configuration."""
        write_json(self.folder / self.split / TASKS_FILE, self._tasks)
        with atomic_write(self.folder / CONFIG_FILE, "w") as file:
            file.write(config_text(self.classes))


def box_value(box: Sequence[float], size: Size) -> dict[str, float]:
    """A box in pixels as the value of a rectangle of Label Studio, in percentages, without its label."""
    x0, y0, x1, y1 = (100 * value / size[1 - index % 2] for index, value in enumerate(box))
    return {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0}


def _result_of_polygon(flat: Polygon, size: Size, names: list[str]) -> dict[str, Any]:
    """A polygon as a result of ``PolygonLabels``."""
    points = [[100 * x / size[1], 100 * y / size[0]] for x, y in zip(flat[::2], flat[1::2], strict=True)]
    value = {"points": points, "closed": True, "polygonlabels": names}
    return {"type": "polygonlabels", "from_name": "polygon", "value": value}


def config_text(classes: Sequence[str]) -> str:
    """A labeling configuration with a brush, polygons and rectangles of these classes."""
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in classes)
    tags = ("brush", "BrushLabels"), ("polygon", "PolygonLabels"), ("rectangle", "RectangleLabels")
    controls = "".join(f'  <{tag} name="{name}" toName="image">\n{labels}  </{tag}>\n' for name, tag in tags)
    return f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n{controls}</View>\n'
