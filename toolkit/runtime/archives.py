"""Unpacks archives without trusting them."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from toolkit.errors import DataError, DownloadError, OutputError
from toolkit.runtime.checksums import kept_file
from toolkit.runtime.confine import inside
from toolkit.runtime.files import output_error, sync_files

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

MAX_RATIO = 100.0
"""How many times its own size an archive may unpack to: photos hardly compress, and annotations in JSON
compress tenfold, but only zeros compress a thousandfold.
"""
FREE_OF_SUSPICION = 1 << 26
"""Archives that unpack to no more than 64 MiB may have any ratio."""


def is_archive(path: str | Path) -> bool:
    """Whether ``unpack`` accepts a file, judging by its name."""
    return str(path).lower().endswith(_ARCHIVES)


def unpack(
    archive: str | Path, folder: str | Path, subfolder: str = "", *, max_ratio: float = MAX_RATIO
) -> None:
    """Unpack a zip or tar archive into a folder, as a whole or not at all; files of the same name are
    replaced.

    Nothing is unpacked from an archive that has paths that lead out of the folder, links or devices, or that
    would expand too much.

    Args:
        archive: the file.
        folder: the destination; it is created if missing.
        subfolder: the folder in the archive whose content is wanted; everything when empty.
        max_ratio: largest ratio of the size of the content to that of the archive.

    Raises:
        DownloadError: when the archive is hostile or damaged; names the file and the member.
        OutputError: when the files cannot be written, or the disk has no room for them.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
            if archive.name.lower().endswith(".zip"):
                _unpack_zip(archive, Path(temporary), max_ratio)
            else:
                _unpack_tar(archive, Path(temporary), max_ratio)
            wanted = Path(temporary, subfolder)
            if not wanted.is_dir():
                raise DownloadError(
                    f"{archive} has no folder {subfolder}, so it is not the expected archive. Hint:"
                    " get it from its publisher"
                )
            _move_content(wanted, folder, archive)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        kept = kept_file(archive)
        files = f"it and {kept.name} next to it" if kept.is_file() else "it"
        raise DownloadError(
            f"{archive} is damaged, or not an archive: {error}. Hint: remove {files} and download it again"
        ) from error
    except OSError as error:
        raise output_error(folder, error) from error


def _move_content(source: Path, folder: Path, archive: Path) -> None:
    """Move all files below ``source`` to the same places below ``folder``, and wait until they are on the
    disk.
    """
    moved = []
    for parent, _, names in os.walk(source):
        below = Path(parent).relative_to(source)
        for name in names:
            try:
                target = inside(folder, below / name)
            except DataError as error:
                raise DownloadError(f"{archive} cannot be unpacked: {error}") from error
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(parent, name), target)
            moved.append(target)
        (folder / below).mkdir(parents=True, exist_ok=True)
    sync_files(moved)


def _unpack_zip(archive: Path, folder: Path, max_ratio: float) -> None:
    with zipfile.ZipFile(archive) as bundle:
        members = bundle.infolist()
        for member in members:
            name = member.filename.replace("\\", "/")
            if ":" in name.split("/")[0]:
                raise DownloadError(_hostile(archive, member.filename, "leads out of the folder"))
            # "." is the folder itself, which some archivers list
            if PurePosixPath(name).parts:
                _check_name(archive, folder, name, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DownloadError(_hostile(archive, member.filename, "is a link"))
        _check_size(archive, folder, sum(member.file_size for member in members), max_ratio)
        bundle.extractall(folder)


def _unpack_tar(archive: Path, folder: Path, max_ratio: float) -> None:
    with tarfile.open(archive) as bundle:
        members = bundle.getmembers()
        for member in members:
            # The filter below allows links that stay inside, and Python versions without the fix for
            # CVE-2025-4517 could be tricked into following them out of the folder.
            if member.issym() or member.islnk():
                raise DownloadError(_hostile(archive, member.name, "is a link"))
        _check_size(archive, folder, sum(member.size for member in members), max_ratio)
        try:
            # PEP 706: no paths that lead outside, no devices, no unusual permissions
            bundle.extractall(folder, filter="data")
        except tarfile.FilterError as error:
            raise DownloadError(_hostile(archive, error.tarinfo.name, str(error))) from error


def _check_name(archive: Path, folder: Path, name: str, shown: str) -> None:
    try:
        inside(folder, name)
    except DataError:
        raise DownloadError(_hostile(archive, shown, "leads out of the folder")) from None


def _hostile(archive: Path, member: str, reason: str) -> str:
    return (
        f"{archive} is not safe to unpack: its entry {member!r} {reason}. Nothing was unpacked. Hint: get"
        " it from its publisher"
    )


def _check_size(archive: Path, folder: Path, needed: int, max_ratio: float) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{archive} unpacks to {needed:,} bytes, but only {free:,} are free at {folder.parent}. Hint:"
            " free some space"
        )
    size = archive.stat().st_size
    if needed > max(FREE_OF_SUSPICION, max_ratio * size):
        raise DownloadError(
            f"{archive} has {size:,} bytes and would unpack to {needed:,}, more than {max_ratio:g} times as"
            " many, like archives that are made to fill a disk. Nothing was unpacked. Hint: get it from its"
            f" publisher; if you trust it, unpack it into {folder.parent} yourself"
        )
