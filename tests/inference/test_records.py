from __future__ import annotations

import json
from pathlib import Path

from toolkit.inference.findings import Findings
from toolkit.inference.records import Record, latest_records, write_records

FULL = Record(
    *("a.png", "/x/a.png", "ok", "net 1"),
    size=(4, 6),
    objects=3,
    found={"ring": 2},
    best_score=0.75,
    outputs={"instances": "instances/a.json"},
)


def test_a_line_has_what_is_known_and_nothing_else() -> None:
    assert json.loads(FULL.to_line()) == {
        "image": "a.png",
        "source": "/x/a.png",
        "status": "ok",
        "model": "net 1",
        "size": [4, 6],
        "objects": 3,
        "found": {"ring": 2},
        "best_score": 0.75,
        "outputs": {"instances": "instances/a.json"},
    }
    failed = Record("b.png", "/x/b.png", "failed", "net 1", "is empty")
    assert set(json.loads(failed.to_line())) == {"image", "source", "status", "model", "error"}
    assert FULL.findings == Findings(3, {"ring": 2}, 0.75)


def test_a_manifest_is_read_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    assert latest_records(path) == []
    old = Record("a.png", "/x/a.png", "failed", "net 1", "is empty")
    path.write_text(old.to_line() + FULL.to_line() + '{"image": "cut o')
    (record,) = latest_records(path)
    assert record["status"] == "ok"
    write_records(path, [{**record, "of a later version": 1}])
    assert path.read_text() == FULL.to_line()
