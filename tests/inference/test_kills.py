"""Killed at every write, rename, removal and wait for the disk: no folder is unusable after it, what is
resumed ends as if it had never been killed, and nothing counts that is not there. ``make kill`` tries every
moment, the suite some. The kills of training are tried with training.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline_cases import Bright, files, predictor, write_image
from support.killing import every_moment

from toolkit.cli import main
from toolkit.data.dataset import open_dataset
from toolkit.errors import DataError
from toolkit.export.weights import export_model
from toolkit.formats.convert import WRITERS
from toolkit.inference.pipeline import Work, predict_folder

EVERY = os.environ.get("TOOLKIT_KILLS") == "all"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and sends SIGKILL")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for index in range(4 if EVERY else 2):
        write_image(folder / f"{index}.png", index)
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def test_inference(photos: Path, tmp_path: Path) -> None:
    straight = tmp_path / "straight"
    predict_folder(predictor(), [photos], straight, progress=False)
    expected = files(straight)

    def infer(moment: int) -> Callable[[], None]:
        out = tmp_path / f"killed-{moment}"
        return lambda: void(predict_folder(predictor(), [photos], out, work=Work(2, 0), progress=False))

    kills = 0
    for moment in every_moment(infer, step=1 if EVERY else 3):
        out = tmp_path / f"killed-{moment}"
        for record in recorded(out):
            for kind, path in record.get("outputs", {}).items():
                assert (out / path).stat().st_size == record["sizes"][kind], "what counts as done is there"
        again = Bright()
        summary = predict_folder(predictor(again), [photos], out, resume=True, progress=False)
        assert summary.done + summary.resumed == len(expected_images(photos)), moment
        assert len(again.seen) == summary.done, "what is done is not done twice"
        assert files(out) == expected, moment
        kills += 1
    assert kills > (90 if EVERY else 15)


def void(_: object) -> None:
    return None


def recorded(out: Path) -> list[dict[str, dict[str, str]]]:
    manifest = out / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True) if manifest.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def expected_images(photos: Path) -> list[Path]:
    return [path for path in photos.iterdir() if path.name != "bad.png"]


@pytest.mark.parametrize("target", [*WRITERS, "masks", "export"])
def test_conversion(target: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small = ["size=32", "train=2", "val=1", "test=1"]
    action = ["export"] if target == "export" else ["convert", "--to", target]
    name = "masks" if target in ("export", "masks") else WRITERS[target].opens_with
    options = {"attribute": "class", "classes": ("disc", "square")} if target == "via" else {}

    def words(out: Path) -> list[str]:
        return ["data", action[0], "shapes", *action[1:], "--out", str(out), *small]

    def convert(moment: int) -> Callable[[], None]:
        return lambda: void(main(words(tmp_path / f"killed-{moment}")))

    assert main(words(tmp_path / "straight")) == 0
    expected = files(tmp_path / "straight")
    kills = 0
    for moment in every_moment(convert, step=1 if EVERY else 23):
        out = tmp_path / f"killed-{moment}"
        if not (out.exists() and files(out) == expected):
            if out.exists() and list(out.iterdir()):
                with pytest.raises(DataError):
                    open_dataset(name, out, "train", options)
            assert main(words(out)) == 0, moment
        assert files(out) == expected, moment
        kills += 1
    assert kills > 2


@pytest.mark.usefixtures("capfd")
def test_export(tmp_path: Path, tiny: str) -> None:
    words = ["train", "--plugin", tiny, "--data", tiny, "train.steps=1", "train.device=cpu"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert main([*words, "train.seed=1", "--out", str(tmp_path / "other")]) == 0

    def exported(run: str, out: Path) -> dict[str, bytes]:
        export_model(tmp_path / run, out / "w.pth")
        return files(out)

    old, new = exported("other", tmp_path / "old"), exported("run", tmp_path / "new")
    assert old != new

    def export(moment: int) -> Callable[[], None]:
        out = tmp_path / f"killed-{moment}"
        exported("other", out)
        return lambda: void(export_model(tmp_path / "run", out / "w.pth"))

    seen = set()
    for moment in every_moment(export, step=1 if EVERY else 2):
        out = tmp_path / f"killed-{moment}"
        left = {name: data for name, data in files(out).items() if name in new}
        pair = [run for run in (old, new) if left == run]
        assert pair or list(left) == ["w.pth"], "never weights with the manifest of others"
        seen.add(len(left))
        assert exported("run", out) | new == new | {
            name: data for name, data in files(out).items() if name not in new
        }
    assert seen == {1, 2}
