"""Results in stores are those that a folder gets: whole, resumed, taken over; slowly also against a server
that speaks S3.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pipeline_cases import Bright, Spots, predictor, write_image
from support.s3 import Flaky, faulty_s3

from toolkit.errors import DataError, OutputError, UsageError
from toolkit.inference import store_places
from toolkit.inference.image_batches import Work
from toolkit.inference.measurements import measure
from toolkit.inference.pipeline import Summary, predict_folder
from toolkit.inference.records import Record
from toolkit.inference.result_places import TOKEN
from toolkit.inference.store_places import check_place, local_results
from toolkit.models.contract import Model
from toolkit.runtime import stores

OUT = "memory://shelf/out"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(stores, "BACKOFF", 0.0)
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "here"))
    fs = fsspec.filesystem("memory")
    yield fs
    if fs.exists("/shelf"):
        fs.rm("/shelf", recursive=True)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(7):
        write_image(tmp_path / "photos" / ("deep" if number % 2 else "") / f"{number}.png", seed=number)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"")
    return tmp_path / "photos"


def in_store(fs: Any, root: str = "/shelf/out") -> dict[str, bytes]:
    return {path.removeprefix(f"{root}/"): fs.cat_file(path) for path in fs.find(root)}


def on_disk(out: Path) -> dict[str, bytes]:
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != ".toolkit.lock"}


@pytest.mark.parametrize("make", [Bright, Spots])
@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_a_store_gets_what_a_folder_gets(
    shelf: Any, photos: Path, tmp_path: Path, make: type[Model], protocol: str
) -> None:
    out = OUT if protocol == "memory" else f"file://{tmp_path}/stored"
    summary = predict_folder(predictor(make()), photos, out, work=Work(2, 2), progress=False)
    assert (summary.done, summary.failed) == (7, 1)
    predict_folder(predictor(make()), photos, tmp_path / "disk", progress=False)
    found = in_store(shelf) if protocol == "memory" else on_disk(tmp_path / "stored")
    assert found == on_disk(tmp_path / "disk")
    assert not list((tmp_path / "here").iterdir()), "nothing stays here"
    with pytest.raises(UsageError, match=r"already contains results\. Hint: continue them with --resume"):
        predict_folder(predictor(make()), photos, out, progress=False)


def test_resuming_does_what_is_missing_and_what_has_changed(shelf: Any, photos: Path, tmp_path: Path) -> None:
    predict_folder(predictor(), photos, OUT, progress=False)
    whole = in_store(shelf)
    write_image(photos / "0.png", seed=99)
    shelf.rm_file("/shelf/out/labels/deep/1.png")
    shelf.pipe_file("/shelf/out/overlays/2.jpg", b"another size")
    (photos / "4.png").write_bytes(b"now it is bad")
    again = Bright()
    summary = predict_folder(predictor(again), photos, OUT, resume=True, progress=False)
    assert again.seen == ["0.png", "2.png", "deep/1.png"]
    assert (summary.done, summary.failed, summary.resumed) == (3, 2, 3)
    predict_folder(predictor(), photos, tmp_path / "disk", progress=False)
    assert in_store(shelf) == on_disk(tmp_path / "disk")
    assert whole.keys() - in_store(shelf).keys() == {"labels/4.png", "overlays/4.jpg"}


@pytest.mark.parametrize("after", [0, 1, 4])
def test_what_was_recorded_survives_the_end_of_the_command(
    shelf: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Nothing more reaches the store after a moment, as when a process is killed."""
    monkeypatch.setattr(store_places, "PIECE_BYTES", 400)
    left, real = [0], store_places.write_store

    def killed(url: str, content: bytes | Path) -> None:
        left[0] += "/labels/" in url
        if left[0] > after:
            raise OutputError("killed")
        real(url, content)

    monkeypatch.setattr(store_places, "write_store", killed)
    with pytest.raises(OutputError, match="killed"):
        predict_folder(predictor(), photos, OUT, work=Work(1, 0), progress=False)
    monkeypatch.setattr(store_places, "write_store", real)
    lines = [
        line for name, data in in_store(shelf).items() if "manifest" in name for line in data.splitlines()
    ]
    recorded = [json.loads(line) for line in lines]
    done = {record["image"] for record in recorded if record["status"] == "ok"}
    for record in recorded:
        assert set(record["outputs"].values()) <= in_store(shelf).keys() if "outputs" in record else True
    again = Bright()
    predict_folder(predictor(again), photos, OUT, resume=True, progress=False)
    assert set(again.seen).isdisjoint(done)
    assert len(again.seen) + len(done) == 7
    predict_folder(predictor(), photos, tmp_path / "disk", progress=False)
    assert in_store(shelf) == on_disk(tmp_path / "disk")


