"""Values in, values out: label images in the values of the training data, whatever stands for void there."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pipeline_cases import Bright, Spots, predictor, write_image

import toolkit
from toolkit.checkpoints import read_manifest
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.data.label_maps import read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, UsageError
from toolkit.inference import Predictor
from toolkit.inference.pipeline import predict_folder
from toolkit.models.contract import Model
from toolkit.types import Prediction, Sample

CLASSES = [f"class {i}" for i in range(11)]


class Oracle(Model):
    """Knows the truth."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.classes)
        self.truth = {dataset.ids[i]: dataset[i].label_map for i in range(len(dataset))}

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(s.id, s.size, self.truth[s.id.removesuffix(".png")]) for s in samples]


@pytest.fixture(params=[0, 11], ids=["0 is void", "11 is void"])
def void(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    return value


@pytest.fixture
def folder(tmp_path: Path, void: int) -> Path:
    """Photos with label images that have all of 12 values, one of which is void."""
    root = tmp_path / "data"
    for i in range(2):
        write_image(root / "images" / f"{i}.png", i, 30, 40)
        values = np.random.default_rng(i).integers(0, 12, (30, 40), dtype=np.uint8)
        (root / "labels").mkdir(exist_ok=True)
        cv2.imwrite(str(root / "labels" / f"{i}.png"), values)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text("0\n1\n")
    return root


def in_values(folder: Path, void: int, out: Path) -> Dataset:
    """Write what the oracle says in the values of the dataset."""
    dataset = open_dataset("masks", folder, "val", {"void": void})
    oracle = Predictor(Oracle(dataset), device="cpu", label_values=dataset.label_values)
    predict_folder(oracle, folder / "images", out, label_values="dataset")
    return dataset


def test_files_have_the_values_that_the_training_data_have(folder: Path, void: int, tmp_path: Path) -> None:
    in_values(folder, void, tmp_path / "out")
    for i in range(2):
        got = read_label_map(tmp_path / "out" / "labels" / f"{i}.png")
        assert got.equal(read_label_map(folder / "labels" / f"{i}.png"))
    with open(tmp_path / "out" / "labels" / "classes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    values = [value for value in range(12) if value != void]
    assert [(row["index"], row["value"], row["name"]) for row in rows] == [
        *((str(i), str(value), f"class {i}") for i, value in enumerate(values)),
        ("", str(void), "void"),
    ]
    palette = Image.open(tmp_path / "out" / "labels" / "0.png").getpalette()
    for row in rows:
        color = palette[3 * int(row["value"]) : 3 * int(row["value"]) + 3]
        assert "#" + "".join(f"{part:02x}" for part in color) == row["color"]


def test_eval_reads_them_from_wherever_they_are(folder: Path, void: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    in_values(folder, void, out)
    shutil.copytree(out / "labels", tmp_path / "bare")
    (tmp_path / "bare" / "classes.csv").unlink()
    ways = [
        {"predictions": out},
        {"predictions": out / "predictions.json"},
        {"predictions": out / "labels"},
        {"predictions": tmp_path / "bare", "label_values": "dataset"},
        {"predictions": folder / "labels", "label_values": "dataset"},
    ]
    for way in ways:
        settings = {"data.options.void": void}
        metrics = toolkit.evaluate(**way, data="masks", data_dir=folder, settings=settings).metrics  # type: ignore[arg-type]
        assert metrics["mean_iou"] == 1.0, way
        assert metrics["pixel_accuracy"] == 1.0, way


def test_indexes_are_written_where_nothing_else_is_asked_for(folder: Path, void: int, tmp_path: Path) -> None:
    dataset = open_dataset("masks", folder, "val", {"void": void})
    oracle = Predictor(Oracle(dataset), device="cpu", label_values=dataset.label_values)
    predict_folder(oracle, folder / "images", tmp_path / "out")
    truth = dataset[0].label_map
    assert truth is not None
    assert read_label_map(tmp_path / "out" / "labels" / "0.png").equal(truth)
    assert "label_values" not in json.loads((tmp_path / "out" / "about.json").read_text())
    assert (tmp_path / "out" / "labels" / "classes.csv").read_text().splitlines()[1].startswith("0,0,class 0")
    settings = {"data.options.void": void}
    found = toolkit.evaluate(predictions=tmp_path / "out", data="masks", data_dir=folder, settings=settings)
    assert found.metrics["mean_iou"] == 1.0


def test_a_run_knows_the_values_of_its_training_data(
    folder: Path, void: int, tmp_path: Path, tiny: str
) -> None:
    settings = {"train.steps": 1, "train.device": "cpu", "data.options.void": void}
    result = toolkit.train(
        settings, tmp_path / "run", plugin=tiny, data="masks", data_dir=folder, progress=False
    )
    manifest = read_manifest(result.run)
    assert manifest is not None
    assert manifest.label_values == {"classes": [v for v in range(12) if v != void], "void": void}
    toolkit.predict_folder(result, folder / "images", tmp_path / "out", label_values="dataset")
    index = toolkit.load(result, device="cpu").predict(folder / "images" / "0.png").label_map
    assert index is not None
    values = LabelValues.from_dict(manifest.label_values)
    assert read_label_map(tmp_path / "out" / "labels" / "0.png").equal(values.encode(index))


def test_results_of_other_values_are_not_mixed(folder: Path, void: int, tmp_path: Path) -> None:
    dataset = in_values(folder, void, tmp_path / "out")
    oracle = Predictor(Oracle(dataset), device="cpu", label_values=dataset.label_values)
    with pytest.raises(UsageError, match="contains label images with other values"):
        predict_folder(oracle, folder / "images", tmp_path / "out", resume=True)
    again = predict_folder(oracle, folder / "images", tmp_path / "out", resume=True, label_values="dataset")
    assert again.resumed == 2


def test_what_is_not_known_is_not_guessed(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the values of the training data of this model are not known"):
        predict_folder(predictor(), [photos], tmp_path / "out", label_values="dataset")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="label images of dataset 'shapes' are in color, or there are none"):
        toolkit.evaluate(predictions=photos, data="shapes", label_values="dataset")


def test_a_folder_says_which_model_made_it(photos: Path, tmp_path: Path) -> None:
    known = Predictor(Bright(), device="cpu", name="bright 1", about={"plugin": "bright", "step": 7})
    predict_folder(known, [photos], tmp_path / "out")
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    model = {"name": "bright 1", "plugin": "bright", "step": 7}
    assert about == {
        "toolkit": toolkit.__version__,
        "model": model,
        "classes": ["dark", "bright"],
        "draw_above": 0.5,
        "options": {"precision": "fp32", "window": None, "overlap": 0.25, "max_pixels": 1 << 24},
    }
    info = json.loads((tmp_path / "out" / "predictions.json").read_text())["info"]
    assert (info["toolkit"], info["model"], info["void_value"]) == (toolkit.__version__, model, 255)


def test_a_model_of_objects_has_no_table_of_label_values(photos: Path, tmp_path: Path) -> None:
    predict_folder(predictor(Spots()), [photos], tmp_path / "out")
    assert not (tmp_path / "out" / "labels").exists()
    document = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert "void_value" not in document["info"]
    assert document["categories"][0] == {"id": 1, "name": "red"}


def test_a_table_beside_label_images_of_others_is_heeded(folder: Path, void: int, tmp_path: Path) -> None:
    table = folder / "labels" / "classes.csv"
    values = [value for value in range(12) if value != void]
    lines = [f"{value},class {i}" for i, value in enumerate(values)]
    table.write_text("\n".join(["value,name", *lines]))
    settings = {"data.options.void": void}
    with pytest.raises(DataError, match=f"has the value {void}, which is not a class of"):
        toolkit.evaluate(predictions=folder / "labels", data="masks", data_dir=folder, settings=settings)
    table.write_text("\n".join(["value,name", *lines, f"{void},void"]))
    found = toolkit.evaluate(predictions=folder / "labels", data="masks", data_dir=folder, settings=settings)
    assert found.metrics["mean_iou"] == 1.0
    table.write_text("value,name\n0,fog\n")
    with pytest.raises(DataError, match="has classes that the dataset does not have: fog"):
        toolkit.evaluate(predictions=folder / "labels", data="masks", data_dir=folder, settings=settings)


@pytest.mark.parametrize("text", ["", "{", "[]", '"index"'])
def test_results_of_which_nobody_knows_what_they_are_are_not_continued(
    photos: Path, tmp_path: Path, text: str
) -> None:
    """Else label images of other values could be written among them."""
    out = tmp_path / "out"
    predict_folder(predictor(), [photos], out)
    (out / "about.json").write_text(text)
    with pytest.raises(
        UsageError, match=r"about.json .* what is known of results. Hint: choose another --out"
    ):
        predict_folder(predictor(), [photos], out, resume=True)
    assert (out / "about.json").read_text() == text
    (out / "about.json").unlink()
    assert predict_folder(predictor(), [photos], out, resume=True).images
