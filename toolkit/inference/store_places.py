"""Results in an object store, or in another file system at an address.

Each process writes into a folder of its own here. When the files of some images are complete, they are put
into the store, and removed here; then the lines of these images are put there, in the last piece of the
manifest of this process. A piece is put again with each line until it is large, since nothing can be appended
to an object. So a line is never there without the files of its image, and nothing is ever half-written.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.data.image_files import RESULT_MANIFEST
from toolkit.errors import OutputError, ToolkitError, UsageError
from toolkit.inference.fetched_records import FetchedRecords
from toolkit.inference.name_digests import digests_of
from toolkit.inference.outputs import remove_outputs
from toolkit.inference.record_writer import RecordWriter
from toolkit.inference.records import PARTS, Record, write_records
from toolkit.inference.result_options import ABOUT
from toolkit.inference.result_places import TOKEN, ResultPlace
from toolkit.runtime.confine import inside
from toolkit.runtime.files import is_unfinished
from toolkit.runtime.locks import LOCK_FILE, locked, require_unlocked
from toolkit.runtime.remote import is_url
from toolkit.runtime.store_writes import (
    ATOMIC,
    fetch_store,
    files_in_store,
    found_in_store,
    remove_store,
    write_store,
)
from toolkit.runtime.stores import StoredFile, is_store, open_store, scheme_of, shown_url

PIECE_BYTES = 1 << 20
"""A piece of a manifest that is larger than this is not put again."""
AT_ONCE = 16
"""Number of files that are put, fetched or removed at a time."""
_PREFIX = "toolkit-results-"


def place_of(out: str | Path) -> ResultPlace:
    """The place of results that a user has named.

    Raises:
        UsageError, UnavailableError: as ``check_place``.
    """
    check_place(out)
    return StorePlace(str(out)) if is_url(str(out)) else ResultPlace(Path(out))


def check_place(out: str | Path) -> None:
    """Check that results can be written to what a user has named, as far as the name says.

    Raises:
        UsageError: when it is an address that nothing can be written to.
        UnavailableError: when the library of its protocol is not installed.
    """
    word = str(out)
    if not is_url(word):
        return
    if not is_store(word):
        raise UsageError(
            f"nothing can be written to {shown_url(word)}. Hint: choose a folder, or an address of a store,"
            " such as s3://bucket/results"
        )
    open_store(word)


@contextlib.contextmanager
def local_results(out: str | Path) -> Iterator[Path]:
    """A folder of results, to read from and to add to: those in a store are copied without their pictures,
    and what was added is put there when the block ends.

    Raises:
        DownloadError: when something cannot be read.
        OutputError: when something cannot be written.
    """
    if not is_url(str(out)):
        yield Path(out)
        return
    place = StorePlace(str(out))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place.folder, ignore_errors=True)
        stack.enter_context(locked(place.folder))
        place.copy()
        before = set(place.folder.rglob("*"))
        yield place.folder
        place.keep(path for path in place.folder.rglob("*") if path not in before)


class StorePlace(ResultPlace):
    """A folder of a store.

    Args:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._token = uuid.uuid4().hex
        self._listed: tuple[Any, Any] | None = None
        self._is_taken_up = False
        self._read: list[Path] = []  # copies of the parts of the manifest that were read last
        _remove_rests()
        super().__init__(Path(tempfile.mkdtemp(prefix=_PREFIX)))
        self.address = self.url

    def __str__(self) -> str:
        """Without a password."""
        return shown_url(self.url)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Take it over: a store has no locks, so whoever wrote there before finds another token, and ends."""
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            stack.enter_context(locked(self.folder))
            write_store(f"{self.url}/{TOKEN}", self._token.encode())
            stack.callback(self._leave)
            if scheme_of(self.url) not in ATOMIC:
                rests = [path for path in self._paths() if is_unfinished(Path(path))]
                _all_at_once(remove_store, [f"{self.url}/{path}" for path in rests])
            fetch_store(f"{self.url}/{ABOUT}", self.folder / ABOUT)
            yield

    def _leave(self) -> None:
        with contextlib.suppress(ToolkitError):
            if found_in_store(f"{self.url}/{TOKEN}") == self._token.encode():
                remove_store(f"{self.url}/{TOKEN}")

    @contextlib.contextmanager
    def shared(self) -> Iterator[str]:
        """Its token is there already."""
        yield self._token

    def join(self, token: str, manifest: Path) -> None:
        """As in a folder; the process ends without a word, so what it leaves here is removed by others."""
        self.check(token)
        # Until the end of the process.
        self._lock = contextlib.ExitStack()
        self._lock.enter_context(locked(self.folder))

    def check(self, token: str) -> None:
        """As in a folder."""
        if found_in_store(f"{self.url}/{TOKEN}") != token.encode():
            raise OutputError(
                f"another command has begun to write to {self}, so this one ends. Hint: wait for it, then go"
                " on with --resume, or choose another --out"
            )

    def manifests(self) -> list[Path]:
        """Copies of those in the store."""
        manifest = self.folder / RESULT_MANIFEST
        fetch_store(f"{self.url}/{RESULT_MANIFEST}", manifest)
        self._read = self._parts("")
        return [manifest, *self._read]

    def manifests_of(self, part: str) -> list[Path]:
        """Copies of those of a process."""
        return self._parts(f"{part}-")

    def _parts(self, prefix: str) -> list[Path]:
        names = re.compile(re.escape(prefix) + r"[\w.-]+\.jsonl")
        there = files_in_store(f"{self.url}/{PARTS}/")
        there = [file for file in there if names.fullmatch(_name(file.url))]
        there.sort(key=lambda file: (file.modified or 0, _name(file.url)))
        paths = [self.folder / PARTS / _name(file.url) for file in there]
        _all_at_once(fetch_store, [f"{self.url}/{PARTS}/{path.name}" for path in paths], paths)
        return paths

    def recorder(self, manifest: Path, token: str = "") -> RecordWriter:
        """Puts pieces of a manifest, which are called as the process is."""
        part = manifest.stem if manifest.parent.name == PARTS else f"main-{self._token[:8]}"
        return PieceWriter(self, part, token or self._token)

    def keep(self, files: Iterable[Path]) -> None:
        """Put files into the store, and remove them here."""
        paths = [path for path in dict.fromkeys(files) if path.is_file()]
        _all_at_once(write_store, [self._url_of(path) for path in paths], paths)
        for path in paths:
            path.unlink(missing_ok=True)

    def _url_of(self, path: Path) -> str:
        return f"{self.url}/{path.relative_to(self.folder).as_posix()}"

    def keep_manifest(self) -> None:
        """Put it, before the parts that are in it are removed."""
        manifest = self.folder / RESULT_MANIFEST
        write_store(self._url_of(manifest), manifest)
        _all_at_once(remove_store, [self._url_of(part) for part in self._read])
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)
        write_records(manifest, ())
        self._is_taken_up, self._listed = True, None

    def are_whole(self, outputs: Mapping[str, str], sizes: Mapping[str, int]) -> bool:
        """As the store lists them when results are taken up; after that, what was put is there."""
        if self._is_taken_up:
            return True
        names, found = self._listed = self._listed or self._list()
        if not outputs or not len(names):
            return False
        digests = digests_of(outputs.values())
        places = np.minimum(np.searchsorted(names, digests), len(names) - 1)
        wanted = [sizes.get(kind) for kind in outputs]
        return bool((names[places] == digests).all()) and all(
            size == want if want is not None else size > 0
            for size, want in zip(found[places].tolist(), wanted, strict=True)
        )

    def copy(self) -> None:
        """Copy all files but pictures that nobody reads."""
        paths = filter(_is_read, self._paths())
        self._fetch([path for path in paths if not (self.folder / path).exists()])

    def _paths(self) -> list[str]:
        """The paths of all files, below the folder."""
        return [self._path_of(file) for file in files_in_store(f"{self.url}/")]

    def _path_of(self, file: StoredFile) -> str:
        """The path of a file below the folder, which may be hostile."""
        # The name of a host is not part of the paths there, and that of a bucket is.
        root = open_store(self.url)[1].strip("/")
        return file.url.partition("://")[2].strip("/").removeprefix(f"{root}/")

    def _list(self) -> tuple[Any, Any]:
        """Digests of the paths of all files in the store, in their order, and sizes."""
        there = files_in_store(f"{self.url}/")
        names = digests_of(map(self._path_of, there))
        sizes = np.fromiter((file.size for file in there), dtype=np.int64, count=len(there))
        order = np.argsort(names)
        return names[order], sizes[order]

    def remove(self, outputs: Mapping[str, str]) -> None:
        """Remove the files of an image, here and there."""
        remove_outputs(self.folder, outputs)
        with contextlib.suppress(OutputError):
            _all_at_once(remove_store, [f"{self.url}/{path}" for path in outputs.values()])

    def with_files(self, records: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Records, of which the files are fetched, each while it is looked at."""
        return FetchedRecords(records, self._fetch, self._drop)

    def _fetch(self, paths: Sequence[str]) -> None:
        places = [inside(self.folder, path) for path in paths]
        _all_at_once(fetch_store, [f"{self.url}/{path}" for path in paths], places)

    def _drop(self, paths: Sequence[str]) -> None:
        for path in paths:
            (self.folder / path).unlink(missing_ok=True)


