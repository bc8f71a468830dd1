"""What ``Predictor.predict`` gives people: a picture, tables, files, and a line that says it all."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from measuring.tiff_cases import write_geotiff
from PIL import Image
from pipeline_cases import Bright, Spots, write_image
from support import fake_libraries

import toolkit
from toolkit.errors import DataError, ImageError, InvalidDataError, UsageError
from toolkit.formats.predictions import PredictionFiles
from toolkit.inference import Predictor
from toolkit.inference.image_prediction import NOTEBOOK_SIDE, ImagePrediction
from toolkit.models.contract import Model
from toolkit.types import Prediction, Sample
from toolkit.visualization.drawing import confident, overlay
from toolkit.visualization.palettes import class_palette

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Left a red square, right a green one that is darker on the whole."""
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[10:50, 5:45, 0] = 250
    pixels[20:30, 60:70, 1] = 250
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def objects(image: object, *, draw_above: float = 0.1) -> ImagePrediction:
    predictor = Predictor(Spots(), device="cpu", palette=PALETTE, name="spots 1")
    predictor.model.draw_above = draw_above
    return predictor.predict(image)  # type: ignore[call-overload, no-any-return]


def semantic(image: object) -> ImagePrediction:
    return Predictor(Bright(), device="cpu").predict(image)  # type: ignore[call-overload, no-any-return]


def test_it_is_a_prediction_and_knows_the_names_of_its_classes(photo: Path) -> None:
    found = objects(photo)
    assert isinstance(found, Prediction)
    assert found.sample_id == str(photo)
    assert found.classes == ("red", "green", "blue")
    assert found.names == ["red", "green"]
    assert semantic(photo).names == []


def test_a_models_own_prediction_becomes_one() -> None:
    sample = Sample("a", torch.full((3, 40, 50), 255, dtype=torch.uint8))
    model = Spots()
    found = ImagePrediction.of(model.predict([sample])[0], sample, classes=model.classes)
    assert repr(found) == "ImagePrediction('a', 40x50, 3 instances: 1 blue, 1 green, 1 red)"
    assert found.palette == class_palette(model.classes)
    assert found.plot().size == (50, 40)
    bare = ImagePrediction.of(Prediction("a", (40, 50), torch.zeros(40, 50).byte()), sample, classes=())
    assert repr(bare) == "ImagePrediction('a', 40x50, 100% 0)"
    bare.plot()
    with pytest.raises(
        InvalidDataError, match=r"Prediction\('b', 4x4, label_map\) is not of the image of Sample"
    ):
        ImagePrediction.of(Prediction("b", (4, 4), torch.zeros(4, 4).byte()), sample, classes=())


def test_its_repr_is_a_line(photo: Path) -> None:
    assert repr(objects(photo)) == (
        f"ImagePrediction({str(photo)!r}, 60x100, 2 instances: 1 red; 1 below 0.1)"
    )
    assert repr(objects(photo, draw_above=0)).endswith("2 instances: 1 green, 1 red)")
    black = np.zeros((4, 6, 3), np.uint8)
    assert repr(objects(black)) == "ImagePrediction('image', 4x6, 0 instances)"
    assert repr(objects(photo, draw_above=0.9)).endswith("2 instances: none to be drawn; 2 below 0.9)")
    assert repr(semantic(black + 255)) == "ImagePrediction('image', 4x6, 100% bright)"
    assert len(repr([objects(photo)] * 3)) < 500


def test_plot_draws_over_the_image(photo: Path) -> None:
    found = objects(photo)
    picture = found.plot()
    assert picture.size == (100, 60)
    assert picture.mode == "RGB"
    sample = Sample("a", found.image)
    wanted = overlay(sample.image, confident(found, 0.1), found.classes, PALETTE, legend=True)
    assert (np.array(picture) == wanted).all()
    more = np.array(found.plot(above=0))
    assert not (more == wanted).all()
    assert np.array(semantic(photo).plot()).shape == (60, 100, 3)


@pytest.mark.parametrize("kind", ["array", "tensor", "pillow"])
def test_an_image_that_is_no_file_is_kept_with_it(photo: Path, kind: str) -> None:
    pixels = np.array(Image.open(photo))
    image = {
        "array": pixels,
        "tensor": torch.from_numpy(pixels).permute(2, 0, 1),
        "pillow": Image.fromarray(pixels),
    }[kind]
    assert (np.array(objects(image).plot()) == np.array(objects(photo).plot())).all()


def test_the_image_of_a_file_is_not_kept_but_read_again(photo: Path) -> None:
    found = objects(photo)
    held = sum(value.numel() for value in vars(found).values() if isinstance(value, torch.Tensor))
    assert held == 0
    write_image(photo, 1, 60, 99)
    with pytest.raises(
        DataError, match=r"has 99 x 60 pixels now, but 100 x 60 when .* Hint: predict it again"
    ):
        found.plot()
    assert found._repr_png_() is None, "a notebook falls back to the text"
    photo.unlink()
    with pytest.raises(ImageError, match="does not exist"):
        found.plot()


