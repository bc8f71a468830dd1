"""What is done of a giant image: taken up again as far as it is whole, and by nobody else."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from toolkit.errors import DataError, OutputError
from toolkit.inference.inputs import FileState
from toolkit.inference.window_journal import WindowJournal, header_of, remove_finished
from toolkit.reading.fields import Count, Schema

HEADER = header_of("a.tif", "/photos/a.tif", FileState(5, 6), (10, 20), model="m")


class Entry(Schema):
    number: Count


def numbers(journal: WindowJournal, until: int = 99) -> list[int]:
    """The entries, up to one that the caller does not accept."""
    found = []
    with closing(journal.take_up(Entry)) as entries:
        for entry in entries:
            if entry.number == until:
                break
            found.append(entry.number)
    return found


def write(folder: Path, *entries: int, stem: str = "a") -> Path:
    with WindowJournal(folder, stem, HEADER) as journal:
        numbers(journal)
        for entry in entries:
            journal.add({"number": entry})
        return journal.path


def test_entries_are_there_again(tmp_path: Path) -> None:
    path = write(tmp_path, 0, 1)
    assert path == tmp_path / "unfinished" / "a.jsonl"
    write(tmp_path, 2)
    with WindowJournal(tmp_path, "a", HEADER) as journal:
        assert numbers(journal) == [0, 1, 2]


@pytest.mark.parametrize("cut", range(1, 30, 3))
def test_what_was_cut_off_is_not_done(cut: int, tmp_path: Path) -> None:
    path = write(tmp_path, 0, 1, 2)
    path.write_bytes(path.read_bytes()[:-cut])
    with WindowJournal(tmp_path, "a", HEADER) as journal:
        found = numbers(journal)
        assert found == list(range(2 - (cut - 1) // 14))
        journal.add({"number": 7})
    with WindowJournal(tmp_path, "a", HEADER) as journal:
        assert numbers(journal) == [*found, 7], "new entries follow whole ones"


@pytest.mark.parametrize("line", ["{", "[]", '{"number": -1}', '{"number": "x"}', "", "[" * 9999])
def test_a_damaged_line_ends_it(line: str, tmp_path: Path) -> None:
    path = write(tmp_path, 0, 1, 2)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[2:], ""]))
    with WindowJournal(tmp_path, "a", HEADER) as journal:
        assert numbers(journal) == [0]
    assert path.read_text().splitlines() == lines[:2]


def test_entries_that_the_reader_does_not_accept_are_cut_off(tmp_path: Path) -> None:
    write(tmp_path, 0, 1, 2)
    with WindowJournal(tmp_path, "a", HEADER) as journal:
        assert numbers(journal, until=1) == [0]
    with WindowJournal(tmp_path, "a", HEADER) as journal:
        assert numbers(journal) == [0]


@pytest.mark.parametrize(
    "other",
    [
        HEADER | {"model": "n"},
        HEADER | {"size": [10, 21]},
        header_of("a.tif", "/photos/a.tif", FileState(5, 7), (10, 20), model="m"),
        header_of("a.tif", "/photos/a.tif", None, (10, 20), model="m"),
    ],
)
def test_another_header_begins_anew(other: dict[str, object], tmp_path: Path) -> None:
    path = write(tmp_path, 0, 1)
    with WindowJournal(tmp_path, "a", other) as journal:
        assert numbers(journal) == []
        journal.add({"number": 5})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [other, {"number": 5}]


def test_names_that_lead_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leads out of"):
        WindowJournal(tmp_path / "out", "../../a", HEADER)
    (tmp_path / "out" / "unfinished").mkdir(parents=True)
    (tmp_path / "victim").write_text("mine\n")
    os.symlink(tmp_path / "victim", tmp_path / "out" / "unfinished" / "a.jsonl")
    with pytest.raises(OutputError):
        WindowJournal(tmp_path / "out", "a", HEADER)
    assert (tmp_path / "victim").read_text() == "mine\n"


def test_only_journals_of_images_that_are_done_are_removed(tmp_path: Path) -> None:
    path = write(tmp_path, 0, stem="deep/a")
    path.with_suffix(".tiles").write_bytes(b"x")
    remove_finished(tmp_path, {})
    assert path.exists()
    (path.parent / "other.jsonl").write_text('{"image": "a.tif"}\n')
    remove_finished(tmp_path, {"a.tif": None})
    assert [each.name for each in path.parent.iterdir()] == ["other.jsonl"], "which is not ours"
    (path.parent / "other.jsonl").unlink()
    remove_finished(tmp_path, {})
    assert not (tmp_path / "unfinished").exists()
    remove_finished(tmp_path, {})
