from __future__ import annotations

from toolkit.inference.findings import Tally
from toolkit.inference.records import Record
from toolkit.inference.summary import NoteCounts, Summary


def test_notes_are_said_once_a_kind() -> None:
    notes = NoteCounts()
    assert notes.lines() == ()
    notes.add("a.tif", {"pages": "has several pages", "bands": "has a further band"})
    notes.add("b.tif", {"pages": "has several pages"})
    notes.add_record(Record("c.tif", "/c.tif", "ok", "m", notes={"pages": "has several pages"}))
    notes.add("d.tif", {})
    assert notes.lines() == ("a.tif has several pages; likewise 2 more", "a.tif has a further band")


def test_what_looks_wrong_begins_with_the_images() -> None:
    summary = Summary(3, 1, 2, Tally(images=3, objects=0), 0.5, notes=("a.tif has several pages",))
    assert summary.images == 6
    first, second = summary.warnings()
    assert first == "a.tif has several pages"
    assert second.startswith("no objects were found in all 3 images")
