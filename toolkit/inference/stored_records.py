"""Records on the disk, found by the names of their images and read when somebody asks: memory holds 33 bytes
for each.
"""

from __future__ import annotations

import io
import json
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.inference.name_digests import digest_of
from toolkit.inference.records import completed, outline_of
from toolkit.reading.files import check_file
from toolkit.reading.line_stream import MOST_BYTES, byte_lines

_WHAT = "the records of a folder of results"
_SHIFT = 44  # bits of an offset; above are the bits of the number of the manifest
_Record = dict[str, Any]


def _held(path: Path) -> BinaryIO:
    """A file to read from even when it was replaced or removed."""
    # Windows replaces no file that is open.
    return io.BytesIO(path.read_bytes()) if os.name == "nt" else path.open("rb")


class StoredRecords(Sequence[_Record]):
    """The records of manifests, the last one if an image has several, in the order in which images came
    first. A line that was cut off by a kill, or is not a record, is dropped, so that its image is predicted
    again. The files may be replaced or removed meanwhile; the records are those of the time of opening.

    Args:
        manifests: the files; those that do not exist have none.

    Raises:
        DataError: when a manifest cannot be read.
    """

    def __init__(self, manifests: Sequence[Path] = ()) -> None:
        self._files: list[BinaryIO] = []
        try:
            digests, places, are_ok = self._scan(manifests)
        except BaseException:
            self.close()
            raise
        keys = np.frombuffer(digests, dtype=np.uint64)
        known, first = np.unique(keys, return_index=True)
        last = len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1]
        order = np.argsort(first)
        self._digests = known[order]
        self._places = np.frombuffer(places, dtype=np.uint64)[last[order]]
        self._are_ok = np.frombuffer(are_ok, dtype=np.bool_)[last[order]]
        self._sorted = np.argsort(self._digests)

    def _scan(self, manifests: Sequence[Path]) -> tuple[array[int], array[int], bytearray]:
        """The digests of the names in all lines that are records, where these lines are, and whether their
        images are done.
        """
        digests, places, are_ok = array("Q"), array("Q"), bytearray()
        for manifest in filter(Path.exists, manifests):
            check_file(manifest, _WHAT, DataError, most=MOST_BYTES)
            # Before it is read, so that both are the same file, whatever replaces it.
            self._files.append(_held(manifest))
            for offset, line in byte_lines(manifest, _WHAT, DataError):
                found = outline_of(line)
                if found is not None:
                    name, status = found
                    digests.append(digest_of(name))
                    places.append(len(self._files) - 1 << _SHIFT | offset)
                    are_ok.append(status == "ok")
        return digests, places, are_ok

    def _with(self, chosen: NDArray[Any]) -> StoredRecords:
        """Some of the records, in an order."""
        some = StoredRecords()
        some._files = self._files
        some._digests, some._places = self._digests[chosen], self._places[chosen]
        some._are_ok = self._are_ok[chosen]
        some._sorted = np.argsort(some._digests)
        return some

    def where(self, wanted: Callable[[_Record], bool]) -> StoredRecords:
        """The records for which a function says true."""
        return self._with(np.fromiter(map(wanted, self), dtype=bool, count=len(self)))

    def done(self) -> StoredRecords:
        """Those of images that are done, without reading any."""
        return self._with(self._are_ok)

    def kept(self, is_complete: Callable[[_Record], bool]) -> StoredRecords:
        """Those that have failed, and those that are done if a function says true; only the latter
        are read.
        """
        places = np.flatnonzero(self._are_ok)
        chosen = ~self._are_ok
        chosen[places] = np.fromiter(map(is_complete, self.done()), dtype=bool, count=len(places))
        return self._with(chosen)

    def in_order(self, digests: NDArray[np.uint64]) -> StoredRecords:
        """The records in the order of names, of which the digests are given; others first."""
        known, first = np.unique(digests, return_index=True)
        found = np.searchsorted(known, self._digests)
        found[found == len(known)] = 0
        there = (known[found] == self._digests) if len(known) else np.zeros(len(self), bool)
        places = np.where(there, first[found] if len(known) else -1, -1)
        return self._with(np.argsort(places, kind="stable"))

    def get(self, name: str) -> _Record | None:
        """The record of an image; None if there is none."""
        digest = np.uint64(digest_of(name))
        place = int(np.searchsorted(self._digests, digest, sorter=self._sorted))
        if place == len(self) or self._digests[self._sorted[place]] != digest:
            return None
        record = self[int(self._sorted[place])]
        return record if record["image"] == name else None

    def __len__(self) -> int:
        return len(self._digests)

    @overload
    def __getitem__(self, index: int) -> _Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[_Record]: ...
    def __getitem__(self, index: int | slice) -> _Record | Sequence[_Record]:
        """A record, or some, with the fields that every record has."""
        if isinstance(index, slice):
            return self._with(np.arange(len(self))[index])
        return completed(json.loads(self._line(index)))

    def _line(self, index: int) -> bytes:
        place = int(self._places[index])
        file = self._files[place >> _SHIFT]
        file.seek(place & (1 << _SHIFT) - 1)
        return file.readline()

    def lines(self) -> Iterator[bytes]:
        """The records as lines of JSON, as they were written."""
        return (self._line(index).rstrip(b"\r\n") + b"\n" for index in range(len(self)))

    def __iter__(self) -> Iterator[_Record]:
        return (self[index] for index in range(len(self)))

    def close(self) -> None:
        """Close the files; also those of selections."""
        for file in self._files:
            file.close()
