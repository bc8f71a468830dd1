"""Atomic writing: the whole file or nothing, and errors that say what to do."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit.errors import DataError, OutputError
from toolkit.runtime import files
from toolkit.runtime.files import (
    UNFINISHED,
    atomic_write,
    into,
    is_unfinished,
    nearest_path,
    open_to_append,
    publish,
    remove_unfinished,
    sync_files,
)


def write(path: Path, content: bytes = b"half", error: BaseException | None = None) -> None:
    with atomic_write(path) as file:
        file.write(content)
        if error is not None:
            raise error


def test_writes_bytes_and_text_and_makes_folders(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a" / "b" / "x.bin") as file:
        file.write(b"\0\1")
    with atomic_write(str(tmp_path / "x.txt"), "w", sync=True) as file:
        file.write("größe\n")
    assert (tmp_path / "a/b/x.bin").read_bytes() == b"\0\1"
    assert (tmp_path / "x.txt").read_bytes() == "größe\n".encode()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "x.txt"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with atomic_write(path, "w") as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    "error", [ValueError("mine"), KeyboardInterrupt(), FileNotFoundError(2, "gone", "other.txt")]
)
def test_an_error_in_the_block_leaves_no_trace_and_passes_through(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write(path, error=error)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


FAULTS = [
    (errno.ENOSPC, r"the disk is full\. Hint: free some space"),
    (errno.EDQUOT, r"quota is used up\. Hint"),
    (errno.EACCES, r"permission denied\. Hint: change the folder's permissions"),
    (errno.EROFS, r"read-only\. Hint: write to another folder"),
    (errno.EIO, r"Input/output error\. Hint: check the disk"),
]


@pytest.mark.parametrize(("number", "message"), FAULTS)
def test_system_errors_name_the_file_and_the_hint(tmp_path: Path, number: int, message: str) -> None:
    with pytest.raises(OutputError, match=rf"x\.bin cannot be written: .*{message}"):
        write(tmp_path / "x.bin", error=OSError(number, os.strerror(number)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["toolkit.runtime.files._Remembering", "os.replace", "pathlib.Path.mkdir"])
def test_errors_of_opening_renaming_and_folders(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: object, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(place, denied)
        with pytest.raises(OutputError, match=r"x\.bin cannot be written: permission denied"):
            write(tmp_path / "new" / "x.bin")
    assert not (tmp_path / "new" / "x.bin").exists()


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x", tmp_path / "file" / "deep" / "x"):
        with pytest.raises(OutputError, match=r"x cannot be written: a part of its path is a file"):
            write(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"folder cannot be written: it is a folder"):
        write(tmp_path / "folder")


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with atomic_write(tmp_path / "atomic") as file:
        file.write(b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_many_writers_of_one_file_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"

    def repeat(byte: int) -> None:
        for _ in range(20):
            write(path, bytes([byte]) * 50_000)

    threads = [threading.Thread(target=repeat, args=(byte,)) for byte in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = path.read_bytes()
    assert len(content) == 50_000
    assert len(set(content)) == 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where the machine lets us mount one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_that_is_really_full(tiny_disk: Path) -> None:
    write(tiny_disk / "small")
    with pytest.raises(OutputError, match=r"large cannot be written: the disk is full"):
        write(tiny_disk / "large", b"1" * 1_000_000)
    assert [p.name for p in tiny_disk.iterdir()] == ["small"]


def test_the_nearest_path(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert nearest_path(tmp_path / "photo") == tmp_path / "photos"
    assert nearest_path(tmp_path / "zzz") is None
    assert nearest_path(tmp_path / "absent" / "photos") is None


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that takes no files")
@pytest.mark.parametrize("path", ["/proc/new/x.bin", "/proc/new/deep/er/x.bin"])
def test_folders_above_that_cannot_be_made(path: str) -> None:
    with pytest.raises(OutputError, match=rf"{path} cannot be written: .*Hint"):
        write(Path(path))


def test_a_name_that_is_none() -> None:
    with pytest.raises(OutputError, match="cannot be written: it is a folder"):
        write(Path("/"))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes the first 5,000 bytes of a file."""
    real = io.FileIO.write

    def write_some(self: io.FileIO, data: object) -> int:
        if self.tell() > 5000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, memoryview(data)[:5001])  # type: ignore[arg-type]

    class Full(io.FileIO):
        write = write_some

    # below the class that remembers errors, in its order of inheritance
    class FullBelow(files._Remembering, Full):
        pass

    monkeypatch.setattr(files, "_Remembering", FullBelow)


def save_torch(file: object) -> None:
    torch.save({"a": torch.zeros(99, 99)}, file)


def save_pillow(file: object) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (99, 99), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")


def save_text(file: object) -> None:
    file.write("größe" * 3000)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("save", [save_torch, save_pillow, save_text])
def test_a_full_disk_is_one_error_whichever_library_notices(
    tmp_path: Path, save: Callable[[object], None]
) -> None:
    """torch says "unexpected pos 4992", Pillow nothing of a disk."""
    path = tmp_path / "x"
    path.write_text("old")
    with (
        pytest.raises(OutputError, match=r"x cannot be written: the disk is full\. Hint: free some space"),
        atomic_write(path, "w" if save is save_text else "wb") as file,
    ):
        save(file)
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_error_of_the_block_is_not_taken_for_one_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"):
        write(tmp_path / "x", error=RuntimeError("mine"))


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "x").symlink_to(tmp_path / "theirs")
    write(tmp_path / "x", b"ours")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "x").read_text() == "ours"
    assert not (tmp_path / "x").is_symlink()


