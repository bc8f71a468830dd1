"""``predict_folder`` with a cluster in its place: what it refuses, what it tells its processes, and what is
left behind.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import fsspec
import pytest
from cluster_cases import LOADING, Bright, FakePool, Process
from mortal_cases import check_same
from PIL import Image
from support.s3 import Flaky, faulty_s3

from toolkit.cluster import RayEngine
from toolkit.cluster import engine as engines
from toolkit.cluster.job import Job
from toolkit.cluster.ray_pool import Share
from toolkit.data.label_maps import read_label_map
from toolkit.errors import ToolkitError, UsageError
from toolkit.inference import Predictor
from toolkit.inference.image_batches import Work
from toolkit.inference.inputs import InputImage
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.records import PARTS
from toolkit.inference.result_places import TOKEN
from toolkit.types import Prediction, Sample


class Noting(FakePool):
    """Keeps the job."""

    share = Share(2, 1, 0.0)
    job: Job

    def submit(self, process: object, method: str, *arguments: object) -> object:
        if method == "open":
            (self.job,) = arguments
        return super().submit(process, method, *arguments)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Noting:
    return use(Noting(Bright), monkeypatch)


def use(pool: Noting, monkeypatch: pytest.MonkeyPatch) -> Noting:
    @contextlib.contextmanager
    def connected(address: str, actors: int | None, gpus: float | None, worker: type) -> Iterator[Noting]:
        yield pool

    monkeypatch.setattr(engines, "connected", connected)
    return pool


def predictor(loading: dict[str, object] | None = LOADING) -> Predictor:
    return Predictor(Bright(), device="cpu", name="bright 1", loading=loading)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "b.png", "deep/c.png"):
        Image.new("RGB", (8, 6), "white").save(folder / name)
    return folder


def files(out: Path) -> dict[str, object]:
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    found: dict[str, object] = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != "manifest.jsonl"
    }
    return found | {"manifest": [{k: v for k, v in line.items() if k != "actor"} for line in lines]}


def test_it_leaves_what_one_process_leaves(photos: Path, tmp_path: Path, pool: Noting) -> None:
    predict_folder(predictor(), photos, tmp_path / "alone", progress=False)
    engine = RayEngine(actors=2)
    summary = predict_folder(predictor(), photos, tmp_path / "out", engine=engine, progress=False)
    assert (summary.done, summary.failed) == (3, 0)
    assert files(tmp_path / "out") == files(tmp_path / "alone")
    assert sum(int(line.split(": ")[1].split()[0]) for line in engine.lines) == 3


def dies_early(process: Process, images: Sequence[InputImage]) -> int | None:
    return 1 if process.name.endswith("-1") else None


@pytest.mark.parametrize("dies", [lambda process, images: None, dies_early])
def test_a_store_gets_what_a_folder_gets(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dies: Callable[[Process, Sequence[InputImage]], int | None],
) -> None:
    pool = use(Noting(Bright, dies), monkeypatch)
    fs, out = fsspec.filesystem("memory"), "memory://shelf/out"
    (photos / "bad.png").write_bytes(b"")
    try:
        predict_folder(predictor(), photos, out, engine=RayEngine(), work=Work(2, 0), progress=False)
        assert pool.job.out == out
        for path in fs.find("/shelf/out"):
            copy = tmp_path / "copy" / path.removeprefix("/shelf/out/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(fs.cat_file(path))
    finally:
        fs.rm("/shelf", recursive=True)
    predict_folder(predictor(), photos, tmp_path / "alone", progress=False)
    found, want = files(tmp_path / "copy"), files(tmp_path / "alone")
    assert found == {name: data for name, data in want.items() if name != ".toolkit.lock"}


def test_messages_have_the_paths_that_were_given(
    photos: Path, tmp_path: Path, pool: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (photos / "bad.png").write_bytes(b"")
    predict_folder(predictor(), "photos", "alone", progress=False)
    predict_folder(predictor(), "photos", "out", engine=RayEngine(), progress=False)
    assert files(tmp_path / "out") == files(tmp_path / "alone")
    assert "photos/bad.png" in (tmp_path / "out/manifest.jsonl").read_text()


def test_paths_are_absolute_and_the_device_is_that_of_the_processes(
    photos: Path, tmp_path: Path, pool: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    predict_folder(
        predictor(),
        "photos",
        "out",
        engine=RayEngine(device="cuda"),
        work=Work(3, 2),
        overlays=False,
        draw_above=0.25,
        progress=False,
    )
    told = pool.job
    assert told.out == str(tmp_path / "out")
    assert told.loading["device"] == "cuda"
    assert (told.work, told.overlays, told.draw_above) == (Work(3, 2), False, 0.25)


def test_two_images_of_one_name_are_told_apart(tmp_path: Path, pool: Noting) -> None:
    """The outputs of each image of a resumed folder have a name already, perhaps that of another one."""
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (8, 6)).save(photos / "a.png")
    predict_folder(predictor(), photos, tmp_path / "out", progress=False)
    Image.new("RGB", (8, 6)).save(photos / "a.jpg")
    (photos / "a.png").unlink()
    again = predict_folder(
        predictor(), photos, tmp_path / "out", engine=RayEngine(), resume=True, progress=False
    )
    assert (again.done, again.failed) == (0, 1)


class Knowing(Bright):
    """Finds bright only what it was told of, as models with prompts from a file do."""

    def __init__(self) -> None:
        super().__init__()
        self.known: tuple[str, ...] = ()

    def expect_images(self, names: Iterable[str]) -> None:
        self.known = tuple(name for name in names if name.startswith("deep/"))

    def expected_images(self) -> tuple[str, ...]:
        return self.known

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        predictions = super().predict(samples)
        for prediction in predictions:
            if prediction.sample_id not in self.known:
                prediction.label_map.zero_()
        return predictions


def test_all_processes_know_what_the_model_knows_about_images(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = use(Noting(Knowing), monkeypatch)
    knowing = Predictor(Knowing(), device="cpu", name="bright 1", loading=LOADING)
    predict_folder(knowing, photos, tmp_path / "alone", progress=False)
    predict_folder(knowing, photos, tmp_path / "out", engine=RayEngine(), progress=False)
    assert pool.job.expected == ("deep/c.png",)
    assert files(tmp_path / "out") == files(tmp_path / "alone")
    assert read_label_map(tmp_path / "out/labels/deep/c.png").all()
    assert not read_label_map(tmp_path / "out/labels/a.png").any()


def test_a_camera_or_video_stays_here(tmp_path: Path, pool: Noting) -> None:
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(UsageError, match=r"film\.mp4 cannot be predicted on several machines\. Hint: leave"):
        predict_folder(predictor(), tmp_path / "film.mp4", tmp_path / "out", engine=RayEngine())
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_run_stays_here(photos: Path, tmp_path: Path, pool: Noting) -> None:
    with pytest.raises(UsageError, match="built in Python cannot be sent to other machines"):
        predict_folder(predictor(None), photos, tmp_path / "out", engine=RayEngine())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actors": 0}, "actors must be at least 1, not 0"),
        ({"gpus_per_actor": -0.5}, "gpus_per_actor must be at least 0, not -0.5"),
    ],
)
def test_numbers_that_make_no_sense(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RayEngine(**options)


def test_an_error_leaves_what_can_be_resumed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Bright):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            if any("c.png" in sample.id for sample in samples):
                raise ValueError("a bug")
            return super().predict(samples)

    use(Noting(Broken), monkeypatch)
    out = tmp_path / "out"
    with pytest.raises(ToolkitError, match="a bug"):
        predict_folder(predictor(), photos, out, engine=RayEngine(), work=Work(1, 0), progress=False)
    assert not (out / TOKEN).exists()
    use(Noting(Bright), monkeypatch)
    again = predict_folder(predictor(), photos, out, engine=RayEngine(), resume=True, progress=False)
    assert (again.done + again.resumed, again.failed) == (3, 0)
    assert not (out / PARTS).exists()
    predict_folder(predictor(), photos, tmp_path / "alone", progress=False)
    assert files(out) == files(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_real_processes_read_from_and_write_to_a_busy_server_of_s3(
    mortal: Path, many_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the answers are faults, and a process dies."""
    pytest.importorskip("ray")
    with faulty_s3(monkeypatch, "box") as client:
        for photo in many_photos.iterdir():
            client.upload_file(str(photo), "box", f"in/{photo.name}")
        work = Work(2, 1)
        predict_folder(mortal, "s3://box/in/", tmp_path / "alone", work=work, progress=False)
        (tmp_path / "deadly" / "11.png").touch()
        engine, out = RayEngine(actors=2), "s3://box/out"
        summary = predict_folder(mortal, "s3://box/in/", out, work=work, engine=engine, progress=False)
        assert (summary.done, summary.failed) == (60, 1)
        assert not list((tmp_path / "deadly").iterdir())
        for each in client.list_objects_v2(Bucket="box", Prefix="out/")["Contents"]:
            copy = tmp_path / each["Key"]
            copy.parent.mkdir(parents=True, exist_ok=True)
            client.download_file("box", each["Key"], str(copy))
    (tmp_path / "alone" / ".toolkit.lock").unlink(missing_ok=True)
    check_same(tmp_path / "out", tmp_path / "alone")
    assert {500, 503} <= set(Flaky.faults)
