"""Records are checked against a schema, and all faults are told at once, by record and field."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from toolkit.errors import DataError, ToolkitError
from toolkit.reading.fields import Id, Name, Number, Schema
from toolkit.reading.records import CHUNK, check_records, record, records, sift


class Fruit(Schema):
    id: Id | None = None
    name: Name
    weights: tuple[Annotated[Number, Field(gt=0)], ...] = ()


def read(entries: Any, **options: Any) -> list[Fruit]:
    return records(entries, Fruit, source="fruit.json", kind="fruit", error=DataError, **options)


def test_records_become_objects_and_unknown_fields_are_left_alone() -> None:
    (fruit,) = read([{"name": "fig", "weights": [1, 2.5], "color": object()}])
    assert fruit == Fruit(name="fig", weights=(1.0, 2.5))
    assert read([]) == []


@pytest.mark.parametrize("entries", [None, {}, {"0": {}}, "text", 5])
def test_what_is_no_list_is_an_error(entries: Any) -> None:
    with pytest.raises(DataError, match="fruit.json: expected a list of fruit records, not "):
        read(entries)


def test_one_fault_is_a_sentence() -> None:
    with pytest.raises(DataError) as caught:
        read([{"name": "fig"}, {"id": 42, "name": "nut", "weights": [1, None]}])
    assert str(caught.value) == (
        "fruit.json: fruit 1 (id 42): weights[1]: should be a valid number, not None. Hint: correct the"
        " file, or"
        " export it again"
    )


def test_all_faults_are_told_in_the_order_of_the_records() -> None:
    with pytest.raises(DataError) as caught:
        read([5, {"name": ""}, {"name": "fig"}, {"id": [], "weights": [-1]}, None])
    lines = str(caught.value).splitlines()
    assert lines[0] == "fruit.json has 4 errors:"
    assert lines[1] == "  fruit 0: expected an object with fields, not 5"
    assert lines[2].startswith("  fruit 1: name: string should have at least 1 character")
    assert "id: should be a whole number or text, not []" in lines[3]
    assert "name: missing" in lines[3]
    assert "weights[0]: should be greater than 0, not -1" in lines[3]
    assert lines[4] == "  fruit 4: expected an object with fields, not None"
    assert lines[5] == "Hint: correct the file, or export it again"


def test_the_list_of_faults_is_bounded_and_counts_the_others() -> None:
    count = 2 * CHUNK + 3
    with pytest.raises(DataError) as caught:
        read([{"name": 5}] * count)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"fruit.json has {count:,} errors:"
    assert lines[-2] == f"  … and {count - 20:,} more"
    assert len(lines) == 23


@pytest.mark.parametrize("place", [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK])
def test_a_fault_is_found_wherever_it_is(place: int) -> None:
    entries: list[Any] = [{"name": "fig"}] * (2 * CHUNK + 1)
    entries[place] = {"id": "odd"}
    with pytest.raises(DataError, match=rf"fruit {place} \(id 'odd'\): name: missing"):
        check_records(entries, Fruit, source="fruit.json", kind="fruit", error=DataError)
    good, (fault,) = sift(entries, Fruit, source="fruit.json", kind="fruit", error=DataError)
    assert fault.position == place
    assert [position for position, _ in good] == [i for i in range(len(entries)) if i != place]


def test_faults_can_be_gathered_instead() -> None:
    gathered: list[ToolkitError] = []
    found = read([{"name": "fig"}, {}, {"name": 3}, {"name": "nut"}], on_fault=gathered.append)
    assert [fruit.name for fruit in found] == ["fig", "nut"]
    assert len(gathered) == 2
    assert isinstance(gathered[0], DataError)
    assert str(gathered[0]).startswith("fruit.json: fruit 1: name: missing. Hint: ")


def test_one_record_alone_says_its_name() -> None:
    assert record({"name": "fig"}, Fruit, source="fruit.json", error=DataError).name == "fig"
    with pytest.raises(DataError, match=r"fruit.json: the first: name: missing. Hint: "):
        record({}, Fruit, source="fruit.json", error=DataError, name="the first")
    with pytest.raises(DataError, match=r"fruit.json: expected an object with fields, not \['a'\]"):
        record(["a"], Fruit, source="fruit.json", error=DataError)
