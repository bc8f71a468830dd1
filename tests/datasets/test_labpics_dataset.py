"""What the reader of LabPics promises, in the layouts of V1: every object with its class, and nothing lost or
made up.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labpics_cases import MATERIAL, VESSEL, H, W, box, expected, labpics, objects, put
from PIL import Image

from toolkit.errors import ConfigError, DataError, ImageError, MissingSplitError
from toolkit.types import VOID

# --- V1 Simple ---


def put_simple(
    root: Path,
    materials: np.ndarray,
    vessels: np.ndarray,
    name: str = "a",
    part: str = "Train",
    **semantic: np.ndarray,
) -> None:
    """A photo with its ids, and semantic maps given as ``c16_Filled=…``."""
    put(root / part / "Image" / f"{name}.jpg", np.full((*materials.shape, 3), 90, np.uint8))
    put(root / part / "Instance" / f"{name}.png", cv2.merge([materials, np.zeros_like(materials), vessels]))
    for key, values in semantic.items():
        put(root / part / "Semantic" / key.removeprefix("c") / f"{name}.png", values)


def naive(materials: np.ndarray, vessels: np.ndarray, wanted: str, whole: bool) -> list[tuple[int, bytes]]:
    """The objects of two maps of ids, by the words of their documentation."""
    found = []
    filled = (materials != 0) & (materials != 254) & (wanted == "both") & (not whole)
    if wanted != "materials":
        masks = [(vessels == i) & ~filled for i in set(vessels.ravel().tolist()) - {0, 254}]
        found += [(VESSEL, mask) for mask in masks if mask.any()]
    if wanted != "vessels":
        label = MATERIAL if wanted == "both" else 1
        found += [(label, materials == i) for i in set(materials.ravel().tolist()) - {0, 254}]
    return expected(*found)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([np.uint8, np.uint16]),
    st.booleans(),
    st.sampled_from(["vessels", "materials", "both"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_ids_become_objects(
    height: int, width: int, dtype: type, background: bool, wanted: str, whole: bool, seed: int
) -> None:
    """Ids of 8 and 16 bits, in maps with and without a pixel of background; 254 is no object."""
    rng = np.random.default_rng(seed)
    known = (
        [1, 2, 7, 200, 253, 254, 255]
        + ([256, 257, 300, 510, 40_000, 65_535] if dtype == np.uint16 else [])
        + [0] * (3 * background)
    )
    materials, vessels = rng.choice(np.array(known, dtype), (2, height, width))
    if (materials == vessels).all():
        vessels = np.zeros_like(vessels)
    with tempfile.TemporaryDirectory() as folder:
        put_simple(Path(folder), materials, vessels)
        sample = labpics(Path(folder), objects=wanted, whole_vessels=whole)[0]
    assert objects(sample) == naive(materials, vessels, wanted, whole)
    label_map = sample.label_map.numpy()
    is_material = (materials != 0) & (materials != 254) & (wanted != "vessels")
    is_vessel = (vessels != 0) & (vessels != 254) & (wanted != "materials") & ~is_material
    unknown = ((materials == 254) & (wanted != "vessels")) | ((vessels == 254) & (wanted != "materials"))
    assert ((label_map == (MATERIAL if wanted == "both" else 1)) >= is_material).all()
    assert ((label_map == VESSEL) >= is_vessel).all()
    assert np.array_equal(label_map == VOID, unknown & ~is_material & ~is_vessel)
    assert np.array_equal(label_map == 0, ~unknown & ~is_material & ~is_vessel)


def test_the_two_faults_of_the_short_recipe(tmp_path: Path) -> None:
    """Vessel 3 on top of material ids up to 253 does not wrap in 8 bits, and no object is taken for the
    background that is not there.
    """
    materials = np.full((H, W), 253, np.uint8)
    materials[:, 8:] = 0
    vessels = np.where(np.arange(W) < 12, 2, 3).astype(np.uint8) * np.ones((H, 1), np.uint8)
    put_simple(tmp_path, materials, vessels)
    sample = labpics(tmp_path)[0]
    assert objects(sample) == expected(
        (MATERIAL, box(0, H, 0, 8)), (VESSEL, box(0, H, 8, 12)), (VESSEL, box(0, H, 12, W))
    )
    assert (sample.label_map != 0).all()


def test_parts_and_holes_survive(tmp_path: Path) -> None:
    vessels = box(1, 11, 1, 9)
    vessels[4:8, 3:6] = 0
    vessels[2:5, 12:15] = 1
    put_simple(tmp_path, box(0, 0, 0, 0), vessels)
    sample = labpics(tmp_path)[0]
    assert objects(sample) == expected((VESSEL, vessels))
    assert sample.instances.boxes_xyxy.tolist() == [[1, 1, 15, 11]]


def test_many_objects_and_none(tmp_path: Path) -> None:
    ids = np.arange(400, dtype=np.uint16).reshape(20, 20) + 255  # from 255 on, each a pixel
    put_simple(tmp_path, ids, np.zeros_like(ids), "many")
    nothing = np.full((H, W), 254, np.uint8)
    put_simple(tmp_path, nothing, nothing, "unsegmented")
    put_simple(tmp_path, np.zeros_like(nothing), np.zeros_like(nothing), "empty")
    dataset = labpics(tmp_path)
    samples = {dataset.ids[i]: dataset[i] for i in range(3)}
    assert len(samples["many"].instances) == 400
    assert samples["many"].instances.masks.areas().tolist() == [1] * 400
    assert len(samples["unsegmented"].instances) == len(samples["empty"].instances) == 0
    assert (samples["unsegmented"].label_map == VOID).all()
    assert (samples["empty"].label_map == 0).all()
    assert samples["empty"].instances.masks is not None


def test_semantic_maps_make_the_label_map(tmp_path: Path) -> None:
    vessel, filled = box(0, 12, 0, 8), box(6, 12, 1, 7, 2)
    vessel[0, 10:12] = 3  # beyond the region
    filled[0, 12:14] = 7
    maps = {"c1_Vessel": vessel, "c16_Filled": filled}
    none = np.zeros((H, W), np.uint8)
    put_simple(tmp_path, none, none, **maps)
    put_simple(tmp_path, none, none, "b", c1_Vessel=box(0, 3, 0, 3))
    want = np.zeros((H, W), np.uint8)
    want[0:12, 0:8], want[6:12, 1:7], want[0, 10:14] = VESSEL, MATERIAL, VOID
    dataset = labpics(tmp_path)
    assert np.array_equal(dataset[0].label_map, want)
    assert len(dataset[0].instances) == 0, "objects come from the ids alone"
    assert np.array_equal(dataset[1].label_map, box(0, 3, 0, 3)), "a class that is not in a photo has no file"
    want[want == MATERIAL] = VESSEL
    want[0, 12:14] = 0
    assert np.array_equal(labpics(tmp_path, objects="vessels")[0].label_map, want)
    only = np.zeros((H, W), np.uint8)
    only[6:12, 1:7], only[0, 12:14] = 1, VOID
    assert np.array_equal(labpics(tmp_path, objects="materials")[0].label_map, only)


def test_fine_classes_of_simple(tmp_path: Path) -> None:
    materials = box(6, 12, 0, 4, 1) + box(6, 12, 4, 8, 2) + box(6, 12, 8, 12, 9) + box(6, 12, 12, 16, 30)
    maps = {
        "c1_Vessel": box(0, 12, 0, 16),
        "c6_Liquid_GENERAL": box(6, 12, 0, 8),
        "c7_Liquid Suspension": box(6, 12, 4, 8),
        "c12_Powder": box(7, 12, 8, 12),
        "c10_Solid_GENERAL": box(6, 12, 8, 12),
        "c14_Vapor": box(0, 2, 0, 16),
        "c16_Filled": box(6, 12, 0, 16),
    }
    put_simple(tmp_path, materials, np.ones((H, W), np.uint8), **maps)
    dataset = labpics(tmp_path, classes="fine", objects="both")
    sample = dataset[0]
    names = [dataset.classes[i] for i in sample.instances.labels.tolist()]
    assert names == ["Vessel", "Liquid", "Suspension", "Powder", "Other Material"]
    shown = np.array(dataset.classes, object)[sample.label_map.numpy()]
    assert shown[6, 9] == "Solid"
    assert shown[8, 9] == "Powder"
    assert shown[8, 2] == "Liquid"
    assert shown[8, 6] == "Suspension"
    assert shown[8, 14] == "Other Material"
    assert shown[0, 3] == "Vapor"
    assert shown[3, 3] == "Vessel"
    kinds = labpics(tmp_path, classes="fine", objects="materials")
    assert "Vessel" not in kinds.classes
    assert [kinds.classes[i] for i in kinds[0].instances.labels.tolist()] == names[1:]


def test_fine_classes_need_semantic_maps(tmp_path: Path) -> None:
    put_simple(tmp_path, box(1, 3, 1, 3), box(0, 9, 0, 9))
    with pytest.raises(DataError, match=r"has no Semantic/ next to Instance/.*Hint: .*classes=coarse"):
        labpics(tmp_path, classes="fine")
    assert labpics(tmp_path, classes="fine", objects="vessels").classes == ("background", "Vessel")


def test_regions_to_ignore_are_crowds(tmp_path: Path) -> None:
    ignore = box(0, 12, 6, 12)
    put_simple(
        tmp_path,
        box(5, 9, 1, 4),
        box(2, 10, 1, 8),
        c1_Vessel=box(2, 10, 1, 8),
        c16_Filled=box(5, 9, 1, 4),
        c5_Ignore=ignore,
    )
    sample = labpics(tmp_path)[0]
    crowds = sample.instances[sample.instances.is_crowd]
    region = ignore.copy()
    region[2:10, 6:8] = 0  # a vessel is outlined there all the same
    assert crowds.labels.tolist() == [VESSEL, MATERIAL]
    assert all(np.array_equal(mask, region != 0) for mask in crowds.masks.dense())
    assert np.array_equal(sample.label_map == VOID, region != 0)
    assert [label for label, _ in objects(sample)] == [VESSEL, MATERIAL]
    put(tmp_path / "Train" / "Semantic" / "5_Ignore" / "a.png", box(2, 10, 1, 8))
    assert labpics(tmp_path)[0].instances.is_crowd is None, "what is outlined is not ignored"


def test_simple_faults_name_the_files(tmp_path: Path) -> None:
    put_simple(tmp_path, box(1, 3, 1, 3), box(0, 9, 0, 9))
    ids = tmp_path / "Train" / "Instance" / "a.png"
    image = tmp_path / "Train" / "Image" / "a.jpg"
    whole = ids.read_bytes()
    ids.write_bytes(whole[:-20])
    with pytest.raises(ImageError, match=f"{ids} is cut off"):
        labpics(tmp_path)[0]
    put(ids, np.zeros((W, H, 3), np.uint8))
    with pytest.raises(DataError, match=f"{ids} has {H} x {W} pixels, but its image {image} has {W} x {H}"):
        labpics(tmp_path)[0]
    put(ids, box(0, 9, 0, 9, 7))
    with pytest.raises(
        DataError, match=f"{ids} is gray: .* materials in the blue channel and vessels in the red one"
    ):
        labpics(tmp_path)[0]
    put(ids, box(0, H, 0, W, 254))
    assert len(labpics(tmp_path)[0].instances) == 0, (
        "a file that a program made smaller by leaving out equal channels"
    )
    ids.write_bytes(cv2.imencode(".jpg", np.zeros((H, W, 3), np.uint8))[1].tobytes())
    with pytest.raises(ImageError, match=f"{ids} is a JPEG"):
        labpics(tmp_path)[0]
    ids.unlink()
    with pytest.raises(DataError, match=f"{image} has no file of ids: {ids} does not exist"):
        labpics(tmp_path)
    put(tmp_path / "Train" / "Image" / "b.png", np.zeros((H, W, 3), np.uint8))
    with pytest.raises(DataError, match=r"a.jpg has no file of ids.* \(and 1 more such photos: b.png\)"):
        labpics(tmp_path)
    ids.write_bytes(whole)
    put(tmp_path / "Train" / "Image" / "a.png", np.zeros((H, W, 3), np.uint8))
    with pytest.raises(DataError, match=r"a.jpg and .*a.png share one file of ids"):
        labpics(tmp_path)


def test_ids_in_a_palette(tmp_path: Path) -> None:
    """A program that makes PNGs smaller stores few colors as a palette: it is the colors that count."""
    materials, vessels = box(5, 9, 2, 6, 3), box(1, 10, 1, 8, 250)
    put_simple(tmp_path, materials, vessels)
    ids = tmp_path / "Train" / "Instance" / "a.png"
    with Image.open(ids) as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=3).save(ids)
    assert objects(labpics(tmp_path)[0]) == naive(materials, vessels, "both", False)


def test_a_rotated_photo(tmp_path: Path) -> None:
    """A map belongs to the photo as viewers show it; one of the photo as the camera stored it is refused,
    both files named.
    """
    put_simple(tmp_path, box(5, 9, 2, 6), box(1, 10, 1, 8))
    image = tmp_path / "Train" / "Image" / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (H, W)).save(image, exif=exif)  # stored upright, shown W wide and H high
    assert labpics(tmp_path)[0].size == (H, W)
    Image.new("RGB", (W, H)).save(image, exif=exif)
    with pytest.raises(DataError, match=r"a.png has 16 x 12 pixels, but its image .*a.jpg has 12 x 16"):
        labpics(tmp_path)[0]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    put_simple(tmp_path, box(5, 9, 2, 6), box(1, 10, 1, 8))
    for name in (
        "Image/Thumbs.db",
        "Image/.hidden.jpg",
        "Instance/notes.txt",
        "Semantic/readme.txt",
        "Semantic/old_things/a.png",
    ):
        path = tmp_path / "Train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    dataset = labpics(tmp_path)
    assert dataset.ids == ("a",)
    assert len(dataset[0].instances) == 2


# --- splits ---


def test_splits_are_those_published_and_part_of_the_first(tmp_path: Path) -> None:
    names = [f"clip {number // 4} -screenshot ({number % 4})" for number in range(120)]
    for name in names:
        put_simple(tmp_path, box(1, 2, 1, 2), box(1, 3, 1, 3), name)
    put_simple(tmp_path, box(1, 2, 1, 2), box(1, 3, 1, 3), "t", "Test")
    options = {"val_fraction": 0.2}
    train, val, test = (labpics(tmp_path, split, **options) for split in ("train", "val", "test"))
    assert sorted([*train.ids, *val.ids]) == sorted(names)
    assert test.ids == ("t",)
    assert 12 <= len(val) <= 36
    films = [{name.split("-")[0] for name in split.ids} for split in (train, val)]
    assert not films[0] & films[1], "stills of one film are much alike, so they stay together"
    for name in names[:40]:
        (tmp_path / "Train" / "Image" / f"{name}.jpg").unlink()
    assert set(labpics(tmp_path, "val", **options).ids) == set(val.ids) - set(names[:40]), (
        "the others stay where they are"
    )


def test_splits_that_are_not_there(tmp_path: Path) -> None:
    put_simple(tmp_path, box(1, 2, 1, 2), box(1, 3, 1, 3))
    with pytest.raises(MissingSplitError, match=r"contains no photos in Test/.*no split 'test'"):
        labpics(tmp_path, "test")
    with pytest.raises(
        MissingSplitError, match=r"none of the 1 photos .* split 'val' .* val_fraction=0.0.*data.val_split="
    ):
        labpics(tmp_path, "val")
    (tmp_path / "Train").rename(tmp_path / "Test")
    with pytest.raises(MissingSplitError, match="no photos in Train/"):
        labpics(tmp_path)
    with pytest.raises(ConfigError, match="val_fraction"):
        labpics(tmp_path, val_fraction=1)


def test_what_is_not_labpics(tmp_path: Path) -> None:
    (tmp_path / "Train" / "Image").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        labpics(tmp_path)
    for part in (
        str(tmp_path),
        "V1 Simple:  Train/Image/NAME.jpg with Train/Instance/NAME.png",
        "V1 Complex: ",
        "Data.json",
        "Hint: ",
    ):
        assert part in str(caught.value)


# --- V1 Complex ---


def marks(seen: np.ndarray) -> np.ndarray:
    """A mask as V1 Complex stores it: in the blue channel 1 or 2 where the object is seen; the others hold
    what is of no concern here.
    """
    return cv2.merge([seen, np.full_like(seen, 9), np.full_like(seen, 7)])


def put_complex(scene: Path, ignore: np.ndarray | None = None, **masks: np.ndarray) -> None:
    """A scene with masks given as ``Vessel__1_CatID_1=…``."""
    put(scene / "Image.png", np.full((H, W, 3), 90, np.uint8))
    if ignore is not None:
        put(scene / "Ignore.png", ignore)
    for key, seen in masks.items():
        put(scene / f"{key.replace('__', '/')}.png", marks(seen))


def test_complex(tmp_path: Path) -> None:
    vessel, hidden = box(0, 12, 0, 8), box(0, 6, 8, 12, 2)
    hidden[0:6, 12:14] = 3  # behind something else
    liquid, foam = box(6, 12, 1, 7, 2), box(4, 6, 1, 7)
    root = tmp_path / "LabPicsV1" / "Complex"
    put_complex(
        root / "Train" / "one",
        box(10, 12, 0, 16, 4),
        Vessel__1_Class_Vessel_CatID_1=vessel,
        Vessel__2_CatID_1=hidden,
        Material__1_Class_Liquid_Suspension_CatID_6_7=liquid,
        Material__2_CatID_8=foam,
        Material__3_nothing_seen_CatID_6=box(0, 3, 0, 3, 5),
        Parts__1_CatID_3=box(0, 2, 0, 2),
        EmptyRegions__1=box(0, 4, 0, 8),
    )
    put_complex(root / "Train" / "two", Material__1_CatID_6_9_10=liquid)
    put_complex(root / "Test" / "three", Vessel__1_CatID_1=vessel)
    (root / "Train" / "two" / "Material" / "._1.png").write_bytes(b"what some systems leave behind")
    dataset = labpics(tmp_path, layout="complex")
    assert dataset.ids == ("one", "two")
    assert labpics(tmp_path, "test").ids == ("three",)
    sample = dataset[0]
    seen = np.where(hidden == 2, 1, 0)
    cut = vessel * (1 - (liquid != 0)) * (1 - foam)
    assert objects(sample) == expected((VESSEL, cut), (VESSEL, seen), (MATERIAL, liquid), (MATERIAL, foam))
    want = vessel * VESSEL + seen.astype(np.uint8) * VESSEL
    want[(liquid != 0) | (foam != 0)] = MATERIAL
    want[(box(10, 12, 0, 16) != 0) & (want == 0)] = VOID
    assert np.array_equal(sample.label_map, want)
    whole = labpics(tmp_path, whole_vessels=True)[0]
    assert objects(whole) == expected((VESSEL, vessel), (VESSEL, seen), (MATERIAL, liquid), (MATERIAL, foam))
    assert np.array_equal(whole.label_map, want)
    fine = labpics(tmp_path, classes="fine")
    assert [fine.classes[i] for i in fine[0].instances[:4].labels.tolist()] == [
        "Vessel",
        "Vessel",
        "Suspension",
        "Foam",
    ]
    assert [fine.classes[i] for i in fine[1].instances.labels.tolist()] == ["Gel"]
    assert objects(labpics(tmp_path, objects="vessels")[0]) == expected((1, vessel), (1, seen))


def test_complex_faults(tmp_path: Path) -> None:
    put_complex(tmp_path / "Train" / "one", Vessel__1_CatID_1=box(0, 3, 0, 3))
    put_complex(tmp_path / "Train" / "two")
    with pytest.raises(
        DataError, match=r"two/Image.png has no annotation: there is neither .*two/Vessel nor .*two/Material"
    ):
        labpics(tmp_path)
    put_complex(tmp_path / "Train" / "two", Vessel__5=box(0, 3, 0, 3, 255))
    with pytest.raises(DataError, match=r"5.png has no pixel with the value 1 or 2.* but pixels with 255"):
        labpics(tmp_path)[1]


# --- several layouts ---


def test_layouts_beside_one_another(tmp_path: Path) -> None:
    """V1's archive brings Simple and Complex."""
    put_simple(tmp_path / "LabPicsV1" / "Simple", box(1, 2, 1, 2), box(1, 3, 1, 3), "s")
    put_complex(tmp_path / "LabPicsV1" / "Complex" / "Train" / "c", Vessel__1_CatID_1=box(0, 3, 0, 3))
    assert labpics(tmp_path).ids == labpics(tmp_path, layout="simple").ids == ("s",)
    assert labpics(tmp_path / "LabPicsV1", layout="complex").ids == ("c",)
    assert labpics(tmp_path / "LabPicsV1" / "Complex").ids == ("c",)
    with pytest.raises(DataError, match="is not LabPics"):
        labpics(tmp_path, layout="v2")
