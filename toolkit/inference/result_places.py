"""Where results end up: in a folder here, or, see ``toolkit.inference.store_places``, in a store."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.data.image_files import RESULT_MANIFEST
from toolkit.errors import OutputError
from toolkit.inference.outputs import are_whole, remove_outputs
from toolkit.inference.record_writer import RecordWriter
from toolkit.inference.records import PARTS, parts_of, remove_parts
from toolkit.runtime.files import atomic_write, sync_files, writing
from toolkit.runtime.locks import locked

TOKEN = ".toolkit.token"
"""The file by which a process knows that it sees the same folder as the one that opened it."""


class ResultPlace:
    """A folder on a disk.

    Args:
        folder: the folder.

    Attributes:
        folder: where files are written at first; for a folder on a disk, where they stay.
        address: what the user called it, for other processes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = os.path.abspath(folder)

    def __str__(self) -> str:
        """What it is called in messages."""
        return str(self.folder)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Make it that of this process alone, and of those that know the token.

        Raises:
            UsageError: when another process is writing there.
            OutputError: when it cannot be written to.
        """
        with locked(self.folder):
            yield

    @contextlib.contextmanager
    def shared(self) -> Iterator[str]:
        """Let other processes write there, too; yields the token that they need.

        Raises:
            OutputError: when it cannot be written to.
        """
        token = uuid.uuid4().hex
        with atomic_write(self.folder / TOKEN, "w") as file:
            file.write(token)
        try:
            yield token
        finally:
            (self.folder / TOKEN).unlink(missing_ok=True)

    def join(self, token: str, manifest: Path) -> None:
        """Prepare for a manifest of this process, where another one has opened the results.

        Raises:
            OutputError: as ``check``.
        """
        self.check(token)
        with writing(manifest):
            manifest.parent.mkdir(exist_ok=True)

    def check(self, token: str) -> None:
        """Check that it is still the folder that was opened, for the same command.

        Raises:
            OutputError: when it is not.
        """
        try:
            found = (self.folder / TOKEN).read_text()
        except OSError:
            found = ""
        if found != token:
            raise OutputError(
                f"{self.folder} there is not the folder that this command writes to. Hint: choose an --out in"
                " a folder that all machines share"
            )

    def manifests(self) -> list[Path]:
        """The files with all records of all processes so far, the oldest first."""
        return [self.folder / RESULT_MANIFEST, *parts_of(self.folder)]

    def manifests_of(self, part: str) -> list[Path]:
        """Those of the records of one process."""
        return [self.folder / PARTS / f"{part}.jsonl"]

    def recorder(self, manifest: Path, token: str = "") -> RecordWriter:
        """What enters records in a manifest there, each when its files are lasting."""
        return RecordWriter(manifest)

    def keep(self, files: Iterable[Path]) -> None:
        """Make files lasting that were written in the folder.

        Raises:
            OutputError: when one cannot be written.
        """
        sync_files(files)

    def keep_manifest(self) -> None:
        """Make the manifest lasting that was put together in the folder, and remove its parts.

        Raises:
            OutputError: when it cannot be written, or one cannot be removed.
        """
        remove_parts(self.folder)

    def are_whole(self, outputs: Mapping[str, str], sizes: Mapping[str, int]) -> bool:
        """Whether all files of an image are there with the size that was written."""
        return are_whole(self.folder, outputs, sizes)

    def remove(self, outputs: Mapping[str, str]) -> None:
        """Remove the files of an image."""
        remove_outputs(self.folder, outputs)

    def with_files(self, records: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Records, of which the files can be read in the folder, each while it is looked at."""
        return records
