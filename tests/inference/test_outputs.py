"""Files of results: whole or not, removed or left alone, and whose fault it is when one cannot be written."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from toolkit.errors import OutputError
from toolkit.inference.outputs import are_whole, concerns_one_image, remove_outputs, sizes_of, stem_of
from toolkit.runtime.files import output_error


def test_files_are_whole_when_they_are_as_large_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.png").write_bytes(b"12345")
    (tmp_path / "b.json").write_bytes(b"")
    both = {"label_map": "labels/a.png", "instances": "b.json"}
    sizes = sizes_of(tmp_path, both)
    assert sizes == {"label_map": 5, "instances": 0}
    assert are_whole(tmp_path, both, sizes)
    assert not are_whole(tmp_path, both, {}), "empty, and nobody knows that it should be"
    assert not are_whole(tmp_path, {}, {})
    assert not are_whole(tmp_path, {"label_map": "labels"}, {}), "a folder"
    for content in (b"", b"1234", b"123456"):
        (tmp_path / "labels" / "a.png").write_bytes(content)
        assert not are_whole(tmp_path, both, sizes)
    (tmp_path / "labels" / "a.png").unlink()
    assert not are_whole(tmp_path, both, sizes)


def test_only_what_lies_in_the_folder_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "labels").mkdir(parents=True)
    (out / "labels" / "a.png").write_bytes(b"x")
    (tmp_path / "mine.txt").write_bytes(b"x")
    (out / "link").symlink_to(tmp_path)
    remove_outputs(
        out,
        {
            "a": "labels/a.png",
            "b": "../mine.txt",
            "c": str(tmp_path / "mine.txt"),
            "d": "link/mine.txt",
            "e": "labels",
            "f": "none.png",
        },
    )
    assert (tmp_path / "mine.txt").exists()
    assert list((out / "labels").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "is_alone"),
    [(errno.ENAMETOOLONG, True), (errno.EISDIR, True), (errno.ENOSPC, False), (errno.EACCES, False)],
)
def test_whose_fault_it_is(number: int, is_alone: bool) -> None:
    error = OSError(number, "no")
    raised = output_error("a.png", error)
    raised.__cause__ = error
    assert concerns_one_image(raised) == is_alone


def test_what_no_encoder_takes_is_the_fault_of_one_image() -> None:
    assert concerns_one_image(OutputError("a.jpg cannot be written: too large"))


@pytest.mark.parametrize(
    ("output", "stem"),
    [
        ("labels/a.png", "a"),
        ("labels/deep/a.b.png", "deep/a.b"),
        ("a.json", "a"),
        ("instances/a", "a"),
    ],
)
def test_what_an_image_is_called_in_its_outputs(output: str, stem: str) -> None:
    assert stem_of(output) == stem
