"""Files in folders of data: what counts, and that links and pipes do no harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit.data.folders import data_files, is_data


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(folder: Path, *suffixes: str) -> list[str]:
    found = data_files(folder, frozenset(suffixes) or None)
    return [path.relative_to(folder).as_posix() for path in found]


@pytest.mark.parametrize("name", ["._x.png", ".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git", ".DS_Store"])
def test_what_is_no_data(name: str) -> None:
    assert not is_data(name)


@pytest.mark.parametrize("name", ["x.png", "_x.png", "__x__", "MACOSX", "a._b", "$x"])
def test_what_is_data(name: str) -> None:
    assert is_data(name)


def test_files_are_given_in_order_without_what_is_no_data(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a/z.jpg", "a/b/c.jpg", "a.txt", "._b.jpg", "__MACOSX/a/z.jpg")
    touch(tmp_path, ".ipynb_checkpoints/b-checkpoint.jpg", "a/@eaDir/z.jpg")
    assert names(tmp_path, ".jpg") == ["a/b/c.jpg", "a/z.jpg", "b.JPG"]
    assert names(tmp_path) == ["a/b/c.jpg", "a/z.jpg", "a.txt", "b.JPG"]


def test_a_folder_that_itself_is_called_like_no_data_is_read(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden/a.jpg")
    assert names(tmp_path / ".hidden") == ["a.jpg"]


def test_each_real_folder_is_visited_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg", "b/y.jpg")
    for folder in "ab":
        for other in ("a", "b", "."):
            (tmp_path / folder / f"to_{'all' if other == '.' else other}").symlink_to(tmp_path / other)
    found = names(tmp_path)
    assert sorted(Path(name).name for name in found) == ["x.jpg", "y.jpg"]


def test_only_regular_files_and_links_that_lead_nowhere(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.jpg", "in/b.jpg")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "in" / "lost.jpg").symlink_to(tmp_path / "nothing.jpg")
    (tmp_path / "in" / "self.jpg").symlink_to(tmp_path / "in" / "self.jpg")
    (tmp_path / "in" / "folder.jpg").mkdir()
    assert names(tmp_path / "in", ".jpg") == ["b.jpg", "link.jpg", "lost.jpg", "self.jpg"]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    told: list[OSError] = []
    assert list(data_files(tmp_path / "absent", on_error=told.append)) == []
    assert isinstance(told[0], FileNotFoundError)