class PieceWriter(RecordWriter):
    """Enters records in pieces of a manifest in a store.

    Args:
        place: where.
        part: the name of this process, unique among those that write there.
        token: what must still be there when something is entered.
    """

    def __init__(self, place: StorePlace, part: str, token: str) -> None:
        self._place, self._part, self._token = place, part, token
        self._piece, self._number = bytearray(), 1
        super().__init__(place.folder / f".{part}.jsonl")

    def _enter(self, group: Sequence[tuple[Record, Sequence[Path]]]) -> None:
        if not group:
            return
        self._place.check(self._token)
        self._place.keep(path for _, files in group for path in files)
        for record, _ in group:
            self._piece += record.to_line().encode()
        name = f"{self._part}-{self._number:06d}.jsonl"
        write_store(f"{self._place.url}/{PARTS}/{name}", bytes(self._piece))
        if len(self._piece) > PIECE_BYTES:
            self._piece, self._number = bytearray(), self._number + 1


def _is_read(path: str) -> bool:
    return not path.startswith(("overlays/", f"{PARTS}/", "measurements/")) and path != TOKEN


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def _all_at_once(call: Any, *arguments: Sequence[Any]) -> None:
    """Call a function with each of many arguments, some at a time."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="toolkit-store") as pool:
        list(pool.map(call, *arguments))


def _remove_rests() -> None:
    """Remove what processes that were killed have left here."""
    for rest in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ToolkitError):
            if (rest / LOCK_FILE).is_file():
                require_unlocked(rest)
                shutil.rmtree(rest)
