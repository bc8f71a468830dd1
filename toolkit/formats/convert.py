"""Converts any dataset with objects from one annotation format to another, and counts what the new one cannot
represent.

Masks are preserved exactly by every format except ``masks``, in which objects cannot overlap. Polygons stay
the same polygons if the format supports them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import torch
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.data.unfinished import MARK
from toolkit.errors import DataError, OutputError
from toolkit.formats.label_images import MAX_IDS, id_map_from_instances
from toolkit.formats.labelme import NO_CLASSES
from toolkit.formats.mask_folder import check_listable, write_classes, write_ids, write_sample
from toolkit.formats.regions import Region, RegionDataset, to_instances
from toolkit.formats.tool_writers import CvatWriter, LabelStudioWriter
from toolkit.formats.writers import CocoWriter, LabelmeWriter, ViaWriter, Writer, YoloWriter, tight_box
from toolkit.runtime.confine import check_distinct, check_name
from toolkit.runtime.files import atomic_write, into, sync_files
from toolkit.runtime.locks import holds_nothing
from toolkit.types import VOID, Masks, Sample, Size

WRITERS: dict[str, type[Writer]] = {
    "coco": CocoWriter,
    "labelme": LabelmeWriter,
    "yolo": YoloWriter,
    "via": ViaWriter,
    "cvat": CvatWriter,
    "label-studio": LabelStudioWriter,
}
KEEP_PARTS = ("coco", "labelme", "cvat")
"""Formats in which an object may have several polygons."""
BACKGROUND = "background"


class Losses(Counter[str]):
    """Counts of lost information, by description."""

    def lines(self) -> list[str]:
        """One human-readable line for each count."""
        return [f"lost: {text} ({count})" for text, count in self.items() if count]


def convert_split(
    dataset: Dataset, split: str, folder: Path, target: str, losses: Losses, limit: int | None = None
) -> Iterator[str]:
    """Write a split in one of the formats in ``WRITERS``, or as ``masks``, one sample at a time.

    Args:
        dataset: the split to write.
        split: its name.
        folder: output folder; the splits of a dataset share it.
        target: the format.
        losses: counts of what the format cannot represent are added to it.
        limit: maximum number of samples.

    Yields:
        The id of each sample when its image is written.

    Raises:
        DataError: when a sample cannot be read, or has no objects.
        OutputError: when a file cannot be written.
    """
    _check_classes(dataset.classes, target)
    indexes = range(min(len(dataset), limit if limit is not None else len(dataset)))
    _check_ids([dataset.ids[index] for index in indexes], folder)
    if target == "masks":
        yield from _write_masks(dataset, split, folder, losses, indexes)
        return
    writer = WRITERS[target](dataset, split, folder)
    written: list[Path] = []
    for index in indexes:
        name = dataset.ids[index]
        data, suffix, size, regions = _read(dataset, index, losses)
        with into(folder, sync=False) as files:
            with atomic_write(folder / writer.images / f"{name}{suffix}") as file:
                file.write(data)
            writer.add(name, f"{name}{suffix}", size, _what_fits(regions, size, target, losses))
        written += files
        yield name
    sync_files(written)
    with into(folder):
        writer.finish()


def _check_classes(classes: Sequence[str], target: str) -> None:
    """Refuse names that the format would read as something else."""
    for name in classes:
        if name != name.strip() or not name or (target == "labelme" and name in NO_CLASSES):
            raise DataError(
                f"the class {name!r} cannot be written as {target}, which would read it as something else."
                " Hint: rename the class in the annotations, or choose another format"
            )


def opening(target: str, classes: Sequence[str]) -> list[str]:
    """The dataset that reads a format, and the settings that it needs to read the written files."""
    if target == "masks":
        return ["masks"]
    via = [
        "attribute=class",
        f"classes={json.dumps(list(classes), ensure_ascii=False)}",
    ]  # VIA's files do not list the classes
    return [WRITERS[target].opens_with, *(via if target == "via" else ())]


def _check_ids(ids: Sequence[str], folder: Path) -> None:
    """Check that every sample can be written under its id, before any is written.

    Raises:
        DataError: when an id leads out of the folder, or two would replace each other.
    """
    for sample_id in ids:
        check_name(folder, sample_id)
    check_distinct(ids, (*IMAGE_SUFFIXES, ".json", ".txt"))


def _read(dataset: Dataset, index: int, losses: Losses) -> tuple[bytes, str, Size, list[Region]]:
    """The image file (unchanged if possible), its suffix, the image's size and the objects."""
    if isinstance(dataset, RegionDataset):
        path, size = dataset.image_path(index), dataset.image_size(index)
        regions = dataset.regions(index, size)
        to_instances(regions, size)  # detects errors in an object's pixels
        return path.read_bytes(), path.suffix, size, regions
    sample = dataset[index]
    regions = regions_of(sample)
    losses["images with a label map: labels of pixels outside objects"] += sample.label_map is not None
    losses["objects with a score: the score"] += (
        0 if sample.instances is None or sample.instances.scores is None else len(regions)
    )
    path = Path(sample.path or "")
    if (
        path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and torch.equal(dataset.read_image(path), sample.image)
    ):
        return path.read_bytes(), path.suffix, sample.size, regions
    return _png(sample.image), ".png", sample.size, regions