def test_adding_to_a_file(tmp_path: Path) -> None:
    for word in (b"one ", b"two"):
        with open_to_append(tmp_path / "x") as file:
            assert file.name == str(tmp_path / "x")
            file.write(word)
    assert (tmp_path / "x").read_bytes() == b"one two"


@pytest.mark.parametrize("kind", ["link", "pipe", "pipe with a reader", "folder", "nowhere"])
def test_nothing_is_added_to_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path, theirs = tmp_path / "x", tmp_path / "theirs"
    theirs.write_text("theirs")
    reader = None
    if kind == "link":
        path.symlink_to(theirs)
    elif kind.startswith("pipe"):
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if kind != "pipe" else None
    elif kind == "folder":
        path.mkdir()
    else:
        path = tmp_path / "absent" / "x"
    with pytest.raises(OutputError, match=r"x (cannot be written: |is not a regular file).*Hint: "):
        open_to_append(path)
    assert theirs.read_text() == "theirs"
    if reader is not None:
        os.close(reader)


def test_names_whose_bytes_are_no_utf_8(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.json", "w") as file:
        json.dump(["caf\udce9", "cup \ud83d"], file, ensure_ascii=False)
    assert json.loads((tmp_path / "a.json").read_text()) == ["caf\udce9", "cup \ud83d"]
    with atomic_write(tmp_path / "a.txt", "w", errors="surrogateescape") as file:
        file.write("caf\udce9")
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xe9"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The calls that make files last, in their order, with the names of files and folders."""
    seen: list[tuple[str, str]] = []
    real_sync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        seen.append(("sync", "unfinished" if is_unfinished(Path(name)) else name))
        real_sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        seen.append(("rename", Path(target).name))
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return seen


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@needs_proc
def test_a_file_is_on_the_disk_before_it_is_published_and_so_is_its_name(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    write(tmp_path / "x")
    assert calls == [("sync", "unfinished"), ("rename", "x"), ("sync", tmp_path.name)]
    calls.clear()
    write(tmp_path / "new" / "er" / "x")
    assert calls[:3] == [("sync", "unfinished"), ("rename", "x"), ("sync", "er")]
    assert set(calls[3:]) == {("sync", "new"), ("sync", tmp_path.name)}, "the new folders' names, too"
    calls.clear()
    with atomic_write(tmp_path / "x", sync=False) as file:
        file.write(b"")
    assert calls == [("rename", "x")]
    calls.clear()
    (tmp_path / "x.part").write_bytes(b"whole")
    publish(tmp_path / "x.part", tmp_path / "y")
    assert calls == [("sync", "x.part"), ("rename", "y"), ("sync", tmp_path.name)]


@needs_proc
def test_many_files_are_waited_for_together(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    with into(tmp_path) as written:
        for name in ("a", "new/b", "c"):
            write(tmp_path / name)
        assert all(call == "rename" for call, _ in calls)
    assert set(written) == {tmp_path / "a", tmp_path / "new", tmp_path / "new" / "b", tmp_path / "c"}
    assert {name for call, name in calls if call == "sync"} == {"a", "new", "b", "c", tmp_path.name}
    calls.clear()
    with into(tmp_path) as outer:
        with into(tmp_path / "new") as inner:
            write(tmp_path / "new" / "b")
        assert calls == [("rename", "b")]
        assert inner == outer == [tmp_path / "new" / "b"]
    assert ("sync", "b") in calls
    calls.clear()
    with into(tmp_path, sync=False) as written:
        write(tmp_path / "a")
    assert calls == [("rename", "a")]
    (tmp_path / "a").unlink()
    sync_files([*written, tmp_path / "absent"])


def test_nothing_is_written_outside_of_the_folder_that_into_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "out", Path("out"), Path("../" + tmp_path.name) / "out"):
        for path in (folder / "../evil", folder / "a/../../evil", tmp_path / "evil", Path("/evil"), folder):
            with pytest.raises(DataError, match=r"leads out of|cannot be the name"), into(folder):
                write(path)
        with into(folder):
            write(folder / "a" / "good")
            write(tmp_path / "out" / "good")
            write(Path("out") / "good")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "out/a/good",
        "out/good",
    ]
    write(tmp_path / "after", b"")
    with into(tmp_path / "out"):
        thread = threading.Thread(target=write, args=(tmp_path / "other-thread",))
        thread.start()
        thread.join()
    assert (tmp_path / "other-thread").exists(), "it holds for its own thread"


def test_only_what_carries_our_mark_is_removed(tmp_path: Path) -> None:
    others = [
        *(".env", ".gitignore", ".cut-off.part", "data.zip.part", ".toolkit-notes.part", "sub/.x.part"),
        *(".toolkit-0123456789AB.part", "toolkit-0123456789ab.part", "x.toolkit-0123456789ab.part"),
    ]
    for name in others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("theirs")
    ours = [tmp_path / ".toolkit-0123456789ab.part", tmp_path / "sub" / ".toolkit-ba9876543210.part"]
    for path in ours:
        path.write_text("half")
        assert path.match(UNFINISHED)
        assert is_unfinished(path)
    elsewhere = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    elsewhere.mkdir()
    (elsewhere / ours[0].name).write_text("of another folder")
    (tmp_path / "link").symlink_to(elsewhere)
    remove_unfinished(tmp_path)
    assert not any(path.exists() for path in ours)
    assert all((tmp_path / name).exists() for name in others)
    assert (elsewhere / ours[0].name).exists()
    remove_unfinished(tmp_path / "absent")


def test_what_is_begun_carries_our_mark(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "x") as file:
        file.write(b"")
        (begun,) = tmp_path.iterdir()
        assert is_unfinished(begun)
