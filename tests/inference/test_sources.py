"""Addresses, lists on standard input, videos and cameras, beside files and folders."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from frames_cases import SIZE, frame
from pipeline_cases import Bright, Spots, files, manifest, predictor, write_image
from support.file_server import serving

from toolkit.data.images import read_image
from toolkit.errors import UsageError
from toolkit.inference.pipeline import Summary, Work, predict_folder
from toolkit.inference.sources import Frame, FrameChoice, RemoteImage, Stream, find_inputs


@pytest.fixture
def address(photos: Path) -> Iterator[str]:
    with serving() as server:
        server.behavior.body = None
        server.behavior.files = {f"/{name}": content for name, content in files(photos).items()}
        yield server.root


# --- addresses ---


def test_an_address_gives_what_the_file_gives(photos: Path, address: str, tmp_path: Path) -> None:
    predict_folder(predictor(), [f"{address}/1.png", f"{address}/deep/wide.jpg"], tmp_path / "web")
    predict_folder(predictor(), [photos / "1.png", photos / "deep" / "wide.jpg"], tmp_path / "disk")
    web, disk = files(tmp_path / "web"), files(tmp_path / "disk")
    web.pop("manifest.jsonl")
    disk.pop("manifest.jsonl")
    assert web == disk
    assert [line["source"] for line in manifest(tmp_path / "web")] == [
        f"{address}/1.png",
        f"{address}/deep/wide.jpg",
    ]


def test_what_cannot_be_fetched_or_is_no_image_is_skipped(address: str, tmp_path: Path) -> None:
    words = [f"{address}/0.png", f"{address}/none.png", f"{address}/deep/text.jpg"]
    assert predict_folder(predictor(), words, tmp_path / "out", progress=False) == Summary(1, 2, 0)
    _, missing, text = manifest(tmp_path / "out")
    assert "none.png cannot be downloaded: the server answered 404" in str(missing["error"])
    assert "text.jpg is not a readable image" in str(text["error"])


def test_an_address_is_predicted_from_python(photos: Path, address: str) -> None:
    found = predictor().predict(f"{address}/1.png")
    assert found.sample_id == f"{address}/1.png"
    assert found.image.equal(read_image(photos / "1.png"))


def test_resuming_fetches_nothing_that_is_done(address: str, tmp_path: Path) -> None:
    words = [f"{address}/0.png"]
    predict_folder(predictor(), words, tmp_path / "out")
    model = Bright()
    assert predict_folder(predictor(model), words, tmp_path / "out", resume=True) == Summary(0, 0, 1)
    assert model.seen == []


def test_images_of_one_name_are_told_apart(photos: Path) -> None:
    urls = ["https://a.org/x/0.png", "https://b.org/y/z.png?w=1", "https://b.org/z/z.png", "https://c.org"]
    names = [image.name for image in find_inputs([photos / "0.png", *urls, urls[0]]).images]
    assert names == ["0.png", "a.org/x/0.png", "b.org/y/z.png_w=1", "b.org/z/z.png", "image"]
    (remote,) = find_inputs(["https://a.org/../%2e%2e/%2E%2E%2Fetc/a.png"]).images
    assert isinstance(remote, RemoteImage)
    assert remote.name == "a.png"


@pytest.mark.parametrize(
    "path",
    [
        "x/..",
        "%2e%2e",
        "a/%00b.png",
        "..%2f..%2fetc",
        "a%5Cb.png",
        "a//b/./c.png",
        "n" * 300 + ".png",
        "é" * 150,
    ],
)
def test_names_of_addresses_are_names_of_files(path: str) -> None:
    twice = [f"https://a.org/{path}", f"https://b.org/{path}"]
    images = find_inputs(twice).images
    assert len({image.stem for image in images}) == 2
    for image in images:
        for part in f"{image.stem}.json".split("/"):
            assert part.strip(".")
            assert len(os.fsencode(part)) < 250
            assert "\0" not in part
            assert "\\\\" not in part


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_that_is_called_like_a_video_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "film.mp4")
    assert predict_folder(predictor(), [tmp_path / "film.mp4"], tmp_path / "out") == Summary(0, 1, 0)


def test_videos_are_told_apart_from_each_other_and_from_folders(video: Path, tmp_path: Path) -> None:
    for name in ("x/a~1.avi", "y/a~1.avi", "x/a.avi", "y/a.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(video.read_bytes())
    write_image(tmp_path / "photos" / "film.avi" / "000003.png")
    found = find_inputs([*(str(tmp_path / f"{folder}/*.avi") for folder in "xy"), tmp_path / "photos", video])
    taken = [stream.name for stream in found.streams] + [image.name.split("/")[0] for image in found.images]
    assert len(set(taken)) == len(taken) == 6


def test_addresses_that_are_not_fetched_are_refused_before_anything_is_done() -> None:
    with pytest.raises(UsageError, match="expected https://"):
        find_inputs(["http://example.org/a.png"])


# --- standard input ---


def test_a_list_on_standard_input(photos: Path) -> None:
    text = f"{photos / '1.png'}\n\n{photos / 'deep'}\r\nhttps://a.org/x.png\n"
    found = find_inputs([photos / "0.png", "-"], stdin=io.StringIO(text))
    names = [image.name for image in found.images]
    assert names == ["0.png", "1.png", "text.jpg", "wide.jpg", "er/x.png", "x.png"]


def test_an_empty_list_is_an_error() -> None:
    with pytest.raises(UsageError, match="standard input names no image"):
        find_inputs(["-"], stdin=io.StringIO("\n-\n"))


# --- videos and cameras ---


def test_every_frame_of_a_video_gives_what_its_image_gives(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict_folder(predictor(Spots()), video, out) == Summary(12, 0, 0)
    lines = manifest(out)
    assert [line["image"] for line in lines] == [f"film.avi/{i:06d}" for i in range(12)]
    assert {line["source"] for line in lines} == {str(video)}
    capture = cv2.VideoCapture(str(video))
    document = json.loads((out / "predictions.json").read_text())
    assert len(document["images"]) == 12
    for i in range(12):
        _, picture = capture.read()
        (want,) = predictor(Spots()).predict([np.ascontiguousarray(picture[..., ::-1])])
        got = json.loads((out / f"instances/film.avi/{i:06d}.json").read_text())
        assert want.instances is not None
        assert len(got) == len(want.instances)


def test_frames_are_chosen_by_their_distance_and_number(video: Path) -> None:
    def names(**choice: int) -> list[str]:
        (stream,) = find_inputs([video], choice=FrameChoice(**choice)).streams
        found = [each.name for each in stream.frames(lambda frame: False)]
        assert stream.expected_frames() == len(found)
        return [name.partition("/")[2] for name in found]

    assert names(every=5) == ["000000", "000005", "000010"]
    assert names(every=5, limit=2) == ["000000", "000005"]
    assert names(limit=99) == [f"{i:06d}" for i in range(12)]
    for wrong in ({"every": 0}, {"limit": 0}):
        with pytest.raises(UsageError, match="must be at least 1, not 0"):
            FrameChoice(**wrong)


def test_an_interrupted_video_is_gone_on_with(video: Path, tmp_path: Path) -> None:
    out, count = tmp_path / "out", 0

    def interrupt(record: object) -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(predictor(), [video], out, work=Work(1, 1), on_record=interrupt)
    model = Bright()
    assert predict_folder(predictor(model), [video], out, resume=True) == Summary(7, 0, 5)
    assert model.seen == [f"film.avi/{i:06d}" for i in range(5, 12)]
    predict_folder(predictor(), [video], tmp_path / "straight")
    assert files(out) == files(tmp_path / "straight")


def test_a_film_that_cannot_be_decoded_is_reported_and_skipped(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 100)
    done = predict_folder(predictor(), [tmp_path / "bad.mp4", photos / "0.png"], tmp_path / "out")
    assert done == Summary(1, 1, 0)
    assert "is not a video that can be decoded" in str(manifest(tmp_path / "out")[1]["error"])


def test_videos_may_be_named_by_patterns_and_have_names_of_their_own(video: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "film.avi").write_bytes(video.read_bytes())
    streams = find_inputs([str(tmp_path / "**" / "*.avi"), video]).streams
    assert [stream.name for stream in streams] == ["film.avi", "film.avi~2"]
    for word, reason in (("none.mp4", "it does not exist"), ("*.mkv", "no file matches it")):
        with pytest.raises(UsageError, match=reason):
            find_inputs([str(tmp_path / word)])


def test_memory_does_not_grow_with_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of frames that counts those that are alive."""
    alive, most = 0, 0

    class Counted(Frame):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def frames(self: Stream, is_done: object) -> Iterator[Frame]:
        nonlocal alive, most
        for i in range(200):
            alive += 1
            most = max(most, alive)
            pixels = torch.zeros((3, 20, 20), dtype=torch.uint8)
            name = f"{self.name}/{i:06d}"
            yield Counted(tmp_path, name, name, origin="film", pixels=pixels)

    (tmp_path / "film.avi").touch()
    monkeypatch.setattr(Stream, "frames", frames)
    assert predict_folder(predictor(), [tmp_path / "film.avi"], tmp_path / "out", work=Work(2, 2)).done == 200
    assert most <= 3 * (2 + 2) + 2 + 2


