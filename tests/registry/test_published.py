"""What is published of a file, as manifests say it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from toolkit import registry
from toolkit.errors import UsageError
from toolkit.registry.published import Download

URL = "https://example.org/a.zip"


@pytest.mark.parametrize(
    ("download", "published", "is_pinned", "facts"),
    [
        (Download(URL), None, False, ""),
        (Download(URL, size=1234), None, False, "1,234 bytes"),
        (Download(URL, "0" * 64, 5), ("sha256", "0" * 64), True, f"5 bytes, sha256 {'0' * 64}"),
        (Download(URL, checksum=f"md5:{'a' * 32}"), ("md5", "a" * 32), True, f"md5 {'a' * 32}"),
        (Download(URL, checksum="md5:f10217"), ("md5", "f10217"), False, "md5 f10217…"),
    ],
)
def test_what_is_known(
    download: Download, published: tuple[str, str] | None, is_pinned: bool, facts: str
) -> None:
    assert download.published == published
    assert download.is_pinned == is_pinned
    assert download.facts == facts


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "a.zip"),
        ("https://example.org/files/a.zip?download=1", "a.zip"),
        ("https://example.org/a.zip#part", "a.zip"),
    ],
)
def test_names(url: str, name: str) -> None:
    assert Download(url).name == name
    assert Download(url, filename="b.zip").name == "b.zip"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"checksum": "f10217"}, "checksum must read 'kind:digits'"),
        ({"checksum": "crc32:f10217ab"}, "one of md5, sha1, sha256"),
        ({"checksum": "md5:f1021"}, "six hex digits or more"),
        ({"checksum": f"md5:{'0' * 33}"}, "checksum must read"),
        ({"checksum": "md5:F10217"}, "checksum must read"),
        ({"checksum": "md5:f10217", "sha256": "0" * 64}, "give sha256 or checksum, not both"),
        ({"url": "ftp://example.org/a.zip"}, "must begin with https:// or http://"),
        ({"url": "https://example.org/"}, "'' is not a file name. Hint: set filename"),
        ({"filename": "../a.zip"}, "'../a.zip' is not a file name"),
        ({"filename": "a\\b.zip"}, "is not a file name"),
        ({"filename": ".."}, "'..' is not a file name"),
    ],
    ids=str,
)
def test_what_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Download(**{"url": URL, **values})
    assert message in str(caught.value)


def test_what_the_toolkit_fetches_comes_by_https() -> None:
    downloads = [one for dataset in registry.datasets() for one in dataset.downloads]
    downloads += [
        weights.download for plugin in registry.plugins() for weights in plugin.weights if weights.download
    ]
    assert len(downloads) > 20
    for download in downloads:
        assert urlsplit(download.url).scheme == "https"
