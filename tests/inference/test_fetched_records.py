"""Files that are here while somebody looks at their record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolkit.inference.fetched_records import AT_ONCE, FetchedRecords


def test_files_are_there_while_their_record_is_looked_at() -> None:
    count = 2 * AT_ONCE + 3
    records: list[dict[str, Any]] = [
        {"image": str(i), "outputs": {"label_map": f"{i}.png", "instances": f"{i}.json"}}
        for i in range(count)
    ]
    here: set[str] = set()
    most = 0

    def drop(paths: Sequence[str]) -> None:
        here.difference_update(paths)

    found = FetchedRecords(records, here.update, drop)
    assert len(found) == count
    for number, record in enumerate(found):
        assert record is records[number]
        assert f"{number}.json" in here
        assert f"{number}.png" not in here, "nobody reads pictures"
        most = max(most, len(here))
    assert not here
    assert most == AT_ONCE
    assert found[5]["image"] == "5"
    assert here == {"5.json"}
    assert [record["image"] for record in found[3:5]] == ["3", "4"]
