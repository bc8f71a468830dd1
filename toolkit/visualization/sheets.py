"""Contact sheets: image, truth and prediction side by side, and below them what the colors mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import cv2
import numpy as np
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.types import Prediction, Sample
from toolkit.visualization.drawing import overlay, rgb, write_picture
from toolkit.visualization.labels import BLACK, Lettering, Picture
from toolkit.visualization.palettes import Palette, full_palette
from toolkit.visualization.scaling import scale_image, scale_labeled

_SHEET_LETTERS = 10  # height of the names of objects on contact sheets, in pixels

Row: TypeAlias = "tuple[Tensor, Sample | Prediction | None, Prediction | Sample]"
"""An image (uint8 ``[3, H, W]``), its truth if known, and its prediction."""

Cell: TypeAlias = "tuple[Tensor, Sample | Prediction | None]"
"""An image (uint8 ``[3, H, W]``), and what is drawn over it."""


def contact_sheet(
    rows: Sequence[Row],
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str],
    palette: Palette,
    titles: Sequence[str] = (),
    cell: int = 320,
) -> Picture:
    """Write one picture: one row per image with the image, the truth and the prediction, and below them what
    the colors mean.

    Args:
        rows: what to show; the truth column is left out if no row has a truth.
        path: the picture to write; its suffix determines the format.
        classes: names for the legend and the objects.
        palette: one RGB color per class.
        titles: a caption for each row.
        cell: width of a column in pixels; an image keeps its proportions and is at most as high.

    Returns:
        The picture.

    Raises:
        UsageError: when there are no rows, or not as many titles as rows.
        OutputError: when the file cannot be written.
    """
    with_truth = any(truth is not None for _, truth, _ in rows)
    names = ["image", "truth", "prediction"] if with_truth else ["image", "prediction"]
    cells: list[list[Cell | None]] = []
    for image, truth, prediction in rows:
        shown = _alike(truth, prediction)
        middle: list[Cell | None] = [(image, shown) if shown is not None else None] if with_truth else []
        cells.append([(image, None), *middle, (image, prediction)])
    return grid_sheet(names, cells, path, classes=classes, palette=palette, titles=titles, cell=cell)


def grid_sheet(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell | None]],
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str],
    palette: Palette,
    titles: Sequence[str] = (),
    subtitles: Sequence[str] = (),
    cell: int = 320,
) -> Picture:
    """Write one picture of images in rows and columns, and below them what the colors mean, if there are
    classes.

    Args:
        columns: the captions above.
        rows: for each column an image with what is drawn over it, or None for an empty cell.
        path, classes, palette, titles, cell: as in ``contact_sheet``.
        subtitles: a second line below each title; empty ones are left out.

    Raises:
        UsageError: when there are no rows, or not as many titles as rows.
        OutputError: when the file cannot be written.
    """
    if not rows or len(titles) not in (0, len(rows)):
        raise UsageError(
            f"a contact sheet needs rows and a title for each or none; it got {len(rows)} rows and"
            f" {len(titles)} titles"
        )
    lettering, gap = Lettering(max(11, cell // 22)), max(4, cell // 40)
    width = gap + len(columns) * (cell + gap)
    strips = [_caption_strip(columns, cell, gap, lettering)]
    for i, row in enumerate(rows):
        if titles:
            strips.append(_text_strip(titles[i], width, gap, lettering))
        if i < len(subtitles) and subtitles[i]:
            strips.append(_text_strip(subtitles[i], width, gap, lettering)[gap:])
        strips.append(_picture_strip(row, classes, palette, cell, gap))
    if classes:
        strips.append(_legend(classes, palette, width, gap, lettering))
    picture = np.concatenate(strips)
    write_picture(path, picture)
    return picture


@dataclass(frozen=True)
class SheetPart:
    """A part of a sheet that shows several models.

    Attributes:
        title: the title above it.
        rows: images, each with its truth and its prediction.
        classes: names of the objects.
        palette: one RGB color per class.
    """

    title: str
    rows: Sequence[Row]
    classes: Sequence[str]
    palette: Palette


def parts_sheet(parts: Sequence[SheetPart], path: str | os.PathLike[str], *, cell: int = 320) -> Picture:
    """Write one picture with the parts below each other: image, truth and prediction, without a legend.

    Args:
        parts: from top to bottom.
        path: the picture to write; its suffix determines the format.
        cell: width of a column in pixels.

    Returns:
        The picture.

    Raises:
        UsageError: when there is no part, or a part has no rows.
        OutputError: when the file cannot be written.
    """
    if not parts or not all(part.rows for part in parts):
        raise UsageError(
            f"a sheet needs parts with rows; it got parts of {[len(p.rows) for p in parts]} rows"
        )
    lettering, gap = Lettering(max(11, cell // 22)), max(4, cell // 40)
    strips = [_caption_strip(["image", "truth", "prediction"], cell, gap, lettering)]
    for part in parts:
        strips.append(_text_strip(part.title, gap + 3 * (cell + gap), gap, lettering))
        for image, truth, prediction in part.rows:
            cells: list[Cell | None] = [
                (image, None),
                (image, _alike(truth, prediction)),
                (image, prediction),
            ]
            strips.append(_picture_strip(cells, part.classes, part.palette, cell, gap))
    picture = np.concatenate(strips)
    write_picture(path, picture)
    return picture


def _alike(truth: Sample | Prediction | None, prediction: Prediction | Sample) -> Sample | Prediction | None:
    """If the truth has both, only what the prediction has: objects are not comparable to a label map."""
    if truth is None or truth.instances is None or truth.label_map is None:
        return truth
    if prediction.instances is None:
        return replace(truth, instances=None)
    return replace(truth, label_map=None) if prediction.label_map is None else truth


def _blank(height: int, width: int) -> Picture:
    return np.full((height, width, 3), 255, np.uint8)


def _text_strip(text: str, width: int, gap: int, lettering: Lettering) -> Picture:
    strip = _blank(lettering.height + 2 * gap, width)
    lettering.write(strip, lettering.shortened(text, width - 2 * gap), gap, gap + lettering.height, BLACK)
    return strip


def _caption_strip(names: Sequence[str], cell: int, gap: int, lettering: Lettering) -> Picture:
    return np.concatenate(
        [_text_strip(name, cell + gap, gap, lettering) for name in names]
        + [_blank(lettering.height + 2 * gap, gap)],
        axis=1,
    )


def _picture_strip(
    row: Sequence[Cell | None], classes: Sequence[str], palette: Palette, cell: int, gap: int
) -> Picture:
    pictures = [None if each is None else _fitted(*each, classes, palette, cell) for each in row]
    strip = _blank(
        max(picture.shape[0] for picture in pictures if picture is not None) + gap,
        gap + len(row) * (cell + gap),
    )
    for column, picture in enumerate(pictures):
        if picture is not None:
            x = gap + column * (cell + gap)
            strip[: picture.shape[0], x : x + picture.shape[1]] = picture
    return strip


def _fitted(
    image: Tensor, labeled: Sample | Prediction | None, classes: Sequence[str], palette: Palette, cell: int
) -> Picture:
    """An image with what is known about it, in its own proportions, as large as a cell allows.

    It is scaled first and drawn on afterwards, so that lines and names are sharp whatever the size of the
    image.
    """
    height, width = image.shape[1:]
    scale = min(cell / width, cell / height)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    fitted = scale_image(image, size)
    if labeled is None:
        return fitted.permute(1, 2, 0).numpy()
    return overlay(fitted, scale_labeled(labeled, size), classes, palette, letter_height=_SHEET_LETTERS)


def _legend(classes: Sequence[str], palette: Palette, width: int, gap: int, lettering: Lettering) -> Picture:
    """Patches of color with their names, in as many lines as needed."""
    colors, patch, pitch = full_palette(palette), lettering.height, lettering.height + 2 * gap
    places: list[tuple[int, int, str]] = []
    x, y = gap, gap
    for name in classes:
        name = lettering.shortened(name, width - patch - 3 * gap)
        needed = patch + 3 * gap + lettering.width(name)
        if x > gap and x + needed > width:
            x, y = gap, y + pitch
        places.append((x, y, name))
        x += needed
    strip = _blank(y + pitch, width)
    for index, (x, y, name) in enumerate(places):
        cv2.rectangle(strip, (x, y), (x + patch - 1, y + patch - 1), rgb(colors[index]), cv2.FILLED)
        cv2.rectangle(strip, (x, y), (x + patch - 1, y + patch - 1), BLACK, 1)
        lettering.write(strip, name, x + patch + gap, y + patch - 1, BLACK)
    return strip
