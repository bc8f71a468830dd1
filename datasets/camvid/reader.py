"""Reads CamVid as originally published, and in the version of SegNet's tutorial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from toolkit.config import ImageSettings
from toolkit.data.dataset import Dataset
from toolkit.data.images import read_image
from toolkit.data.label_maps import read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.label_images import Color, colors_to_label_map, labeled_sample, values_to_label_map
from toolkit.formats.pairs import check_pairs, images_below
from toolkit.types import VOID, Sample

from .labels import COLORS, GROUPS, VOID_LABEL, split_of

SEGNET_VALUES = {value: value for value in range(len(GROUPS))} | {len(GROUPS): VOID}
"""The meaning of the values in the label images of SegNet's tutorial."""

IMAGES, LABELS = "701_StillsRaw_full", "LabeledApproved_full"
_REPAIR = "unpack the whole archive; metrics on only a part of it cannot be compared with others"


class CamVidSettings(ImageSettings):
    """Options for reading CamVid."""

    num_classes: Literal[11, 32] = 11
    """11 is the published protocol, which groups the labels; 32 keeps all original labels, where Void
    means no class.
    """


def build(folder: Path, split: str, settings: CamVidSettings) -> CamVid:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when the folder has neither layout, or images and label images do not match.
        MissingSplitError: when the folder lacks the split.
    """
    for root in (folder, folder / "CamVid"):
        if (root / LABELS).is_dir():
            return _original(root, split, settings)
        if (root / "trainannot").is_dir():
            return _of_segnet(root, split, settings)
    raise DataError(
        f"{folder} is not CamVid: it has neither {LABELS}/ next to {IMAGES}/ nor trainannot/ next to train/. "
        "Hint: unpack both original archives there, or the folder CamVid of SegNet's tutorial"
    )


def _original(root: Path, split: str, settings: CamVidSettings) -> CamVid:
    images = images_below(root / IMAGES, hint=_REPAIR)
    labels = images_below(root / LABELS, "_L", hint=_REPAIR)
    check_pairs(images, labels, root / IMAGES, root / LABELS, hint=_REPAIR)
    ids = [frame for frame in images if frame in labels and split_of(frame) == split]
    if not ids:
        raise MissingSplitError(
            f"{root / IMAGES} has no frame of the split {split!r} among {len(images)}. Hint: {_REPAIR}"
        )
    groups = (
        GROUPS if settings.num_classes == 11 else {label: (label,) for label in COLORS if label != VOID_LABEL}
    )
    index = {label: i for i, labels_of_class in enumerate(groups.values()) for label in labels_of_class}
    table = {color: index.get(label, VOID) for label, color in COLORS.items()}
    return CamVid(tuple(groups), {i: (images[i], labels[i]) for i in ids}, table)


def _of_segnet(root: Path, split: str, settings: CamVidSettings) -> CamVid:
    if settings.num_classes != 11:
        raise DataError(
            f"{root} has SegNet's label images, in 11 classes. Hint: set data.options.num_classes=11, or"
            " unpack the original"
        )
    folders = root / split, root / f"{split}annot"
    if not any(folder.is_dir() for folder in folders):
        raise MissingSplitError(f"{root} has no folder {split}/. Hint: {_REPAIR}")
    images, labels = (images_below(folder, hint=_REPAIR) for folder in folders)
    check_pairs(images, labels, *folders, hint=_REPAIR)
    if not images:
        raise MissingSplitError(f"{folders[0]} has no images. Hint: {_REPAIR}")
    return CamVid(tuple(GROUPS), {i: (images[i], labels[i]) for i in images if i in labels}, None)


class CamVid(Dataset):
    """One split of CamVid.

    Args:
        classes: the names of the classes.
        files: the image and the label image of each id.
        colors: the class of each color in the label images; None if they contain SegNet's values.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        files: Mapping[str, tuple[Path, Path]],
        colors: Mapping[Color, int] | None,
    ) -> None:
        self.classes = classes
        self.palette = tuple(
            COLORS[GROUPS[name][0] if len(classes) == len(GROUPS) else name] for name in classes
        )
        self.ids = tuple(files)
        self._files, self._colors = dict(files), colors
        if colors is None:
            self.label_values = LabelValues.of_table(SEGNET_VALUES, len(classes))

    def __getitem__(self, index: int) -> Sample:
        """Read one frame with its labels."""
        name = self.ids[index]
        image_path, label_path = self._files[name]
        return labeled_sample(name, image_path, label_path, self._read_label_map, self.scale)

    def _read_label_map(self, path: Path) -> Tensor:
        if self._colors is not None:
            return colors_to_label_map(read_image(path), self._colors, path)
        return values_to_label_map(read_label_map(path), SEGNET_VALUES, path)
