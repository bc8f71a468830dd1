"""Measuring predictions on disk: tables, and clear errors."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from measuring.tiff_cases import write_geotiff, write_ome

import toolkit
from toolkit.errors import DataError, UsageError
from toolkit.inference import measured_images
from toolkit.types import Masks


def document(tmp_path: Path, **changes: Any) -> Path:
    """Two images with a square each, as anyone might write them."""
    annotations = []
    for number in (1, 2):
        dense = np.zeros((1, 20, 30), bool)
        dense[0, 2 : 2 + 4 * number, 3:9] = True
        (code,) = Masks.from_dense(dense).to_coco()
        code["counts"] = code["counts"].decode()
        annotations.append(
            {
                **{"id": number, "image_id": number, "category_id": 1, "score": number / 4},
                **{"bbox": [3, 2, 6, 4 * number], "segmentation": code},
            }
        )
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 30, "height": 20} for n in (1, 2)],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": annotations,
    }
    path = tmp_path / "results" / "predictions.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content | changes))
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def photos(tmp_path: Path, size: tuple[int, int] = (20, 30)) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in (1, 2):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((*size, 3), 40 * number, np.uint8))
    return folder


def test_three_tables(tmp_path: Path) -> None:
    found = toolkit.measure(document(tmp_path), pixel_size="2mm")
    folder = tmp_path / "results" / "measurements"
    assert (found.folder, found.images, found.objects, found.below) == (folder, 2, 2, 0)
    objects = table(folder / "objects.csv")
    assert [(row["image"], row["class"], row["area"], row["area_mm2"]) for row in objects] == [
        ("1.png", "cell", "24", "96"),
        ("2.png", "cell", "48", "192"),
    ]
    assert [float(row["share"]) for row in table(folder / "classes.csv")] == [24 / 600, 48 / 600]
    (total,) = table(folder / "summary.csv")
    assert (total["objects"], total["area"], total["mean_area"]) == ("2", "72", "36")


def test_areas_are_those_of_the_document(tmp_path: Path) -> None:
    found = toolkit.measure(document(tmp_path).parent, tmp_path / "out")
    assert sum(row["area"] for row in found.classes) == 24 + 48


def test_objects_of_low_scores_are_counted_not_measured(tmp_path: Path) -> None:
    found = toolkit.measure(document(tmp_path), above=0.4)
    assert (found.objects, found.below) == (1, 1)


def test_an_object_keeps_its_position_in_the_document(tmp_path: Path) -> None:
    path = document(tmp_path)
    content = json.loads(path.read_text())
    first, second = content["annotations"]
    content["annotations"] = [first, second | {"image_id": 1}]
    path.write_text(json.dumps(content))
    (row,) = table(toolkit.measure(path, above=0.4).folder / "objects.csv")
    assert (row["object"], row["score"]) == ("1", "0.5")


def test_totals_are_those_of_the_document_and_the_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label_map = rng.integers(0, 2, (20, 30), np.uint8)
    label_map[:4] = 255
    folder = tmp_path / "results"
    (folder / "labels").mkdir(parents=True)
    cv2.imwrite(str(folder / "labels" / "a.png"), label_map)
    codes = Masks.from_dense(rng.random((50, 20, 30)) < rng.random((50, 1, 1))).to_coco()
    areas = [int(area) for area in Masks.from_coco(codes, (20, 30)).areas()]
    entries = [
        {
            **{"id": n, "image_id": 1, "category_id": 1 + n % 2, "score": 1.0, "bbox": [0, 0, 1, 1]},
            **{"area": area, "segmentation": code | {"counts": code["counts"].decode()}},
        }
        for n, (code, area) in enumerate(zip(codes, areas, strict=True))
    ]
    image = {"id": 1, "file_name": "a.png", "width": 30, "height": 20, "label_map": "labels/a.png"}
    names = [{"id": n, "name": name, "label_value": n - 1} for n, name in ((1, "cell"), (2, "dust"))]
    content = {"images": [image], "categories": names, "annotations": entries}
    (folder / "predictions.json").write_text(json.dumps(content))
    found = toolkit.measure(folder)
    rows = table(found.folder / "objects.csv")
    assert [float(row["area"]) for row in rows] == [entry["area"] for entry in entries]
    classes = table(found.folder / "classes.csv")
    of_objects = {row["class"]: float(row["area"]) for row in classes if row["objects"]}
    of_pixels = {row["class"]: float(row["area"]) for row in classes if not row["objects"]}
    assert of_objects == {"cell": sum(areas[::2]), "dust": sum(areas[1::2])}
    assert of_pixels == {"cell": (label_map == 0).sum(), "dust": (label_map == 1).sum()}


def test_colors_of_photos_in_a_folder(tmp_path: Path) -> None:
    found = toolkit.measure(document(tmp_path), images=photos(tmp_path))
    rows = table(found.folder / "objects.csv")
    assert [float(row["mean_red"]) for row in rows] == [40, 80]


def test_colors_where_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = document(tmp_path), photos(tmp_path)
    whole = table(toolkit.measure(path, images=folder).folder / "objects.csv")
    assert table(measured_where_possible(path, folder)) == whole
    monkeypatch.setattr(measured_images, "MOST_PIXELS", 10)
    large = table(measured_where_possible(path, folder))
    assert {row["mean_red"] for row in large} == {""}
    assert [row["area"] for row in large] == [row["area"] for row in whole]
    assert "mean_red" not in table(measured_where_possible(path, tmp_path / "elsewhere"))[0]
    assert "mean_red" not in table(measured_where_possible(path, True))[0]


def measured_where_possible(path: Path, images: Any) -> Path:
    return toolkit.measure(path, images=images, where_possible=True).folder / "objects.csv"


def test_tables_are_replaced_as_a_whole(tmp_path: Path) -> None:
    path = document(tmp_path)
    before = toolkit.measure(path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(
        DataError, match=r"1\.png is not there, but 1\.png was predicted. Hint: name the folder"
    ):
        toolkit.measure(path, images=tmp_path / "photos")
    assert len(table(before.folder / "objects.csv")) == 2
    assert sorted(each.name for each in before.folder.iterdir()) == [
        "classes.csv",
        "objects.csv",
        "summary.csv",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c["images"][0].pop("width"),
            r"does not say how large 1\.png is. Hint: add width and height",
        ),
        (lambda c: c["images"][0].update(width=31), r"1\.png"),
        (lambda c: c.update(images=[], annotations=[]), "names no images, so there is nothing to measure"),
        (lambda c: c.pop("categories"), "expected images, categories and annotations"),
    ],
    ids=["no size", "another size", "no images", "no categories"],
)
def test_documents_that_cannot_be_measured(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    path = document(tmp_path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=said):
        toolkit.measure(path)
    assert not (path.parent / "measurements").exists()


def test_photos_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 10 x 10 pixels now, but 30 x 20 when it was predicted"):
        toolkit.measure(document(tmp_path), images=photos(tmp_path, (10, 10)))


def test_photos_that_nothing_names(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="does not say where its images are. Hint: name their folder: --images"
    ):
        toolkit.measure(document(tmp_path), images=True)


def test_no_predictions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no predictions at .*Hint: run toolkit infer"):
        toolkit.measure(tmp_path)
    with pytest.raises(UsageError, match=r"the minimum score is 2; expected a number from 0 to 1"):
        toolkit.measure(document(tmp_path), above=2)


def test_sizes_that_the_images_state(tmp_path: Path) -> None:
    path, folder = document(tmp_path), tmp_path / "photos"
    folder.mkdir()
    for number in (1, 2):
        # what a file is called does not matter
        write_ome(folder / f"{number}.png", PhysicalSizeX=number, PhysicalSizeY=0.5)
    found = toolkit.measure(path, images=folder)
    assert found.sizes == "pixel sizes: 2 different ones (OME-TIFF)"
    rows = table(found.folder / "objects.csv")
    assert [float(row["area_um2"]) for row in rows] == [24 * 0.5, 48 * 2 * 0.5]
    assert [row["pixel_width_um"] for row in rows] == ["1", "2"]
    assert {row["pixel_size_from"] for row in rows} == {"OME-TIFF"}
    (total,) = table(found.folder / "summary.csv")
    assert (total["area_um2"], total["pixel_width_um"]) == ("60", "")
    assert toolkit.measure(path, images=folder, pixel_size="1mm").sizes == "pixel sizes: 1 mm (option)"


def test_a_table_that_lacks_an_image_stops_before_anything_is_measured(tmp_path: Path) -> None:
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("image,pixel_size\n1.png,1mm\n")
    path = document(tmp_path)
    with pytest.raises(DataError, match=r"no pixel size for 1 of 2 images: 2\.png"):
        toolkit.measure(path, pixel_size=sizes)
    assert not (path.parent / "measurements").exists()
    sizes.write_text("image,pixel_size\n1.png,1mm\n2.png,2mm\n")
    found = toolkit.measure(path, pixel_size=str(sizes))
    assert [row["area_mm2"] for row in table(found.folder / "objects.csv")] == ["24", "192"]


def test_polygons_of_each_image(tmp_path: Path) -> None:
    path, folder = document(tmp_path), tmp_path / "photos"
    folder.mkdir()
    write_geotiff(folder / "1.png", tiepoint=(0, 0, 0, 1000, 2000, 0))
    write_geotiff(folder / "2.png", scale=(), tiepoint=())
    found = toolkit.measure(path, images=folder, geojson=True)
    first, second = (json.loads((found.folder / "geojson" / f"{n}.png.geojson").read_text()) for n in (1, 2))
    # columns 3 to 8, rows 2 to 5, of 0.5 x 0.25 m
    (feature,) = first["features"]
    corners = [[1001.5, 1998.5], [1004.5, 1998.5], [1004.5, 1999.5], [1001.5, 1999.5]]
    assert sorted(feature["geometry"]["coordinates"][0][1:]) == sorted(corners)
    assert feature["properties"]["area_m2"] == 24 * 0.125
    assert second["coordinate_system"] == "pixels"
    assert any("2.png is a GeoTIFF, but it has no transform" in note for note in found.notes)


def test_polygons_of_an_earlier_call_go_and_other_files_stay(tmp_path: Path) -> None:
    path = document(tmp_path)
    folder = toolkit.measure(path, geojson=True).folder / "geojson"
    assert len(list(folder.iterdir())) == 2
    (folder / "mine.geojson").write_text("{}")
    toolkit.measure(path)
    assert [each.name for each in folder.iterdir()] == ["mine.geojson"]
    (folder / "mine.geojson").unlink()
    toolkit.measure(path, geojson=True)
    toolkit.measure(path)
    assert not folder.exists()


def test_names_in_a_document_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"../../{n}.png", "width": 30, "height": 20} for n in (1, 2)]
    with pytest.raises(DataError, match="leads out of"):
        toolkit.measure(document(tmp_path, images=images), geojson=True)
    assert not list(tmp_path.rglob("*.geojson"))
