"""Files of prompts: what they hold, which images they mean, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from toolkit.errors import DataError
from toolkit.formats.prompts import PromptFile

CSV = """image,object,x,y,label,class
a.jpg,1,10,20,1,flask
a.jpg,1,12,22,0,
a.jpg,2,5.5,6,,cup
b.jpg,,1,2,1,flask
"""


def write(folder: Path, text: str, name: str = "prompts.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_points_of_a_csv_are_grouped_by_object(tmp_path: Path) -> None:
    file = PromptFile(write(tmp_path, CSV))
    file.assign(["a", "b", "c"])
    assert file.classes == ("flask", "cup")
    (prompts,) = file.groups("a", (100, 100))
    assert prompts.points_xy is not None
    assert prompts.points_xy.tolist() == [[[10, 20], [12, 22]], [[5.5, 6], [0, 0]]]
    assert prompts.point_labels is not None
    assert prompts.point_labels.tolist() == [[1, 0], [1, -1]]
    assert prompts.labels is not None
    assert prompts.labels.tolist() == [0, 1]
    assert prompts.boxes_xyxy is None
    assert file.groups("c", (5, 5)) == []


def test_boxes_points_and_both_come_in_groups_of_their_kind(tmp_path: Path) -> None:
    document = {
        "a.jpg": [
            {"box_xyxy": [1, 2, 30, 40]},
            {"points_xy": [[3, 4]]},
            {
                "points_xy": [[5, 6], [7, 8]],
                "point_labels": [1, 0],
                "box_xyxy": [-3, 0, 300, 9],
                "class": "cup",
            },
            {"box_xyxy": [2, 2, 3, 3]},
        ]
    }
    file = PromptFile(write(tmp_path, json.dumps(document), "p.json"))
    file.assign(["a.jpg"])
    boxes, points, both = file.groups("a.jpg", (50, 60))
    assert boxes.boxes_xyxy is not None
    assert boxes.boxes_xyxy.tolist() == [[1, 2, 30, 40], [2, 2, 3, 3]]
    assert boxes.points_xy is None
    assert len(points) == 1
    assert both.boxes_xyxy is not None
    assert both.boxes_xyxy.tolist() == [[0, 0, 60, 9]]  # cut to the image
    assert both.labels is not None
    assert both.labels.tolist() == [1]


def test_the_boxes_of_a_coco_file(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 7, "file_name": "photos/a.png"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20], "segmentation": []}],
    }
    file = PromptFile(write(tmp_path, json.dumps(document), "coco.json"))
    file.assign(["photos/a"])
    (prompts,) = file.groups("photos/a", (50, 50))
    assert torch.equal(prompts.boxes_xyxy, torch.tensor([[1.0, 2, 11, 22]]))  # type: ignore[arg-type]
    assert file.classes == ("cat",)
    document["annotations"].append({"image_id": 7, "category_id": 4, "bbox": [1, 2, 10, 20]})
    with pytest.raises(
        DataError, match=r"annotation 1 has category_id 4, which is not among the categories\. Hint"
    ):
        PromptFile(write(tmp_path, json.dumps(document), "coco.json"))
    del document["categories"]
    unnamed = PromptFile(write(tmp_path, json.dumps(document), "coco.json"))
    assert unnamed.classes == ("object",)


@pytest.mark.parametrize(
    ("entry", "names", "found"),
    [
        ("a.jpg", ["deep/a.jpg"], "deep/a.jpg"),
        ("a.jpg", ["a"], "a"),
        ("a", ["x/a.PNG"], "x/a.PNG"),
        ("x/a.jpg", ["x/a.jpg", "y/a.jpg"], "x/a.jpg"),
        ("a.jpg", ["a.jpg", "y/a.jpg"], "a.jpg"),
        ("a.JPG", ["a.jpg"], "a.jpg"),
        ("x\\a.jpg", ["x/a.jpg", "y/a.jpg"], "x/a.jpg"),
        ("with%20blank.jpg", ["with blank.jpg"], "with blank.jpg"),
        ("C:\\lab\\x\\a.jpg", ["x/a.jpg", "y/a.jpg"], "x/a.jpg"),
        ("/data/upload/4/a.jpg", ["b.jpg", "deep/er/a.jpg"], "deep/er/a.jpg"),
        ("https://host.example/a%2B.png", ["a+.png"], "a+.png"),
    ],
)
def test_a_name_stands_for_the_image_whose_path_ends_so(
    tmp_path: Path, entry: str, names: list[str], found: str
) -> None:
    file = PromptFile(write(tmp_path, f"image,x,y\n{entry},1,1\n"))
    file.assign(names)
    assert [name for name in names if file.groups(name, (9, 9))] == [found]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["b.jpg"],
            (
                r"prompts.csv, line 2 is for 'a.jpg', but no image has this name. Hint: use names such as"
                r" b.jpg"
            ),
        ),
        (["x/a.jpg", "y/a.jpg"], "2 images have this name: x/a.jpg, y/a.jpg"),
        (["a.png"], "no image has this name"),
        ([], "no image has this name"),
    ],
)
def test_an_image_that_is_not_there_is_named(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PromptFile(write(tmp_path, "image,x,y\na.jpg,1,1\n")).assign(names)


def test_names_from_other_machines_are_not_mixed_up(tmp_path: Path) -> None:
    """Two names that end alike do not both stand for the one image that is there."""
    text = "image,x,y\n/p/a.jpg,1,1\n/q/a.jpg,2,2\n"
    with pytest.raises(DataError, match="is for '/p/a.jpg', but no image has this name"):
        PromptFile(write(tmp_path, text)).assign(["a.jpg"])
    file = PromptFile(write(tmp_path, text))
    file.assign(["set/p/a.jpg", "set/q/a.jpg"])
    assert [len(file.groups(f"set/{name}/a.jpg", (9, 9))) for name in "pq"] == [1, 1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("image,x,y\na,50,10", r"line 2 has the point \(50, 10\), outside a, which is 50 × 40 pixels"),
        ("image,x,y\na,-1,10", "outside a"),
        ("image,x0,y0,x1,y1\na,60,0,70,9", r"the box \[60.0, 0.0, 70.0, 9.0\], outside a"),
    ],
)
def test_prompts_outside_the_image_are_errors(tmp_path: Path, row: str, message: str) -> None:
    file = PromptFile(write(tmp_path, row))
    file.assign(["a"])
    with pytest.raises(DataError, match=message):
        file.groups("a", (40, 50))


def test_a_class_that_the_dataset_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has the class 'flask'; expected one of: cup"):
        PromptFile(write(tmp_path, CSV), ["cup"])


# Ids of objects


def test_ids_stay_with_their_objects_whatever_their_prompts_are(tmp_path: Path) -> None:
    document = {
        "a.jpg": [
            {"box_xyxy": [1, 2, 30, 40], "object": 7},
            {"points_xy": [[3, 4]], "object": "left"},
            {"points_xy": [[9, 9]], "box_xyxy": [2, 2, 20, 20]},
            {"box_xyxy": [2, 2, 3, 3], "object": "2"},
            {"points_xy": [[5, 4], [6, 6]], "object": ""},
        ],
        "b.jpg": [{"points_xy": [[3, 4]], "object": "left"}, {"points_xy": [[8, 8]]}],
    }
    file = PromptFile(write(tmp_path, json.dumps(document), "p.json"))
    file.assign(["a.jpg", "b.jpg"])
    assert file.ids("a.jpg") == ("7", "left", "1", "2", "3")
    assert file.ids("b.jpg") == ("left", "4"), "numbers that no object of the file has"
    assert file.given_ids() == {"7", "left", "2"}
    boxes, points, both = file.groups("a.jpg", (50, 60))
    assert (boxes.ids, points.ids, both.ids) == (("7", "2"), ("left", "3"), ("1",))
    singles = file.one_by_one("a.jpg", (50, 60))
    assert [each.ids for each in singles] == [("7",), ("left",), ("1",), ("2",), ("3",)]
    assert singles[4].points_xy is not None
    assert singles[4].points_xy.tolist() == [[[5, 4], [6, 6]]]
    assert file.one_by_one("c.jpg", (5, 5)) == []
    assert file.ids("c.jpg") == ()


def test_the_column_object_gives_the_id(tmp_path: Path) -> None:
    rows = (
        "image,object,x,y,x0,y0,x1,y1\n"
        "b,,1,1,,,,\na,cup,1,2,,,,\na,9,5,5,,,,\na,cup,,,1,1,8,8\na, 9 ,6,6,,,,\n"
    )
    file = PromptFile(write(tmp_path, rows))
    file.assign(["a", "b"])
    assert file.ids("a") == ("cup", "9")
    cup, nine = file.one_by_one("a", (20, 20))
    assert cup.boxes_xyxy is not None
    assert cup.points_xy is not None
    assert nine.points_xy is not None
    assert len(nine.points_xy[0]) == 2
    assert file.ids("b") == ("1",)


def test_the_ids_of_a_coco_files_annotations(tmp_path: Path) -> None:
    boxes = [{"id": 30 - i, "image_id": 7, "bbox": [i, 2, 10, 20]} for i in range(3)]
    document = {"images": [{"id": 7, "file_name": "a.png"}], "annotations": boxes}
    file = PromptFile(write(tmp_path, json.dumps(document), "coco.json"))
    file.assign(["a.png"])
    assert file.ids("a.png") == ("30", "29", "28")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"a": [{"points_xy": [[1, 2]], "object": 3}, {"points_xy": [[3, 4]], "object": "3"}]},
            r"image 'a': prompt 1 has the object '3', as .*prompt 0 has; expected one record for each object",
        ),
        (
            {"a": [{"points_xy": [[1, 2]], "object": 3}], "a.jpg": [{"points_xy": [[3, 4]], "object": 3}]},
            "under one name of the image",
        ),
        (
            {"a": [{"points_xy": [[1, 2]], "object": [3]}]},
            r"object: should be a whole number or .*, not \[3\]",
        ),
        (
            {"a": [{"points_xy": [[1, 2]], "object": 1.5}]},
            r"object: should be a whole number or .*, not 1\.5",
        ),
        (
            {"a": [{"points_xy": [[1, 2]], "object": True}]},
            "object: should be a whole number or .*, not True",
        ),
    ],
)
def test_ids_that_are_none_or_stand_for_two_objects_are_refused(
    tmp_path: Path, document: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        PromptFile(write(tmp_path, json.dumps(document), "p.json")).assign(["a.jpg"])


def test_names_with_line_ends_and_long_numbers_are_matched(tmp_path: Path) -> None:
    number = "0" * 5_000 + "7"
    file = PromptFile(write(tmp_path, f'image,x,y\n"a\nb",1,2\n{number},3,4\n'))
    file.assign(["a\nb", "7"])
    assert file.names_image("a\nb")
    assert file.names_image("7")
