"""The images of Label Studio's tasks: from its server, from hosts that the user has named, or a folder."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urljoin, urlsplit

from toolkit.config.scale import Scale
from toolkit.data.images import decode_image, read_image
from toolkit.errors import DataError, DownloadError
from toolkit.reading.files import is_file
from toolkit.reading.json_text import parse_json
from toolkit.runtime.confine import inside
from toolkit.runtime.http_requests import CHUNK, connect, reason_of, request
from toolkit.types import Sample

MAX_BYTES = 1 << 28
"""The largest image that is fetched, 256 MiB."""
TIMEOUT = 30.0


@dataclass(frozen=True)
class ImageSource:
    """Where images may come from. Nothing in a request adds to it.

    Attributes:
        server: address of Label Studio, such as ``http://localhost:8080``.
        token: an access token of Label Studio; empty to send none. It is sent to ``server`` alone.
        files: the folder that Label Studio serves local files from; None to read no files.
        hosts: other hosts that images may be fetched from, as ``NAME`` or ``NAME:PORT``.
        limit: the largest image in bytes.
    """

    server: str = "http://localhost:8080"
    token: str = field(default="", repr=False)
    files: Path | None = None
    hosts: Sequence[str] = ()
    limit: int = MAX_BYTES

    def read(self, name: str, scale: Scale | None = None) -> Sample:
        """The image that a task names.

        Args:
            name: ``/data/upload/…`` and other paths on the server, ``/data/local-files/?d=PATH``, or an
                address.
            scale: how its values become 8 bits, that of the model.

        Raises:
            DataError: when it is not in the folder, or of a kind that is not read.
            DownloadError: when it may not or cannot be fetched.
            ImageError: when it is not a complete image.
        """
        if (local := self._local(name)) is not None:
            return Sample(name, read_image(local, scale))
        url = self._address(name)
        return Sample(name, decode_image(self._fetch(url), url.partition("?")[0], scale))

    def _local(self, name: str) -> Path | None:
        """The file in the folder that a name stands for; None where it is to be fetched."""
        parts = _split(name)
        if parts.path.endswith("/data/local-files/") and not parts.netloc:
            path = parse_qs(parts.query).get("d", [""])[0]
            if self.files is None:
                return None
        elif parts.scheme == "file" or (not parts.scheme and not name.startswith("/data/")):
            path = unquote(parts.path) if parts.scheme else name
            if self.files is None:
                raise DataError(
                    f"{name} is a file, and no folder of files is given. Hint: start with --files DIR, the"
                    " folder that Label Studio serves local files from"
                )
            root = str(self.files.absolute())
            path = path.removeprefix(root.rstrip("/") + "/")
        else:
            return None
        return self._in_folder(path, self.files)

    @staticmethod
    def _in_folder(path: str, folder: Path) -> Path:
        try:
            found = inside(folder, path)
        except DataError:
            raise DataError(
                f"{path!r} is not below {folder}, so it is not read. Hint: check --files and the task"
            ) from None
        # the last part may be a link, too
        if not is_file(found) or not found.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{path!r} is not a file in {folder}. Hint: check --files and the task")
        return found

    def _address(self, name: str) -> str:
        url = urljoin(self.server.rstrip("/") + "/", name) if name.startswith("/") else name
        self._check(url)
        return url

    def _check(self, url: str) -> None:
        """Refuse other servers, so that nobody can make this one fetch what only it can reach.

        Raises:
            DownloadError: when the host is neither the server nor named.
        """
        parts = _split(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise DownloadError(
                f"{url} is not fetched: expected http:// or https://. Hint: let Label Studio serve the images"
                " itself, or give their addresses in the tasks"
            )
        if self._is_server(url) or parts.netloc.lower() in {host.lower() for host in self.hosts}:
            return
        raise DownloadError(
            f"{parts.netloc} is not fetched from: it is neither Label Studio ({self.server}) nor allowed."
            f" Hint: start with --allow-host {parts.netloc}"
        )

    def _is_server(self, url: str) -> bool:
        mine, its = _split(self.server), _split(url)
        return (mine.scheme, mine.netloc.lower()) == (its.scheme, its.netloc.lower())

    def _fetch(self, url: str) -> bytes:
        wanted = request(url)
        if self.token and self._is_server(url):
            # not sent again to where a redirect leads
            wanted.add_unredirected_header("Authorization", self._authorization())
        return self._received(wanted)

    def _authorization(self) -> str:
        """Older tokens are sent as they are; personal access tokens are exchanged for one of some minutes."""
        if not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", self.token):
            return f"Token {self.token}"
        url = urljoin(self.server.rstrip("/") + "/", "api/token/refresh")
        wanted = urllib.request.Request(
            url, json.dumps({"refresh": self.token}).encode(), {"Content-Type": "application/json"}
        )
        answer = parse_json(self._received(wanted), url, "an access token", DownloadError)
        access = answer.get("access") if isinstance(answer, dict) else None
        if not isinstance(access, str):
            raise DownloadError(f"{url} gives no access token. Hint: create another token in Label Studio")
        return f"Bearer {access}"

    def _received(self, wanted: urllib.request.Request) -> bytes:
        url = wanted.full_url
        data = bytearray()
        try:
            with connect(wanted, TIMEOUT, lambda _, new: self._check(new)) as response:
                while chunk := response.read1(CHUNK):
                    data += chunk
                    if len(data) > self.limit:
                        raise DownloadError(f"{url} is larger than the {self.limit:,} bytes that are allowed")
        except (OSError, http.client.HTTPException) as error:
            hint = "check the address of Label Studio and the network"
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code in (401, 403):
                    hint = "put an access token into the environment variable LABEL_STUDIO_API_KEY"
            raise DownloadError(
                f"{url} cannot be fetched: {reason_of(error, 'the transfer was interrupted')}. Hint: {hint}"
            ) from error
        return bytes(data)


def _split(name: str) -> SplitResult:
    try:
        return urlsplit(name)
    except ValueError:
        raise DownloadError(f"{name!r} is not an address. Hint: correct the task") from None
