"""Folders in, results out: contents, order, and everything that can go wrong on the way."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pipeline_cases import GOOD, ORDER, Bright, Spots, files, manifest, predictor, write_image
from pycocotools import mask as coco_mask
from torch import nn

from toolkit.data.images import image_size, read_image
from toolkit.data.label_maps import read_label_map
from toolkit.errors import InvalidDataError, OutputError, UsageError
from toolkit.inference import Tiling
from toolkit.inference.pipeline import Summary, Work, predict_folder
from toolkit.models.semantic import SemanticModel
from toolkit.types import Prediction, Sample


def _workers() -> list[str]:
    """The pipeline's threads that are alive; other libraries have threads of their own."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("toolkit-infer")]


def test_label_maps_overlays_manifest_and_predictions(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = predict_folder(predictor(name="bright 1"), [photos], out)
    assert summary == Summary(done=8, failed=3, resumed=0)
    records = manifest(out)
    assert [record["image"] for record in records] == ORDER
    for record in records:
        assert record["source"] == str(photos / record["image"])
        assert record["model"] == "bright 1"
        if record["image"] not in GOOD:
            assert record["status"] == "failed"
            assert set(record) == {"image", "source", "status", "model", "error"}
            continue
        image = read_image(photos / record["image"])
        stem = record["image"].rsplit(".", 1)[0]
        assert record["status"] == "ok"
        assert record["size"] == list(image.shape[1:])
        assert record["outputs"] == {"label_map": f"labels/{stem}.png", "overlay": f"overlays/{stem}.jpg"}
        assert torch.equal(
            read_label_map(out / f"labels/{stem}.png"), (image.float().mean(0) > 127).to(torch.uint8)
        )
        assert image_size(out / f"overlays/{stem}.jpg") == tuple(image.shape[1:])
    errors = {record["image"]: record["error"] for record in records if record["status"] == "failed"}
    assert "2b.jpg is empty (0 bytes)" in errors["2b.jpg"]
    assert "4b.png is cut off" in errors["4b.png"]
    assert "text.jpg is not a readable image" in errors["deep/text.jpg"]
    predictions = json.loads((out / "predictions.json").read_text())
    assert [entry["file_name"] for entry in predictions["images"]] == GOOD
    assert predictions["images"][0] == {
        "id": 1,
        "file_name": "0.png",
        "width": 30,
        "height": 20,
        "label_map": "labels/0.png",
    }
    assert predictions["categories"] == [
        {"id": 1, "name": "dark", "label_value": 0},
        {"id": 2, "name": "bright", "label_value": 1},
    ]
    assert predictions["annotations"] == []
    assert set(files(out)) == {
        *("about.json", "manifest.jsonl", "predictions.json", "labels/classes.csv")
    } | {p for r in records for p in r.get("outputs", {}).values()}


def test_objects_are_written_in_cocos_form_and_lose_nothing(photos: Path, tmp_path: Path) -> None:
    model, out = Spots(), tmp_path / "out"
    Image.new("RGB", (9, 8)).save(photos / "black.png")  # no objects
    predict_folder(predictor(model), [photos], out)
    predictions = json.loads((out / "predictions.json").read_text())
    assert [entry["id"] for entry in predictions["annotations"]] == list(
        range(1, len(predictions["annotations"]) + 1)
    )
    assert len(predictions["annotations"]) > 10
    assert all("label_map" not in entry for entry in predictions["images"])
    assert {record["image"]: record["objects"] for record in manifest(out) if record["status"] == "ok"}[
        "black.png"
    ] == 0
    for entry in predictions["images"]:
        want = model.instances(Sample("a", read_image(photos / entry["file_name"])))
        got = [a for a in predictions["annotations"] if a["image_id"] == entry["id"]]
        assert len(got) == len(want)
        for i, annotation in enumerate(got):
            x, y, width, height = annotation["bbox"]
            np.testing.assert_array_equal(
                np.float32([x, y, x + width, y + height]), want.boxes_xyxy[i].numpy()
            )
            assert annotation["category_id"] == int(want.labels[i]) + 1
            assert np.float32(annotation["score"]) == want.scores[i].numpy()
            assert annotation["area"] == int(want.masks.areas()[i])
            assert annotation["iscrowd"] == 0
            np.testing.assert_array_equal(
                coco_mask.decode(annotation["segmentation"]), want.masks[[i]].dense()[0].numpy()
            )


def test_pycocotools_reads_predictions(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pycocotools.coco import COCO

    predict_folder(predictor(Spots()), [photos], tmp_path / "out")
    coco = COCO(str(tmp_path / "out" / "predictions.json"))
    first = coco.loadAnns(coco.getAnnIds(imgIds=[1]))[0]
    assert coco.annToMask(first).sum() == first["area"]
    capsys.readouterr()


def test_nothing_depends_on_workers_or_batches(photos: Path, tmp_path: Path) -> None:
    results = []
    for i, (workers, batch_size) in enumerate([(1, 1), (0, 3), (2, 3), (5, 8), (3, 100)]):
        out = tmp_path / f"out{i}"
        predict_folder(predictor(Spots()), [photos], out, work=Work(batch_size, workers))
        results.append(files(out))
    assert all(result == results[0] for result in results[1:])


def test_a_network_gives_the_same_in_batches(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SemanticModel(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1)), ("a", "b", "c")
    )
    for batch_size in (1, 4):
        predict_folder(predictor(model), [photos], tmp_path / f"out{batch_size}", work=Work(batch_size, 2))
    assert files(tmp_path / "out1") == files(tmp_path / "out4")


def test_overlays_can_be_left_out(photos: Path, tmp_path: Path) -> None:
    predict_folder(predictor(), [photos], tmp_path / "out", overlays=False)
    assert not (tmp_path / "out" / "overlays").exists()
    assert all("overlay" not in record.get("outputs", {}) for record in manifest(tmp_path / "out"))


def test_detections_of_low_score_are_in_the_files_and_not_drawn(tmp_path: Path) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30, 0], picture[:5, :, 2] = 255, 255  # scores 0.5 and 0.125
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture).save(tmp_path / "photos" / "a.png")
    drawn = {}
    for name, options in {"default": {}, "all": {"draw_above": 0.0}, "none": {"draw_above": 0.9}}.items():
        predict_folder(predictor(Spots()), [tmp_path / "photos"], tmp_path / name, **options)
        assert len(json.loads((tmp_path / name / "predictions.json").read_text())["annotations"]) == 2
        drawn[name] = read_image(tmp_path / name / "overlays" / "a.jpg").int() - torch.from_numpy(
            picture
        ).permute(2, 0, 1)
    changed = {
        name: [float(part.abs().float().mean()) > 20 for part in (d[:, 25:, :30], d[:, :5, 35:])]
        for name, d in drawn.items()
    }
    assert changed == {"default": [True, False], "all": [True, True], "none": [False, False]}


