"""``toolkit.explain_folder``: what is written, and what happens to images that cannot be explained."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.explained import CLASSES, Fixed, semantic, write_photos
from support.small_settings import MODELS

import toolkit
from toolkit import Instances, Predictor
from toolkit.errors import OutputError, UsageError
from toolkit.explaining import folder as folders
from toolkit.explaining.front import Explainer
from toolkit.inference.inputs import find_images
from toolkit.runtime.files import output_error


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.fixture
def predictor() -> Predictor:
    return Predictor(semantic(), device="cpu", name="small")


def document(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "explanations.json").read_text())
    return content


def test_each_image_has_an_overlay_a_map_and_an_entry(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = toolkit.explain_folder(predictor, photos, out, class_name="cow", progress=False)
    assert (found.explained, found.empty, found.failed, found.notes) == (2, 0, 0, ())
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    files = {f"{folder}/{i}.{kind}" for i in "01" for folder, kind in KINDS}
    assert names - {".toolkit.lock", ".lock"} == files | {"sheet.jpg", "explanations.json"}
    content = document(out)
    assert content["finished"] is True
    assert content["model"]["name"] == "small"
    assert (content["method"], content["layer"]) == ("layercam", "network.tanh")
    wanted = toolkit.explain(predictor, str(photos / "1.png"), class_name="cow")
    assert isinstance(wanted, toolkit.Explanation)
    entry = content["images"][1]
    assert entry["image"] == "1.png"
    assert entry["status"] == "ok"
    assert entry["target"]["class"] == "cow"
    assert entry["score"] == pytest.approx(wanted.score, rel=1e-6)
    array = np.load(out / entry["outputs"]["array"], allow_pickle=False)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, wanted.map.numpy())
    levels = cv2.imread(str(out / entry["outputs"]["map"]), cv2.IMREAD_UNCHANGED)
    assert levels is not None
    assert levels.dtype == np.uint16
    low, high = entry["range"]
    np.testing.assert_allclose(levels / 65535 * (high - low) + low, array, atol=(high - low) / 65535)
    overlay = cv2.imread(str(out / entry["outputs"]["overlay"]))
    assert overlay is not None
    assert overlay.shape == (24, 36, 3)


KINDS = [("overlays", "jpg"), ("maps", "npy"), ("maps", "png")]


def test_explanations_are_no_photos_of_the_next_command(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    toolkit.explain_folder(predictor, photos, photos / "out", progress=False)
    assert [image.name for image in find_images([photos])] == ["0.png", "1.png"]
    found = toolkit.explain_folder(predictor, photos, tmp_path / "other", progress=False)
    assert found.explained == 2


def test_results_that_are_there_stay(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    toolkit.explain_folder(predictor, photos, out, progress=False)
    before = (out / "explanations.json").read_bytes()
    with pytest.raises(UsageError, match="already contains explanations. Hint: choose another folder"):
        toolkit.explain_folder(predictor, photos, out, method="saliency", progress=False)
    assert (out / "explanations.json").read_bytes() == before


def test_bad_images_are_recorded_and_skipped(
    predictor: Predictor, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.png").write_bytes((photos / "0.png").read_bytes()[:60])
    out = tmp_path / "out"
    found = toolkit.explain_folder(predictor, photos, out)
    assert (found.explained, found.failed) == (2, 1)
    entry = document(out)["images"][2]
    assert entry["status"] == "failed"
    assert "broken.png" in entry["error"]
    assert "skipped: broken.png: " in capsys.readouterr().err


def test_images_without_objects_are_a_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The explainer is that of a model with gradients, whose detections are replaced by none."""
    model = MODELS["maskrcnn"].build()
    given = Predictor(model, device="cpu")
    given.predict_samples = lambda samples: Fixed(  # type: ignore[method-assign]
        Instances.empty((24, 36), with_masks=True, with_scores=True), CLASSES
    ).predict(samples)
    found = toolkit.explain_folder(given, photos, tmp_path / "out")
    assert (found.explained, found.empty, found.failed) == (0, 2, 0)
    assert "nothing to explain: 0.png: the model finds no objects here" in capsys.readouterr().err
    assert [entry["status"] for entry in document(tmp_path / "out")["images"]] == ["empty", "empty"]
    assert not (tmp_path / "out" / "sheet.jpg").exists()


