"""Killed at any change to their folders: no folder is unusable after it, what is resumed ends as if it had
never been killed, and nothing counts that is not there. ``make kill`` tries every change, the suite some. The
kills of training are tried with training.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from giant_cases import LabelMaps, Objects, predictor_of, write_giant
from pipeline_cases import Bright, files, predictor, write_image
from support.kills import THOROUGH, changes_of, killed_at, points

from toolkit.cli import main
from toolkit.data.dataset import open_dataset
from toolkit.errors import DataError
from toolkit.export.weights import export_model
from toolkit.formats.convert import WRITERS
from toolkit.inference import giants, label_tiles
from toolkit.inference.pipeline import Work, predict_folder
from toolkit.runtime.locks import LOCK_FILE

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and sends SIGKILL")
Record = Callable[[str, object], None]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for index in range(4 if THOROUGH else 2):
        write_image(folder / f"{index}.png", index)
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def test_inference(photos: Path, tmp_path: Path, record_property: Record) -> None:
    straight, out = tmp_path / "straight", tmp_path / "killed"

    def infer(folder: Path) -> None:
        predict_folder(predictor(), [photos], folder, work=Work(2, 0), progress=False)

    count = changes_of(straight, lambda: infer(straight))
    expected, kills, chosen = files(straight), 0, points(count, few=16)
    for point in chosen:
        shutil.rmtree(out, ignore_errors=True)
        # threads write, so that one run may make a change less than another
        kills += killed_at(point, out, lambda: infer(out))
        for record in recorded(out):
            for kind, path in record.get("outputs", {}).items():
                assert (out / path).stat().st_size == record["sizes"][kind], "what counts as done is there"
        again = Bright()
        summary = predict_folder(predictor(again), [photos], out, resume=True, progress=False)
        assert summary.done + summary.resumed == len(expected_images(photos)), point
        assert len(again.seen) == summary.done, "what is done is not done twice"
        assert files(out) == expected, point
    assert kills >= len(chosen) * 3 // 4
    record_property("kills", kills)


def recorded(out: Path) -> list[dict[str, dict[str, str]]]:
    manifest = out / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True) if manifest.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def expected_images(photos: Path) -> list[Path]:
    return [path for path in photos.iterdir() if path.name != "bad.png"]


def without_lock(out: Path) -> dict[str, bytes]:
    """What is in a folder, but for the lock that a killed process leaves."""
    return {name: data for name, data in files(out).items() if name != LOCK_FILE}


@pytest.mark.parametrize("target", [*WRITERS, "masks", "export"])
@pytest.mark.usefixtures("capfd")
def test_conversion(target: str, tmp_path: Path, record_property: Record) -> None:
    small = ["size=32", "train=2", "val=1", "test=1"]
    action = ["export"] if target == "export" else ["convert", "--to", target]
    name = "masks" if target in ("export", "masks") else WRITERS[target].opens_with
    options = {"attribute": "class", "classes": ("disc", "square")} if target == "via" else {}
    straight, out = tmp_path / "straight", tmp_path / "killed"

    def convert(folder: Path) -> None:
        assert main(["data", action[0], "shapes", *action[1:], "--out", str(folder), *small]) == 0

    count = changes_of(straight, lambda: convert(straight))
    expected, kills = files(straight), 0
    for point in points(count, few=5):
        shutil.rmtree(out, ignore_errors=True)
        assert killed_at(point, out, lambda: convert(out)), f"{point} of {count}"
        kills += 1
        if without_lock(out) != expected:
            if out.exists() and list(out.iterdir()):
                with pytest.raises(DataError):
                    open_dataset(name, out, "train", options)
            convert(out)
            assert files(out) == expected, f"{point} of {count}"
        assert len(open_dataset(name, out, "train", options)) == 2
    record_property("kills", kills)


@pytest.mark.usefixtures("capfd")
def test_export(tmp_path: Path, tiny: str, record_property: Record) -> None:
    words = ["train", "--plugin", tiny, "--data", tiny, "train.steps=1", "train.device=cpu"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert main([*words, "train.seed=1", "--out", str(tmp_path / "other")]) == 0
    out = tmp_path / "killed"

    def exported(run: str, out: Path) -> dict[str, bytes]:
        export_model(tmp_path / run, out / "w.pth")
        return files(out)

    old, new = exported("other", tmp_path / "old"), exported("run", tmp_path / "new")
    assert old != new
    exported("other", out)
    count, seen, kills = changes_of(out, lambda: exported("run", out)), set(), 0
    for point in points(count, few=8):
        shutil.rmtree(out)
        exported("other", out)
        assert killed_at(point, out, lambda: exported("run", out)), f"{point} of {count}"
        kills += 1
        left = {name: data for name, data in files(out).items() if name in new}
        pair = [run for run in (old, new) if left == run]
        assert pair or list(left) == ["w.pth"], "never weights with the manifest of others"
        seen.add(len(left))
        assert exported("run", out) | new == new | {
            name: data for name, data in files(out).items() if name not in new
        }
    assert seen == {1, 2}
    record_property("kills", kills)


@pytest.mark.parametrize("kind", ["objects", "labels"])
def test_a_giant_image(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    monkeypatch.setattr(giants, "GIANT_PIXELS", 1)
    monkeypatch.setattr(label_tiles, "TILE", 32)
    photo, straight, out = write_giant(tmp_path / "a.tif"), tmp_path / "straight", tmp_path / "killed"

    def infer(folder: Path, *, resume: bool = False) -> None:
        model = Objects() if kind == "objects" else LabelMaps()
        options = {"work": Work(1, 0), "resume": resume, "progress": False}
        assert predict_folder(predictor_of(model), [photo], folder, **options).failed == 0

    count = changes_of(straight, lambda: infer(straight))
    expected, kills, chosen = files(straight), 0, points(count, few=6)
    for point in chosen:
        shutil.rmtree(out, ignore_errors=True)
        kills += killed_at(point, out, lambda: infer(out))
        infer(out, resume=True)
        assert files(out) == expected, point
    assert kills >= len(chosen) * 3 // 4
    record_property("kills", kills)
