"""No name that data have given leads out of the folder that the user has named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.runtime.confine import check_distinct, check_name, inside

LEADING_OUT = [
    "../x.png",
    "a/../../x.png",
    "a/..",
    "/x.png",
    "//host/x.png",
    "..",
]
NO_NAMES = ["", ".", "./", "a\0b.png", "a\ud83d/b.png"]


@pytest.mark.parametrize("name", LEADING_OUT)
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    for check in (check_name, inside):
        with pytest.raises(DataError, match=r"leads out of .*Hint: move the file"):
            check(tmp_path, name)


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    for check in (check_name, inside):
        with pytest.raises(DataError, match="cannot be the name of a file"):
            check(tmp_path, name)


@pytest.mark.parametrize("name", ["x.png", "a/b/x.png", "./x.png", "..x/...png", "a b/ü.png", "\udce9.png"])
def test_names_that_stay(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name) == tmp_path / name
    assert inside(os.path.relpath(tmp_path), name).resolve() == (tmp_path / name).resolve()


def test_links_that_lead_out_and_links_that_do_not(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (folder / "real").mkdir(parents=True)
    elsewhere.mkdir()
    (folder / "away").symlink_to(elsewhere)
    (folder / "near").symlink_to(folder / "real")
    (folder / "up").symlink_to("..")
    for name in ("away/x.png", "away/deep/x.png", "up/elsewhere/x.png"):
        with pytest.raises(DataError, match=r"through a symbolic link, to .*Hint: replace the link"):
            inside(folder, name)
    assert inside(folder, "near/x.png") == folder / "near" / "x.png"
    (tmp_path / "link").symlink_to(folder)
    assert inside(tmp_path / "link", "real/x.png") == tmp_path / "link" / "real" / "x.png", (
        "the folder itself may be a link"
    )
    # a folder beside it whose name begins the same is another one
    (tmp_path / "out-2").mkdir()
    (folder / "beside").symlink_to(tmp_path / "out-2")
    with pytest.raises(DataError, match="symbolic link"):
        inside(folder, "beside/x.png")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "two samples have the name 'a'"),
        (["a/b", "a//b"], "two samples have the name 'a/b'"),
        (["a", "./a"], "two samples have the name 'a'"),
        (["x", "x.png/y"], r"'x' would be written to x\.png, which is a folder of 'x\.png/y'"),
        (["x.json/y", "x"], r"'x' would be written to x\.json"),
    ],
)
def test_files_that_would_replace_each_other(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=f"{message}.*Hint: rename one"):
        check_distinct(names, (".png", ".json"))


def test_files_that_would_not() -> None:
    check_distinct([], (".png",))
    check_distinct(["a", "A", "a/b", "b/a", "x.png", "x"], (".png",))
