"""What the reader of COCO's format promises: what pycocotools reads, it reads alike; what is wrong, it
names.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_dataset_cases import HEIGHT, WIDTH, annotation, coco, document, put
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from toolkit.errors import DataError
from toolkit.formats.coco import decode_counts


def random_annotations(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Objects of all kinds, in both images: polygons with several parts, both run lengths, crowds."""
    found = []
    for key in range(20):
        mask = np.asfortranarray(rng.random((HEIGHT, WIDTH)) < rng.choice([0.02, 0.5, 0.98]), np.uint8)
        mask[5, 6] = 1
        code = coco_mask.encode(mask)
        runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], mask.ravel("F"), [2]]))))
        segmentation: Any = [
            rng.uniform(-2, 25, 2 * rng.integers(3, 9)).tolist() for _ in range(rng.integers(1, 4))
        ]
        if key % 3 == 1:
            segmentation = {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()}
        elif key % 3 == 2:
            segmentation = {"size": [HEIGHT, WIDTH], "counts": [0] * int(mask[0, 0]) + runs.tolist()}
        fields = {
            "segmentation": segmentation,
            "image_id": int(rng.choice([7, 900])),
            "category_id": int(rng.choice([3, 90])),
        }
        found.append(
            annotation(
                key * 11, **fields, iscrowd=int(key % 5 == 1), bbox=[1.5, 2.25, float(rng.uniform(1, 9)), 4]
            )
        )
    return found


@pytest.mark.parametrize("seed", range(8))
def test_reads_what_pycocotools_reads(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, document(*random_annotations(np.random.default_rng(seed))))
    dataset, reference = coco(tmp_path), COCO(str(path))
    assert dataset.classes == ("cat", "dog")
    assert dataset.ids == ("a", "sub/b")
    for index, image_id in enumerate((7, 900)):
        truth = reference.loadAnns(reference.getAnnIds(imgIds=image_id))
        instances = dataset[index].instances
        assert instances is not None
        assert instances.masks is not None
        assert instances.labels.tolist() == [{3: 0, 90: 1}[t["category_id"]] for t in truth]
        crowds = [False] * len(truth) if instances.is_crowd is None else instances.is_crowd.tolist()
        assert crowds == [bool(t["iscrowd"]) for t in truth]
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (t["bbox"] for t in truth)]
        np.testing.assert_allclose(instances.boxes_xyxy.numpy(), np.array(boxes).reshape(-1, 4), rtol=1e-6)
        for mask, record in zip(instances.masks.dense().numpy(), truth, strict=True):
            assert np.array_equal(mask, reference.annToMask(record).astype(bool))


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_run_lengths_of_any_bytes_are_decoded_or_refused(counts: bytes) -> None:
    lengths = decode_counts(counts)
    values, position, value, shift = [], 0, 0, 0
    for byte in counts:  # the rule, digit by digit
        digit = byte - 48
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            values.append(value + (values[position - 2] if position > 2 else 0))
            position, value, shift = position + 1, 0, 0
            if shift > 60:
                break
    assert lengths.tolist() in (values, [-1])
    if shift or not counts:
        assert lengths.tolist() == [-1]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(1, 70), st.floats(0, 1))
def test_run_lengths_of_masks(seed: int, height: int, width: int, density: float) -> None:
    mask = np.asfortranarray(np.random.default_rng(seed).random((height, width)) < density, np.uint8)
    lengths = decode_counts(coco_mask.encode(mask)["counts"])
    assert np.array_equal(np.repeat(np.arange(len(lengths)) % 2, lengths), mask.ravel("F"))


def test_images_without_objects_and_boxes_without_masks(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(1, segmentation=[]), annotation(2, segmentation=None)))
    dataset = coco(tmp_path)
    assert dataset[0].instances.masks is None
    assert len(dataset[0].instances) == 2
    assert len(dataset[1].instances) == 0
    put(tmp_path, document())
    assert [len(coco(tmp_path)[i].instances) for i in range(2)] == [0, 0]


def test_boxes_are_cut_off_at_the_border_or_taken_from_the_mask(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(1, bbox=[-5, 3, 20, 30.5]), annotation(2, bbox=None)))
    with pytest.raises(DataError, match=r"annotation 1 of .* reaches 33.5, outside the image of 30 x 20"):
        coco(tmp_path)[0]
    cut = coco(tmp_path, outside="clip")[0].instances
    assert cut.boxes_xyxy.tolist() == [[0, 3, 15, 20], [2, 3, 9, 8]]


def test_what_coco_needs_to_be_measured_by_is_kept(tmp_path: Path) -> None:
    data = document(
        annotation(1, area=12.25), annotation(2, area=None), annotation(3, image_id=900, area=None)
    )
    put(tmp_path, data)
    dataset = coco(tmp_path)
    assert dataset.coco_image_ids == {"a": 7, "sub/b": 900}
    assert dataset.coco_category_ids == (3, 90)
    known = dataset.coco_document()
    assert known is not None
    assert known["categories"] == data["categories"]
    for mine, written in zip(known["annotations"], data["annotations"], strict=True):
        assert mine == {"iscrowd": 0, **written, "bbox": mine["bbox"], "area": written["area"] or 35}
    assert dataset[0].instances.areas.tolist() == [12.25, 35]
    assert dataset[1].instances.areas is None
    data["images"][0]["id"] = "seven"
    data["annotations"] = []
    put(tmp_path, data)
    assert coco(tmp_path).coco_image_ids is None


