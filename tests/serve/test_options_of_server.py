"""What can be set when the server is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import UsageError
from toolkit.serve.options import ServeOptions, default_labels, is_loopback


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True), ("[::1]", True)),
        *(("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("example.org", False), ("", False)),
        ("localhost.evil.example", False),
    ],
)
def test_only_loopback_needs_no_token(host: str, is_local: bool) -> None:
    assert is_loopback(host) == is_local
    if is_local:
        ServeOptions(("run",), host=host)
    else:
        with pytest.raises(UsageError, match=r"no token. Hint: give one with --token"):
            ServeOptions(("run",), host=host)
    ServeOptions(("run",), host=host, token="x")


@pytest.mark.parametrize("port", [-1, 65_536])
def test_ports_have_a_range(port: int) -> None:
    with pytest.raises(UsageError, match="up to 65535"):
        ServeOptions(("run",), port=port)


def test_labels_belong_to_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--images"):
        ServeOptions(("run",), labels=tmp_path)
    assert default_labels(tmp_path / "photos") == tmp_path / "photos-labels"
    assert default_labels(tmp_path / "photos" / ".." / "photos") == tmp_path / "photos-labels"
