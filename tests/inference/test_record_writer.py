"""Records are entered in their order, each after its files have reached the disk, and errors are not lost."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import OutputError
from toolkit.inference import record_writer
from toolkit.inference.record_writer import RecordWriter
from toolkit.inference.records import Record, latest_records


def record(number: int) -> Record:
    return Record(
        f"{number}.jpg",
        f"/photos/{number}.jpg",
        "ok",
        "m",
        size=(4, 6),
        outputs={"label_map": f"{number}.png"},
    )


def test_all_records_in_order(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    with RecordWriter(manifest) as writer:
        for number in range(3000):
            writer.add(record(number), ())
    assert [each["image"] for each in latest_records(manifest)] == [f"{n}.jpg" for n in range(3000)]
    with RecordWriter(manifest) as writer:
        writer.add(record(3000), ())
        writer.close()
    assert len(latest_records(manifest)) == 3001


def test_files_come_before_their_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen by the system calls: whenever lines are written, the files of all of them have been waited for."""
    manifest, waited, lines = tmp_path / "manifest.jsonl", set[str](), list[int]()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        waited.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    to_line = Record.to_line

    def watched(self: Record) -> str:
        assert str(tmp_path / self.outputs["label_map"]) in waited
        assert str(tmp_path) in waited, "the name in the folder, too"
        lines.append(len(waited))
        return to_line(self)

    monkeypatch.setattr(Record, "to_line", watched)
    with RecordWriter(manifest) as writer:
        for number in range(40):
            path = tmp_path / f"{number}.png"
            path.write_bytes(b"x")
            writer.add(record(number), [path])
    assert len(lines) == 40


def test_what_waits_is_entered_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups, may_go = list[int](), threading.Event()

    def slow(paths: Any) -> None:
        groups.append(len(list(paths)))
        may_go.wait(10)

    monkeypatch.setattr(record_writer, "sync_files", slow)
    with RecordWriter(tmp_path / "manifest.jsonl") as writer:
        for number in range(100):
            writer.add(record(number), [tmp_path / str(number)])
        may_go.set()
    assert sum(groups) == 100
    assert len(groups) < 5


def test_a_disk_that_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(paths: Any) -> None:
        if any(path.name == "7" for path in paths):
            raise OutputError("the disk is full")

    monkeypatch.setattr(record_writer, "sync_files", full)
    manifest = tmp_path / "manifest.jsonl"

    def add_many() -> None:
        with RecordWriter(manifest) as writer:
            for number in range(20_000):
                writer.add(record(number), [tmp_path / str(number)])

    with pytest.raises(OutputError, match="full"):
        add_many()
    entered = [each["image"] for each in latest_records(manifest)]
    assert entered == [f"{number}.jpg" for number in range(len(entered))]
    assert len(entered) <= 7, "none is entered whose files are not there"


def test_an_error_that_is_on_its_way_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(paths: Any) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(record_writer, "sync_files", full)

    def add_and_fail() -> None:
        with RecordWriter(tmp_path / "manifest.jsonl") as writer:
            writer.add(record(0), ())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()


def test_a_manifest_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"manifest\.jsonl cannot be written: it is a folder"):
        RecordWriter(tmp_path / "manifest.jsonl")