def test_what_a_killed_process_has_not_renamed_is_removed(photos: Path, tmp_path: Path) -> None:
    rest = tmp_path / "stored" / "labels" / ".toolkit-0123456789ab.part"
    rest.parent.mkdir(parents=True)
    rest.write_bytes(b"half")
    predict_folder(predictor(), photos, f"file://{tmp_path}/stored", progress=False)
    assert not rest.exists()
    again = Bright()
    predict_folder(predictor(again), photos, f"file://{tmp_path}/stored", resume=True, progress=False)
    assert again.seen == []


def test_a_command_that_is_taken_over_ends(shelf: Any, photos: Path) -> None:
    def take_over(record: Record) -> None:
        shelf.pipe_file(f"/shelf/out/{TOKEN}", b"another")

    with pytest.raises(OutputError, match=r"another command has begun to write to memory://shelf/out, so"):
        predict_folder(predictor(), photos, OUT, work=Work(1, 0), progress=False, on_record=take_over)
    assert shelf.cat_file(f"/shelf/out/{TOKEN}") == b"another"


def test_results_of_another_model_are_not_touched(shelf: Any, photos: Path) -> None:
    predict_folder(predictor(), photos, OUT, progress=False)
    before = in_store(shelf)
    with pytest.raises(UsageError, match="memory://shelf/out contains results of another model"):
        predict_folder(predictor(Spots(), name="spots 1"), photos, OUT, resume=True, progress=False)
    assert in_store(shelf) == before


def test_measuring_what_is_in_a_store(shelf: Any, photos: Path, tmp_path: Path) -> None:
    predict_folder(predictor(), photos, OUT, progress=False)
    predict_folder(predictor(), photos, tmp_path / "disk", progress=False)
    with local_results(OUT) as folder:
        assert not (folder / "overlays").exists()
        measure(folder)
    measure(tmp_path / "disk")
    assert in_store(shelf) == on_disk(tmp_path / "disk")
    with local_results(tmp_path / "disk") as folder:
        assert folder == tmp_path / "disk"


def test_names_in_a_store_do_not_lead_out_of_the_copy(shelf: Any) -> None:
    place = store_places.StorePlace(OUT)
    with pytest.raises(DataError, match="leads out of"):
        place._fetch(["../evil"])


def test_addresses_that_cannot_be_written_to(tmp_path: Path) -> None:
    for address in ("https://example.org/out", "ftp://me:secret@example.org/out"):
        with pytest.raises(UsageError, match=r"nothing can be written to .*example\.org/out\. Hint") as said:
            check_place(address)
        assert "secret" not in str(said.value)
    check_place(tmp_path)


def test_a_store_that_may_not_be_written_to(
    shelf: Any, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Any, *given: Any, **options: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(shelf), "pipe_file", refused)
    message = r"shelf/out/\.toolkit\.token cannot be written: Access Denied\. Hint: .* credentials may write"
    with pytest.raises(OutputError, match=message):
        predict_folder(predictor(), photos, OUT, progress=False)


def test_rests_of_killed_processes_are_removed(shelf: Any, tmp_path: Path) -> None:
    here = tmp_path / "here"
    rest, other = here / "toolkit-results-rest", here / "toolkit-results-new"
    for folder in (rest, other):
        folder.mkdir()
    (rest / ".toolkit.lock").touch()
    store_places.StorePlace(OUT)
    assert not rest.exists()
    assert other.exists(), "its process may be about to lock it"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_busy_server_of_s3(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_folder(predictor(Spots()), photos, tmp_path / "disk", progress=False)
    with faulty_s3(monkeypatch, "results") as client:
        out = "s3://results/out"
        summary = predict_folder(predictor(Spots()), photos, out, work=Work(2, 2), progress=False)
        assert summary == Summary(7, 1, 0, summary.found, summary.draw_above, notes=summary.notes)
        listed = client.list_objects_v2(Bucket="results")["Contents"]
        bodies = {
            each["Key"].removeprefix("out/"): client.get_object(Bucket="results", Key=each["Key"])[
                "Body"
            ].read()
            for each in listed
        }
        assert bodies == on_disk(tmp_path / "disk")
        assert b"testing" not in b"".join(bodies.values())
        again = predict_folder(predictor(Spots()), photos, out, resume=True, progress=False)
        assert (again.done, again.resumed) == (0, 7)
        with pytest.raises(OutputError, match=r"s3://nowhere/out/.* cannot be written: ") as said:
            predict_folder(predictor(), photos, "s3://nowhere/out", progress=False)
        assert "testing" not in str(said.value)
    assert {500, 503} <= set(Flaky.faults)
