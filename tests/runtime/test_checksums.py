"""What is said of files that are not what was published, or not what they were."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from toolkit.errors import DownloadError
from toolkit.registry.manifests import Download
from toolkit.runtime.checksums import digest_of, kept_fault, kept_file, published_fault

URL = "https://example.org/a.bin"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    return path


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
def test_digests(file: Path, kind: str) -> None:
    assert digest_of(file, kind) == hashlib.new(kind, b"abc").hexdigest()


def test_faults_by_what_is_published(file: Path) -> None:
    md5 = hashlib.md5(b"abc").hexdigest()
    for good in ({}, {"size": 3}, {"checksum": f"md5:{md5}"}, {"checksum": f"md5:{md5[:6]}", "size": 3}):
        assert published_fault(file, Download(URL, **good)) == ""
    assert published_fault(file, Download(URL, size=4)) == "the file has 3 bytes instead of 4"
    wrong = Download(URL, checksum="md5:abcdef")
    assert published_fault(file, wrong) == f"the file's md5 is {md5} instead of one that begins with abcdef"


def test_what_was_kept_may_come_from_other_tools(file: Path) -> None:
    digest = hashlib.sha256(b"abc").hexdigest()
    for line in (f"{digest}  a.bin\n", f"{digest} *a.bin\n", digest, f"{digest}\n"):
        kept_file(file).write_text(line)
        assert kept_fault(file, file) == ""
    kept_file(file).write_text("0" * 64)
    assert kept_fault(file, file) == f"its sha256 is {digest}, but {kept_file(file)} has {'0' * 64}"


@pytest.mark.parametrize("content", [b"", b"no digest  a.bin", b"\xff\xfe", b"0" * 63])
def test_what_was_kept_is_damaged_and_the_advice_works(file: Path, content: bytes) -> None:
    kept_file(file).write_bytes(content)
    with pytest.raises(DownloadError, match="instead of a sha256.*Hint: remove it"):
        kept_fault(file, file)
    kept_file(file).unlink()
    assert kept_fault(file, file) == ""
    assert kept_file(file).read_text() == f"{hashlib.sha256(b'abc').hexdigest()}  a.bin\n"


def test_a_folder_that_others_write(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "toolkit")

    def refuse(*names: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    assert kept_fault(file, file) == ""
    assert not kept_file(file).exists()
    assert "could not be saved" in caplog.text
