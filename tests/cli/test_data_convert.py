"""What ``toolkit data convert`` promises: it writes, says what was lost and how to open the result, and never
writes into other data.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from toolkit.cli import main
from toolkit.formats.convert import WRITERS

SHAPES = ["size=40", "train=3", "val=2", "test=1"]


@pytest.mark.parametrize("target", [*WRITERS, "masks"])
def test_the_line_that_it_prints_opens_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    out = tmp_path / "a folder"
    assert main(["data", "convert", "shapes", "--to", target, "--out", str(out), *SHAPES]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        f"{split}: {count} written to '{out}'"
        for split, count in (("train", "3 samples"), ("val", "2 samples"), ("test", "1 sample"))
    ]
    assert lines[3:] == (
        ["nothing was lost"]
        if target == "masks"
        else ["lost: images with a label map: labels of pixels outside objects (6)"]
    )
    command = shlex.split(last.removeprefix("Check them with: "))
    assert command[0] == "toolkit"
    assert main(command[1:]) == 0
    shown = capsys.readouterr().out
    assert "train: 3 samples, 40…40 pixels wide" in shown
    assert "no errors" in shown


def test_one_split_and_a_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert (
        main(
            [
                "data",
                "convert",
                "shapes",
                "--to",
                "coco",
                "--out",
                str(out),
                "--split",
                "val",
                "--limit",
                "1",
                *SHAPES,
            ]
        )
        == 0
    )
    assert "val: 1 sample" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["annotations", "val"]


def test_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "convert", "shapes", "--out", str(tmp_path / "out"), *SHAPES, "--to"]
    assert main([*words, "voc"]) == 2
    assert "invalid choice: 'voc'" in capsys.readouterr().err
    assert main([*words, "coco", "--limit", "0"]) == 2
    assert "--limit must be 1 or more" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    assert main([*words, "coco"]) == 1
    assert "is not empty. Hint: remove it, or choose another folder with --out" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_splits_with_different_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, name in (("train", "cat"), ("val", "dog")):
        text = f'{{"images": [], "annotations": [], "categories": [{{"id": 1, "name": "{name}"}}]}}'
        (tmp_path / f"{split}.json").write_text(text)
    words = [
        "data",
        "convert",
        "coco",
        "--data-dir",
        str(tmp_path),
        "--to",
        "yolo",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 1
    assert "the splits train, val have different classes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_any_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "data",
        "convert",
        "coco",
        "--data-dir",
        str(tmp_path),
        "--to",
        "yolo",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 1
    assert "has no annotations of the split" in capsys.readouterr().err
