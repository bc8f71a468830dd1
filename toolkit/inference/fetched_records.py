"""Records whose files are elsewhere, and here while somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

_Record = dict[str, Any]

AT_ONCE = 64
"""Number of records whose files are fetched at a time."""
_PICTURES = ("label_map", "overlay", "panoptic")
# Nobody reads these to put something together.


class FetchedRecords(Sequence[_Record]):
    """Records, of which those files are fetched that results of many images are put together from.

    Args:
        records: all of them.
        fetch: called with the paths of files, which are there when it returns.
        drop: called with them when nobody looks at the record any more.
    """

    def __init__(
        self,
        records: Sequence[_Record],
        fetch: Callable[[Sequence[str]], object],
        drop: Callable[[Sequence[str]], object],
    ) -> None:
        self._records, self._fetch, self._drop = records, fetch, drop

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> _Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[_Record]: ...
    def __getitem__(self, index: int | slice) -> _Record | Sequence[_Record]:
        """A record, whose files stay until the end of the command."""
        if isinstance(index, slice):
            return FetchedRecords(self._records[index], self._fetch, self._drop)
        record = self._records[index]
        self._fetch(_files(record))
        return record

    def __iter__(self) -> Iterator[_Record]:
        for start in range(0, len(self), AT_ONCE):
            group = list(self._records[start : start + AT_ONCE])
            paths = [path for record in group for path in _files(record)]
            self._fetch(paths)
            try:
                yield from group
            finally:
                self._drop(paths)


def _files(record: _Record) -> list[str]:
    return [path for kind, path in record["outputs"].items() if kind not in _PICTURES]
