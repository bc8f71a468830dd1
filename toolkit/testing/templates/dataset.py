"""mynet: a dataset of photos with label images. Adapt the reading to your files; the checks tell you what no
longer works.

toolkit data check mynet.py --data-dir FOLDER
toolkit train --plugin unet --data mynet.py --data-dir FOLDER
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from toolkit import Dataset, DatasetManifest, ImageSettings, Sample
from toolkit.data.label_maps import read_label_map
from toolkit.errors import DataError
from toolkit.formats.label_images import check_same_size

DATASET = DatasetManifest(
    name="mynet",
    summary="photos with label images",
    build=":build",
    settings=":MyNetSettings",
    tasks=("semantic",),
    splits=("train", "val"),
    layout="photos/NAME.jpg with labels/NAME.png (one class index per pixel, 255 = void)",
    license="yours",
)


class MyNetSettings(ImageSettings):
    """How the folder is read; the docstring of each field is its documentation."""

    classes: tuple[str, ...] = Field(("background", "object"), min_length=1)
    """Names of the class indexes, in order."""
    val_every: int = Field(5, ge=2)
    """One in this many photos is held out for validation."""


class MyNet(Dataset):
    """One split of the folder."""

    def __init__(self, folder: Path, split: str, settings: MyNetSettings) -> None:
        self.folder, self.classes = folder, settings.classes
        names = sorted(path.stem for path in (folder / "photos").glob("*.jpg"))
        if not names:
            raise DataError(
                f"{folder / 'photos'} contains no .jpg files. Hint: put the photos there, or pass another"
                " folder"
            )
        self.ids = [name for i, name in enumerate(names) if (i % settings.val_every == 0) == (split == "val")]

    def __getitem__(self, index: int) -> Sample:
        """Read a photo and its label image."""
        name = self.ids[index]
        photo, labels = self.folder / "photos" / f"{name}.jpg", self.folder / "labels" / f"{name}.png"
        image, label_map = self.read_image(photo), read_label_map(labels)
        check_same_size(label_map, image, labels, photo)
        return Sample(name, image, label_map=label_map, path=str(photo))


def build(folder: Path, split: str, settings: MyNetSettings) -> MyNet:
    """One split; ``folder`` is what ``--data-dir`` names."""
    return MyNet(folder, split, settings)
