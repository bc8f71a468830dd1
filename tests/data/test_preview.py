"""``toolkit data preview``: the picture shows the samples, their labels, and what augmentation makes of
them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from toolkit import registry
from toolkit.cli import main
from toolkit.config.augmentations import Blur, Flip
from toolkit.data.dataset import open_dataset
from toolkit.data.preview import VARIANTS, parse_augment, preview
from toolkit.errors import ConfigError, DataError
from toolkit.types import Sample
from toolkit.visualization.drawing import overlay
from toolkit.visualization.palettes import default_palette
from toolkit.visualization.scaling import scale_labeled
from toolkit.visualization.sheets import grid_sheet

CELL, GAP = 320, 8
SHAPES = ["size=40", "train=9", "val=3", "test=2"]


def picture(path: Path) -> NDArray[np.uint8]:
    read = cv2.imread(str(path))
    assert read is not None
    return np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)


def cells(sheet: NDArray[np.uint8], rows: int, columns: int) -> list[list[NDArray[np.uint8]]]:
    """The cells of a sheet of square images with titles."""
    letters = max(11, CELL // 22)
    band = letters + 2 * GAP  # captions, and a title above each row
    assert sheet.shape[1] == GAP + columns * (CELL + GAP)
    found = []
    for row in range(rows):
        top = band + (row + 1) * band + row * (CELL + GAP)
        found.append(
            [
                sheet[top : top + CELL, GAP + i * (CELL + GAP) : GAP + i * (CELL + GAP) + CELL]
                for i in range(columns)
            ]
        )
    return found


def enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (CELL, CELL), interpolation=cv2.INTER_LINEAR), np.uint8)


def test_the_sheet_shows_samples_from_all_over_the_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    assert main(["data", "preview", "shapes", "--out", str(out), "--count", "3", *SHAPES]) == 0
    assert capsys.readouterr().out.startswith(f"3 of 9 samples of train: {out}\n")
    dataset = open_dataset(registry.datasets().get("shapes"), None, "train", {"size": 40, "train": 9})
    palette = dataset.palette or default_palette(len(dataset.classes))
    for row, index in zip(cells(picture(out), 3, 2), (0, 3, 6), strict=True):
        sample = dataset[index]
        assert np.array_equal(row[0], enlarged(sample.image.permute(1, 2, 0).numpy()))
        larger = scale_labeled(sample, (CELL, CELL))
        assert isinstance(larger, Sample)
        labeled = overlay(larger.image, larger, dataset.classes, palette, letter_height=10)
        assert np.array_equal(row[1], labeled)


def test_augmented_forms_move_image_and_labels_and_repeat_by_seed(tmp_path: Path) -> None:
    command = ["data", "preview", "shapes", "--count", "2", "--augment", "[{name: flip, p: 1}]", *SHAPES]
    for name, more in (("a", []), ("b", []), ("c", ["--split", "val"])):
        assert main([*command, *more, "--out", str(tmp_path / f"{name}.png")]) == 0
    sheet = picture(tmp_path / "a.png")
    assert np.array_equal(sheet, picture(tmp_path / "b.png"))
    assert not np.array_equal(sheet, picture(tmp_path / "c.png"))
    dataset = open_dataset(registry.datasets().get("shapes"), None, "train", {"size": 40, "train": 9})
    for row, index in zip(cells(sheet, 2, 2 + VARIANTS), (0, 4), strict=True):
        sample = dataset[index].with_(instances=None)
        mirrored = sample.with_(image=sample.image.flip(2), label_map=sample.label_map.flip(1))
        plain = enlarged(
            overlay(mirrored.image, mirrored, dataset.classes, dataset.palette or default_palette(6))
        )
        for form in row[2:]:
            assert np.mean(np.abs(form.astype(int) - plain).max(2) < 40) > 0.6, (
                "but for the boxes and names of objects"
            )


def test_other_seeds_give_other_forms(tmp_path: Path) -> None:
    for seed in (0, 1):
        command = [
            "data",
            "preview",
            "shapes",
            "--augment",
            "rotate,blur,scale",
            "--seed",
            str(seed),
            "--count",
            "1",
            *SHAPES,
        ]
        assert main([*command, "--out", str(tmp_path / f"{seed}.png")]) == 0
    assert not np.array_equal(picture(tmp_path / "0.png"), picture(tmp_path / "1.png"))


@pytest.mark.parametrize("source", ["--plugin", "--config"])
def test_a_recipe_can_say_what_to_show(source: str, tmp_path: Path, root: Path) -> None:
    where = {"--plugin": "unet", "--config": str(root / "configs" / "unet-shapes.yaml")}[source]
    same = "[{name: flip}, {name: flip, direction: vertical}]"  # what that recipe lists
    for name, words in (("recipe", [source, where]), ("list", ["--augment", same])):
        assert (
            main(
                [
                    "data",
                    "preview",
                    "shapes",
                    *words,
                    "--count",
                    "2",
                    "--out",
                    str(tmp_path / f"{name}.png"),
                    *SHAPES,
                ]
            )
            == 0
        )
    assert np.array_equal(picture(tmp_path / "recipe.png"), picture(tmp_path / "list.png"))


def test_images_of_any_shape_and_samples_without_labels_fit(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "train").mkdir(parents=True)
    for name, size in (("wide", (10, 300)), ("tall", (200, 9)), ("dot", (1, 1))):
        cv2.imwrite(str(folder / "train" / f"{name}.png"), np.full((*size, 3), 90, np.uint8))
        shape = {"label": "a", "shape_type": "rectangle", "points": [[0, 0], [1, 1]]}
        document = {
            "imagePath": f"{name}.png",
            "imageHeight": size[0],
            "imageWidth": size[1],
            "shapes": [shape] if name == "wide" else [],
        }
        (folder / "train" / f"{name}.json").write_text(json.dumps(document))
    out = tmp_path / "sheet.jpg"
    assert (
        main(
            [
                "data",
                "preview",
                "labelme",
                "--data-dir",
                str(folder),
                "--out",
                str(out),
                "--augment",
                "flip,scale",
            ]
        )
        == 0
    )
    assert picture(out).shape[1] == GAP + (2 + VARIANTS) * (CELL + GAP)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--augment", "flip,blurr"], "blurr"),
        (["--augment", "crop"], r"size: missing"),
        (["--augment", "[{name: flip, p: 3}]"], "expected 1 or less"),
        (["--augment", "3"], "expected names, such as flip,blur"),
        (["--augment", "[{"], "not valid YAML"),
        (["--split", "nothing"], "no split 'nothing'. Expected one of: train, val, test"),
        (["--config", "recipe.yaml"], "recipe.yaml lists no augmentations"),
        (["--plugin", "nothing"], "nothing"),
        (["--count", "0"], "1 or more"),
        (["--augment", "flip", "--plugin", "unet"], "not allowed with"),
    ],
)
def test_what_cannot_be_shown_is_explained(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text("plugin: unet\ntrain: {steps: 1}\n")
    assert main(["data", "preview", "shapes", "--out", "sheet.png", *words, *SHAPES]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "sheet.png").exists()


def test_short_forms_of_a_list() -> None:
    assert parse_augment("flip, blur") == parse_augment("[flip, {name: blur}]") == (Flip(), Blur())
    assert parse_augment("{name: flip, p: 1}") == (Flip(p=1),)
    with pytest.raises(ConfigError, match="expected names"):
        parse_augment("[]")


def test_an_empty_split_has_nothing_to_show(tmp_path: Path) -> None:
    dataset = open_dataset(registry.datasets().get("shapes"), None, "val", {"size": 40})
    dataset.ids = []
    with pytest.raises(DataError, match="no samples"):
        preview(dataset, tmp_path / "sheet.png")


def test_empty_places_stay_white(tmp_path: Path) -> None:
    dataset = open_dataset(registry.datasets().get("shapes"), None, "val", {"size": 40})
    image = dataset[0].image
    rows = [[(image, None), None], [None, (image, None)]]
    grid_sheet(
        ["a", "b"], rows, tmp_path / "s.png", classes=["x"], palette=[(1, 2, 3)], titles=["one", "two"]
    )
    first, second = cells(picture(tmp_path / "s.png"), 2, 2)
    assert (first[1] == 255).all()
    assert (second[0] == 255).all()
    assert np.array_equal(first[0], second[1])
