"""The contract of all datasets, and ``open_dataset``, which builds one from its manifest."""

from __future__ import annotations

import hashlib
import inspect
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from toolkit import registry
from toolkit.config import ImageSettings, Scale, Settings, settings_class, validate
from toolkit.data.image_files import FilePath
from toolkit.data.images import image_depth, read_image
from toolkit.data.label_values import LabelValues
from toolkit.data.unfinished import require_finished
from toolkit.errors import DataError, UsageError
from toolkit.reading.files import expanded
from toolkit.registry.manifests import DatasetManifest, TaskManifest
from toolkit.registry.matching import conversion_for
from toolkit.runtime.archives import is_archive
from toolkit.runtime.files import atomic_write, into
from toolkit.runtime.locks import lock_of
from toolkit.types import Sample

C = TypeVar("C")


class Dataset(ABC):
    """One split of a dataset: ``dataset[i]`` is a ``Sample``; the same index gives the same sample, in any
    process.

    Attributes:
        classes: the names that label indexes stand for.
        ids: the ids of the samples, in order, known without reading images.
        palette: one RGB color per class, or None for the toolkit's own.
        label_values: which value stands for each class in the dataset's own label images; None if it has
            no such images, or they are in color.
        keypoint_names: names of the keypoints of ``Instances``, in order; empty if there are none, or if they
            are not known. A mirror image uses the names to swap keypoints on the left with those on the
            right.
        scale: how the values of image files become 8 bits, from ``data.options.scale``; None for the usual
            rule. ``open_dataset`` sets it.
    """

    classes: tuple[str, ...]
    ids: Sequence[str]
    palette: tuple[tuple[int, int, int], ...] | None = None
    label_values: LabelValues | None = None
    keypoint_names: Sequence[str] = ()
    scale: Scale | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Read the sample at ``index``.

        Raises:
            DataError: when its files cannot be used; names the file and gives a hint.
        """

    def image(self, index: int) -> Tensor:
        """The image of the sample at ``index``, uint8 ``[3, H, W]``; without its labels, where that is
        faster.

        Raises:
            DataError: when its file cannot be used.
        """
        return self[index].image

    def read_image(self, path: FilePath) -> Tensor:
        """An image file by the dataset's scale: how every dataset reads its images, uint8 ``[3, H, W]``.

        Raises:
            ImageError: as ``toolkit.data.images.read_image``.
        """
        return read_image(path, self.scale)

    def require_images(self) -> None:  # noqa: B027 - most have checked when they were built
        """Quickly check whether the images are where they should be, before any is read; called by
        ``open_dataset`` unless no images are needed.

        Raises:
            DataError: when they are not.
        """

    def capability(self, kind: type[C]) -> C | None:
        """This dataset as one that provides more information, such as
        ``toolkit.formats.coco_numbers.CocoNumbered``; None if it does not.
        """
        return self if isinstance(self, kind) else None

    def fingerprint(self) -> str:
        """A short hash of the contents of the dataset (ids and classes), stored in checkpoints to distinguish
        data.
        """
        text = "\n".join([*self.classes, "", *self.ids])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class InMemory(Dataset):
    """A dataset that reads each sample once and keeps it, unaugmented, in memory.

    Args:
        dataset: the dataset to read from.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._kept = dataset, dict[int, Sample]()
        self.classes, self.ids, self.palette = dataset.classes, dataset.ids, dataset.palette
        self.label_values = dataset.label_values
        self.keypoint_names, self.scale = dataset.keypoint_names, dataset.scale

    def __getstate__(self) -> dict[str, Any]:
        """What a new process receives: the dataset without the samples that were read here."""
        return vars(self) | {"_kept": {}}

    def __getitem__(self, index: int) -> Sample:
        """The sample at ``index``; a sample that cannot be read is tried again each time."""
        if index not in self._kept:
            self._kept[index] = self._dataset[index]
        return self._kept[index]

    def capability(self, kind: type[C]) -> C | None:
        """The capability of the underlying dataset."""
        return self._dataset.capability(kind)

    def fingerprint(self) -> str:
        """The fingerprint of the underlying dataset."""
        return self._dataset.fingerprint()