def test_large_images_are_tiled_and_the_manifest_says_so(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SemanticModel(nn.Conv2d(3, 3, 1), ("a", "b", "c"))
    predict_folder(predictor(model), [photos], tmp_path / "whole")
    predict_folder(predictor(model, tiling=Tiling(window=32)), [photos], tmp_path / "tiled")
    tiled = {
        record["image"]: record.get("window")
        for record in manifest(tmp_path / "tiled")
        if record["status"] == "ok"
    }
    assert {name for name, window in tiled.items() if window} == {"deep/wide.jpg", "deep/er/x.png"}
    assert tiled["deep/wide.jpg"] == 32
    for name in tiled:
        stem = name.rsplit(".", 1)[0]
        assert (tmp_path / "whole/labels" / f"{stem}.png").read_bytes() == (
            tmp_path / "tiled/labels" / f"{stem}.png"
        ).read_bytes()


def test_overlays_of_images_longer_than_jpeg_allows_are_shrunk(tmp_path: Path) -> None:
    Image.new("RGB", (70_000, 3)).save(tmp_path / "long.png")
    predict_folder(predictor(), [tmp_path / "long.png"], tmp_path / "out")
    assert image_size(tmp_path / "out/labels/long.png") == (3, 70_000)
    assert image_size(tmp_path / "out/overlays/long.jpg") == (2, 65_500)


def test_clashing_names_overwrite_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "one" / "a.png", 1)
    write_image(tmp_path / "one" / "a.jpg", 2)
    write_image(tmp_path / "two" / "a.png", 3)
    predict_folder(predictor(), [tmp_path / "one", tmp_path / "two"], tmp_path / "out")
    labels = {
        path.relative_to(tmp_path / "out/labels").as_posix()
        for path in (tmp_path / "out/labels").rglob("*.png")
    }
    assert labels == {"one/a.png.png", "one/a.jpg.png", "two/a.png"}


