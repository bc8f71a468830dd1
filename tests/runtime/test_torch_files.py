"""Files that torch would fill the memory with are noticed before it reads them, and all others are read."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from toolkit.errors import CheckpointError
from toolkit.runtime.torch_files import load_torch


def load(path: Path) -> Any:
    return load_torch(path, "weights", CheckpointError)


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def again(saved_data: bytes, **members: bytes) -> dict[str, bytes]:
    """The members of what torch has saved, some with other contents."""
    with zipfile.ZipFile(io.BytesIO(saved_data)) as archive:
        return {name: members.get(Path(name).stem, archive.read(name)) for name in archive.namelist()}


@pytest.mark.parametrize("new_format", [True, False])
def test_what_torch_saves_is_read(tmp_path: Path, new_format: bool) -> None:
    given = OrderedDict(a=torch.arange(5.0), b={"step": 3, "raw": b"\x00\xff"}, c=[True, None, 0.5])
    (tmp_path / "a.pth").write_bytes(saved(given, _use_new_zipfile_serialization=new_format))
    found = load(tmp_path / "a.pth")
    assert torch.equal(found.pop("a"), given.pop("a"))
    assert found == given


class Calls:
    """Something that a pickle makes by calling a function."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.call = function, given

    def __reduce__(self) -> Any:
        return self.call


def encoded(times: int) -> Any:
    import _codecs

    value: Any = b"a" * 8
    for _ in range(times):
        value = Calls(_codecs.encode, value, "hex_codec")
    return value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": Calls(bytearray, 10**11)}, "an arbitrary amount of memory"),
        ({"a": encoded(40)}, "encodes text again and again"),
    ],
)
@pytest.mark.parametrize("is_archive", [True, False])
def test_a_pickle_that_fills_the_memory(tmp_path: Path, value: Any, why: str, is_archive: bool) -> None:
    path, program = tmp_path / "a.pth", pickle.dumps(value, protocol=2)
    if is_archive:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in again(saved({}), data=program).items():
                archive.writestr(name, data)
    else:
        path.write_bytes(program)
    assert path.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match=f"is refused: it .*{why}.*Hint: "):
        load(path)


def test_an_archive_that_is_small_because_it_is_compressed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in again(saved({"a": torch.zeros(1_000_000)})).items():
            archive.writestr(name, data)
    assert (tmp_path / "a.pth").stat().st_size < 20_000
    with pytest.raises(CheckpointError, match="is refused: parts of it are compressed"):
        load(tmp_path / "a.pth")


def test_an_archive_whose_parts_lie_over_one_another(tmp_path: Path) -> None:
    """Each entry of the directory leads to the same bytes."""
    data = bytearray(saved({str(i): torch.full((50_000,), i) for i in range(3)}))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [each for each in archive.infolist() if "/data/" in each.filename]
        directory = bytearray(data[archive.start_dir :])
    first, *others = members
    for each in others:
        place = directory.index(each.filename.encode()) - 4
        assert directory[place : place + 4] == each.header_offset.to_bytes(4, "little")
        directory[place : place + 4] = first.header_offset.to_bytes(4, "little")
    end = others[0].header_offset
    ending = directory.rindex(b"PK\x05\x06")
    directory[ending + 16 : ending + 20] = end.to_bytes(4, "little")
    (tmp_path / "a.pth").write_bytes(data[:end] + directory)
    with pytest.raises(CheckpointError, match="is refused: its parts overlap"):
        load(tmp_path / "a.pth")


@pytest.mark.parametrize("kind", ["pipe", "sparse", "absent"])
def test_what_is_no_file_of_weights(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pth"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        path.touch()
        os.truncate(path, (1 << 40) + 1)
    with pytest.raises(CheckpointError, match=r"it should contain weights|but weights have"):
        load(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80", b"\x80\x02.", b"words"])
def test_damage_is_for_torch_to_tell(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(Exception) as caught:
        load(tmp_path / "a.pth")
    assert not isinstance(caught.value, (CheckpointError, MemoryError))
