"""Images are found by the names of annotation files, also of those from other machines, and never the wrong
one.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.formats.image_paths import ImagePaths, portable, portable_names


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def paths(root: Path, *names: str, folders: tuple[str, ...] = ("val", "."), split: str = "val") -> ImagePaths:
    return ImagePaths(root / "x.json", names, [root / folder for folder in folders], root, split=split)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("deep/er/a.jpg", "val/deep/er/a.jpg"),
        ("deep\\er\\a.jpg", "val/deep/er/a.jpg"),
        ("with%20blank%C3%A9.jpg", "val/with blanké.jpg"),
        ("50%25.jpg", "val/50%25.jpg"),
        (".\\a.jpg", "val/a.jpg"),
        ("D:\\lab\\2023\\a.jpg", "val/a.jpg"),
        ("/home/other/set/photos/a.jpg", "photos/a.jpg"),
        ("/data/upload/7/0a1b2c3d-a.jpg", "val/0a1b2c3d-a.jpg"),
        ("/data/upload/7/0a1b2c3d-a.jpg", "far/below/a.jpg"),
        ("https://host.example/files/a%20b.jpg?x=1", "photos/a b.jpg"),
        ("/data/upload/3/two%20words.jpg", "val/deep/two words.jpg"),
        ("shots%2Ftwo%20words.jpg", "far/shots/two words.jpg"),
        ("/data/local-files/?d=shots%2Fa.jpg", "val/shots/a.jpg"),
        ("s3://bucket/lab/A.JPG", "photos/a.jpg"),
        ("/elsewhere/cafe\u0301.png", "photos/caf\u00e9.png"),
    ],
)
def test_names_from_elsewhere(tmp_path: Path, name: str, there: str) -> None:
    touch(tmp_path, there, "val/other.jpg", "val/a.jpg~")
    assert paths(tmp_path, name).find(name) == tmp_path / there


def test_as_written_comes_first(tmp_path: Path) -> None:
    touch(tmp_path, "val/a%20b.jpg", "val/a b.jpg", "val/c\\d.jpg", "val/c/d.jpg")
    found = paths(tmp_path, "a%20b.jpg", "c\\d.jpg")
    assert found.find("a%20b.jpg") == tmp_path / "val" / "a%20b.jpg"
    assert found.find("c\\d.jpg") == tmp_path / "val" / "c\\d.jpg"


def test_one_that_is_lost_among_others_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    touch(tmp_path, "val/sub/a.jpg", "photos/b.jpg")
    found = paths(tmp_path, "sub/a.jpg", "sub/b.jpg")
    assert found.find("sub/a.jpg") == tmp_path / "val" / "sub" / "a.jpg"
    assert found.find("sub/b.jpg") is None
    with pytest.raises(DataError, match=r"x.json names the image sub/b.jpg, which is in none of .*val"):
        found.require("sub/b.jpg")


def test_images_of_other_splits_do_not_count(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "images/training/1.jpg", "test2017/1.jpg")
    assert paths(tmp_path, "C:\\1.jpg").find("C:\\1.jpg") is None
    touch(tmp_path, "images/valid/1.jpg")
    assert paths(tmp_path, "C:\\1.jpg").find("C:\\1.jpg") == tmp_path / "images" / "valid" / "1.jpg"


def test_names_with_one_last_part_are_not_mixed_up(tmp_path: Path) -> None:
    touch(tmp_path, "photos/1.jpg")
    found = paths(tmp_path, "C:\\a\\1.jpg", "C:\\b\\1.jpg")
    with pytest.raises(DataError, match=r"2 names end in 1.jpg, but only .*photos/1.jpg is there"):
        found.require("C:\\a\\1.jpg")
    touch(tmp_path, "val/a/1.jpg", "val/b/1.jpg")
    found = paths(tmp_path, "C:\\a\\1.jpg", "C:\\b\\1.jpg")
    assert [found.find(f"C:\\{name}\\1.jpg") for name in "ab"] == [
        tmp_path / "val" / name / "1.jpg" for name in "ab"
    ]


def test_several_images_of_one_name_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "p/1.jpg", "q/1.JPG")
    with pytest.raises(DataError, match=r"2 images are called 1.jpg: .*p/1.jpg, .*q/1.JPG. Hint: write the"):
        paths(tmp_path, "/old/1.jpg").require("/old/1.jpg")


def test_escapes_do_not_make_one_image_of_two(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a b.jpg")
    found = paths(tmp_path, "C:\\x\\a%20b.jpg", "C:\\y\\a b.jpg")
    assert found.find("C:\\x\\a%20b.jpg") is found.find("C:\\y\\a b.jpg") is None
    with pytest.raises(DataError, match=r"2 names end in a b.jpg, but only .*photos/a b.jpg is there"):
        found.require("C:\\x\\a%20b.jpg")


def test_a_list_of_lost_images_says_why(tmp_path: Path) -> None:
    touch(tmp_path, "p/1.jpg", "q/1.jpg")
    found = paths(tmp_path, "/old/0.jpg", "/old/1.jpg")
    message = str(found.lost(["/old/0.jpg", "/old/1.jpg"], "look for them"))
    assert "that do not exist: 2 (/old/0.jpg, /old/1.jpg); 2 images are called 1.jpg: " in message
    assert message.endswith(f"Hint: write the path of the right one, below {tmp_path}/val or {tmp_path}")
    assert str(found.lost(["/old/0.jpg"], "look for them")).endswith("(/old/0.jpg). Hint: look for them")


def test_it_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "toolkit")
    touch(tmp_path, "photos/1.jpg", "photos/2.jpg")
    found = paths(tmp_path, "/old/1.jpg", "/old/2.jpg")
    for name in ("/old/1.jpg", "/old/2.jpg", "/old/1.jpg"):
        assert found.find(name) is not None
    assert len(caplog.records) == 1
    assert "lists images by paths on another computer" in caplog.text


@pytest.mark.parametrize("name", ["", ".", "/", "a\0b.jpg", "x" * 300, "\\", "https://[", "C:\\"])
def test_names_that_name_nothing(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "val/a.jpg")
    assert paths(tmp_path, name).find(name) is None
    with pytest.raises(DataError, match="names the image"):
        paths(tmp_path, name).require(name)


def test_portable_names() -> None:
    given = ["a/b.jpg", "./c.jpg", "..\\d.jpg", "/e/f.jpg", "C:\\g\\h.jpg", "https://x.y/i/j.jpg"]
    assert portable_names(given) == ["a/b.jpg", "./c.jpg", "d.jpg", "e/f.jpg", "g/h.jpg", "i/j.jpg"]
    assert portable("what?d=x.jpg") == "what?d=x.jpg"
    assert portable("../photos/a.jpg") == "photos/a.jpg"
    assert portable("a/../b.jpg") == "b.jpg"
    assert portable_names(["C:\\a.jpg", "D:\\a.jpg", "b\\c.jpg"]) == ["C:\\a.jpg", "D:\\a.jpg", "b/c.jpg"]