def default_folder(name: str) -> Path:
    """Where a dataset's files are looked for, and put by ``toolkit data get``, if no folder is given:
    ``data/<name>`` in the current folder.
    """
    return Path("data") / name


def open_dataset(
    manifest: DatasetManifest | str,
    folder: str | Path | None = None,
    split: str | None = None,
    options: Mapping[str, Any] | Settings | None = None,
    *,
    need_images: bool = True,
) -> Dataset:
    """One split of a dataset::

        photos = toolkit.open_dataset("shapes", split="val")
        photos[0].image  # uint8 [3, H, W]

    Args:
        manifest: its name, the path of a file that defines it, or a manifest that discovery found.
        folder: where the files are; None stands for ``default_folder(manifest.name)``. Ignored by generated
            datasets. May be a file if ``manifest.takes_file``.
        split: one of ``manifest.splits``; the validation split when None.
        options: settings of the dataset, by name as given by the user, or already validated.
        need_images: whether images will be read; if not, a dataset whose annotations are in a separate file
            can be opened without images.

    Raises:
        UsageError: when there is no such split; lists the existing ones.
        ConfigError: when an option is unknown or has a wrong value; lists all errors.
        DataError: when a required folder is missing; says what it must contain and where to get it.
    """
    if isinstance(manifest, str):
        manifest = registry.named(registry.datasets(), manifest, by_user=True)
    split = manifest.val_split if split is None else split
    if split not in manifest.splits:
        raise UsageError(
            f"dataset {manifest.name!r} has no split {split!r}. Expected one of: {', '.join(manifest.splits)}"
        )
    settings = _settings(manifest, options or {})
    root = (
        (default_folder(manifest.name) if folder is None else expanded(folder))
        if manifest.needs_folder
        else None
    )
    is_there = root is None or root.is_dir() or (manifest.takes_file and root.is_file())
    if root is not None and (not is_there or _is_unfinished(manifest, root)):
        raise DataError(missing_folder(manifest, root))
    if root is not None:
        require_finished(root)
    dataset = manifest.resolve(manifest.build)(root, split, settings)
    if not isinstance(dataset, Dataset):
        raise UsageError(
            f"{manifest.build!r} of dataset {manifest.name!r} must return a toolkit Dataset, not"
            f" {type(dataset).__name__}"
        )
    if isinstance(settings, ImageSettings):
        dataset.scale = settings.scale
    if need_images:
        dataset.require_images()
        dataset.scale = _with_depth(dataset)
    return dataset


def _with_depth(dataset: Dataset) -> Scale | None:
    """The scale of a dataset, for the depth of its first image if it names none."""
    if dataset.scale is None or dataset.scale.bit_depth is not None or not len(dataset):
        return dataset.scale
    try:
        path = dataset[0].path
    except DataError:  # reported when it is needed
        return dataset.scale
    depth = None if path is None else image_depth(path)
    return dataset.scale.model_copy(update={"bit_depth": depth})


def unread(
    manifest: DatasetManifest,
    folder: str | Path | None = None,
    options: Mapping[str, Any] | Settings | None = None,
) -> list[str]:
    """Descriptions of what in a dataset's folder belongs to no split, such as annotations with another name.

    Args:
        manifest, folder, options: as for ``open_dataset``.
    """
    if not manifest.unread:
        return []
    root = default_folder(manifest.name) if folder is None else expanded(folder)
    try:
        found: list[str] = manifest.resolve(manifest.unread)(root, _settings(manifest, options or {}))
    except (DataError, OSError):
        # If something cannot be read, it is an error of the splits and reported there.
        return []
    return found


