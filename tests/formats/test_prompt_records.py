"""The records in files of prompts: what is wrong with them is named with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.formats.prompt_records import read_prompts


def write(folder: Path, text: str, name: str = "prompts.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns none"),
        ("image,x,y\n", "contains no prompts"),
        ("{}", "contains no prompts"),
        ("[1]", "contains a list"),
        ('{"a": [1', "not valid JSON"),
        ('{"a": 3}', "'a' contains int; expected a list"),
        ('{"a": [{"x": 1}]}', r"prompt 0: x: unknown field; expected one of: points_xy, .*, object\b"),
        ('{"a": [{}]}', r"image 'a': prompt 0 has neither a point nor a box"),
        ('{"a": [{"points_xy": [[1, 2]], "point_labels": [1, 0]}]}', "for 1 points; expected one per point"),
        (
            '{"a": [{"points_xy": [[1, 2]], "point_labels": [2]}]}',
            r"point_labels\[0\]: should be 1 for a point on the object or 0 for one off it, not 2",
        ),
        ('{"a": [{"points_xy": [1, 2]}]}', r"points_xy\[0\]: should be a valid list, not 1"),
        ('{"a": [{"box_xyxy": [5, 5, 5, 9]}]}', "expected x1 > x0"),
        ('{"a": [{"box_xyxy": [5, 5]}]}', r"box_xyxy: expected at least 4 items, not \[5, 5\]"),
        ('{"a": [{"box_xyxy": [5, 5, NaN, 9]}]}', r"box_xyxy\[2\]: should be a finite number, not nan"),
        (
            '{"images": [], "annotations": [{"bbox": [1, 2, 3, 4], "image_id": 4}]}',
            "has image_id 4, which is not among the images",
        ),
        ('{"images": [], "annotations": [{"image_id": 4}]}', "annotation 0: bbox: missing"),
        ("image,u,v\na,1,2", "has the columns image, u, v; expected image with x, y"),
        ("image,x,y\na,one,2", "line 2 has x = 'one'"),
        ("image,x,y\n,1,2", "line 2 has no image name"),
        ("image,x,y\na,1,2,3", "more values than columns"),
        ("image,x,y\na,,", "line 2 has neither a point nor a box"),
        ("image,x,y,label\na,1,2,yes", "label 'yes'"),
        ("image,object,x0,y0,x1,y1\na,1,1,1,2,2\na,1,3,3,4,4", "2 boxes; expected one"),
        ("image,object,x,y,class\na,1,1,1,cup\na,1,3,3,pot", "the classes cup, pot; expected one"),
    ],
)
def test_faults_are_named_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as info:
        read_prompts(write(tmp_path, text))
    assert "prompts.csv" in str(info.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; it should contain prompts"):
        read_prompts(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"image,x,y\n\xff\xfe\xfa,1,2")
    with pytest.raises(DataError, match="line 2: the byte 0xff is not UTF-8"):
        read_prompts(tmp_path / "latin.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,x,y\na," + "1" * 200_000 + ",2",
            "line 2: not a table of comma-separated values: field larger",
        ),
        ('image,x,y\na,"1,2\n' + "b,1,2\n" * 40_000, "is a quotation mark not closed"),
        ("image,x,y\na\0,1,2", "it contains the character NUL"),
        ("image,x,y\na,1e999,2", "x = '1e999'; expected a number of pixels"),
        ("image,x,y\na," + "9" * 400 + ",2", "expected a number of pixels"),
        ("image,x,y,label\na,1,2," + "1" * 5_000, "label '1111"),
        ("{", "not valid JSON"),
        ('{"a": ' + "[" * 100_000, "more than 200 levels deep"),
        ('{"a": [5]}', "image 'a': prompt 0: expected an object with fields, not 5"),
        ('{"a": [{"points_xy": [[1, 1' + "0" * 400 + "]]}]}", r"points_xy\[0\]\[1\]: "),
        ('{"a": [{"points_xy": [["1", 2]]}]}', r"points_xy\[0\]\[0\]: should be a valid number, not '1'"),
        (
            '{"a": [{"box_xyxy": [1, 2, 9, 9], "class": ["cup"]}]}',
            r"class: should be a valid string, not \['cup'\]",
        ),
        ('{"a": [{"box_xyxy": [1, 2, 9, 9], "class": 5}]}', "class: should be a valid string, not 5"),
        ('{"images": 5, "annotations": []}', "expected a list of image records, not 5"),
        ('{"images": [{"id": [1], "file_name": "a"}], "annotations": []}', "image 0 .*: id: should be"),
        ('{"images": [{"id": 1}], "annotations": []}', "file_name: missing"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": 5}]}', "name: should be"),
        ('{"images": [], "annotations": [null]}', "annotation 0: expected an object with fields"),
        ('{"images": [], "annotations": [{"image_id": [1], "bbox": [1, 2, 3, 4]}]}', "image_id: should be"),
    ],
)
def test_odd_records_are_named_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value)
    assert "Hint: " in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_pipe_is_no_file_of_prompts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "prompts.csv")
    with pytest.raises(DataError, match="is a named pipe, not a file"):
        read_prompts(tmp_path / "prompts.csv")
