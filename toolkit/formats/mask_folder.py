"""The ``masks`` layout: a folder of images, a folder of label images, and a list of classes. Read by
``datasets/masks``, written here.

::

    classes.txt           one class per line, in the order of the values; a color may follow: "grass 0 128 0"
    images/ID.png         any image format; subfolders are kept
    labels/ID.png         one value per pixel (gray or palette), or the colors of classes.txt
    instances/ID.png      optional: object ids, 0 = none; 8 or 16 bits
    train.txt, val.txt    optional: the ids of each split, one per line
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from toolkit.data.dataset import Dataset
from toolkit.data.label_maps import write_id_map, write_label_map
from toolkit.errors import DataError, OutputError
from toolkit.formats.label_images import Color, id_map_from_instances
from toolkit.reading.files import read_text
from toolkit.runtime.confine import check_distinct, check_name
from toolkit.runtime.files import atomic_write, into, sync_files
from toolkit.types import Sample
from toolkit.visualization.palettes import default_palette

VOID_NAME = "void"
_LINE = re.compile(r"(?P<name>.*\S)\s+(?P<red>\d{1,3})[\s,]+(?P<green>\d{1,3})[\s,]+(?P<blue>\d{1,3})")


@dataclass(frozen=True)
class ClassLine:
    """One line of a list of classes: a name and optionally a color. The name ``void`` stands for no class."""

    name: str
    color: Color | None = None


def read_classes(path: Path) -> tuple[ClassLine, ...]:
    """Read a list of classes: one name per line, which may be followed by red, green and blue. Empty lines
    are skipped.

    Raises:
        DataError: when the file cannot be read, is empty, lists a class or color twice, or has a color
            component above 255.
    """
    text = read_text(path, "one class name per line", DataError)
    lines = [_parse(line.strip(), path) for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(
            f"{path} is empty. Hint: write one class name per line, in the order of the label values"
        )
    for what, values in (
        ("class", [line.name for line in lines]),
        ("color", [str(line.color) for line in lines if line.color]),
    ):
        double = next((value for value in values if values.count(value) > 1), None)
        if double is not None:
            raise DataError(
                f"{path} has the {what} {double} twice. Hint: give every class its own line and its own color"
            )
    if len({line.name for line in lines} - {VOID_NAME}) > 255:
        raise DataError(f"{path} lists {len(lines)} classes; a label map can have at most 255")
    return tuple(lines)


def _parse(line: str, path: Path) -> ClassLine:
    match = _LINE.fullmatch(line)
    if match is None:
        return ClassLine(line)
    color = (int(match["red"]), int(match["green"]), int(match["blue"]))
    if max(color) > 255:
        raise DataError(f"{path} gives {match['name']!r} the color {color}; each component must be 0…255")
    return ClassLine(match["name"], color)


def write_classes(path: Path, classes: Sequence[str], palette: Sequence[Color] | None) -> None:
    """Write a list of classes that ``read_classes`` reads back.

    A name that ends in three numbers would be read as a name with a color, so colors are written if there is
    such a name.

    Raises:
        DataError: when a name in such a list would be mistaken for something else.
        OutputError: when the file cannot be written.
    """
    if palette is None and any(map(_LINE.fullmatch, classes)):
        palette = default_palette(len(classes))
    wanted = [
        ClassLine(name, None if palette is None else palette[index]) for index, name in enumerate(classes)
    ]
    lines = [_line(each) for each in wanted]
    for each, line in zip(wanted, lines, strict=True):
        if each.name == VOID_NAME or line != line.strip() or len(line.splitlines()) != 1:
            why = (
                "stands for pixels without a class"
                if each.name == VOID_NAME
                else "has line breaks or blanks around it"
            )
            raise DataError(
                f"the class {each.name!r} cannot be written to {path.name}, where this name {why}. Hint:"
                " rename the class in the annotations, or choose another format"
            )
    with atomic_write(path, "w") as file:
        file.write("".join(f"{line}\n" for line in lines))


def _line(line: ClassLine) -> str:
    return line.name if line.color is None else f"{line.name} {' '.join(map(str, line.color))}"


def write_split(dataset: Dataset, split: str, folder: Path, limit: int | None = None) -> Iterator[str]:
    """Write a split in this layout, one sample at a time; several splits with the same classes can share the
    folder.

    Images are written as PNG, labels as palette PNG with void as 255; where objects overlap, the later one is
    visible.

    Args:
        dataset: the split to write.
        split: the name of its list of ids.
        folder: output folder; created if missing.
        limit: maximum number of samples.

    Yields:
        The id of each sample when its files are written.

    Raises:
        OutputError: when a file cannot be written, or the folder contains data with other classes.
        DataError: when a sample has no label map and no masks, its id leads out of the folder, or two would
            replace each other.
    """
    classes_file = folder / "classes.txt"
    if classes_file.exists() and tuple(line.name for line in read_classes(classes_file)) != dataset.classes:
        raise OutputError(
            f"{folder} contains data with other classes ({classes_file}). Hint: choose another folder"
        )
    count = min(len(dataset), limit if limit is not None else len(dataset))
    for sample_id in dataset.ids[:count]:
        check_name(folder, sample_id)
    check_distinct(dataset.ids[:count], (".png",))
    check_listable(dataset.ids[:count])
    write_classes(classes_file, dataset.classes, dataset.palette)
    written: list[str] = []
    paths: list[Path] = []
    for index in range(count):
        sample = dataset[index]
        with into(folder, sync=False) as files:
            write_sample(sample, folder, dataset.palette or ())
        paths += files
        written.append(sample.id)
        yield sample.id
    sync_files(paths)
    write_ids(folder, split, written)


def check_listable(ids: Sequence[str]) -> None:
    """Check that ids can be listed, one per line, and read back unchanged.

    Raises:
        DataError: when one cannot; names it.
    """
    for one in ids:
        if one.splitlines() != [one.strip()]:
            raise DataError(
                f"the sample {one!r} cannot be written to a list of ids, because it contains a line break"
                " or begins or ends with a space. Hint: rename its image, or choose another format"
            )


def write_ids(folder: Path, split: str, ids: Sequence[str]) -> None:
    """Write the list of the ids of a split, whose files must exist.

    Raises:
        OutputError: when the file cannot be written.
    """
    # ids are paths, whose bytes need not be UTF-8
    with atomic_write(folder / f"{split}.txt", "w", errors="surrogateescape") as file:
        file.write("".join(f"{one}\n" for one in ids))


def write_sample(sample: Sample, folder: Path, palette: Sequence[Color]) -> None:
    """Write ``images/ID.png`` and, if the sample has them, ``labels/ID.png`` and ``instances/ID.png``.

    Raises:
        DataError: when there is nothing to write, or the id leads out of the folder.
        OutputError: when a file cannot be written.
    """
    has_masks = sample.instances is not None and sample.instances.masks is not None
    if sample.label_map is None and not has_masks:
        raise DataError(
            f"sample {sample.id!r} has neither a label map nor masks, so there is no label image to write"
        )
    with into(folder):
        _write_png(folder / "images" / f"{sample.id}.png", sample)
        if sample.label_map is not None:
            write_label_map(folder / "labels" / f"{sample.id}.png", sample.label_map, palette)
        if has_masks and sample.instances is not None:
            ids = id_map_from_instances(sample.instances)
            write_id_map(folder / "instances" / f"{sample.id}.png", ids)


def _write_png(path: Path, sample: Sample) -> None:
    encoded, data = cv2.imencode(
        ".png", cv2.cvtColor(sample.image.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2BGR)
    )
    if not encoded:
        raise OutputError(f"{path}: the image could not be encoded as PNG")
    with atomic_write(path) as file:
        file.write(data.tobytes())
