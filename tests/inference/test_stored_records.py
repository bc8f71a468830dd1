"""Records on the disk are those that were read into memory before."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.errors import DataError
from toolkit.inference.name_digests import digests_of
from toolkit.inference.records import latest_records
from toolkit.inference.stored_records import StoredRecords


def line(name: str, status: str = "ok", **fields: Any) -> str:
    return json.dumps({"image": name, "status": status, "size": [4, 6], **fields}) + "\n"


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    """Three with names that come again, and lines that are no records; one does not exist."""
    chance = random.Random(0)
    paths = [tmp_path / f"{i}.jsonl" for i in range(4)]
    for path in paths[:3]:
        lines = [line(f"{chance.randrange(60)}.png", window=chance.randrange(1000)) for _ in range(40)]
        lines[7:9] = ["\n", '{"image": "x.png", "sta\n']
        path.write_text("".join(lines) + '{"image": "cut')
    return paths


def test_they_are_the_latest_in_order(manifests: list[Path]) -> None:
    want = latest_records(*manifests)
    found = StoredRecords(manifests)
    assert list(found) == want
    assert len(found) == len(want)
    assert list(found[3:9:2]) == want[3:9:2]
    for record in want:
        assert found.get(record["image"]) == record
    assert found.get("nowhere.png") is None
    found.close()


def test_those_that_are_done_are_known_without_reading(tmp_path: Path) -> None:
    lines = [line(f"{i}.png", "ok" if i % 3 else "failed", window=i) for i in range(30)]
    # That a failed one is done later counts, and that it was done before does not.
    lines += [line("3.png", window=3), line("4.png", "failed")]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    found = StoredRecords([tmp_path / "a.jsonl"])
    want = latest_records(tmp_path / "a.jsonl")
    assert list(found.done()) == [record for record in want if record["status"] == "ok"]
    asked = []

    def is_complete(record: dict[str, Any]) -> bool:
        asked.append(record["status"])
        return bool(record["window"] % 2)

    kept = found.kept(is_complete)
    assert list(kept) == [r for r in want if r["status"] == "failed" or r["window"] % 2]
    assert set(asked) == {"ok"}
    assert list(kept.done()) == [r for r in want if r["status"] == "ok" and r["window"] % 2]
    found.close()


def test_selections(manifests: list[Path]) -> None:
    found, want = StoredRecords(manifests), latest_records(*manifests)
    even = found.where(lambda record: record["window"] % 2 == 0)
    assert list(even) == [record for record in want if record["window"] % 2 == 0]
    assert all((even.get(r["image"]) is None) == (r["window"] % 2 == 1) for r in want)
    names = [f"{i}.png" for i in reversed(range(0, 80, 2))]
    order = {name: place for place, name in enumerate(names)}
    expected = sorted(want, key=lambda record: order.get(record["image"], -1))
    assert list(found.in_order(digests_of(names))) == expected
    assert list(found.in_order(digests_of([]))) == want
    found.close()


def test_files_that_are_replaced_are_read_as_they_were(manifests: list[Path], tmp_path: Path) -> None:
    want = latest_records(*manifests)
    found = StoredRecords(manifests)
    manifests[0].unlink()
    (tmp_path / "other").write_text(line("other.png"))
    (tmp_path / "other").replace(manifests[1])
    assert list(found) == want
    found.close()


def test_none(tmp_path: Path) -> None:
    for found in (StoredRecords(), StoredRecords([tmp_path / "nowhere"])):
        assert len(found) == 0
        assert list(found) == list(found.where(lambda record: True)) == []
        assert list(found.in_order(np.array([1, 2], dtype=np.uint64))) == []
        assert found.get("a.png") is None


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, not a file"):
        StoredRecords([tmp_path])
