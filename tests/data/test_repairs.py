from __future__ import annotations

from pathlib import Path

from look_cases import look, scene

from toolkit.data.checks import SplitReport
from toolkit.data.repairs import Change, images_to_leave_out, write_changes
from toolkit.data.set_checks import copies


def report(*ids: str, first: int = 0) -> SplitReport:
    """Samples that look different, each with a photo of its own."""
    made = SplitReport(("a",), len(ids), ids=ids)
    made.looks = {i: look(scene(first + i)) for i in range(len(ids))}
    for i, name in enumerate(ids):
        made.photos.setdefault(str(first + i).encode(), []).append(name)
    return made


def left_out(reports: dict[str, SplitReport], *, fixed_splits: bool = False) -> dict[str, dict[int, str]]:
    plan = images_to_leave_out(reports, copies(reports), fixed_splits=fixed_splits)
    return {split: {place: change.found for place, change in leave.items()} for split, leave in plan.items()}


def test_nothing_is_left_out_without_a_reason() -> None:
    assert left_out({"train": report("a", "b"), "val": report("c", first=9)}) == {"train": {}, "val": {}}


def test_what_cannot_be_used_and_what_is_there_twice() -> None:
    train = report("a", "b", "a", "c")
    train.unusable = {1: "b.png is damaged"}
    train.photos[b"0"].append("c")
    assert left_out({"train": train}) == {
        "train": {1: "b.png is damaged", 2: "the id occurs before", 3: "is the same file as a"}
    }


def test_the_earlier_split_gives_way() -> None:
    train, val, test = report("a", "b", "c"), report("d", "e", first=10), report("f", first=20)
    train.photos[b"10"] = ["b"]
    train.looks[2] = val.looks[1]
    val.looks[0] = test.looks[0]
    splits = {"train": train, "val": val, "test": test}
    assert left_out(splits) == {
        "train": {1: "is also in val, as d", 2: "is nearly the same as e of val"},
        "val": {0: "is nearly the same as f of test"},
        "test": {},
    }
    assert left_out(splits, fixed_splits=True) == {"train": {}, "val": {}, "test": {}}


def test_the_very_same_photos_stay_in_both() -> None:
    """As in small sets that only show how things work."""
    assert left_out({"train": report("a", "b"), "val": report("a", "b")}) == {"train": {}, "val": {}}


def test_the_table_holds_any_text(tmp_path: Path) -> None:
    write_changes(tmp_path / "c.csv", [Change("train", 'a,"b"\nc', "0", "found", "left out")])
    text = (tmp_path / "c.csv").read_text(encoding="utf-8")
    assert text == 'split,image,object,found,change\ntrain,"a,""b""\nc",0,found,left out\n'
    write_changes(tmp_path / "c.csv", [])
    assert (tmp_path / "c.csv").read_text() == "split,image,object,found,change\n"
