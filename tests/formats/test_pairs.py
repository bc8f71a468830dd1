"""Images beside label images: what is found, what is said of what does not match, and splits by hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.data.faults import gathering
from toolkit.data.notes import noting
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.pairs import (
    check_pairs,
    complete,
    hashed_split,
    images_below,
    listed,
    places_in_split,
    read_lines,
)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_images_are_found_by_id_at_any_depth(tmp_path: Path) -> None:
    touch(
        *(tmp_path / name for name in ("b.JPG", "a/c.png", "a/c.txt", ".hidden.png", ".git/d.png", "._b.jpg"))
    )
    assert images_below(tmp_path) == {"b": tmp_path / "b.JPG", "a/c": tmp_path / "a" / "c.png"}


def test_links_are_followed_and_other_pictures_are_noted(tmp_path: Path) -> None:
    touch(
        tmp_path / "far" / "a.jpg",
        *(tmp_path / "in" / name for name in ("b.jpg", "c.HEIC", "d.heic", "e.avif")),
    )
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "far")
    with noting() as notes:
        assert list(images_below(tmp_path / "in")) == ["b", "linked/a"]
    passed = "are skipped, because this kind of picture is not supported"
    assert dict(notes) == {f"files .heic {passed}": 2, f"files .avif {passed}": 1}


def test_an_ending_is_required_and_left_out_of_the_id(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("x_1.tif", "x_1_mask.tif", "x_2_mask.tif")))
    assert list(images_below(tmp_path, "_mask")) == ["x_1", "x_2"]


def test_two_files_of_one_id_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.jpg and .*a\.png have the same id 'a'"):
        images_below(tmp_path)
    with pytest.raises(DataError, match=r"nowhere does not exist, or is not a folder\. Hint: unpack it"):
        images_below(tmp_path / "nowhere", hint="unpack it")


def test_what_does_not_match_is_counted_and_the_first_five_named() -> None:
    images, labels = [f"i{n}" for n in range(8)], ["i0", "j0"]
    with pytest.raises(DataError) as caught:
        check_pairs(images, labels, Path("IMAGES"), Path("LABELS"), hint="look")
    assert (
        str(caught.value)
        == "images without a label image in LABELS: 7 (i1, i2, i3, i4, i5 and 2 more)\nlabel images without"
        " an image in IMAGES: 1 (j0)\nHint: look"
    )
    check_pairs(images, reversed(images), Path(), Path(), hint="")
    check_pairs([], [], Path(), Path(), hint="")
    assert listed("lost", ["a", "b", "c", "d", "e"]) == "lost: 5 (a, b, c, d, e)"


def test_lists_of_names(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("\ufeffone \n\n two\r\n", encoding="utf-8")
    assert read_lines(path) == ["one", "two"]
    path.write_text("\n \n")
    with pytest.raises(DataError, match=r"train\.txt is empty"):
        read_lines(path)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match="UTF-16, not UTF-8; it should contain a list of names"):
        read_lines(path)
    with pytest.raises(DataError, match="does not exist; it should contain a list of names"):
        read_lines(tmp_path / "absent.txt")


def test_splits_by_hash_keep_their_parts_and_stay() -> None:
    names = [f"patient {n}" for n in range(4000)]
    splits = {name: hashed_split(name, {"test": 0.2, "val": 0.1}) for name in names}
    parts = {
        split: sum(s == split for s in splits.values()) / len(names) for split in ("train", "val", "test")
    }
    assert abs(parts["test"] - 0.2) < 0.03
    assert abs(parts["val"] - 0.1) < 0.02
    assert parts["train"] == pytest.approx(1 - parts["val"] - parts["test"])
    assert all(
        hashed_split(name, {"test": 0.2, "val": 0.3}) == "test" for name in names if splits[name] == "test"
    )
    assert {hashed_split(name, {}, rest="all") for name in names} == {"all"}
    assert {hashed_split(name, {"val": 0.0}) for name in names} == {"train"}


def test_a_published_split_is_complete(tmp_path: Path) -> None:
    names = [f"i{n}" for n in range(8)]
    with pytest.raises(DataError, match=r"missing in .*absent: 8 \(i0_GT\.bmp, .* and 3 more\)\. Hint: look"):
        complete(tmp_path / "absent", "{}_GT.bmp", names, "look")
    for name in names[1:]:
        (tmp_path / f"{name}_GT.bmp").touch()
    with gathering() as faults:
        assert complete(tmp_path, "{}_GT.bmp", names, "look") == tuple(names[1:])
    assert [str(each) for each in faults] == [
        f"files of the split missing in {tmp_path}: 1 (i0_GT.bmp). Hint: look"
    ]
    (tmp_path / "i0_GT.bmp").touch()
    assert complete(tmp_path, "{}_GT.bmp", names, "look") == tuple(names)
    assert complete(tmp_path, "{}_GT.bmp", [], "look") == ()


def test_a_published_training_set_is_divided_and_other_splits_are_whole() -> None:
    names = [f"train-{i}" for i in range(40)]
    train, val = (places_in_split(names, split, 0.2, Path("set")) for split in ("train", "val"))
    assert sorted(train + val) == [*range(40)]
    assert [hashed_split(names[i], {"val": 0.2}) for i in val] == ["val"] * len(val)
    assert places_in_split(names, "trainval", 0.2, Path("set")) == [*range(40)]
    message = r"none of the 1 images in set falls into the split 'val'\. Hint: set another data\.options"
    with pytest.raises(MissingSplitError, match=message):
        places_in_split(names[:1], "val", 1e-9, Path("set"))
