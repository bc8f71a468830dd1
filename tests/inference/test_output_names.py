"""The files of an image replace those of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.inference.inputs import InputImage
from toolkit.inference.output_names import OutputNames


def image(name: str, stem: str, *, unique: bool = False) -> InputImage:
    return InputImage(Path("photos") / name, name, stem, unique=unique)


def test_a_name_belongs_to_the_first_image_that_claims_it(tmp_path: Path) -> None:
    names = OutputNames(tmp_path)
    for _ in range(2):
        names.claim(image("a.jpg", "a"))
    names.claim(image("b/a.jpg", "b/a"))
    with pytest.raises(DataError, match=r"results of a\.png would have the same name, a, as those of a\.jpg"):
        names.claim(image("a.png", "a"))
    names.claim(image("a.png", "a", unique=True))


def test_names_of_images_that_are_done_are_kept(tmp_path: Path) -> None:
    names = OutputNames(tmp_path)
    names.keep({"image": "a.jpg", "outputs": {"label_map": "labels/a.png", "overlay": "overlays/a.jpg"}})
    names.claim(image("a.jpg", "a"))
    with pytest.raises(DataError, match="those of a\\.jpg"):
        names.claim(image("a.png", "a"))


@pytest.mark.parametrize("stem", ["../a", "/a"])
def test_outputs_lie_in_the_folder(stem: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        OutputNames(tmp_path).claim(image("a.jpg", stem, unique=True))
