"""What label images promise: values and colors become classes, ids become objects, and faults name the
file.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.data.faults import gathering
from toolkit.data.label_maps import read_label_map
from toolkit.errors import DataError
from toolkit.formats.label_images import (
    MAX_IDS,
    check_same_size,
    colors_to_label_map,
    id_map_from_instances,
    instances_from_id_map,
    labeled_sample,
    majority_labels,
    values_to_label_map,
    with_objects,
)
from toolkit.types import VOID, Instances, Masks

ids_maps = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1)).map(
    lambda a: torch.from_numpy(np.random.default_rng(a[2]).integers(0, 5, a[:2], dtype=np.uint8))
)


def test_values_become_classes() -> None:
    values = torch.tensor([[0, 5, 255], [5, 5, 9]], dtype=torch.uint8)
    table = {0: VOID, 5: 0, 9: 1, 255: VOID}
    assert values_to_label_map(values, table, "a.png").tolist() == [[VOID, 0, VOID], [0, 0, 1]]


def test_every_value_has_its_own_place() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    table = {value: (value * 7 + 3) % 256 for value in range(256)}
    assert values_to_label_map(values, table, "a.png").flatten().tolist() == list(table.values())


def test_an_unknown_value_is_named_with_its_pixels() -> None:
    values = torch.tensor([[0, 1, 7], [7, 7, 9]], dtype=torch.uint8)
    with pytest.raises(
        DataError,
        match=r"maps/a.png has the value 7 in 3 pixels \(and 1 other invalid value\).*expected 0…2, 255",
    ):
        values_to_label_map(values, {0: 0, 1: 1, 2: 2, 255: VOID}, "maps/a.png")


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_colors_become_classes(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    colors = sorted(
        {tuple(int(part) for part in row) for row in rng.integers(0, 256, (count, 3))}, key=lambda c: c[::-1]
    )
    table = {color: int(rng.integers(0, 256)) for color in colors}
    picks = rng.integers(0, len(colors), (9, 11))
    image = torch.from_numpy(np.array(colors, np.uint8)[picks]).permute(2, 0, 1)
    assert np.array_equal(
        colors_to_label_map(image, table, "a.png").numpy(), np.array(list(table.values()), np.uint8)[picks]
    )


def test_an_unknown_color_is_named_with_its_pixels() -> None:
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    image[:, 1, 2:] = torch.tensor([128, 0, 3], dtype=torch.uint8)[:, None]
    image[:, 3, 4] = 200
    with pytest.raises(
        DataError, match=r"b.bmp has the color \(128, 0, 3\) in 3 pixels \(and 1 other invalid color\)"
    ):
        colors_to_label_map(image, {(0, 0, 0): 0, (128, 0, 2): 1}, "b.bmp")


def test_sizes_must_agree() -> None:
    image = torch.zeros(3, 4, 5)
    check_same_size(torch.zeros(4, 5), image, "l.png", "i.jpg")
    with pytest.raises(DataError, match=r"l.png has 4 x 5 pixels, but its image i.jpg has 5 x 4"):
        check_same_size(torch.zeros(5, 4), image, "l.png", "i.jpg")


@settings(max_examples=150, deadline=None)
@given(ids_maps, st.permutations([1, 2, 3, 4, 77]), st.integers(0, 5))
def test_ids_become_objects(ids: torch.Tensor, order: list[int], count: int) -> None:
    labels = {object_id: object_id * 2 for object_id in order[:count]}
    found = instances_from_id_map(ids, labels)
    present = [object_id for object_id in labels if (ids == object_id).any()]
    assert found.labels.tolist() == [labels[object_id] for object_id in present]
    assert found.masks is not None
    for mask, box, object_id in zip(found.masks.dense(), found.boxes_xyxy, present, strict=True):
        assert torch.equal(mask, ids == object_id)
        ys, xs = (ids == object_id).nonzero().unbind(1)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


@settings(max_examples=100, deadline=None)
@given(ids_maps, st.integers(0, 2**32 - 1))
def test_majority_is_that_of_a_naive_count(ids: torch.Tensor, seed: int) -> None:
    label_map = torch.from_numpy(
        np.random.default_rng(seed).choice([0, 1, 2, VOID], tuple(ids.shape)).astype(np.uint8)
    )
    expected = {}
    for object_id in range(1, 5):
        votes = [int(((ids == object_id) & (label_map == label)).sum()) for label in range(3)]
        if max(votes):
            expected[object_id] = votes.index(max(votes))
    assert majority_labels(ids, label_map) == expected


def test_more_ids_than_a_byte_holds() -> None:
    ids = torch.arange(600).reshape(20, 30)
    found = instances_from_id_map(ids, {300: 1, 599: 2})
    assert found.labels.tolist() == [1, 2]
    assert found.boxes_xyxy.tolist() == [[0, 10, 1, 11], [29, 19, 30, 20]]
    assert majority_labels(ids, torch.full((20, 30), 3, dtype=torch.uint8))[599] == 3


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_wide_ids_are_told_apart(height: int, width: int, count: int, seed: int) -> None:
    """Ids of up to 31 bits, among them such that agree in their low bytes; every one of them is found, with
    or without background.
    """
    rng = np.random.default_rng(seed)
    known = np.unique(
        np.concatenate(
            [
                rng.integers(1, 2**31 - 1, count),
                rng.integers(1, 200, 5) + 65_536,
                [254, 255, 256, 510, 65_535],
            ]
        )
    )
    ids = torch.from_numpy(rng.choice(known, (height, width)).astype(np.int32))
    label_map = torch.from_numpy(rng.integers(0, 3, (height, width), dtype=np.uint8))
    labels = majority_labels(ids, label_map)
    present = ids.unique().tolist()
    assert sorted(labels) == present
    assert all(
        ((ids == i) & (label_map == labels[i])).sum()
        == max(((ids == i) & (label_map == c)).sum() for c in range(3))
        for i in present
    )
    found = instances_from_id_map(ids, labels)
    assert found.labels.tolist() == list(labels.values())
    assert found.masks is not None
    assert torch.equal(found.masks.areas(), torch.stack([(ids == i).sum() for i in labels]))
    assert all(torch.equal(mask, ids == i) for mask, i in zip(found.masks.dense(), labels, strict=True))


def test_as_many_objects_as_ids_can_be_drawn() -> None:
    ids = torch.arange(300, dtype=torch.int32).reshape(20, 15) + 1
    instances = instances_from_id_map(ids, dict.fromkeys(range(1, 301), 0))
    assert torch.equal(id_map_from_instances(instances), ids)
    many = Instances(
        (1, 1),
        torch.zeros((MAX_IDS + 1, 4)),
        torch.zeros(MAX_IDS + 1, dtype=torch.int64),
        Masks((1, 1), (b"01",) * (MAX_IDS + 1)),
    )
    with pytest.raises(DataError, match="can hold at most 65535 objects, not 65536"):
        id_map_from_instances(many)


@settings(max_examples=50, deadline=None)
@given(ids_maps)
def test_there_and_back(ids: torch.Tensor) -> None:
    present = [i for i in range(1, 5) if (ids == i).any()]
    back = id_map_from_instances(instances_from_id_map(ids, dict.fromkeys(present, 0)))
    for number, object_id in enumerate(present, start=1):
        assert torch.equal(back == number, ids == object_id)
    assert torch.equal(back == 0, ids == 0)


def test_boxes_alone_cannot_be_drawn() -> None:
    with pytest.raises(DataError, match="no masks"):
        id_map_from_instances(Instances.empty((3, 4)))


def two_files(folder: Path, ids: np.ndarray | None = None) -> tuple[Path, Path]:
    image, label = folder / "a.png", folder / "label.png"
    cv2.imwrite(str(image), np.full((3, 4, 3), 90, np.uint8))
    cv2.imwrite(str(label), np.array([[0, 1, 1, 1]] * 3, np.uint8) if ids is None else ids)
    return image, label


def test_a_photo_and_its_label_map_are_a_sample(tmp_path: Path) -> None:
    image, label = two_files(tmp_path)
    sample = labeled_sample("x", image, label, read_label_map)
    assert (sample.id, sample.size, sample.path) == ("x", (3, 4), str(image))
    assert sample.label_map is not None
    assert sample.label_map[0].tolist() == [0, 1, 1, 1]


def test_where_faults_are_gathered_both_files_are_tried(tmp_path: Path) -> None:
    image, label = tmp_path / "a.png", tmp_path / "label.png"
    for path in (image, label):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png"):
        labeled_sample("x", image, label, read_label_map)
    with gathering() as faults, pytest.raises(DataError, match=r"a\.png"):
        labeled_sample("x", image, label, read_label_map)
    assert [label.name in str(each) for each in faults] == [True]


def test_objects_have_the_class_of_most_of_their_pixels(tmp_path: Path) -> None:
    sample = labeled_sample("x", *two_files(tmp_path), read_label_map)
    ids = torch.tensor([[7, 7, 7, 0]] * 3)
    objects = with_objects(sample, ids, tmp_path / "ids.png").instances
    assert objects is not None
    assert objects.labels.tolist() == [1]
    assert objects.boxes_xyxy.tolist() == [[0, 0, 3, 3]]
    none = with_objects(sample, torch.zeros(3, 4, dtype=torch.int64), tmp_path / "ids.png").instances
    assert none is not None
    assert len(none) == 0
    with pytest.raises(DataError, match=r"ids\.png has 3 x 4 pixels, but its image .*a\.png has 4 x 3"):
        with_objects(sample, ids.T, tmp_path / "ids.png")
