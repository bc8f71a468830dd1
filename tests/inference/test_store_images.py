"""Images in stores: named, predicted, resumed; slowly also against a server that speaks S3."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image
from pipeline_cases import Bright, manifest, predictor
from support.s3 import Flaky, faulty_s3

from toolkit.errors import UsageError
from toolkit.inference.image_batches import Work
from toolkit.inference.lists import ImageList
from toolkit.inference.pipeline import Summary, predict_folder
from toolkit.inference.sources import find_inputs
from toolkit.inference.store_images import StoreFolder

NAMES = ["a.png", "b.png", "deep/a.png"]


def picture(seed: int) -> bytes:
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).resize((30, 20), Image.Resampling.NEAREST).save(file, "png")
    return file.getvalue()


@pytest.fixture
def shelf() -> Iterator[Any]:
    fs = fsspec.filesystem("memory")
    for place, name in enumerate(NAMES):
        fs.pipe_file(f"/shelf/{name}", picture(place))
    fs.pipe_file("/shelf/notes.txt", b"no image")
    yield fs
    fs.rm("/shelf", recursive=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same images on the disk."""
    for place, name in enumerate(NAMES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(place))
    return tmp_path / "photos"


def label_maps(out: Path) -> dict[str, bytes]:
    found = {path.relative_to(out / "labels").as_posix(): path for path in out.rglob("labels/**/*.png")}
    return {name.removesuffix(".png").removesuffix(".png"): path.read_bytes() for name, path in found.items()}


def test_a_folder_of_a_store_gives_what_one_on_the_disk_gives(
    shelf: Any, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert predict_folder(predictor(), "memory://shelf/", out) == Summary(done=3, failed=0, resumed=0)
    predict_folder(predictor(), folder, tmp_path / "disk")
    assert label_maps(out) == label_maps(tmp_path / "disk")
    lines = manifest(out)
    assert [line["image"] for line in lines] == NAMES
    assert lines[2]["source"] == "memory://shelf/deep/a.png"
    assert lines[2]["source_bytes"] == len(picture(2))


def test_resuming_notices_what_has_changed(shelf: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(predictor(), "memory://shelf/", out)
    shelf.pipe_file("/shelf/b.png", picture(7))
    again = Bright()
    summary = predict_folder(predictor(again), "memory://shelf/", out, resume=True)
    assert summary == Summary(done=1, failed=0, resumed=2)
    assert again.seen == ["b.png"]


def test_single_images_and_lists_are_named_by_their_address(shelf: Any, tmp_path: Path) -> None:
    urls = ["memory://shelf/deep/a.png", "memory://shelf/a.png", "memory://shelf/nowhere.png"]
    summary = predict_folder(predictor(), [*urls, urls[0]], tmp_path / "out")
    assert summary == Summary(done=2, failed=1, resumed=0)
    names = ["shelf/deep/a.png", "shelf/a.png", "shelf/nowhere.png"]
    assert [line["image"] for line in manifest(tmp_path / "out")] == names
    assert "nowhere.png cannot be read: it does not exist" in str(manifest(tmp_path / "out")[2]["error"])
    (tmp_path / "list.txt").write_text("\n".join(urls))
    predict_folder(predictor(), ImageList(tmp_path / "list.txt"), tmp_path / "listed")
    assert manifest(tmp_path / "listed") == manifest(tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["memory://nowhere/"], "does not exist"),
        (["memory://shelf/deep/er/"], "does not exist"),
        (["memory://shelf/", "memory://other/"], "is a folder of a store, which is predicted alone"),
        (["memory://shelf/", "photos"], "is a folder of a store, which is predicted alone"),
        (["zip://a.jpg::memory://shelf/x.zip"], "is a chain of addresses"),
    ],
)
def test_what_cannot_be_predicted_is_refused_before_anything_is_done(
    shelf: Any, words: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        find_inputs(words)


def test_results_below_the_folder_are_left_out(shelf: Any) -> None:
    predict_folder(predictor(), "memory://shelf/", "memory://shelf/out")
    again = Bright()
    summary = predict_folder(predictor(again), "memory://shelf/", "memory://shelf/out", resume=True)
    assert summary == Summary(done=0, failed=0, resumed=3)
    assert again.seen == []


def test_a_folder_without_images(shelf: Any) -> None:
    shelf.pipe_file("/shelf/texts/a.txt", b"")
    with pytest.raises(
        UsageError, match=r"no image \(.*\) in memory://shelf/texts/\. Hint: check the address"
    ):
        StoreFolder("memory://shelf/texts/").check()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with the images, on a server of which a third of the answers are faults."""
    with faulty_s3(monkeypatch, "photos") as client:
        for place in range(12):
            client.put_object(Bucket="photos", Key=f"in/{place % 3}/{place}.png", Body=picture(place))
        yield "s3://photos/in/"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_busy_server_of_s3_loses_nothing(bucket: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict_folder(predictor(), bucket, out, work=Work(2, 2)) == Summary(done=12, failed=0, resumed=0)
    assert {500, 503} <= set(Flaky.faults)
    photos = tmp_path / "photos"
    for place in range(12):
        (photos / str(place % 3)).mkdir(parents=True, exist_ok=True)
        (photos / str(place % 3) / f"{place}.png").write_bytes(picture(place))
    predict_folder(predictor(), photos, tmp_path / "disk")
    assert label_maps(out) == label_maps(tmp_path / "disk")
    assert "testing" not in json.dumps(manifest(out))
    again = Bright()
    summary = predict_folder(predictor(again), bucket, out, resume=True)
    assert summary == Summary(done=0, failed=0, resumed=12)
    assert again.seen == []
