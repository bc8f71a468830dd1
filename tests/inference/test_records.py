from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import DataError
from toolkit.inference.findings import Findings
from toolkit.inference.inputs import InputImage
from toolkit.inference.records import Record, latest_records, outline_of, record_of, write_records
from toolkit.inference.results import ResultFolder
from toolkit.inference.stored_records import StoredRecords

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


def rewrite(path: Path) -> None:
    """As a folder of results does."""
    with contextlib.closing(StoredRecords([path])) as records:
        write_records(path, records.lines())


def test_a_manifest_is_read_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    assert latest_records(path) == []
    old = Record("a.png", "/x/a.png", "failed", "net 1", "is empty")
    later = FULL.to_line().replace("{", '{"of a later version": 1, ', 1)
    path.write_text(old.to_line() + later + '{"image": "cut o')
    (record,) = latest_records(path)
    assert record["status"] == "ok"
    rewrite(path)
    assert path.read_text() == later


ODD_LINES = (
    "text",
    "5",
    "[]",
    "{}",
    '{"image": "b.png"}',
    '{"image": 5, "status": "ok"}',
    '{"image": "", "status": "ok"}',
    '{"image": "b.png", "status": null}',
    '{"image": "b.png", "status": "ok", "size": null, "outputs": {}}',
    '{"image": "b.png", "status": "ok", "size": [4], "outputs": {}}',
    '{"image": "b.png", "status": "ok", "size": [4, 0], "outputs": {}}',
    '{"image": "b.png", "status": "ok", "size": [4, 6], "outputs": ["x"]}',
    '{"image": "b.png", "status": "ok", "size": [4, 6], "outputs": {"instances": 5}}',
    '{"image": "b.png", "status": "ok", "size": [4, 6], "outputs": {"instances": "/etc/hostname"}}',
    '{"image": "b.png", "status": "ok", "size": [4, 6], "outputs": {"instances": "a/../../x.json"}}',
    '{"image": "b.png", "status": "ok", "size": [4, 6], "found": {"ring": "many"}}',
    '{"image": "b.png", "status": "ok", "size": [4, 6], "best_score": Infinity}',
    '{"image": "b.png", "status": "ok", "size": ' + "[" * 100_000,
)


@pytest.mark.parametrize("odd", ODD_LINES)
def test_a_line_that_is_no_record_is_dropped(tmp_path: Path, odd: str) -> None:
    """Then the image is predicted again, which is right whatever stood there."""
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"\xff\xfe\n" + odd.encode() + b"\n" + FULL.to_line().encode() + odd.encode()[:-3])
    (record,) = latest_records(path)
    assert record["image"] == "a.png"
    rewrite(path)
    assert path.read_text() == FULL.to_line()


def test_names_that_are_no_utf_8_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    odd = Record("caf\udce9.png", "/x/caf\udce9.png", "failed", "net 1", "is empty")
    path.write_text(odd.to_line())
    (record,) = latest_records(path)
    assert record["image"] == odd.image
    rewrite(path)
    assert path.read_text() == odd.to_line()


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "deep/" * 900 + "x.png", "in\ud83d/x.png"])
def test_results_under_names_that_no_system_has_are_not_there(tmp_path: Path, name: str) -> None:
    line = {"image": name, "source": "/x", "status": "ok", "model": "net 1", "size": [4, 6]}
    lines = [json.dumps(line | {"outputs": {"instances": name}}), FULL.to_line()]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    options: dict[str, Any] = {"model": "net 1", "resume": True, "overlays": False}
    with ResultFolder(tmp_path, ("ring",), ((9, 9, 9),), **options) as folder:
        assert not folder.is_done(InputImage(Path("/x"), name, name))
        folder.finish([name, "a.png"])
    assert json.loads((tmp_path / "predictions.json").read_text())["images"] == []


@pytest.mark.parametrize("content", ["{", "{}", "5", "[1]", "[null]", "[" * 100_000, '["\\ud83d"]'])
def test_a_damaged_file_of_objects_is_named_with_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(FULL.to_line())
    (tmp_path / "instances").mkdir()
    (tmp_path / "instances" / "a.json").write_text(content)
    options: dict[str, Any] = {"model": "net 1", "resume": True, "overlays": False}
    folder = ResultFolder(tmp_path, ("ring",), ((9, 9, 9),), **options)
    with folder, pytest.raises(DataError, match=r"a\.json.*Hint: "):
        folder.finish(["a.png"])


@pytest.mark.parametrize(
    "line",
    [
        b'{"image": "a.png", "status": "ok", "size": [4, 6], "more": [1, {"x": null}]}\n',
        b'{"image": "a.png", "status": "failed"}',
        b'{"image": "\\udce9.png", "status": "failed"}\n',
        b'{"image": "", "status": "failed"}\n',
        b'{"image": "a.png", "status": "ok"}\n',
        b'{"image": "a.png", "status": "ok", "size": [4, 0]}\n',
        b'{"image": "a.png", "status": "ok", "size": [4, 6], "outputs": {"label_map": "../a.png"}}\n',
        b'{"image": "a.png", "status": "failed", "more": ' + b"9" * 5000 + b"}\n",
        b'{"image": "a.png", "status": "failed", "more": ' + b"[" * 1900 + b"]" * 1900 + b"}\n",
        b'{"image": "a.png", "status": "failed", "source": "\xe9"}\n',
        b'{"image": "a.png", "sta',
        b"\n",
        b"[1]\n",
    ],
)
def test_the_outline_of_a_line_is_that_of_its_record(line: bytes) -> None:
    record = record_of(line)
    assert outline_of(line) == (None if record is None else (record["image"], record["status"]))
