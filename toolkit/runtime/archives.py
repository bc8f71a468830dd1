"""Unpacking that trusts no archive."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from toolkit.errors import DownloadError, OutputError
from toolkit.runtime.checksums import kept_file
from toolkit.runtime.files import output_error

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def is_archive(path: str | Path) -> bool:
    """Whether ``unpack`` takes a file, by its name."""
    return str(path).lower().endswith(_ARCHIVES)


def unpack(archive: str | Path, folder: str | Path, subfolder: str = "") -> None:
    """Unpack a zip or tar archive into a folder, as a whole or not at all; files of the same name are
    replaced.

    Nothing is unpacked from an archive with paths that lead out of the folder, links that do, or devices.

    Args:
        archive: the file.
        folder: where to; it is made when missing.
        subfolder: the folder in the archive whose content is wanted; everything when empty.

    Raises:
        DownloadError: when the archive is hostile or damaged; names the file and the member.
        OutputError: when the files cannot be written, or the disk is too small for them.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
            if archive.name.lower().endswith(".zip"):
                _unpack_zip(archive, Path(temporary))
            else:
                _unpack_tar(archive, Path(temporary))
            wanted = Path(temporary, subfolder)
            if not wanted.is_dir():
                raise DownloadError(
                    f"{archive} has no folder {subfolder}, so it is not the archive that was expected. Hint:"
                    " get it from its publisher"
                )
            # one by one, so that the folder itself keeps its permissions
            for path in wanted.iterdir():
                _move(path, folder / path.name)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        kept = kept_file(archive)
        files = f"it and {kept.name} beside it" if kept.is_file() else "it"
        raise DownloadError(
            f"{archive} is damaged, or not an archive: {error}. Hint: remove {files} and download it again"
        ) from error
    except OSError as error:
        raise output_error(folder, error) from error


def _move(path: Path, target: Path) -> None:
    """Move a file, or a folder into one that may be there already."""
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, target, symlinks=True, copy_function=shutil.move, dirs_exist_ok=True)
    else:
        shutil.move(path, target)


def _unpack_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        members = bundle.infolist()
        for member in members:
            path = PurePosixPath(member.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or ":" in member.filename.split("/")[0]:
                raise DownloadError(_hostile(archive, member.filename, "leads out of the folder"))
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DownloadError(_hostile(archive, member.filename, "is a link"))
        _check_space(archive, folder, sum(member.file_size for member in members))
        bundle.extractall(folder)


def _unpack_tar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as bundle:
        _check_space(archive, folder, sum(member.size for member in bundle.getmembers()))
        try:
            # PEP 706: no paths or links to the outside, no devices, no odd permissions
            bundle.extractall(folder, filter="data")
        except tarfile.FilterError as error:
            raise DownloadError(_hostile(archive, error.tarinfo.name, str(error))) from error


def _hostile(archive: Path, member: str, reason: str) -> str:
    return (
        f"{archive} is not safe to unpack: its member {member!r} {reason}. Nothing was unpacked. Hint: get"
        " it from its publisher"
    )


def _check_space(archive: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{archive} unpacks to {needed:,} bytes, but only {free:,} are free at {folder.parent}. Hint:"
            " free some space"
        )
