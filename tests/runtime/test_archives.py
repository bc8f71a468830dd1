"""What unpacking promises, against archives that are damaged or mean harm."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.errors import DownloadError, OutputError
from toolkit.runtime import archives
from toolkit.runtime.archives import is_archive, unpack

Members = dict[str, bytes]


def zipped(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in members.items():
            bundle.writestr(name, data)
    return path


def tarred(path: Path, members: Members) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:].removeprefix('tar')}") as bundle:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            bundle.addfile(info, io.BytesIO(data))
    return path


PACKERS: list[tuple[str, Callable[[Path, Members], Path]]] = [
    ("a.zip", zipped),
    ("a.tar", tarred),
    ("a.tar.gz", tarred),
    ("a.tar.xz", tarred),
]


@pytest.mark.parametrize(("name", "pack"), PACKERS, ids=[name for name, _ in PACKERS])
def test_unpacks_beside_what_is_there(
    tmp_path: Path, name: str, pack: Callable[[Path, Members], Path]
) -> None:
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    out.chmod(0o750)
    (out / "images" / "old.txt").write_text("old")
    (out / "images" / "a.txt").write_text("before")
    unpack(
        pack(tmp_path / name, {"images/a.txt": b"after", "images/deep/er/b.txt": b"b", "c.txt": b"c"}), out
    )
    found = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert found == {
        "images/a.txt": "after",
        "images/old.txt": "old",
        "images/deep/er/b.txt": "b",
        "c.txt": "c",
    }
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    assert out.stat().st_mode & 0o777 == 0o750, "others may read what they could read before"
    assert is_archive(name)
    assert not is_archive("weights.npz")


WAYS_OUT = [
    *[
        ("a.zip", zipped, evil)
        for evil in ("../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "C:/evil.txt", "..\\evil.txt")
    ],
    *[
        ("a.tar", tarred, evil) for evil in ("../evil.txt", "a/../../evil.txt")
    ],  # it takes absolute paths as relative ones
]


@pytest.mark.parametrize(
    ("name", "pack", "evil"), WAYS_OUT, ids=[f"{name} {evil}" for name, _, evil in WAYS_OUT]
)
def test_paths_that_lead_out_are_refused(
    tmp_path: Path, name: str, pack: Callable[[Path, Members], Path], evil: str
) -> None:
    with pytest.raises(DownloadError, match="is not safe to unpack"):
        unpack(pack(tmp_path / name, {"good.txt": b"x", evil: b"evil"}), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == [], "not even the harmless members"
    assert not list(tmp_path.rglob("evil.txt"))


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as bundle:
        bundle.writestr(link, "/etc")
    with pytest.raises(DownloadError, match="'link' is a link"):
        unpack(tmp_path / "link.zip", tmp_path / "out")
    for kind, target in (
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "../../secret"),
        (tarfile.CHRTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ):
        info = tarfile.TarInfo("member")
        info.type, info.linkname = kind, target
        with tarfile.open(tmp_path / "bad.tar", "w") as archive:
            archive.addfile(info)
        with pytest.raises(DownloadError, match="'member'"):
            unpack(tmp_path / "bad.tar", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("name", "pack"), PACKERS, ids=[name for name, _ in PACKERS])
def test_damaged_archives(tmp_path: Path, name: str, pack: Callable[[Path, Members], Path]) -> None:
    path = pack(tmp_path / name, {"a.txt": bytes(range(256)) * 500})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DownloadError, match="is damaged, or not an archive"):
        unpack(path, tmp_path / "out")
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(DownloadError, match=r"(?s)not an archive: .*Hint: remove it and download"):
        unpack(path, tmp_path / "out")
    (tmp_path / f"{name}.sha256").write_text("kept when it was fetched")
    with pytest.raises(
        DownloadError, match=rf"(?s)Hint: remove it and {name}\.sha256 next to it and download"
    ):
        unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("name", "pack"), PACKERS, ids=[name for name, _ in PACKERS])
def test_a_folder_of_an_archive(tmp_path: Path, name: str, pack: Callable[[Path, Members], Path]) -> None:
    path = pack(tmp_path / name, {"set-1/photos/a.txt": b"a", "set-1/tool.py": b"", "README": b""})
    unpack(path, tmp_path / "out", "set-1/photos")
    assert [file.name for file in (tmp_path / "out").rglob("*")] == ["a.txt"]
    for absent in ("set-2", "README"):
        with pytest.raises(DownloadError, match=f"has no folder {absent}"):
            unpack(path, tmp_path / "other", absent)
    assert list((tmp_path / "other").iterdir()) == []


def test_an_archive_larger_than_the_disk(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": b"abc"})
    raw = bytearray(path.read_bytes())
    central = raw.rindex(b"PK\x01\x02")
    raw[central + 24 : central + 28] = b"\xfe\xff\xff\xff"  # claims 4 GB …
    many = raw[:central] + raw[central : raw.rindex(b"PK\x05\x06")] * 20_000  # … 20,000 times
    end = bytearray(raw[raw.rindex(b"PK\x05\x06") :])
    end[8:12] = (20_000).to_bytes(2, "little") * 2
    end[12:16] = (len(many) - central).to_bytes(4, "little")
    path.write_bytes(many + end)
    with pytest.raises(OutputError, match="free some space"):
        unpack(path, tmp_path / "out")


def test_a_zip_that_lies_about_its_sizes_writes_no_more_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("a.txt", bytes(10_000_000))
    raw = bytearray(path.read_bytes())
    assert len(raw) < 20_000
    central = raw.rindex(b"PK\x01\x02")
    for size in (22, central + 24):  # in the member's own header and in the directory
        raw[size : size + 4] = (10).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(DownloadError, match="is damaged"):
        unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tar_whose_holes_are_larger_than_the_disk(tmp_path: Path) -> None:
    """A sparse member takes 512 bytes in the archive, whatever size it claims."""
    info = tarfile.TarInfo("a.bin")
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "a.bin",
        "GNU.sparse.realsize": str(2**60),
    }
    sparse_map = b"1\n0\n0\n".ljust(512, b"\0")
    info.size = len(sparse_map)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as bundle:
        bundle.addfile(info, io.BytesIO(sparse_map))
    with pytest.raises(OutputError, match="unpacks to 1,152,921,504,606,846,976 bytes.*free some space"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("name", "mode"), [("a.zip", ""), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")])
def test_an_archive_that_grows_beyond_measure(
    tmp_path: Path, name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of zeros, as one would make it to fill a disk."""
    monkeypatch.setattr(archives, "FREE_OF_SUSPICION", 1 << 20)
    path, members = tmp_path / name, {f"{i}.bin": bytes(1_000_000) for i in range(3)}
    if mode:
        tarred(path, members)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
            for member, data in members.items():
                bundle.writestr(member, data)
    with pytest.raises(
        DownloadError,
        match=(
            r"would unpack to 3,000,000, more than 100 times as many.* Nothing was unpacked\."
            rf" Hint: .*unpack it into {tmp_path / 'out'} yourself"
        ),
    ):
        unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    unpack(path, tmp_path / "out", max_ratio=1e6)
    assert (tmp_path / "out" / "2.bin").stat().st_size == 1_000_000
    monkeypatch.setattr(archives, "FREE_OF_SUSPICION", 3_000_000)
    unpack(path, tmp_path / "small")
    assert len(list((tmp_path / "small").iterdir())) == 3


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_tars_are_refused_even_if_they_stay_inside(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as bundle:
        target = tarfile.TarInfo("real.txt")
        target.size = 1
        bundle.addfile(target, io.BytesIO(b"x"))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = kind, "real.txt"
        bundle.addfile(link)
    with pytest.raises(DownloadError, match=r"its entry 'link\.txt' is a link\. Nothing was unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_members_do_not_follow_links_that_lie_in_the_folder(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "images").symlink_to(elsewhere)
    (out / "a.txt").symlink_to(elsewhere / "theirs.txt")
    (elsewhere / "theirs.txt").write_text("theirs")
    with pytest.raises(DownloadError, match="through a symbolic link"):
        unpack(zipped(tmp_path / "a.zip", {"images/b.txt": b"b"}), out)
    unpack(zipped(tmp_path / "b.zip", {"a.txt": b"a"}), out)
    assert (out / "a.txt").read_text() == "a"
    assert [path.read_text() for path in elsewhere.iterdir()] == ["theirs"]


def test_a_zip_may_list_the_folder_itself(tmp_path: Path) -> None:
    unpack(zipped(tmp_path / "a.zip", {"./": b"", "./a.txt": b"a", "empty/": b""}), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "empty"]
