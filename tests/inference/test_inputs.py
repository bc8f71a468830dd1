"""Which images the words on the command line stand for, and what their results are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit.errors import UsageError
from toolkit.inference.inputs import find_images


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(*words: object, **options: object) -> list[tuple[str, str]]:
    return [(image.name, image.stem) for image in find_images(words, **options)]


def test_folders_are_searched_to_any_depth_in_a_fixed_order(tmp_path: Path) -> None:
    deep = tmp_path.joinpath("b", *["d"] * 200)
    touch(
        tmp_path / "c.JPG",
        tmp_path / "a.png",
        tmp_path / "b" / "z.tif",
        tmp_path / "notes.txt",
        tmp_path / "a" / "1.webp",
        deep / "x.bmp",
    )
    below = "b/" + "d/" * 200
    expected = ["a.png", "c.JPG", "a/1.webp", "b/z.tif", below + "x.bmp"]
    assert [name for name, _ in names(tmp_path)] == expected
    assert [stem for _, stem in names(f"{tmp_path}{os.sep}")] == ["a", "c", "a/1", "b/z", below + "x"]


def test_hidden_files_and_the_results_are_left_out(tmp_path: Path) -> None:
    touch(
        tmp_path / "a.jpg",
        tmp_path / "._a.jpg",
        tmp_path / ".cache" / "b.jpg",
        tmp_path / "out" / "overlays" / "a.jpg",
    )
    assert names(tmp_path, exclude=tmp_path / "out") == [("a.jpg", "a")]
    assert names(tmp_path / "*", exclude=tmp_path / "out") == [("a.jpg", "a")]
    assert names(tmp_path / "**" / "*.jpg", exclude=tmp_path / "out") == [("a.jpg", "a")]


def test_patterns_are_named_from_their_fixed_part(tmp_path: Path) -> None:
    touch(
        tmp_path / "p" / "x" / "1.jpg",
        tmp_path / "p" / "y" / "1.jpg",
        tmp_path / "p" / "y" / "n.txt",
        tmp_path / "q" / "1.jpg",
    )
    both = [("x/1.jpg", "x/1"), ("y/1.jpg", "y/1")]
    for pattern in ("p/*/*.jpg", "p/**/*.jpg", "p/*", "p/**", "p/[xy]/?.jpg", "p/*/*"):
        assert names(tmp_path / pattern) == both, pattern


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path / "a[1].jpg", tmp_path / "a1.jpg")
    assert names(tmp_path / "a[1].jpg") == [("a[1].jpg", "a[1]")]


def test_an_image_given_twice_comes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "p" / "a.jpg", tmp_path / "p" / "b.jpg")
    monkeypatch.chdir(tmp_path)
    assert names("p/b.jpg", "p", tmp_path / "p" / "a.jpg", "p/*.jpg") == [("b.jpg", "b"), ("a.jpg", "a")]


def test_the_same_name_below_two_folders_keeps_the_folders(tmp_path: Path) -> None:
    touch(
        tmp_path / "one" / "s" / "a.jpg", tmp_path / "two" / "s" / "a.jpg", tmp_path / "two" / "s" / "b.jpg"
    )
    expected = [("one/s/a.jpg", "one/s/a"), ("two/s/a.jpg", "two/s/a"), ("two/s/b.jpg", "two/s/b")]
    assert names(tmp_path / "one", tmp_path / "two") == expected
    no_clash = [("a.jpg", "a"), ("s/a.jpg", "s/a"), ("s/b.jpg", "s/b")]
    assert names(tmp_path / "one" / "s" / "a.jpg", tmp_path / "two") == no_clash
    assert names(tmp_path / "one", tmp_path / "two" / "s" / "b.jpg") == [("s/a.jpg", "s/a"), ("b.jpg", "b")]


def test_names_that_differ_in_the_suffix_alone_keep_it(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "a.png", tmp_path / "a.jpg.jpg", tmp_path / "d" / "a.png")
    found = names(tmp_path)
    assert found == [("a.jpg", "a.jpg"), ("a.jpg.jpg", "a.jpg.jpg"), ("a.png", "a.png"), ("d/a.png", "d/a")]
    assert len({stem for _, stem in found}) == 4


def test_links_back_to_a_folder_above_are_not_followed_again(tmp_path: Path) -> None:
    touch(tmp_path / "p" / "sub" / "a.jpg", tmp_path / "elsewhere" / "b.jpg")
    (tmp_path / "p" / "sub" / "loop").symlink_to(tmp_path / "p")
    (tmp_path / "p" / "sub" / "self").symlink_to(tmp_path / "p" / "sub")
    (tmp_path / "p" / "other").symlink_to(tmp_path / "elsewhere")
    assert [name for name, _ in names(tmp_path / "p")] == ["other/b.jpg", "sub/a.jpg"]
    assert ("sub/a.jpg", "sub/a") in names(tmp_path / "p" / "**" / "*.jpg")


def test_a_broken_link_is_an_image_that_will_fail(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert names(tmp_path) == [("gone.jpg", "gone")]
    assert names(tmp_path / "gone.jpg") == [("gone.jpg", "gone")]


def test_nothing_to_do_is_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no image \(\.bmp, \.jpeg, .*\) in .*empty\. Hint: check the path"):
        find_images([tmp_path / "empty"])
    with pytest.raises(UsageError, match=r"nowhere does not exist\. Hint: check the path"):
        find_images([tmp_path / "empty", tmp_path / "nowhere"])
    with pytest.raises(UsageError, match=r"no file matches .*\*\.jpg\. Hint: check the pattern"):
        find_images([tmp_path / "*.jpg"])


def test_a_folder_without_permission_is_reported_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "locked" / "b.jpg", tmp_path / "z" / "c.jpg")
    scandir = os.scandir

    def refuse(path: object) -> object:  # permissions do not bind root, so they are played
        if os.path.basename(os.fspath(path)) == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    images = find_images([tmp_path])
    assert [image.name for image in images if not image.error] == ["a.jpg", "z/c.jpg"]
    assert [image.error for image in images if image.error] == [
        f"{tmp_path / 'locked'} cannot be searched: Permission denied. Hint: change its permissions"
    ]
    with pytest.raises(UsageError, match=r"no image .*locked cannot be searched: Permission denied"):
        find_images([tmp_path / "locked"])