def _png(image: Tensor) -> bytes:
    pixels = cv2.cvtColor(image.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".png", pixels)[1].tobytes())


def regions_of(sample: Sample) -> list[Region]:
    """The objects of a sample as regions.

    Raises:
        DataError: when the sample has no instances.
    """
    instances = sample.instances
    if instances is None and sample.label_map is None:
        raise DataError(
            f"sample {sample.id!r} has neither objects nor a label map, which are all that these formats"
            " hold. Hint: convert a dataset for another task (toolkit data list)"
        )
    if instances is None:
        raise DataError(
            f"sample {sample.id!r} has a label map but no objects. Hint: use --to masks, the only format"
            " that supports label maps"
        )
    keypoints = None if instances.keypoints is None else instances.keypoints.flatten(1).tolist()
    tight = None if instances.masks is None else instances.masks.boxes_xyxy()
    return [
        Region(
            label=int(instances.labels[i]),
            where=f"sample {sample.id!r}, object {i}",
            code=None if instances.masks is None else instances.masks.counts[i],
            box_xyxy=(
                None
                if tight is not None and torch.equal(tight[i], instances.boxes_xyxy[i])
                else _box(instances.boxes_xyxy[i])
            ),
            is_crowd=instances.is_crowd is not None and bool(instances.is_crowd[i]),
            keypoints=None if keypoints is None else tuple(keypoints[i]),
            area=None if instances.areas is None else float(instances.areas[i]),
        )
        for i in range(len(instances))
    ]


def _box(values: Tensor) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = values.tolist()
    return x0, y0, x1, y1


def _what_fits(regions: Sequence[Region], size: Size, target: str, losses: Losses) -> list[Region]:
    """The objects that the format can represent; counts those that it cannot, and what the others lose."""
    if target == "coco":
        return list(regions)
    found = []
    for region in regions:
        empty = region.has_mask and tight_box(region, size) == (0, 0, 0, 0)
        losses["crowds: the whole object, because it would be read as an ordinary one"] += region.is_crowd
        losses["objects whose mask covers no pixels: the whole object"] += empty and not region.is_crowd
        if region.is_crowd or empty:
            continue
        _count_losses(region, size, losses)
        losses["objects with a box only: written as a rectangle, which is read as a mask"] += (
            target != "yolo" and not region.has_mask
        )
        if len(region.polygons) > 1 and target not in KEEP_PARTS:
            how = "one mask" if target == "label-studio" else "one polygon"
            losses[f"objects with several polygons: joined into {how} with the same pixels"] += 1
        found.append(region)
    return found