def test_a_point_that_is_outside_some_images_concerns_these_only(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    write_photos(tmp_path / "small", 1)
    cv2.imwrite(str(photos / "2.png"), np.zeros((10, 10, 3), np.uint8))
    found = toolkit.explain_folder(predictor, photos, tmp_path / "out", point=(30.0, 20.0), progress=False)
    assert [entry["status"] for entry in found.entries] == ["ok", "ok", "empty"]
    assert "outside the image, which is 10 × 10" in found.entries[2]["error"]


def test_memory_that_runs_out_concerns_one_image(
    predictor: Predictor, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explain(self: Explainer, sample: toolkit.Sample) -> toolkit.Explanation:
        if sample.id == "0.png":
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return original(self, sample)

    original = Explainer.explain
    monkeypatch.setattr(Explainer, "explain", explain)
    found = toolkit.explain_folder(predictor, photos, tmp_path / "out", progress=False)
    assert [entry["status"] for entry in found.entries] == ["failed", "ok"]
    assert "memory ran out at 36 × 24 pixels. Hint: scale the image down" in found.entries[0]["error"]

    def broken(self: Explainer, sample: toolkit.Sample) -> toolkit.Explanation:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Explainer, "explain", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        toolkit.explain_folder(predictor, photos, tmp_path / "other", progress=False)


def test_a_full_disk_stops_and_what_was_done_is_written_down(
    predictor: Predictor, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, values: torch.Tensor) -> None:
        if path.name == "1.npy":
            raise output_error(path, full_disk) from full_disk

    full_disk = OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders, "_write_array", full)
    out = tmp_path / "out"
    with pytest.raises(OutputError, match="the disk is full"):
        toolkit.explain_folder(predictor, photos, out, progress=False)
    content = document(out)
    assert content["finished"] is False
    assert [entry["image"] for entry in content["images"]] == ["0.png"]
    monkeypatch.undo()
    assert toolkit.explain_folder(predictor, photos, out, progress=False).explained == 2


def test_a_sheet_shows_the_first_images(
    predictor: Predictor, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_MOST_ROWS", 1)
    found = toolkit.explain_folder(predictor, photos, tmp_path / "out", progress=False)
    assert found.notes == ("sheet.jpg shows the first 1 images",)


def test_maps_that_show_nothing_are_counted(
    predictor: Predictor, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blank(self: Explainer, sample: toolkit.Sample) -> toolkit.Explanation:
        target, values = toolkit.Target("class", 1), torch.zeros(sample.size)
        return toolkit.Explanation(sample.id, "layercam", target, "relu", values, 0.5)

    monkeypatch.setattr(Explainer, "explain", blank)
    found = toolkit.explain_folder(predictor, photos, tmp_path / "out", progress=False)
    assert found.explained == 2
    assert found.notes == ("2 maps have no values above 0. Hint: use another --layer or --method",)


def test_videos_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"x")
    with pytest.raises(UsageError, match="is a video or a camera, .* Hint: save the frames as images"):
        toolkit.explain_folder(predictor, tmp_path / "film.mp4", tmp_path / "out", progress=False)


def test_activations_are_drawn_instead(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = toolkit.explain_folder(predictor, photos, out, activations="relu", progress=False)
    assert found.explained == 2
    content = document(out)
    assert content["activations"] == "network.relu"
    assert content["kernels"] == {"layer": "network.first", "shape": [6, 3, 3, 3], "file": "kernels.png"}
    assert content["images"][0]["shape"] == [6, 24, 36]
    grid = cv2.imread(str(out / "activations" / "0.png"))
    assert grid is not None
    assert grid.shape[:2] == (2 * (24 + 2) + 2, 3 * (36 + 2) + 2)
    assert cv2.imread(str(out / "kernels.png")) is not None


def test_names_from_data_do_not_lead_out_of_the_folder(predictor: Predictor, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos" / "deep", 1).parent
    out = tmp_path / "out"
    (tmp_path / "elsewhere").mkdir()
    out.mkdir()
    (out / "maps").symlink_to(tmp_path / "elsewhere")
    found = toolkit.explain_folder(predictor, photos, out, progress=False)
    assert found.failed == 1
    assert "leads out of" in found.entries[0]["error"]
    assert [*(tmp_path / "elsewhere").rglob("*")] == []
