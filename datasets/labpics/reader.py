"""Reads LabPics: finds the layout and the split, and converts what the layout reads to samples."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from toolkit.config import ImageSettings
from toolkit.data.dataset import Dataset
from toolkit.data.painting import instances_to_label_map
from toolkit.errors import MissingSplitError
from toolkit.types import VOID, Instances, Masks, Sample

from .classes import Objects, Scheme, scheme
from .layout import Annotation, Layout, find_layout, objects_from_masks
from .scenes import V2, Complex
from .simple import Simple

LAYOUTS: dict[str, type[Layout]] = {"simple": Simple, "complex": Complex, "v2": V2}


class LabPicsSettings(ImageSettings):
    """Options for reading LabPics."""

    objects: Objects = "both"
    """What counts as an object."""
    classes: Literal["coarse", "fine"] = "coarse"
    """`coarse`: vessel and material; `fine`: kinds of materials and, in V2, kinds of vessels."""
    whole_vessels: bool = False
    """With `objects=both`, whether a vessel's mask includes the materials in it."""
    layout: Literal["auto", "simple", "complex", "v2"] = "auto"
    """Layout of the files; `auto` detects it and prefers Simple where V1 has both."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Fraction of the published training photos held out for validation, chosen by a hash of their names."""


def build(folder: Path, split: str, settings: LabPicsSettings) -> LabPics:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when the files are not LabPics data, or a photo has no annotation.
        MissingSplitError: when there are no photos for this split.
    """
    wanted = list(LAYOUTS.values()) if settings.layout == "auto" else [LAYOUTS[settings.layout]]
    layout = find_layout(folder, wanted)
    names = scheme(settings.objects, settings.classes, layout.version)
    layout.check(names)
    published = layout.images("test" if split == "test" else "train")
    images = {
        name: path
        for name, path in published.items()
        if split == "test" or _is_held_out(name, settings.val_fraction) == (split == "val")
    }
    if not images:
        raise MissingSplitError(_why_missing(layout, split, len(published), settings.val_fraction))
    return LabPics(layout, images, names, settings.whole_vessels)


class LabPics(Dataset):
    """One split of LabPics, with instances and a label map."""

    def __init__(self, layout: Layout, images: dict[str, Path], names: Scheme, whole_vessels: bool) -> None:
        self.classes = names.classes
        self.ids = tuple(images)
        self._layout, self._images, self._scheme = layout, images, names
        self._whole_vessels = whole_vessels

    def __getitem__(self, index: int) -> Sample:
        """Read one photo with its annotation."""
        name = self.ids[index]
        path = self._images[name]
        read = self._layout.read(path, self._scheme, self.read_image(path))
        # Each pixel has at most one kind.
        flat = _join(_emptied(read.vessels, read.materials), read.materials)
        objects = _join(read.vessels, read.materials) if self._whole_vessels else flat
        return Sample(
            name,
            read.image,
            self._label_map(read, flat),
            _join(objects, self._crowds(read, flat)),
            path=str(path),
        )

    def _label_map(self, read: Annotation, flat: Instances) -> Tensor:
        label_map = instances_to_label_map(flat, self.classes) if read.label_map is None else read.label_map
        for unknown in (read.ignored, read.unsegmented):
            if unknown is not None:
                label_map[unknown & (label_map == 0)] = VOID
        return label_map

    def _crowds(self, read: Annotation, objects: Instances) -> Instances:
        """The ignored region, except for objects outlined in it, as a crowd of every class, so that it counts
        neither as misses nor as false positives.
        """
        if read.ignored is None:
            return Instances.empty(objects.size, with_masks=True)
        region = objects_from_masks([(read.ignored & ~_union(objects), 0, True)], objects.size)
        if not len(region):
            return region
        copies = region[[0] * (len(self.classes) - 1)]
        return replace(copies, labels=torch.arange(1, len(self.classes)))


def _is_held_out(name: str, fraction: float) -> bool:
    """Depends only on the name, so that it does not change when photos are added. Stills of the same film, "…
    (3)", are held out together because they are very similar.
    """
    film = re.sub(r"\s*\(\d+\)$", "", name)
    return (
        int.from_bytes(hashlib.sha256(film.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
        < fraction
    )


def _why_missing(layout: Layout, split: str, published: int, fraction: float) -> str:
    if split == "test" or not published:
        folder = "Test/ (nor Eval/)" if split == "test" else "Train/"
        return (
            f"{layout.root} contains no photos in {folder}, so there is no split {split!r}. Hint: unpack the"
            " whole archive"
        )
    return (
        f"none of the {published} photos of {layout.root / 'Train'} falls into the split {split!r} by the"
        f" hash of its name, with val_fraction={fraction}. Hint: set data.options.val_fraction=0.3"
        + ("; or train without validation: data.val_split=" if split == "val" else "")
    )


def _union(instances: Instances) -> Tensor:
    """The union of all objects, bool ``[H, W]``."""
    found = torch.zeros(instances.size, dtype=torch.bool)
    for mask in _dense(instances):
        found |= mask
    return found


def _dense(instances: Instances) -> Iterator[Tensor]:
    """The masks one by one, because many at once could fill the memory."""
    masks = instances.masks or Masks(instances.size)
    return (masks[[index]].dense()[0] for index in range(len(masks)))


def _emptied(vessels: Instances, materials: Instances) -> Instances:
    """The vessels without the materials in them; a completely full one has no pixels left and is dropped."""
    if not len(vessels) or not len(materials):
        return vessels
    filled = _union(materials)
    crowds = [False] * len(vessels) if vessels.is_crowd is None else vessels.is_crowd.tolist()
    rest = (mask & ~filled for mask in _dense(vessels))
    return objects_from_masks(zip(rest, vessels.labels.tolist(), crowds, strict=True), vessels.size)


def _join(first: Instances, *others: Instances) -> Instances:
    """All objects combined, in order."""
    parts = [part for part in (first, *others) if len(part)]
    if not parts:
        return Instances.empty(first.size, with_masks=True)
    crowd = torch.cat(
        [
            torch.zeros(len(part), dtype=torch.bool) if part.is_crowd is None else part.is_crowd
            for part in parts
        ]
    )
    return Instances(
        first.size,
        torch.cat([part.boxes_xyxy for part in parts]),
        torch.cat([part.labels for part in parts]),
        Masks.joined(first.size, [part.masks for part in parts if part.masks is not None]),
        is_crowd=crowd if bool(crowd.any()) else None,
    )