def test_a_tiny_object_with_a_box_stays(tmp_path: Path) -> None:
    put(
        tmp_path,
        document(annotation(1, segmentation=[[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]], bbox=[3.1, 3.1, 0.1, 0.1])),
    )
    instances = coco(tmp_path)[0].instances
    assert instances.masks.areas().tolist() == [0]
    assert len(instances) == 1


def test_keypoints(tmp_path: Path) -> None:
    data = document(
        annotation(1, keypoints=[1, 2, 2, 3.5, 4, 1]), annotation(2), annotation(3, category_id=90)
    )
    data["categories"][1]["keypoints"] = ["nose", "tail"]
    put(tmp_path, data)
    dataset = coco(tmp_path)
    assert dataset.keypoint_names == ("nose", "tail")  # type: ignore[attr-defined]
    assert dataset[0].instances.keypoints.tolist() == [
        [[1.5, 2.5, 2], [4, 4.5, 1]],
        [[0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0]],
    ]
    data["annotations"][0]["keypoints"] = [1, 2, 2, 3.5, 44, 1]
    put(tmp_path, data)
    with pytest.raises(DataError, match=r"annotation 1 of .* reaches 44, outside the image of 30 x 20"):
        coco(tmp_path)[0]
    data["annotations"][0]["keypoints"] = [1, 2, 2, 3]
    put(tmp_path, data)
    with pytest.raises(DataError, match=r"annotation 1 .*: keypoints: 4 numbers are not x, y and visibility"):
        coco(tmp_path)[0]


@pytest.mark.parametrize(
    ("names", "known"),
    [
        ((["nose"], ["nose", "left ear", "right ear"]), True),
        ((["nose", "right ear"], ["nose", "left ear", "right ear"]), False),
        (([1, 2, 3], None), False),
        ((None, []), True),
    ],
)
def test_names_of_keypoints_count_where_all_categories_agree(
    tmp_path: Path, names: tuple[Any, Any], known: bool
) -> None:
    """Else a mirror image would swap the wrong ones in silence."""
    data = document(annotation(1, keypoints=[] if names[1] == [] else [1, 2, 2, 3, 4, 1, 8, 8, 2]))
    for category, own in zip(data["categories"], names, strict=True):
        category["keypoints"] = own
    put(tmp_path, data)
    dataset = coco(tmp_path)
    longest = max((tuple(each) for each in names if each), key=len, default=())
    assert dataset.keypoint_names == (longest if known else ())
    assert dataset[0].instances.keypoints is None or dataset[0].instances.keypoints.shape == (1, 3, 3)


def test_turned_boxes(tmp_path: Path) -> None:
    """As CVAT writes them: 16 x 6 about (12, 10), by a quarter and by 30 degrees."""
    angles = [{"attributes": {"rotation": angle, "occluded": False}} for angle in (90.0, 30.0, 0.0)]
    box = {"segmentation": [], "bbox": [4, 7, 16, 6]}
    put(tmp_path, document(*(annotation(i, **box, **angle) for i, angle in enumerate(angles))))
    instances = coco(tmp_path)[0].instances
    assert instances.masks is None
    half = (8 * math.cos(math.pi / 6) + 3 / 2, 4 + 3 * math.cos(math.pi / 6))
    expected = [
        [9, 2, 15, 18],
        [12 - half[0], 10 - half[1], 12 + half[0], 10 + half[1]],
        [4, 7, 20, 13],
    ]
    np.testing.assert_allclose(instances.boxes_xyxy.numpy(), expected, rtol=1e-5)
    assert coco(tmp_path).coco_document() is None, "figures come from the samples"


def test_turned_boxes_with_a_segmentation(tmp_path: Path) -> None:
    turn = {"bbox": [4, 7, 16, 6], "attributes": {"rotation": 90}}
    upright = annotation(1, segmentation=[[4, 7, 20, 7, 20, 13, 4, 13]], **turn)
    outlined = annotation(2, segmentation=[[9, 3, 15, 3, 15, 17, 9, 17]], **turn)
    put(tmp_path, document(upright, outlined))
    assert coco(tmp_path)[0].instances.boxes_xyxy.tolist() == [[9, 2, 15, 18], [9, 3, 15, 17]]
    put(tmp_path, document(annotation(1, rotation=20)))
    with pytest.raises(DataError, match=r"annotation 1 .* has rotation 20, but only CVAT's attributes"):
        coco(tmp_path)[0]


def test_the_file_itself_is_measured_by_the_same_rules(tmp_path: Path) -> None:
    """What reading the samples refuses, measuring a list of results against the file refuses, too."""
    put(tmp_path, document(annotation(1, segmentation=[[2, 3, 45, 3, 45, 8, 2, 8]])))
    with pytest.raises(DataError, match=r"reaches 45, outside the image of 30 x 20"):
        coco(tmp_path).coco_document()
    assert coco(tmp_path, outside="clip").coco_document() is None
    put(tmp_path, document(annotation(1)))
    assert coco(tmp_path).coco_document() is not None
