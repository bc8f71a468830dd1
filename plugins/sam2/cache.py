"""A disk cache for image features: the output of a frozen encoder is computed once and then read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from toolkit.errors import OutputError
from toolkit.runtime.files import UNFINISHED, atomic_write, is_unfinished

logger = logging.getLogger("toolkit")

SUFFIX = ".features"
KEEP_FREE = 2**30
"""Bytes to leave free on the disk."""
ABANDONED = 3600.0
"""Seconds after which an unfinished file is assumed to be left over from a killed process."""
_CHECKSUM = 8
_OWN = re.compile(rf"([0-9a-f]{{2}})/\1[0-9a-f]*{re.escape(SUFFIX)}")


def default_folder() -> Path:
    """The default cache folder."""
    return Path.home() / ".cache" / "toolkit" / "sam2-features"


class FeatureCache:
    """Lists of tensors by key, one file each.

    Files are written atomically, so that processes can share the folder and be killed at any time. A file
    contains its key, so a file that is damaged, or has another file's name, counts as missing. When the
    folder is full, files that have not been used since this object was created are deleted, oldest first.
    When all files are in use, nothing more is cached: replacing features that the next pass over the data
    needs would gain nothing. The same applies when the disk is full.

    Args:
        folder: the folder, created at the first write.
        max_bytes: maximum total size of the files.
        dtype: data type in which floating-point tensors are stored; those that do not fit (above 65504 in
            fp16) are stored unchanged.
    """

    def __init__(self, folder: Path, *, max_bytes: int, dtype: torch.dtype = torch.float16) -> None:
        self.folder, self.max_bytes, self.dtype = folder, max_bytes, dtype
        self._started = time.time()
        self._used: int | None = None
        self._gave_up = False

    def read(self, key: str) -> list[Tensor] | None:
        """The tensors of a key as stored, or None."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        checksum, rest, owner = content[:_CHECKSUM], memoryview(content)[_CHECKSUM:], _owner(key)
        if checksum != _checksum(rest) or rest[: len(owner)] != owner:
            return None
        try:
            tensors = load(bytes(rest[len(owner) :]))
        except SafetensorError:
            return None
        if not all(str(i) in tensors for i in range(len(tensors))):
            return None
        return [tensors[str(i)] for i in range(len(tensors))]

    def write(self, key: str, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Store tensors, if there is room; returns them as stored."""
        narrowed = [self._narrowed(tensor.detach()) for tensor in tensors]
        if not self._gave_up:
            entries = {str(i): tensor.cpu().contiguous() for i, tensor in enumerate(narrowed)}
            body = _owner(key) + save(entries)
            try:
                if self._make_room(len(body) + _CHECKSUM):
                    # without waiting for the disk: damage by a power cut is detected by the checksum
                    with atomic_write(self._path(key), sync=False) as file:
                        file.write(_checksum(body))
                        file.write(body)
            except (OSError, OutputError) as error:
                self._give_up(str(error))
        return narrowed

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}{SUFFIX}"

    def _narrowed(self, tensor: Tensor) -> Tensor:
        narrow = tensor.to(self.dtype)
        return narrow if torch.isfinite(narrow).all() else tensor

    def _make_room(self, size: int) -> bool:
        """Whether ``size`` more bytes fit, after deleting old files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._used is None or self._used + size > self.max_bytes:
            self._used = self._evict(size)
        if self._used + size > self.max_bytes:
            self._give_up(
                f"{self.folder} has reached its limit of {self.max_bytes / 1e9:g} GB, all in use. Hint:"
                " raise model.cache.max_gb if the disk has room"
            )
            return False
        if shutil.disk_usage(self.folder).free < size + KEEP_FREE:
            self._give_up(
                f"the disk that holds {self.folder} is full. Hint: free some space, or move the cache with"
                " model.cache.folder=FOLDER"
            )
            return False
        self._used += size
        return True

    def _evict(self, size: int) -> int:
        """Delete files not used since the start, oldest first, until ``size`` more bytes fit; returns the
        bytes that remain.
        """
        files = sorted(_files(self.folder))
        used = sum(length for _, length, _ in files)
        for modified, length, path in files:
            if used + size <= self.max_bytes or modified >= self._started:
                break
            path.unlink(missing_ok=True)
            used -= length
        for path in self.folder.glob(f"*/{UNFINISHED}"):
            with contextlib.suppress(FileNotFoundError):
                if is_unfinished(path) and path.stat().st_mtime < self._started - ABANDONED:
                    path.unlink()
        return used

    def _give_up(self, reason: str) -> None:
        self._gave_up = True
        logger.warning(
            "features of further images are not cached, so these images are encoded again each time: %s",
            reason,
        )


def _files(folder: Path) -> Iterable[tuple[float, int, Path]]:
    """Time of last use, size and path of each file with a name of the cache's pattern; other files in the
    folder belong to somebody else.
    """
    for path in folder.glob(f"*/*{SUFFIX}"):
        if not _OWN.fullmatch(f"{path.parent.name}/{path.name}"):
            continue
        try:
            status = path.stat()
        except FileNotFoundError:  # deleted by another process
            continue
        yield status.st_mtime, status.st_size, path


def _owner(key: str) -> bytes:
    """The line in which a file says whose features it contains."""
    return f"{key}\n".encode()


def _checksum(body: bytes | memoryview) -> bytes:
    return f"{zlib.crc32(body):08x}".encode()


def image_digest(image: Tensor) -> str:
    """A hash of the pixels and the shape of an image, in hex."""
    digest = hashlib.sha256(repr((image.dtype, tuple(image.shape))).encode())
    digest.update(image.contiguous().cpu().numpy().data)
    return digest.hexdigest()


def key_of(*parts: Any) -> str:
    """A file name derived from everything that the content depends on."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class WeightsDigest:
    """A hash of the weights of modules, recomputed only when they have changed."""

    def __init__(self) -> None:
        self._seen: tuple[Any, ...] = ()
        self._digest = ""

    def of(self, parts: Sequence[nn.Module | nn.Parameter]) -> str:
        """The hash, in hex."""
        tensors = [
            tensor
            for part in parts
            for tensor in ([part] if isinstance(part, nn.Parameter) else part.state_dict().values())
        ]
        seen = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
        if seen != self._seen:
            digest = hashlib.sha256()
            for tensor in tensors:
                digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
            self._seen, self._digest = seen, digest.hexdigest()
        return self._digest
