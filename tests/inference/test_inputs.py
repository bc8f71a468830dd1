"""Which images the words on the command line stand for, and what their results are called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from toolkit.data.image_files import ImageSearch
from toolkit.errors import UsageError
from toolkit.inference.inputs import FileState, find_images


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
    (tmp_path / "p" / "sub" / "me.jpg").symlink_to("me.jpg")
    assert [name for name, _ in names(tmp_path / "p")] == ["other/b.jpg", "sub/a.jpg", "sub/me.jpg"]
    assert ("sub/a.jpg", "sub/a") in names(tmp_path / "p" / "**" / "*.jpg")


def test_results_of_an_earlier_run_and_what_systems_leave_are_left_out(tmp_path: Path) -> None:
    touch(
        *(
            tmp_path / name
            for name in ("a.jpg", "deep/b.jpg", "__MACOSX/a.jpg", "deep/.ipynb_checkpoints/b.jpg")
        ),
        *(tmp_path / name for name in ("deep/results/overlays/b.jpg", "deep/x.heic")),
    )
    (tmp_path / "deep" / "results" / "manifest.jsonl").write_text('{"image": "b.jpg", "status": "ok"}\n')
    expected = ["a.jpg", "deep/b.jpg"]
    assert [name for name, _ in names(tmp_path)] == expected
    for pattern in ("**/*.jpg", "**", "**/*"):
        assert sorted(name for name, _ in names(tmp_path / pattern)) == expected, pattern
    search = ImageSearch([tmp_path / "deep"])
    assert [image.name for image in find_images([tmp_path / "deep" / "*"], search=search)] == ["b.jpg"]
    assert len(search.left_out()) == 2
    overlays = tmp_path / "deep" / "results" / "overlays"
    assert names(overlays) == [("b.jpg", "b")], "named themselves, they are images as others"
    with pytest.raises(
        UsageError, match=r"no image .*left out: results of an earlier run in .*results\. Hint"
    ):
        find_images([tmp_path / "deep" / "results"])


def test_what_was_passed_over_is_said_where_there_is_no_image(tmp_path: Path) -> None:
    touch(tmp_path / "a.heic", tmp_path / "b.HEIC")
    with pytest.raises(
        UsageError, match=r"left out: 2 files skipped because of their suffix \(2 \.heic\); .*Hint"
    ):
        find_images([tmp_path])


@pytest.mark.parametrize(
    "pattern", ["*/../../beside/*.jpg", "*/../../*/*.jpg", "../beside/*.jpg", "*/../../b*"]
)
def test_names_never_lead_out_of_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    touch(tmp_path / "in" / "sub" / "n.txt", tmp_path / "beside" / "a.jpg", tmp_path / "beside" / "b.jpg")
    monkeypatch.chdir(tmp_path / "in")
    assert sorted(stem for _, stem in names(pattern)) in (["a", "b"], ["beside/a", "beside/b"])
    found = [*names(pattern, "sub/../../beside/a.jpg"), *names("../in/../beside")]
    for name, stem in found:
        assert ".." not in f"{name}/{stem}".split("/")


def test_a_pattern_that_is_none(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    if sys.version_info >= (3, 13):
        assert names(tmp_path / "**.jpg") == [("a.jpg", "a")]
        return
    with pytest.raises(UsageError, match=r"\*\*\.jpg is not a valid pattern: .* Hint"):
        names(tmp_path / "**.jpg")


@pytest.mark.parametrize("folder", ["x.png", "x.json", "x.jpg", "x.jpg.png"])
def test_an_image_beside_a_folder_that_is_called_like_its_results(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / "x.bmp", tmp_path / "y.bmp", tmp_path / folder / "z.bmp")
    found = dict(names(tmp_path))
    outputs = {f"{stem}{end}" for stem in found.values() for end in (".png", ".json", ".jpg")}
    folders = {os.path.dirname(stem) for stem in found.values()}
    assert not outputs & folders
    assert len(set(found.values())) == 3


def test_the_state_of_a_file(tmp_path: Path) -> None:
    touch(tmp_path / "a")
    state = FileState.of(tmp_path / "a")
    assert state == FileState(1, (tmp_path / "a").stat().st_mtime_ns)
    assert FileState.of(tmp_path) is FileState.of(tmp_path / "none") is None


def test_a_broken_link_is_an_image_that_will_fail(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert names(tmp_path) == [("gone.jpg", "gone")]
    assert names(tmp_path / "gone.jpg") == [("gone.jpg", "gone")]


def test_nothing_to_do_is_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no image \(\.bmp, \.gif, .*\) in .*empty\. Hint: check the path"):
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
