"""A folder of data that is incomplete is not taken for one that was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit.cli import main
from toolkit.data.dataset import open_dataset
from toolkit.data.unfinished import MARK, being_written, require_finished
from toolkit.errors import DataError, OutputError
from toolkit.formats import convert


def test_the_mark_lies_there_until_the_end(tmp_path: Path) -> None:
    require_finished(tmp_path)
    with being_written(tmp_path, "toolkit data convert x"):
        (tmp_path / "a").write_text("")
        with pytest.raises(DataError, match=r"is incomplete.*again: toolkit data convert x"):
            require_finished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_after_an_error_the_same_command_may_begin_again_and_no_other(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), being_written(tmp_path, "one"):
        (tmp_path / "a").write_text("").__truediv__(0)
    assert (tmp_path / MARK).exists()
    with (
        pytest.raises(
            OutputError, match=r"left unfinished by another command\. Hint: run that again \(one\)"
        ),
        being_written(tmp_path, "two"),
    ):
        pytest.fail("not to be written")
    with being_written(tmp_path, "one"):
        pass
    require_finished(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "sparse", "folder"])
def test_a_mark_that_is_none_is_neither_waited_for_nor_read(tmp_path: Path, kind: str) -> None:
    mark = tmp_path / MARK
    if kind == "pipe":
        os.mkfifo(mark)
    elif kind == "folder":
        mark.mkdir()
    else:
        mark.touch()
        os.truncate(mark, 50 << 30)
        with pytest.raises(DataError, match="53,687,091,200 bytes, but the command that writes here"):
            require_finished(tmp_path)
        return
    require_finished(tmp_path)


def test_where_nothing_was_written_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), being_written(tmp_path, "one"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["coco", "masks", "labelme"])
def test_a_conversion_that_stopped_is_said_to_have_and_can_be_repeated(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    small = ["size=32", "train=4", "val=2", "test=2"]
    words = ["data", "convert", "shapes", "--to", target, "--out", str(out), *small]

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(convert, "sync_files", stopped)
        assert main(words) == 1
    assert list(out.rglob("*.png"))
    again = f"toolkit data convert shapes --to {target} --out {out} size=32 train=4 val=2 test=2"
    with pytest.raises(DataError, match=f"is incomplete.*Hint: run it again: {again}"):
        open_dataset(target, out, "train")
    capsys.readouterr()
    assert main([*words, "--limit", "1"]) == 1
    assert f"Hint: run that again ({again})" in capsys.readouterr().err
    assert main(words) == 0
    assert len(open_dataset(target, out, "train")) == 4
    assert main(words) == 1, "it is finished now, and not empty"
