"""One bad photo never stops a folder, and nothing is written beside the results."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from PIL import Image
from pipeline_cases import Bright, files, manifest, predictor, write_image

from toolkit.data.image_headers import PIXELS_VARIABLE
from toolkit.inference.pipeline import Summary, predict_folder

posix = pytest.mark.skipif(os.name != "posix", reason="links and long names of POSIX")


def outcome(out: Path) -> dict[str, str]:
    return {str(record["image"]): str(record["status"]) for record in manifest(out)}


def errors(out: Path) -> dict[str, str]:
    return {str(record["image"]): str(record["error"]) for record in manifest(out) if "error" in record}


@posix
def test_a_folder_with_everything_that_can_be_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    for name in ("a.png", "x.png/b.png", "x.jpg", "z.png"):
        write_image(photos / name)
    (photos / "loop.png").symlink_to("loop.png")
    (photos / "gone.png").symlink_to("nowhere.png")
    (photos / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(photos / "pipe.png")
    Image.new("L", (30_000, 10_000)).save(photos / "bomb.png")
    with open(photos / "sparse.png", "wb") as file:
        file.truncate(50 << 30)
    (photos / "tiff.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
    expected = {
        "a.png": "ok",
        "bomb.png": "failed",
        "gone.png": "failed",
        "loop.png": "failed",
        "sparse.png": "failed",
        "tiff.tif": "failed",
        "x.jpg": "ok",
        "z.png": "ok",
        "x.png/b.png": "ok",
    }
    for workers in (0, 3):
        from toolkit.inference.pipeline import Work

        out = tmp_path / f"out{workers}"
        summary = predict_folder(predictor(), [photos], out, work=Work(2, workers), progress=False)
        assert outcome(out) == expected
        assert summary.left_out == ("2 files not regular (pipes, sockets, devices)",)
    assert PIXELS_VARIABLE in errors(out)["bomb.png"]
    assert "Too many levels of symbolic links" in errors(out)["loop.png"]


def test_a_fault_in_a_decoder_is_one_image_s_failure(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.inference import inputs

    read = inputs.read_picture

    def faulty(path: Path, scale: object) -> object:
        if path.name == "3.png":
            raise AttributeError("a fault in a library")
        return read(path, None)

    monkeypatch.setattr(inputs, "read_picture", faulty)
    assert predict_folder(predictor(), [photos], tmp_path / "out") == Summary(done=7, failed=4, resumed=0)
    assert "3.png cannot be read: AttributeError: a fault in a library" in errors(tmp_path / "out")["3.png"]


@posix
@pytest.mark.parametrize("length", [246, 247, 251, 252, 255])
def test_names_too_long_for_their_results_are_failures_alone(tmp_path: Path, length: int) -> None:
    photos = tmp_path / "photos"
    names = [
        "a.png",
        "b" * (length - 4) + ".png",
        "c" * (length - 4) + ".jpg",
        "c" * (length - 4) + ".png",
        "d.png",
    ]
    for name in names:
        write_image(photos / name)
    predict_folder(predictor(), [photos], tmp_path / "out")
    status = outcome(tmp_path / "out")
    assert list(status) == names
    assert (status["a.png"], status["d.png"]) == ("ok", "ok")
    # In a folder where two names differ in the suffix alone, outputs keep it and add their own.
    is_short = length + 4 <= 255
    assert [status[name] for name in names[1:4]] == ["ok" if is_short else "failed"] * 3
    if not is_short:
        assert "its name is too long for this file system. Hint" in errors(tmp_path / "out")[names[1]]
    written = {path for record in manifest(tmp_path / "out") for path in record.get("outputs", {}).values()}
    others = {"about.json", "manifest.jsonl", "predictions.json", "labels/classes.csv"}
    assert set(files(tmp_path / "out")) == written | others, "nothing is left of what failed"


@posix
def test_results_whose_place_is_taken_are_failures_alone(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "labels" / "2.png").mkdir(parents=True)
    (out / "overlays").mkdir()
    (out / "overlays" / "deep").write_text("a file where a folder has to be")
    predict_folder(predictor(), [photos], out)
    failed = errors(out)
    assert "it is a folder. Hint" in failed["2.png"]
    assert {"2.png", "deep/wide.jpg", "deep/er/x.png"} <= set(failed)
    assert outcome(out)["1.png"] == "ok"
    assert not (out / "labels" / "deep" / "wide.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_image(photos / "a.png")
    os.rename(photos / "a.png", os.fsencode(photos) + b"/caf\xe9.png")
    write_image(photos / "b\n\x1b[31m.png")
    assert predict_folder(predictor(), [photos], tmp_path / "out") == Summary(2, 0, 0)
    assert predict_folder(predictor(Bright()), [photos], tmp_path / "out", resume=True).resumed == 2


def test_a_pattern_that_climbs_out_writes_into_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "in" / "sub" / "a.png")
    write_image(tmp_path / "x" / "b.png")
    monkeypatch.chdir(tmp_path)
    for number, pattern in enumerate(("in/../x/*.png", "in/*/../../x/*.png", "*/../x/*.png")):
        before = files(tmp_path)
        out = Path(f"out/res{number}")
        assert predict_folder(predictor(), [pattern, "in"], out) == Summary(2, 0, 0)
        new = set(files(tmp_path)) - set(before)
        assert all(name.startswith(f"{out.as_posix()}/") for name in new)


def test_notes_on_images_are_in_the_manifest_and_the_summary(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_image(photos / "plain.png")
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
    for name in ("a.gif", "b.tif"):
        frames[0].save(photos / name, save_all=True, append_images=frames[1:])
    summary = predict_folder(predictor(), [photos], tmp_path / "out")
    (note,) = summary.notes
    assert note == "a.gif has several pages or frames, of which only the first is read; likewise 1 more"
    assert note in summary.warnings()
    assert [list(record.get("notes", {})) for record in manifest(tmp_path / "out")] == [
        ["pages"],
        ["pages"],
        [],
    ]
