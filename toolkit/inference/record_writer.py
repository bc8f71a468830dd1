"""Records images in ``manifest.jsonl``, each after its files are on the disk."""

from __future__ import annotations

import contextlib
import io
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from toolkit.inference.records import Record
from toolkit.runtime.files import open_to_append, sync_files, writing

MOST_WAITING = 1024
"""Number of records that may wait for the disk; after that, adding another one blocks."""

_Task: TypeAlias = "tuple[Record, Sequence[Path]] | threading.Event | None"
# a record and its files, someone who waits, or the end


class RecordWriter:
    """Appends records to a manifest, in its own thread, in the order in which they are added.

    Waiting for the disk after each of thousands of small files would take longer than predicting them. So the
    thread takes all records that were added while it waited, waits for the files of all of them at once, and
    then writes their lines. Whatever happens, the files of an image with a line exist.

    Args:
        manifest: the file to append to.

    Raises:
        OutputError: when it cannot be opened.
    """

    def __init__(self, manifest: Path) -> None:
        self._manifest = manifest
        self._waiting: queue.Queue[_Task] = queue.Queue(MOST_WAITING)
        self._error: BaseException | None = None
        self._file = io.TextIOWrapper(open_to_append(manifest), "utf-8", newline="\n")
        self._thread = threading.Thread(target=self._work, name="toolkit-records", daemon=True)
        self._thread.start()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # data that a full disk did not accept cannot be written here either, and that error is already being
        # raised
        with contextlib.nullcontext() if error is None else contextlib.suppress(Exception):
            self.close()

    def add(self, record: Record, files: Sequence[Path]) -> None:
        """Record an image as soon as its files are on the disk.

        Raises:
            OutputError: when an earlier one could not be recorded.
        """
        self._raise()
        self._waiting.put((record, files))

    def flush(self) -> None:
        """Wait until all that were added so far are recorded.

        Raises:
            OutputError: when one could not be recorded.
        """
        recorded = threading.Event()
        self._waiting.put(recorded)
        recorded.wait()
        self._raise()

    def close(self) -> None:
        """Wait until all are recorded; calling it again has no effect.

        Raises:
            OutputError: when one could not be recorded.
        """
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
        with writing(self._manifest):
            self._file.close()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        goes_on = True
        while goes_on:
            group = [self._waiting.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    group.append(self._waiting.get_nowait())
            goes_on = None not in group
            if self._error is None:
                try:
                    self._enter([each for each in group if isinstance(each, tuple)])
                except BaseException as error:  # passed on to the thread that adds records
                    self._error = error
            for each in group:
                if isinstance(each, threading.Event):
                    each.set()

    def _enter(self, group: Sequence[tuple[Record, Sequence[Path]]]) -> None:
        sync_files(path for _, files in group for path in files)
        with writing(self._manifest):
            self._file.writelines(record.to_line() for record, _ in group)
            self._file.flush()