def _count_losses(region: Region, size: Size, losses: Losses) -> None:
    losses["objects with keypoints: the keypoints"] += region.keypoints is not None and any(region.keypoints)
    if region.has_mask:
        own = region.box_xyxy
        losses["objects whose box differs from their mask's: the box"] += (
            own is not None and own != tight_box(region, size)
        )
        losses["objects with a stored area: the area"] += region.area is not None


def _write_masks(dataset: Dataset, split: str, folder: Path, losses: Losses, indexes: range) -> Iterator[str]:
    """Write label images and object id images; pixels outside objects are ``background``, those of crowds
    void."""
    check_listable([dataset.ids[index] for index in indexes])
    classes, shift = dataset.classes, 0
    written: list[str] = []
    paths: list[Path] = []
    painted = isinstance(dataset, RegionDataset) or (len(indexes) > 0 and dataset[0].label_map is None)
    if painted and BACKGROUND not in classes:
        classes, shift = (BACKGROUND, *classes), 1
    if len(classes) > VOID:
        raise DataError(
            f"a label image can hold {VOID} classes, including the background, not {len(classes)}. Hint:"
            " choose another format"
        )
    write_classes(folder / "classes.txt", classes, None if shift else dataset.palette)
    for index in indexes:
        sample = dataset[index].with_(id=dataset.ids[index])
        if sample.instances is not None:
            sample = _as_label_images(
                sample, regions_of(sample), classes.index(BACKGROUND) if painted else None, shift, losses
            )
        with into(folder, sync=False) as files:
            write_sample(sample, folder, () if shift else dataset.palette or ())
        paths += files
        written.append(sample.id)
        yield sample.id
    sync_files(paths)
    write_ids(folder, split, written)


def _as_label_images(
    sample: Sample, regions: Sequence[Region], background: int | None, shift: int, losses: Losses
) -> Sample:
    """The sample with the objects that an object id image can hold, and with a painted label map if it has
    none.
    """
    size = sample.size
    losses["objects with a box only: the whole object"] += sum(not region.has_mask for region in regions)
    crowds = [region for region in regions if region.is_crowd and region.has_mask]
    kept = [region for region in regions if region.has_mask and not region.is_crowd]
    losses["crowds: the object; its pixels are void"] += len(crowds)
    losses[f"objects beyond {MAX_IDS} per image: the whole object"] += max(0, len(kept) - MAX_IDS)
    kept = kept[:MAX_IDS]
    for region in kept:
        _count_losses(region, size, losses)
    losses["objects with a score: the score"] += (
        0 if sample.instances is None or sample.instances.scores is None else len(kept)
    )
    instances = to_instances(kept, size)
    ids = id_map_from_instances(instances)
    visible = torch.bincount(ids.flatten(), minlength=len(kept) + 1)[1:]
    hidden = visible < Masks(size, tuple(region.counts(size) for region in kept)).areas()
    losses["objects partly hidden by others: the overlapping pixels"] += int((hidden & (visible > 0)).sum())
    losses["objects without a visible pixel: the whole object"] += int((visible == 0).sum())
    if background is None:
        return sample.with_(instances=instances)
    label_map = torch.full(size, background, dtype=torch.uint8)
    for crowd in Masks(size, tuple(region.counts(size) for region in crowds)).dense():
        label_map[crowd] = VOID
    table = torch.cat([torch.tensor([0]), instances.labels + shift]).to(torch.uint8)
    return sample.with_(instances=instances, label_map=torch.where(ids > 0, table[ids.int()], label_map))


def require_empty(folder: Path) -> None:
    """Check that a folder is empty, so that files of another dataset do not mix with the converted ones;
    ``being_written`` handles a folder that a command has left unfinished.

    Raises:
        OutputError: when the folder is not empty.
    """
    if not holds_nothing(folder) and not (folder / MARK).is_file():
        raise OutputError(f"{folder} is not empty. Hint: remove it, or choose another folder with --out")