def test_a_notebook_shows_a_picture_that_is_not_too_large(photo: Path) -> None:
    data = objects(photo)._repr_png_()
    assert data is not None
    assert Image.open(io.BytesIO(data)).size == (100, 60)
    data = semantic(np.zeros((50, 3000, 3), np.uint8))._repr_png_()
    assert data is not None
    assert Image.open(io.BytesIO(data)).size == (NOTEBOOK_SIDE, round(50 * NOTEBOOK_SIDE / 3000))


def test_it_is_saved_as_a_picture(photo: Path, tmp_path: Path) -> None:
    found = objects(photo)
    found.save(tmp_path / "new" / "a.png")
    assert (np.array(Image.open(tmp_path / "new" / "a.png")) == np.array(found.plot())).all()
    found.save(tmp_path / "b.JPG", above=0)
    with Image.open(tmp_path / "b.JPG") as picture:
        assert picture.format == "JPEG"
    with pytest.raises(UsageError, match=r"expected a name that ends in \.jpg, .* not '\.gif'"):
        found.save(tmp_path / "a.gif")


def test_it_is_saved_as_a_document_that_eval_reads(photo: Path, tmp_path: Path) -> None:
    found = objects(photo)
    found.save(tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document == found.to_coco()
    assert document["info"] == {"toolkit": toolkit.__version__, "model": {"name": "spots 1"}}
    read = PredictionFiles(tmp_path / "a.json", found.classes).read("photo", (60, 100)).instances
    assert read is not None
    assert found.instances is not None
    assert read.masks == found.instances.masks
    assert read.labels.equal(found.instances.labels)


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_libraries.install(monkeypatch)


@pytest.mark.usefixtures("libraries")
def test_a_table_of_objects(photo: Path) -> None:
    columns = objects(photo).to_dataframe().columns
    assert columns["image"] == [str(photo)] * 2
    assert columns["class"] == ["red", "green"]
    assert [columns[name] for name in ("x0", "y0", "x1", "y1")] == [[5, 60], [10, 20], [45, 70], [50, 30]]
    assert columns["area"] == [1600, 100]
    assert columns["score"] == pytest.approx([250 * 1600 / 6000 / 255, 250 * 100 / 6000 / 255])
    assert objects(np.zeros((4, 4, 3), np.uint8)).to_dataframe().columns["score"] == []


@pytest.mark.usefixtures("libraries")
def test_a_table_of_a_label_map() -> None:
    pixels = np.zeros((4, 10, 3), np.uint8)
    pixels[:, :3] = 255
    assert semantic(pixels).to_dataframe().columns == {
        "image": ["image", "image"],
        "class": ["dark", "bright"],
        "pixels": [28, 12],
        "share": [0.7, 0.3],
    }


@pytest.mark.usefixtures("libraries")
def test_supervision_gets_arrays_and_names(photo: Path) -> None:
    found = objects(photo)
    assert found.instances is not None
    assert found.instances.masks is not None
    detections = found.to_supervision()
    assert detections.xyxy.tolist() == [[5, 10, 45, 50], [60, 20, 70, 30]]
    assert detections.mask.dtype == bool
    assert detections.mask.sum(axis=(1, 2)).tolist() == [1600, 100]
    assert detections.class_id.tolist() == [0, 1]
    assert detections.confidence.tolist() == pytest.approx(found.instances.scores.tolist())  # type: ignore[union-attr]
    assert detections.data["class_name"].tolist() == ["red", "green"]
    with pytest.raises(UsageError, match="has a label map and no objects"):
        semantic(photo).to_supervision()


class Other(Model):
    """Predicts what only a plugin's task knows."""

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(sample.id, sample.size, extras={"mood": "good"}) for sample in samples]


@pytest.mark.usefixtures("libraries")
def test_what_a_tasks_plugin_predicts_has_no_table_and_says_where_it_is() -> None:
    found = Predictor(Other(()), device="cpu").predict(np.zeros((4, 4, 3), np.uint8))
    assert repr(found) == "ImagePrediction('image', 4x4, mood)"
    assert found.plot().size == (4, 4)
    with pytest.raises(UsageError, match="neither objects nor a label map .* extras: mood"):
        found.to_dataframe()


def test_geojson_of_an_image(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "a.tif", tiepoint=(0, 0, 0, 1000, 2000, 0))
    label_map = torch.zeros(20, 30, dtype=torch.uint8)
    prediction = ImagePrediction.of(
        Prediction(str(path), (20, 30), label_map),
        Sample(str(path), torch.zeros(3, 20, 30, dtype=torch.uint8), path=str(path)),
        classes=("field",),
    )
    found = prediction.to_geojson()
    (feature,) = found["features"]
    assert found["coordinate_system"] == "EPSG:32633"
    corners = sorted(map(tuple, feature["geometry"]["coordinates"][0][1:]))
    assert corners == [(1000, 1995), (1000, 2000), (1015, 1995), (1015, 2000)]
    assert feature["properties"]["area_m2"] == 75
    assert prediction.to_geojson(pixel_size="1ft")["features"][0]["properties"]["area_ft2"] == 600