class _Camera:
    """What OpenCV gives for a camera: frames without end."""

    def __init__(self, device: int | str) -> None:
        assert device == 0
        self.grabbed = 0

    def grab(self) -> bool:
        self.grabbed += 1
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, frame(self.grabbed % 12)

    def release(self) -> None:
        pass


def test_a_camera_is_read_until_it_has_given_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
    monkeypatch.chdir(tmp_path)
    totals: list[int | None] = []
    done = predict_folder(
        predictor(), "0", "out", frames=FrameChoice(limit=3), on_start=lambda total, _: totals.append(total)
    )
    assert done == Summary(3, 0, 0)
    assert totals == [3]
    assert [line["source"] for line in manifest(tmp_path / "out")] == ["camera 0"] * 3
    assert manifest(tmp_path / "out")[0]["size"] == list(SIZE)


def test_ctrl_c_ends_a_camera_and_its_results_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
    monkeypatch.chdir(tmp_path)
    seen = 0

    def interrupt(record: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 4:
            raise KeyboardInterrupt

    done = predict_folder(predictor(), ["0"], "out", on_record=interrupt)
    assert done.done == 4
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]) == 4
    with pytest.raises(UsageError, match="a camera cannot be resumed"):
        predict_folder(predictor(), ["0"], "out", resume=True)


def test_a_camera_that_is_not_there_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_Camera, "grab", lambda self: False)
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
    assert predict_folder(predictor(), ["0"], "out") == Summary(0, 1, 0)
    assert "camera 0 cannot be opened. Hint:" in str(manifest(tmp_path / "out")[0]["error"])


def test_a_file_or_folder_that_is_called_like_a_number_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "0" / "a.png")
    found = find_inputs(["0"])
    assert [image.name for image in found.images] == ["a.png"]
    assert not found.streams