def open_for_task(
    manifest: DatasetManifest,
    task: TaskManifest,
    folder: str | Path | None,
    split: str,
    options: Mapping[str, Any] | Settings | None = None,
) -> tuple[Dataset, str]:
    """One split of a dataset with the labels that a task learns from, converted if they are for another task.

    Args:
        manifest, folder, split, options: as for ``open_dataset``.
        task: the task of the models that will use it.

    Returns:
        The dataset, and a description of the conversion; empty if nothing was converted.

    Raises:
        ToolkitError: as ``open_dataset``.
    """
    conversion = conversion_for(task, manifest)
    dataset = open_dataset(manifest, folder, split, options)
    if not conversion:
        return dataset, ""
    convert = task.resolve(conversion)
    converted = convert(dataset)
    converted.scale = dataset.scale
    return converted, (inspect.getdoc(convert) or "").partition("\n")[0]


SYNTHETIC = ".synthetic"
"""File in a folder of generated sample data, so that it is not taken for the published data."""


def draw_sample(manifest: DatasetManifest, folder: Path) -> int:
    """Generate a dataset's sample data in a folder; returns the number of images.

    Raises:
        OutputError: when it already exists, or a file cannot be written.
    """
    with into(folder):
        count = int(manifest.resolve(manifest.sample)(folder))
        with atomic_write(folder / SYNTHETIC, "w") as file:
            file.write(f"Drawn by toolkit data sample {manifest.name}; not real data.\n")
    return count


def data_command(action: str, manifest: DatasetManifest, folder: Path) -> str:
    """The command ``toolkit data ACTION`` for a dataset in a folder, as a user would type it."""
    # a dataset defined in a file has no name that a later command would know
    name = manifest.origin if manifest.origin.endswith(".py") else manifest.name
    words = ["toolkit", "data", action, name]
    if folder != default_folder(manifest.name):
        words += ["--data-dir", str(folder)]
    return shlex.join(words)


def missing_folder(manifest: DatasetManifest, folder: Path) -> str:
    """The message for a dataset whose folder does not exist: what belongs in it, where to get it, and the
    hint.
    """
    state = "does not exist"
    if folder.is_dir():
        state = "contains only an unfinished download"
    elif folder.exists():
        state = "is not a folder"
    lines = [f"dataset {manifest.name!r} needs a folder of files, but {folder} {state}."]
    if manifest.layout:
        lines.append(f"It must contain: {manifest.layout}")
    if manifest.origin_url:
        lines.append(f"The data come from {manifest.origin_url}")
    if manifest.sample:
        lines.append(
            f"To try things without them: toolkit data sample {manifest.name} generates a small synthetic"
            " version"
        )
    hint = (
        data_command("get", manifest, folder)
        if manifest.downloads and (folder.is_dir() or not folder.exists())
        else f"put them at {default_folder(manifest.name)}"
    )
    lines.append(f"Hint: {hint}, or give the folder that contains the files with --data-dir")
    return "\n".join(lines)


def _is_unfinished(manifest: DatasetManifest, folder: Path) -> bool:
    """Whether a folder contains only what ``toolkit data get`` left behind when it was interrupted."""
    if not folder.is_dir():
        return False
    names, left = {path.name for path in folder.iterdir()}, set()
    for name in (download.name for download in manifest.downloads):
        left |= {f"{name}.part", f"{name}.part.json", lock_of(folder / name).name}
        # a file that is not an archive is usable as it is
        left |= {name, f"{name}.sha256"} if is_archive(name) else set()
    # what a killed process was unpacking
    return bool(names) and all(name in left or name.startswith(".unpacking-") for name in names)


def _settings(manifest: DatasetManifest, options: Mapping[str, Any] | Settings) -> Settings:
    cls = settings_class(manifest)
    if isinstance(options, Settings):
        options = options.model_dump()
    validated: Settings = validate(cls, options, source=f"settings of dataset {manifest.name!r}")
    return validated