# --- what can go wrong


def test_nothing_is_written_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no image"):
        predict_folder(predictor(), [tmp_path / "empty"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_searched_is_skipped(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: object) -> object:
        if os.path.basename(os.fspath(path)) == "er":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert predict_folder(predictor(), [photos], tmp_path / "out") == Summary(done=7, failed=4, resumed=0)
    assert "cannot be searched: Permission denied" in manifest(tmp_path / "out")[-1]["error"]


def test_a_full_disk_stops_the_run_and_loses_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    replace, count = os.replace, 0

    def full(source: object, target: object) -> None:
        nonlocal count
        count += "labels" in str(target) and str(target).endswith(".png")
        if count > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(
            OutputError, match=r"labels/.*\.png cannot be written: the disk is full\. Hint: free some space"
        ):
            predict_folder(predictor(), [photos], out, work=Work(2, 1))
    assert [record["image"] for record in manifest(out)] == ORDER[:5]
    assert not [name for name in files(out) if name.endswith(".part")]
    assert not _workers()
    predict_folder(predictor(), [photos], out, resume=True)
    predict_folder(predictor(), [photos], tmp_path / "straight")
    assert files(out) == files(tmp_path / "straight")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no command to mount a file system here")
    if mounted.returncode:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_that_is_really_full(tiny_disk: Path, tmp_path: Path) -> None:
    for i in range(40):
        write_image(tmp_path / "photos" / f"{i:02}.png", i, 60, 80)
    with pytest.raises(OutputError, match=r"cannot be written: the disk is full\. Hint: free some space"):
        predict_folder(predictor(), [tmp_path / "photos"], tiny_disk / "out")
    records = (
        manifest(tiny_disk / "out") if (tiny_disk / "out/manifest.jsonl").read_bytes().endswith(b"\n") else []
    )
    for record in records:
        assert all((tiny_disk / "out" / path).is_file() for path in record["outputs"].values())


def test_a_folder_that_cannot_be_written(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"out cannot be written: a part of its path is a file"):
        predict_folder(predictor(), [photos], tmp_path / "file" / "out")


def test_ctrl_c_ends_cleanly_and_can_be_resumed(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    seen: list[object] = []

    def interrupt(record: object) -> None:
        seen.append(record)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(predictor(), [photos], out, work=Work(1, 3), on_record=interrupt)
    assert not _workers()
    assert [record["image"] for record in manifest(out)] == ORDER[:4]
    assert predict_folder(predictor(), [photos], out, resume=True).resumed == 3


class Picky(Bright):
    """Cannot do with some images."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        if any(sample.id in ("1.png", "5.png") for sample in samples):
            raise self.error
        return super().predict(samples)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
            "memory ran out. Hint: --window 1024 or smaller, or another device",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory ran out. Hint"),
        (MemoryError(), "memory ran out. Hint"),
        (InvalidDataError("logits must be finite"), "logits must be finite"),
    ],
)
def test_images_that_the_model_cannot_do_are_skipped_alone(
    photos: Path, tmp_path: Path, error: BaseException, message: str
) -> None:
    for batch_size in (1, 4):
        out = tmp_path / f"out{batch_size}"
        assert predict_folder(predictor(Picky(error)), [photos], out, work=Work(batch_size, 2)) == Summary(
            done=6, failed=5, resumed=0
        )
        failed = {
            record["image"]: record["error"] for record in manifest(out) if record["status"] == "failed"
        }
        assert f"1.png (30 x 21 pixels) cannot be predicted: {message}" in failed["1.png"]
        assert set(failed) == {"1.png", "5.png", "2b.jpg", "4b.png", "deep/text.jpg"}


def test_a_bug_in_a_model_is_not_hidden(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        predict_folder(
            predictor(Picky(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))),
            [photos],
            tmp_path / "out",
        )
    assert not _workers()
