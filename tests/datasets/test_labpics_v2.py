"""What the reader of LabPics promises for the layout V2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from labpics_cases import MATERIAL, VESSEL, H, W, box, expected, labpics, objects, put

from toolkit.errors import DataError
from toolkit.types import VOID

NESTED = {"IsPart": False, "ASegmentableInstance": True}


def put_v2(scene: Path, data: dict[str, Any], ignore: np.ndarray | None = None, **masks: np.ndarray) -> None:
    put(scene / "Image.jpg", np.full((H, W, 3), 90, np.uint8))
    (scene / "Data.json").write_text(json.dumps(data))
    if ignore is not None:
        put(scene / "Ignore.png", ignore)
    for key, mask in masks.items():
        put(scene / f"{key.replace('__', '/')}.png", mask)


def data_of(*materials: dict[str, Any], vessel: Any = ("Vessel", "RoundFlask", "Flask")) -> dict[str, Any]:
    vessels = {"1": {"Indx": 1, "VesselType_ClassNames": list(vessel)}}
    return {
        "Vessels": vessels,
        "MaterialsAndParts": {str(i): entry for i, entry in enumerate(materials, start=1)},
    }


def test_v2(tmp_path: Path) -> None:
    vessel, liquid, clamp, drops = box(0, 12, 0, 8), box(6, 12, 1, 9), box(3, 5, 0, 12), box(0, 2, 12, 14)
    data = data_of(
        NESTED | {"MaterialType_ClassNames": ["Liquid", "Suspension", "Filled"]},
        NESTED | {"IsPart": True, "PartsType_ClassNames": ["Part", "Holder"], "MaterialType_ClassNames": []},
        NESTED | {"ASegmentableInstance": False, "MaterialType_ClassNames": ["Something New", "Solid"]},
    )
    for part, name in (("Train", "3Train"), ("Eval", "9Eval")):
        scene = tmp_path / "LabPicsChemistry" / part / name
        put_v2(
            scene,
            data,
            Vessels__1=vessel,
            MaterialsAndParts__1=cv2.merge([liquid] * 3),
            MaterialsAndParts__2=clamp,
            MaterialsAndParts__3=drops,
        )
    dataset = labpics(tmp_path)
    assert dataset.ids == ("3Train",)
    assert labpics(tmp_path, "test").ids == ("9Eval",)
    sample = dataset[0]
    assert objects(sample) == expected((VESSEL, vessel * (1 - liquid)), (MATERIAL, liquid))
    assert objects(labpics(tmp_path, whole_vessels=True)[0]) == expected((VESSEL, vessel), (MATERIAL, liquid))
    crowd = sample.instances[sample.instances.is_crowd]
    assert crowd.labels.tolist() == [MATERIAL]
    assert np.array_equal(crowd.masks.dense()[0], drops != 0)
    want = vessel.copy()
    want[liquid != 0], want[drops != 0] = MATERIAL, VOID
    assert np.array_equal(sample.label_map, want)
    fine = labpics(tmp_path, classes="fine")
    assert [fine.classes[i] for i in fine[0].instances.labels.tolist()] == [
        "RoundFlask",
        "Suspension",
        "Solid",
    ]


def test_v2_names_that_nobody_knows(tmp_path: Path) -> None:
    put_v2(
        tmp_path / "1",
        data_of(NESTED, NESTED, vessel=["Vessel", "Teapot"]),
        **{
            f"{k}__{i}": box(i, i + 2, 0, 5)
            for k, i in (("Vessels", 1), ("MaterialsAndParts", 1), ("MaterialsAndParts", 2))
        },
    )
    fine = labpics(tmp_path, classes="fine")
    assert fine.ids == ("1",), "a folder without Train/ and Test/ is one of training photos"
    assert [fine.classes[i] for i in fine[0].instances.labels.tolist()][:1] == ["Other Material"]
    assert (
        fine.classes[
            labpics(tmp_path, classes="fine", objects="both", whole_vessels=True)[0].instances.labels[0]
        ]
        == "Vessel"
    )


def test_v2_faults(tmp_path: Path) -> None:
    scene = tmp_path / "Train" / "1"
    put_v2(scene, data_of(NESTED), Vessels__1=box(0, 3, 0, 3))
    with pytest.raises(
        DataError,
        match=r"Data.json lists MaterialsAndParts 1, but its mask .*MaterialsAndParts/1.png does not exist",
    ):
        labpics(tmp_path)[0]
    put(scene / "MaterialsAndParts" / "1.png", np.zeros((H, W + 1), np.uint8))
    with pytest.raises(
        DataError, match=r"MaterialsAndParts/1.png has 17 x 12 pixels, but its image .*Image.jpg has 16 x 12"
    ):
        labpics(tmp_path)[0]
    for text, message in (
        ("{", "is not valid JSON"),
        ("[]", "has no mapping 'Vessels'"),
        ('{"Vessels": {"1": 5}}', "has no mapping 'Vessels'"),
    ):
        (scene / "Data.json").write_text(text)
        with pytest.raises(DataError, match=f"Data.json {message}"):
            labpics(tmp_path)[0]
    for field, wrong, message in (
        ("IsPart", "no", "IsPart: should be 0 or 1, not 'no'"),
        ("ASegmentableInstance", "false", "ASegmentableInstance: should be 0 or 1, not 'false'"),
        (
            "MaterialType_ClassNames",
            "Liquid",
            "MaterialType_ClassNames: should be a valid list, not 'Liquid'",
        ),
        ("MaterialType_ClassNames", [3], r"MaterialType_ClassNames\[0\]: should be a valid string, not 3"),
    ):
        (scene / "Data.json").write_text(json.dumps(data_of({field: wrong})))
        with pytest.raises(DataError, match=f"Data.json: MaterialsAndParts 1: {message}. Hint"):
            labpics(tmp_path)[0]
    put_v2(tmp_path / "Train" / "2", data_of(), Vessels__1=box(0, 3, 0, 3))
    (scene / "Data.json").unlink()
    with pytest.raises(DataError, match=r"1/Image.jpg has no annotation: .*1/Data.json does not exist"):
        labpics(tmp_path)


@pytest.mark.data
def test_the_real_image_of_v2(shared_data: Path) -> None:
    """Against a plain reading of its files: four vessels, four materials; clamps are parts; the region to
    ignore is void.
    """
    folder = shared_data / "labpics" / "v2_sample"
    scene = folder / "34Train"
    dataset = labpics(folder, whole_vessels=True)
    assert dataset.ids == ("34Train",)
    sample = dataset[0]

    def mask(name: str) -> np.ndarray:
        return cv2.imread(str(scene / name), cv2.IMREAD_GRAYSCALE) > 0

    pairs = [(VESSEL, mask(f"Vessels/{i}.png")) for i in range(1, 5)] + [
        (MATERIAL, mask(f"MaterialsAndParts/{i}.png")) for i in range(1, 5)
    ]
    assert objects(sample) == expected(*pairs)
    region = mask("Ignore.png") & ~np.any([each for _, each in pairs], axis=0)
    crowds = sample.instances[sample.instances.is_crowd]
    assert crowds.labels.tolist() == [VESSEL, MATERIAL]
    assert np.array_equal(crowds.masks.dense()[0], region)
    assert np.array_equal(sample.label_map == VOID, region)
    assert np.array_equal(sample.label_map == MATERIAL, mask("SemanticMaps/FullImage/Filled.png"))
    assert np.array_equal(
        (sample.label_map == VESSEL) | (sample.label_map == MATERIAL),
        np.any([each for _, each in pairs], axis=0),
    )
    fine = labpics(folder, classes="fine")
    names = {fine.classes[i] for i in fine[0].instances[~fine[0].instances.is_crowd].labels.tolist()}
    assert names == {"ChromatographyColumn", "RoundFlask", "Cylinder", "Tube", "Suspension", "Liquid"}
