"""Images in stores: named, predicted, resumed; slowly also against a server that speaks S3."""

from __future__ import annotations

import http.client
import io
import json
import random
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from PIL import Image
from pipeline_cases import Bright, manifest, predictor

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


def test_a_folder_without_images(shelf: Any) -> None:
    shelf.pipe_file("/shelf/texts/a.txt", b"")
    with pytest.raises(
        UsageError, match=r"no image \(.*\) in memory://shelf/texts/\. Hint: check the address"
    ):
        StoreFolder("memory://shelf/texts/").check()


class Flaky(BaseHTTPRequestHandler):
    """Passes requests on to a server, or answers that it is too busy, or fails."""

    port = 0
    chance = random.Random(0)
    faults: ClassVar[list[int]] = []

    def log_message(self, *args: object) -> None:
        pass

    def answer(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.chance.random() < 0.3:
            status = self.chance.choice([500, 503])
            self.faults.append(status)
            code = "SlowDown" if status == 503 else "InternalError"
            body = f"<Error><Code>{code}</Code><Message>later</Message></Error>".encode()
            headers = [("Content-Type", "application/xml")]
        else:
            server = http.client.HTTPConnection("127.0.0.1", self.port)
            server.request(self.command, self.path, data, dict(self.headers))
            response = server.getresponse()
            status, headers, body = response.status, response.getheaders(), response.read()
            server.close()
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = answer  # noqa: N815 - names of http.server


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with the images, on a server of which a third of the answers are faults."""
    moto_server = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    moto = moto_server.ThreadedMotoServer(port=0, verbose=False)
    moto.start()
    _, Flaky.port = moto.get_host_and_port()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    Thread(target=proxy.serve_forever, daemon=True).start()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{Flaky.port}")
    client.create_bucket(Bucket="photos")
    for place in range(12):
        client.put_object(Bucket="photos", Key=f"in/{place % 3}/{place}.png", Body=picture(place))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_port}")
    s3fs.S3FileSystem.clear_instance_cache()
    yield "s3://photos/in/"
    proxy.shutdown()
    proxy.server_close()
    moto.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_busy_server_of_s3_loses_nothing(bucket: str, tmp_path: Path) -> None:
    Flaky.faults.clear()
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
