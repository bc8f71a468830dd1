"""Processes that come and die: every image exactly once, and what they write is what one process writes."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cluster_cases import Bright, FakePool, Process, job
from PIL import Image

from toolkit.cluster.crew import Crew
from toolkit.cluster.handout import HandOut
from toolkit.errors import OutputError, ToolkitError
from toolkit.inference import Predictor
from toolkit.inference.image_batches import Work
from toolkit.inference.image_engines import InThisProcess, PendingImages
from toolkit.inference.inputs import InputImage
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.records import PARTS, Record
from toolkit.inference.result_places import TOKEN
from toolkit.inference.results import ResultFolder
from toolkit.inference.sources import find_inputs
from toolkit.types import Prediction, Sample
from toolkit.visualization.palettes import default_palette

PALETTE = default_palette(2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((30, 20), Image.Resampling.NEAREST).save(folder / f"{i:02d}.png")
    (folder / "05b.jpg").write_bytes(b"")
    return folder


def contents(out: Path) -> dict[str, object]:
    """All files, and the lines of the manifest without who wrote them."""
    files: dict[str, object] = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != "manifest.jsonl"
    }
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return files | {"manifest": [{k: v for k, v in line.items() if k != "actor"} for line in lines]}


def predict(photos: Path, out: Path, pool: FakePool, size: int = 2, resume: bool = False) -> list[Record]:
    found = []
    with ResultFolder(out, ("dark", "bright"), PALETTE, model="bright 1", resume=resume) as results:
        (out / TOKEN).write_text("token")
        images = PendingImages(find_inputs([photos], exclude=out), results)
        hand_out = HandOut(images, step=2, total=images.total, workers=size)
        for record in Crew(pool, job(out), hand_out, results, size, f"label{len(pool.processes)}").results():
            found.append(record)
        results.finish(images.names())
        (out / TOKEN).unlink()
    return found


@pytest.fixture
def alone(photos: Path, tmp_path: Path) -> dict[str, object]:
    """What one process writes."""
    out = tmp_path / "alone"
    predictor = Predictor(Bright(), device="cpu", name="bright 1")
    predict_folder(predictor, [photos], out, work=Work(2, 1), engine=InThisProcess(), progress=False)
    return {name: value for name, value in contents(out).items() if name != "about.json"}


def check(out: Path, alone: dict[str, object], records: Sequence[Record], count: int = 13) -> None:
    assert not (out / PARTS).exists()
    found = {name: value for name, value in contents(out).items() if name != "about.json"}
    assert found["manifest"] == alone["manifest"]
    assert found.keys() == alone.keys()
    for name in alone.keys() - {"predictions.json"}:
        assert found[name] == alone[name], name
    assert len({record.image for record in records}) == len(records) == count


@pytest.mark.parametrize("size", [1, 2, 5])
def test_several_processes_write_what_one_writes(
    photos: Path, tmp_path: Path, alone: dict[str, object], size: int
) -> None:
    pool, out = FakePool(Bright), tmp_path / "out"
    check(out, alone, predict(photos, out, pool, size))
    assert len(pool.processes) == size


@pytest.mark.parametrize("seed", range(20))
def test_processes_that_die_at_any_moment_lose_nothing(
    photos: Path, tmp_path: Path, alone: dict[str, object], seed: int
) -> None:
    chance = random.Random(seed)
    deaths: list[str] = []

    def dies(process: Process, images: Sequence[InputImage]) -> int | None:
        if len(images) > 1 and chance.random() < 0.4:
            deaths.append(process.name)
            return chance.randrange(len(images) + 1)
        return None

    out = tmp_path / "out"
    check(out, alone, predict(photos, out, FakePool(Bright, dies, seed=seed), 2))


def test_an_image_that_processes_die_with_is_recorded_as_failed(photos: Path, tmp_path: Path) -> None:
    def dies(process: Process, images: Sequence[InputImage]) -> int | None:
        names = [image.name for image in images]
        return names.index("07.png") if "07.png" in names else None

    records = predict(photos, tmp_path / "out", FakePool(Bright, dies), 2)
    errors = {record.image: record.error or "" for record in records if record.status == "failed"}
    assert errors.keys() == {"05b.jpg", "07.png"}
    assert "the process died each time (it was killed)" in errors["07.png"]
    assert len(records) == 13


def test_work_goes_on_after_the_command_was_killed(
    photos: Path, tmp_path: Path, alone: dict[str, object]
) -> None:
    out = tmp_path / "out"
    pool = FakePool(Bright)
    with ResultFolder(out, ("dark", "bright"), PALETTE, model="bright 1") as results:
        (out / TOKEN).write_text("token")
        images = PendingImages(find_inputs([photos], exclude=out), results)
        records = Crew(
            pool, job(out), HandOut(images, step=2, total=None, workers=2), results, 2, "a"
        ).results()
        first = [next(records) for _ in range(4)]
        records.close()
    later = predict(photos, out, FakePool(Bright), resume=True)
    done = {record.image for record in first if record.status == "ok"}
    assert done
    assert not done & {record.image for record in later}
    check(out, alone, later, len(later))


class Faulty(Bright):
    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        raise ValueError("a bug of the plugin")


def test_an_error_of_the_model_ends_the_work_at_once(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match=r"on .*: ValueError: a bug of the plugin"):
        predict(photos, tmp_path / "out", FakePool(Faulty))


def test_processes_that_all_die_leave_what_can_be_resumed(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ToolkitError, match=r"died one after another, .* Hint: what is done is kept; .*--resume"
    ):
        predict(photos, tmp_path / "out", FakePool(Bright, lambda process, images: 0))


def test_a_machine_that_sees_another_folder_is_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ResultFolder(out, ("dark", "bright"), PALETTE) as results:
        images = PendingImages(find_inputs([photos], exclude=out), results)
        crew = Crew(FakePool(Bright), job(out), HandOut(images, step=2, total=13, workers=1), results, 1, "a")
        with pytest.raises(OutputError, match="not the folder that this command writes to"):
            list(crew.results())


def test_nothing_to_do_starts_no_process(photos: Path, tmp_path: Path) -> None:
    out, pool = tmp_path / "out", FakePool(Bright)
    (photos / "05b.jpg").unlink()
    predict(photos, out, FakePool(Bright))
    assert predict(photos, out, pool, resume=True) == []
    assert pool.processes == []
