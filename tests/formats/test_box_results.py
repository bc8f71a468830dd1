"""Results files of boxes, read as columns, against the same text read as any JSON is."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import DataError
from toolkit.formats.box_results import BoxResults, columns_of_entries, columns_of_text
from toolkit.formats.coco_results import checked_results
from toolkit.formats.predictions import PredictionFiles

IMAGES, CATEGORIES = {"a": 3, "b": 7, "c": 8}, (2, 5)
PIECES = (1, 90, 1 << 20)
"""Bytes that are read at a time: a record, about two, and all."""
BOX = {"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1.0, 2.0, 3.0, 4.0]}

entries = st.fixed_dictionaries(
    {
        "image_id": st.sampled_from([*IMAGES.values()]),
        "category_id": st.sampled_from(CATEGORIES),
        "score": st.one_of(st.floats(0, 1), st.integers(-3, 3)),
        "bbox": st.lists(st.one_of(st.floats(0, 1e6), st.integers(0, 1000)), min_size=4, max_size=4),
    }
)
oddities = st.sampled_from(
    [
        ("image_id", 4),
        ("image_id", 3.0),
        ("image_id", "3"),
        ("image_id", True),
        ("image_id", 1 << 60),
        ("category_id", 1),
        ("category_id", None),
        ("score", math.nan),
        ("score", "0.5"),
        ("score", 10**400),
        ("bbox", [1, 2, 3]),
        ("bbox", [1, 2, 3, 4, 5]),
        ("bbox", [1, 2, -3, 4]),
        ("bbox", [1, 2, math.inf, 4]),
        ("bbox", [1e300, 2, 3, 4]),
        ("bbox", "1234"),
        ("segmentation", {"size": [5, 5], "counts": "0"}),
        ("id", 17),
        ("note", 'a "word" and a \\'),
    ]
)


def read(text: str, folder: Path) -> Any:
    path = folder / "results.json"
    path.write_text(text)
    return PredictionFiles(path, ("x", "y"), image_ids=IMAGES, category_ids=CATEGORIES).results


def outcome(work: Any) -> Any:
    """The detections, or the error in words."""
    try:
        return [dict(entry) for entry in work()]
    except DataError as error:
        return str(error)


@given(found=st.lists(entries, max_size=5), piece=st.sampled_from(PIECES), indent=st.sampled_from([None, 1]))
def test_valid_boxes_are_read_as_columns_bit_for_bit(
    found: list[dict[str, Any]], piece: int, indent: int | None
) -> None:
    columns = columns_of_text(json.dumps(found, indent=indent).encode(), piece)
    assert columns is not None
    assert columns.shape == (len(found), 7)
    expected = [[each["image_id"], *each["bbox"], each["score"], each["category_id"]] for each in found]
    np.testing.assert_array_equal(columns, np.array(expected, dtype=np.float64).reshape(-1, 7))
    other = columns_of_entries(found)
    assert other is not None
    np.testing.assert_array_equal(columns, other)


@given(found=st.lists(entries, min_size=1, max_size=4), odd=st.lists(oddities, min_size=1, max_size=2))
def test_the_two_ways_of_reading_agree_on_odd_files(
    found: list[dict[str, Any]], odd: list[tuple[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    for place, (key, value) in enumerate(odd):
        found[place % len(found)] = found[place % len(found)] | {key: value}
    text = json.dumps(found)
    by_text = outcome(lambda: read(text, folder))
    path = folder / "results.json"
    by_entries = outcome(lambda: checked_results(json.loads(text), path, IMAGES.values(), CATEGORIES))
    assert by_text == by_entries


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[{}]",
        "[1]",
        "{}",
        "null",
        '[{"image_id": 3, "image_id": 7, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]}] and more',
        '[{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]},]',
        '[{"image_id": 3, "category_id": 2, "score": NaN, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 03, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 3, "category_id": 2, "score": 1e999, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, ' + "9" * 400 + "]}]",
        '[{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]},  ]',
        '[{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]},',
        '[{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]}],'
        '[{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]},,'
        '{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 3, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4], "a},": "b"}]',
        "[" * 10_000,
        "\ufeff" + json.dumps([BOX]),
    ],
)
def test_what_is_not_plainly_right_is_left_to_the_general_way(text: str, piece: int) -> None:
    assert columns_of_text(text.encode(), piece) is None


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    text = '[{"image_id": 3, "category_id": 2, "score": 0.5, "score": 0.9, "bbox": [1, 2, 3, 4]}]'
    with pytest.raises(DataError, match=r"the key 'score' twice, with 0\.5 and 0\.9"):
        read(text, tmp_path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert [*read("\ufeff" + json.dumps([BOX]), tmp_path)] == [BOX]


def test_results_of_other_images_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="toolkit"):
        found = read(json.dumps([BOX | {"image_id": 90}, BOX, BOX | {"image_id": 12}]), tmp_path)
    assert isinstance(found, BoxResults)
    assert [*found] == [BOX]
    assert "90, 12" in caplog.text
    with pytest.raises(DataError, match="image_id is 90"):
        read(json.dumps([BOX | {"image_id": 90}]), tmp_path)


def test_boxes_are_a_sequence_of_dictionaries() -> None:
    columns = columns_of_entries([BOX, BOX | {"score": 1, "image_id": 7}])
    assert columns is not None
    boxes = BoxResults(columns)
    assert len(boxes) == 2
    assert boxes[-1] == BOX | {"score": 1.0, "image_id": 7}
    assert [*boxes[:1]] == [boxes[0]] == [BOX]
    assert type(boxes[0]["image_id"]) is int
    with pytest.raises(IndexError):
        boxes[2]
