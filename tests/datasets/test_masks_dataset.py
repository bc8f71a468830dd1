"""What the dataset ``masks`` promises: any reasonable folder reads, and every fault is explained with file
names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset, unread
from toolkit.data.faults import gathering
from toolkit.data.notes import noting
from toolkit.errors import ConfigError, DataError, ImageError, MissingSplitError
from toolkit.types import VOID


def masks(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("masks"), folder, split, options)


def put(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def put_pair(folder: Path, name: str, label: np.ndarray | None = None, ending: str = ".jpg") -> None:
    put(folder / "images" / f"{name}{ending}", np.full((5, 7, 3), 90, np.uint8))
    put(
        folder / "labels" / f"{name}.png",
        np.tile(np.array([0, 1, 2, 255, 1, 0, 2], np.uint8), (5, 1)) if label is None else label,
    )


def only_train(folder: Path, *names: str) -> None:
    (folder / "train.txt").write_text("".join(f"{name}\n" for name in names))


def test_names_from_a_file(tmp_path: Path) -> None:
    put_pair(tmp_path, "a")
    only_train(tmp_path, "a")
    (tmp_path / "classes.txt").write_text("cat\ndog\nbird\n")
    dataset = masks(tmp_path)
    assert dataset.classes == ("cat", "dog", "bird")
    assert dataset.palette is None
    sample = dataset[0]
    assert sample.id == "a"
    assert sample.size == (5, 7)
    assert sample.label_map[0].tolist() == [0, 1, 2, VOID, 1, 0, 2]
    assert sample.instances is None


def test_classes_are_numbered_without_a_file(tmp_path: Path) -> None:
    put_pair(tmp_path, "a")
    put_pair(tmp_path, "b", np.full((5, 7), 4, np.uint8))
    only_train(tmp_path, "a")
    dataset = masks(tmp_path)
    assert dataset.classes == ("class_0", "class_1", "class_2", "class_3", "class_4"), (
        "of all label images, whatever the split"
    )


def test_void_below_the_classes(tmp_path: Path) -> None:
    put_pair(tmp_path, "a", np.tile(np.array([0, 1, 2, 3, 1, 0, 2], np.uint8), (5, 1)))
    only_train(tmp_path, "a")
    assert masks(tmp_path, void=0).classes == ("class_1", "class_2", "class_3")
    (tmp_path / "classes.txt").write_text("cat\ndog\nbird\n")
    assert masks(tmp_path, void=0)[0].label_map[0].tolist() == [VOID, 0, 1, 2, 0, VOID, 1]


def test_void_in_the_list_of_classes(tmp_path: Path) -> None:
    put_pair(tmp_path, "a")
    only_train(tmp_path, "a")
    (tmp_path / "names.txt").write_text("cat\nvoid\nbird\n")
    dataset = masks(tmp_path, classes_file="names.txt")
    assert dataset.classes == ("cat", "bird")
    assert dataset[0].label_map[0].tolist() == [0, VOID, 1, VOID, VOID, 0, 1]


def test_every_value_can_be_a_class(tmp_path: Path) -> None:
    put_pair(tmp_path, "a", np.tile(np.array([0, 254, 7, 8, 9, 10, 11], np.uint8), (5, 1)))
    only_train(tmp_path, "a")
    dataset = masks(tmp_path, void=None)
    assert len(dataset.classes) == 255
    assert dataset[0].label_map[0].tolist() == [0, 254, 7, 8, 9, 10, 11]


def test_color_coded_labels(tmp_path: Path) -> None:
    colors = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 64]], np.uint8)
    picks = np.tile(np.array([0, 1, 2, 0, 1, 0, 2]), (5, 1))
    put_pair(tmp_path, "a", colors[picks][..., ::-1])
    only_train(tmp_path, "a")
    with pytest.raises(
        DataError, match=r"a.png is in color, so its classes must be named. Hint: write classes.txt"
    ):
        masks(tmp_path)
    (tmp_path / "classes.txt").write_text("red\ngreen 0 128 64\n")
    with pytest.raises(DataError, match="not every class has a color"):
        masks(tmp_path)
    (tmp_path / "classes.txt").write_text("void 0 0 0\nred 128 0 0\ngreen 0 128 64\n")
    dataset = masks(tmp_path)
    assert dataset.palette == ((128, 0, 0), (0, 128, 64))
    assert dataset[0].label_map[0].tolist() == [VOID, 0, 1, VOID, 0, VOID, 1]
    (tmp_path / "classes.txt").write_text("red 128 0 0\ngreen 0 128 64\n")
    with pytest.raises(DataError, match=r"a.png has the color \(0, 0, 0\) in 15 pixels"):
        masks(tmp_path)[0]


def test_colors_of_a_palette_image(tmp_path: Path) -> None:
    put_pair(tmp_path, "a")
    image = Image.fromarray(np.tile(np.array([0, 1, 2, 255, 1, 0, 2], np.uint8), (5, 1)))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90] + [0] * 759)
    image.save(tmp_path / "labels" / "a.png")
    only_train(tmp_path, "a")
    dataset = masks(tmp_path)
    assert dataset.palette == ((10, 20, 30), (40, 50, 60), (70, 80, 90))
    assert dataset[0].label_map[0].tolist() == [0, 1, 2, VOID, 1, 0, 2]


def test_objects(tmp_path: Path) -> None:
    put_pair(tmp_path, "a")
    put_pair(tmp_path, "b")
    put(tmp_path / "instances" / "a.png", np.tile(np.array([0, 9, 3, 0, 4, 0, 3], np.uint8), (5, 1)))
    only_train(tmp_path, "a", "b")
    first, second = masks(tmp_path)[0], masks(tmp_path)[1]
    assert sorted(first.instances.labels.tolist()) == [1, 1, 2]
    by_label = {
        label: area
        for label, area in zip(
            first.instances.labels.tolist(), first.instances.masks.areas().tolist(), strict=True
        )
    }
    assert by_label == {1: 5, 2: 10}
    assert second.instances is None


def test_objects_beyond_a_byte(tmp_path: Path) -> None:
    """Ids of 16 bits, as programs that count objects write them; those that agree in their low byte are
    different objects.
    """
    put_pair(tmp_path, "a", np.ones((5, 7), np.uint8))
    ids = np.arange(35, dtype=np.uint16).reshape(5, 7) * 256
    ids[4] = [1, 257, 513, 65_535, 255, 254, 0]
    put(tmp_path / "instances" / "a.png", ids)
    only_train(tmp_path, "a")
    found = masks(tmp_path)[0].instances
    assert len(found) == len(set(ids.ravel().tolist()) - {0})
    assert found.masks.areas().tolist() == [1] * len(found)
    assert sum(int(mask.sum()) for mask in found.masks.dense()) == int((ids > 0).sum())


def test_lists_of_ids(tmp_path: Path) -> None:
    for name in ("x/a", "x/b", "c", "d.1"):
        put_pair(tmp_path, name)
    (tmp_path / "train.txt").write_text("x/b\n\n c.jpg \nx/b\n")
    (tmp_path / "val.txt").write_text("\ufeffx/a\nd.1\n", encoding="utf-8")
    assert masks(tmp_path, "train").ids == ("c", "x/b")
    assert masks(tmp_path, "val").ids == ("d.1", "x/a")
    assert masks(tmp_path, "val")[1].path == str(tmp_path / "images" / "x" / "a.jpg")
    with pytest.raises(MissingSplitError, match=r"there is no test.txt next to train.txt, val.txt"):
        masks(tmp_path, "test")
    (tmp_path / "test.txt").write_text("e\nf\n")
    with pytest.raises(DataError, match=r"test.txt lists ids without an image: 2 \(e, f\)"):
        masks(tmp_path, "test")
    (tmp_path / "test.txt").write_text("\n")
    with pytest.raises(DataError, match=r"test.txt is empty"):
        masks(tmp_path, "test")


def test_folders_by_split(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "val/c"):
        put_pair(tmp_path, name)
    assert masks(tmp_path, "train").ids == ("train/a", "train/b")
    assert masks(tmp_path, "val").ids == ("val/c",)
    with pytest.raises(MissingSplitError, match="no split 'test': there are train, val"):
        masks(tmp_path, "test")


def test_splits_by_hash(tmp_path: Path) -> None:
    names = [f"img{i:03d}" for i in range(120)]
    for name in names:
        put(tmp_path / "images" / f"{name}.png", np.zeros((1, 1, 3), np.uint8))
        put(tmp_path / "labels" / f"{name}.png", np.zeros((1, 1), np.uint8))
    splits = {
        split: set(masks(tmp_path, split, val_fraction=0.2, test_fraction=0.3).ids)
        for split in ("train", "val", "test")
    }
    assert sorted(i for ids in splits.values() for i in ids) == names, "disjoint and complete"
    assert 12 <= len(splits["val"]) <= 36
    assert 24 <= len(splits["test"]) <= 48
    for name in names[:60]:
        (tmp_path / "images" / f"{name}.png").unlink()
        (tmp_path / "labels" / f"{name}.png").unlink()
    assert set(masks(tmp_path, "test", val_fraction=0.2, test_fraction=0.3).ids) == splits["test"] & set(
        names[60:]
    ), "stays as it was"
    with pytest.raises(MissingSplitError, match="none of the 60 images falls into it"):
        masks(tmp_path, "val", val_fraction=0)
    with pytest.raises(ConfigError, match="leave no training images"):
        masks(tmp_path, val_fraction=0.5, test_fraction=0.5)


def test_other_names_of_folders_and_files(tmp_path: Path) -> None:
    put(tmp_path / "JPEGImages" / "a.JPG", np.zeros((2, 3, 3), np.uint8))
    put(tmp_path / "JPEGImages" / "a_mask.png", np.ones((2, 3), np.uint8))
    only_train(tmp_path, "a")
    dataset = masks(tmp_path, images="JPEGImages", labels="JPEGImages", label_suffix="_mask")
    assert dataset.ids == ("a",)
    assert (dataset[0].label_map == 1).all()


def test_hidden_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    put_pair(tmp_path, "a")
    only_train(tmp_path, "a")
    (tmp_path / "images" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "images" / "._a.jpg").write_bytes(b"x")
    put(tmp_path / "images" / ".cache" / "b.jpg", np.zeros((2, 3, 3), np.uint8))
    assert masks(tmp_path).ids == ("a",)


def test_images_and_labels_that_do_not_match(tmp_path: Path) -> None:
    for name in "abcdefgh":
        put_pair(tmp_path, name)
    for name in "abcdefg":
        (tmp_path / "labels" / f"{name}.png").unlink()
    put(tmp_path / "labels" / "z.png", np.zeros((5, 7), np.uint8))
    with pytest.raises(DataError) as caught:
        masks(tmp_path)
    assert f"images without a label image in {tmp_path / 'labels'}: 7 (a, b, c, d, e and 2 more)" in str(
        caught.value
    )
    assert f"label images without an image in {tmp_path / 'images'}: 1 (z)" in str(caught.value)
    only_train(tmp_path, "h", "a")
    with pytest.raises(DataError, match=r"images without a label image in .*: 1 \(a\)"):
        masks(tmp_path)


def test_two_files_of_one_id(tmp_path: Path) -> None:
    put_pair(tmp_path, "a")
    put_pair(tmp_path, "a", ending=".png")
    with pytest.raises(DataError, match="have the same id 'a'"):
        masks(tmp_path)


def test_faulty_label_images(tmp_path: Path) -> None:
    put_pair(tmp_path, "a", np.zeros((7, 5), np.uint8))
    put_pair(tmp_path, "b", np.tile(np.array([0, 1, 2, 3, 3, 0, 2], np.uint8), (5, 1)))
    put_pair(tmp_path, "c")
    (tmp_path / "labels" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "classes.txt").write_text("cat\ndog\nbird\n")
    only_train(tmp_path, "a", "b", "c")
    dataset = masks(tmp_path)
    with pytest.raises(
        DataError, match=r"labels/a.png has 5 x 7 pixels, but its image .*images/a.jpg has 7 x 5"
    ):
        dataset[0]
    with pytest.raises(
        DataError,
        match=r"labels/b.png has the value 3 in 10 pixels, which is not a class; expected 0…2, 255",
    ):
        dataset[1]
    with pytest.raises(ImageError, match=r"c.png"):
        dataset[2]


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images does not exist, or is not a folder"):
        masks(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="labels does not exist, or is not a folder"):
        masks(tmp_path)
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match=r"images has no images \(.bmp, .*.jpg"):
        masks(tmp_path)
    with pytest.raises(DataError, match=r"nowhere does not exist.\nIt must contain: images/ID.jpg"):
        masks(tmp_path / "nowhere")


def test_nothing_but_void(tmp_path: Path) -> None:
    put_pair(tmp_path, "a", np.full((5, 7), 255, np.uint8))
    only_train(tmp_path, "a")
    with pytest.raises(DataError, match=r"every pixel of every label image is void \(255\)"):
        masks(tmp_path)


def test_samples_are_independent_of_the_order_of_reading(tmp_path: Path) -> None:
    for name in "abc":
        put_pair(tmp_path, name)
    only_train(tmp_path, "c", "a", "b")
    first, second = masks(tmp_path), masks(tmp_path)
    forwards = [first[i] for i in range(3)]
    backwards = [second[i] for i in (2, 1, 0)][::-1]
    assert [s.id for s in forwards] == ["a", "b", "c"] == [s.id for s in backwards]
    assert all(torch.equal(a.image, b.image) for a, b in zip(forwards, backwards, strict=True))
    assert first.fingerprint() == second.fingerprint()


def two_valued(folder: Path, high: int, *names: str) -> None:
    for name in names:
        put_pair(folder, name, np.tile(np.array([0, 0, high, high, 0, 0, high], np.uint8), (5, 1)))


@pytest.mark.parametrize(("high", "void"), [(255, 255), (255, None), (128, 255), (200, 0), (64, None)])
def test_values_for_the_eye_are_no_numbers_of_classes(tmp_path: Path, high: int, void: int | None) -> None:
    two_valued(tmp_path, high, "train/a", "train/b", "val/c")
    message = (
        rf"only the values 0 and {high}, which would stand for .*values=\{{0: background, {high}: object\}}"
    )
    with pytest.raises(DataError, match=message):
        masks(tmp_path, void=void)
    dataset = masks(tmp_path, void=void, values={0: "background", high: "object"})
    assert dataset.classes == ("background", "object")
    assert dataset[0].label_map[0].tolist() == [0, 0, 1, 1, 0, 0, 1]
    assert dataset.label_values is not None
    assert dataset.label_values.classes == (0, high)


def test_values_with_a_list_of_classes(tmp_path: Path) -> None:
    two_valued(tmp_path, 255, "train/a", "train/b", "val/c")
    (tmp_path / "classes.txt").write_text("ground\nhouse\n")
    with pytest.raises(DataError, match="only the values 0 and 255, and 255 is void, so there is"):
        masks(tmp_path)
    put_pair(tmp_path, "val/c")  # a class that occurs in one image
    assert masks(tmp_path)[0].label_map[0].tolist() == [0, 0, VOID, VOID, 0, 0, VOID]


def test_a_check_goes_on_past_values_for_the_eye(tmp_path: Path) -> None:
    two_valued(tmp_path, 255, "train/a", "train/b")
    with gathering() as faults:
        dataset = masks(tmp_path)
    assert len(faults) == 1
    assert dataset[1].label_map[0].tolist() == [0, 0, VOID, VOID, 0, 0, VOID]


def test_values_that_are_named_one_by_one(tmp_path: Path) -> None:
    put_pair(tmp_path, "train/a", np.tile(np.array([0, 40, 80, 255, 7, 40, 0], np.uint8), (5, 1)))
    named = {80: "roof", 0: "ground", 40: "wall", 7: "wall", 255: "void"}
    dataset = masks(tmp_path, values=named)
    assert dataset.classes == ("ground", "wall", "roof")
    assert dataset[0].label_map[0].tolist() == [0, 1, 2, VOID, 1, 1, 0]
    del named[7]
    with pytest.raises(DataError, match=r"a.png has the value 7 in 5 pixels, which is not a class"):
        masks(tmp_path, values=named)[0]
    for wrong in ({256: "a"}, {-1: "a"}, {0: ""}, {"a": "b"}, [1]):
        with pytest.raises(ConfigError, match="values"):
            masks(tmp_path, values=wrong)


def test_other_names_of_splits(tmp_path: Path) -> None:
    for name in ("train/a", "Validation/b", "spare/c", "spare/d"):
        put_pair(tmp_path, name)
    assert masks(tmp_path, "val").ids == ("Validation/b",)
    left = unread(registry.datasets().get("masks"), tmp_path)
    assert left == [f"{tmp_path / 'images' / 'spare'} (2 images)"]
    (tmp_path / "train.txt").write_text("train/a\n")
    (tmp_path / "valid.txt").write_text("spare\\c\n")
    assert masks(tmp_path, "val").ids == ("spare/c",)
    left = unread(registry.datasets().get("masks"), tmp_path)
    assert left == ["2 images that are in none of train.txt, valid.txt"]


def test_images_of_object_ids_that_do_not_match(tmp_path: Path) -> None:
    for name in "ab":
        put_pair(tmp_path, name)
    only_train(tmp_path, "a", "b")
    put(tmp_path / "instances" / "a.tif", np.full((5, 7), 3, np.uint16))
    with noting() as notes:
        dataset = masks(tmp_path)
    assert list(notes.values()) == [1]
    assert len(dataset[0].instances) == 1
    put(tmp_path / "instances" / "B.png", np.full((5, 7), 3, np.uint8))
    with pytest.raises(DataError, match=r"images of object ids without an image in .*images: 1 \(B\)"):
        masks(tmp_path)


def test_what_is_no_data_is_passed_over(tmp_path: Path) -> None:
    put_pair(tmp_path, "a")
    only_train(tmp_path, "a")
    put(tmp_path / "images" / "__MACOSX" / "b.jpg", np.zeros((2, 3, 3), np.uint8))
    (tmp_path / "images" / "loop").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "c.heif").write_bytes(b"x")
    with noting() as notes:
        assert masks(tmp_path).ids == ("a",)
    assert dict(notes) == {"files .heif are skipped, because this kind of picture is not supported": 1}
