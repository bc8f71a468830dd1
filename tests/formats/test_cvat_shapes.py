"""CVAT's shapes become objects with exactly their pixels, and faults name file, image and shape."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.data.faults import gathering
from toolkit.data.notes import noting
from toolkit.errors import DataError
from toolkit.formats.cvat import CvatOptions, cvat_regions, labels_of_shapes, read_cvat
from toolkit.formats.regions import Region, to_instances

SIZE = (20, 30)
CLASSES = {"cat": 0, "dog": 1}


def put(folder: Path, *shapes: str, meta: str = "", attributes: str = 'width="30" height="20"') -> Path:
    path = folder / "annotations.xml"
    image = f'<image id="0" name="a.png" {attributes}>{"".join(shapes)}</image>'
    path.write_text(f'<?xml version="1.0"?><annotations><version>1.1</version>{meta}{image}</annotations>')
    return path


def regions(
    folder: Path, *shapes: str, skip: bool = False, clip: bool = False, **fields: str
) -> list[Region]:
    file = read_cvat(put(folder, *shapes, **fields))
    options = CvatOptions(CLASSES, "skip" if skip else "error", "clip" if clip else "error")
    return cvat_regions(file.images[0], SIZE, file.path, options)


def mask_of(found: list[Region]) -> np.ndarray:
    masks = to_instances(found, SIZE).masks
    assert masks is not None
    return masks.dense().numpy()


def test_polygons_boxes_and_masks(tmp_path: Path) -> None:
    found = regions(
        tmp_path,
        '<polygon label="dog" points="2,3;8,3;8,9;2,9"><attribute name="age">3</attribute></polygon>',
        '<box label="cat" xtl="1.0" ytl="2.0" xbr="5.0" ybr="4.0" occluded="1" z_order="2"/>',
        '<mask label="cat" rle="1, 2, 1" left="4" top="5" width="2" height="2"/>',
    )
    expected = np.zeros((3, *SIZE), bool)
    expected[0, 3:9, 2:8] = expected[1, 2:4, 1:5] = True
    expected[2, 5, 5] = expected[2, 6, 4] = True
    assert (mask_of(found) == expected).all()
    assert [region.label for region in found] == [1, 0, 0]


def test_rotated_boxes_and_ellipses(tmp_path: Path) -> None:
    found = regions(
        tmp_path,
        '<box label="cat" xtl="10" ytl="8" xbr="20" ybr="12" rotation="90.0"/>',
        '<ellipse label="cat" cx="15" cy="10" rx="8" ry="3" rotation="90"/>',
        '<ellipse label="cat" cx="15" cy="10" rx="8" ry="3"/>',
    )
    masks = mask_of(found)
    turned = np.zeros(SIZE, bool)
    turned[5:15, 13:17] = True
    assert (masks[0] == turned).all()
    rows, columns = np.flatnonzero(masks[1].any(1)), np.flatnonzero(masks[1].any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (2, 17, 12, 17)
    assert masks[2, 10, 7:23].all()
    assert masks[2].any(0).sum() == 16
    assert masks[1].sum() == masks[2].sum()


def test_shapes_of_a_group_are_one_object(tmp_path: Path) -> None:
    found = regions(
        tmp_path,
        '<polygon label="cat" group_id="1" points="1,1;4,1;4,4;1,4"/>',
        '<polygon label="cat" group_id="0" points="20,1;24,1;24,4;20,4"/>',
        '<mask label="cat" group_id="1" rle="0, 4" left="10" top="10" width="2" height="2"/>',
        '<polygon label="dog" group_id="1" points="1,1;4,1;4,4;1,4"/>',
        '<polygon label="cat" group_id="2" points="1,6;4,6;4,9;1,9"/>',
        '<polygon label="cat" group_id="2" points="6,6;9,6;9,9;6,9"/>',
    )
    assert [region.label for region in found] == [0, 0, 1, 0]
    masks = mask_of(found)
    assert masks.sum((1, 2)).tolist() == [9 + 4, 12, 9, 18]
    assert len(found[3].polygons) == 2


def test_what_has_no_area(tmp_path: Path) -> None:
    shapes = [
        '<tag label="good"/>',
        '<points label="wheel" points="1,2;3,4"/>',
        '<polyline label="line" points="1,2;3,4;5,6"/>',
        '<skeleton label="man"><points label="1" points="1,2"/></skeleton>',
        '<box label="cat" xtl="1" ytl="2" xbr="5" ybr="4"><attribute name="a">b</attribute></box>',
    ]
    with noting() as notes:
        assert len(regions(tmp_path, *shapes, skip=True)) == 1
    assert notes == {
        "tags of images are left out, because they are not objects": 1,
        "points, lines, skeletons and cuboids are left out (other_shapes=skip)": 3,
        "attributes of objects are left out": 1,
    }
    with pytest.raises(
        DataError, match=r"shape 1 \(wheel\) is a points, which has no area.*other_shapes=skip"
    ):
        regions(tmp_path, *shapes)


def test_labels_of_the_task(tmp_path: Path) -> None:
    labels = [
        ("man", "skeleton", ""),
        ("1", "points", "<parent>man</parent>"),
        ("dog", "any", ""),
        ("ok", "tag", ""),
    ]
    text = "".join(
        f"<label><name>{n}</name><type>{t}</type>{p}</label>" for n, t, p in [*labels, ("cat", "mask", "")]
    )
    file = read_cvat(put(tmp_path, meta=f"<meta><task><labels>{text}</labels></task></meta>"))
    assert file.labels == ("dog", "cat")
    file = read_cvat(put(tmp_path, '<box label="b"/>', '<mask label=" a "/>', '<tag label="c"/>'))
    assert file.labels == ()
    assert labels_of_shapes(file) == ("a", "b")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            '<polygon label="cow" points="1,1;2,2;3,1"/>',
            r"shape 0 \(cow\) has no known class; expected one of cat, dog",
        ),
        ('<polygon points="1,1;2,2;3,1"/>', "None as a class name"),
        ('<polygon label="cat" points="1,1;2"/>', "expected x,y;x,y"),
        ('<polygon label="cat"/>', "expected x,y;x,y"),
        ('<polygon label="cat" points="1,1;2,2"/>', "at least three points"),
        ('<polygon label="cat" points="1,1;2,nan;3,1"/>', "nan"),
        ('<polygon label="cat" points="1,1;500,2;3,1"/>', "reaches 500, outside the image of 30 x 20"),
        ('<box label="cat" xtl="1" ytl="a" xbr="5" ybr="4"/>', "'a' as its ytl"),
        ('<box label="cat" xtl="1" ytl="1" xbr="5" ybr="inf"/>', "'inf' as its ybr"),
        ('<box label="cat" xtl="1" ytl="1" xbr="5" ybr="4" rotation="x"/>', "'x' as its rotation"),
        ('<mask label="cat" rle="" left="1" top="1" width="2" height="2"/>', "whole numbers with commas"),
        ('<mask label="cat" rle="1,2" left="1" top="1" width="2" height="2"/>', "do not cover"),
        (
            '<mask label="cat" rle="4" left="1.5" top="1" width="2" height="2"/>',
            "1.5 as the left of its mask",
        ),
        ('<mask label="cat" rle="4" left="1" top="1" width="2" height="2"/>', "covers no pixels"),
        (
            '<mask label="cat" rle="9999999999" left="1" top="1" width="99999" height="99999"/>',
            "extends beyond",
        ),
        ('<ellipse label="cat" cx="5" cy="5" rx="0" ry="1"/>', "do not form an ellipse"),
        ('<star label="cat"/>', "is a 'star', which is unknown"),
    ],
)
def test_faults(tmp_path: Path, shape: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        mask_of(regions(tmp_path, shape))
    assert "annotations.xml: image 'a.png'" in str(caught.value)
    assert "Hint" in str(caught.value)


def test_faults_are_collected_and_the_others_kept(tmp_path: Path) -> None:
    good = '<box label="cat" xtl="1" ytl="2" xbr="5" ybr="4"/>'
    with gathering() as faults:
        found = regions(tmp_path, '<star label="cat"/>', good, '<polygon label="cat" points=""/>')
    assert len(faults) == 2
    assert [region.where.rpartition(", ")[2] for region in found] == ["shape 1 (cat)"]


def test_a_clipped_object_that_covers_nothing_is_reported(tmp_path: Path) -> None:
    far = '<box label="cat" xtl="31" ytl="2" xbr="40" ybr="4" group_id="1"/>'
    good = '<box label="cat" xtl="1" ytl="2" xbr="5" ybr="4" group_id="1"/>'
    with gathering() as faults:
        found = regions(tmp_path, far, good, clip=True)
    assert len(faults) == 1
    assert mask_of(found).sum() == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<tasks/>", "root element 'tasks'"),
        (
            "<annotations><track id='0'/><track id='1'/></annotations>",
            "has 2 tracks of a video.*CVAT for images 1.1",
        ),
        ("<annotations><image id='0'/></annotations>", "image 0 has no name"),
        ("<annotations><image name='a'/><image name='a'/></annotations>", "has the image 'a' twice"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><annotations/>", "document type"),
        ("<annotations><meta><labels><label/></labels></meta></annotations>", "empty class name"),
    ],
)
def test_other_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_cvat(tmp_path / "a.xml")


@pytest.mark.parametrize(
    "attributes", ['width="30" height="21"', 'width="x" height="20"', 'width="-1" height="20"']
)
def test_the_image_must_be_the_one_that_was_annotated(tmp_path: Path, attributes: str) -> None:
    with pytest.raises(DataError, match="image 'a.png'.*(should have 30 x 21|expected a whole number)"):
        regions(tmp_path, attributes=attributes)
    assert regions(tmp_path, attributes="") == []


def test_masks_with_holes_and_parts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.random(SIZE), (0, 0), 1.2) > 0.5
    flat = noise.ravel().tolist()
    lengths, value = [0], False
    for pixel in flat:
        if pixel != value:
            lengths, value = [*lengths, 0], pixel
        lengths[-1] += 1
    text = ", ".join(map(str, lengths))
    found = regions(tmp_path, f'<mask label="cat" rle="{text}" left="0" top="0" width="30" height="20"/>')
    assert (mask_of(found)[0] == noise).all()
