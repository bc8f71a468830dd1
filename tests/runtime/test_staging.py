"""A folder appears as a whole, or nothing does."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from toolkit.errors import OutputError, UsageError
from toolkit.runtime.staging import UNFINISHED, staged


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    rest = tmp_path / f".exported{UNFINISHED}0123abcd"
    rest.mkdir()
    (rest / "network.onnx").write_bytes(b"half")
    with staged(tmp_path / "exported") as folder:
        (folder / "file").write_text("whole")
        assert not (tmp_path / "exported").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["exported"]
    assert (tmp_path / "exported" / "file").read_text() == "whole"


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), staged(tmp_path / "new" / "exported") as folder:
        (folder / "file").write_text("half")
        raise ZeroDivisionError
    assert list((tmp_path / "new").iterdir()) == []


def test_an_empty_folder_is_replaced_and_another_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "exported").mkdir()
    with staged(tmp_path / "exported") as folder:
        (folder / "file").write_text("whole")
    for kind in ("folder", "file", "link"):
        out = tmp_path / kind
        if kind == "folder":
            out = tmp_path / "exported"
        elif kind == "file":
            out.write_text("mine")
        else:
            out.symlink_to(tmp_path / "exported")
        with pytest.raises(UsageError, match="Hint: choose another folder with --out"), staged(out):
            pytest.fail("it was not refused")
    assert (tmp_path / "exported" / "file").read_text() == "whole"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of its path is a file"), staged(tmp_path / "file" / "out"):
        pytest.fail("it cannot be made")
