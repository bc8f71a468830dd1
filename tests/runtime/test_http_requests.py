"""What all requests share: which redirections are followed, and words for failures."""

from __future__ import annotations

import http.client
import urllib.error
from email.message import Message

import pytest
from support.file_server import BODY, FileServer

from toolkit.runtime.http_requests import CheckedRedirects, connect, is_permanent, reason_of, request


class RefusedError(Exception):
    pass


def no_other_host(url: str, new: str) -> None:
    if new.split("/")[2] != url.split("/")[2]:
        raise RefusedError(new)


def test_a_check_says_which_redirections_are_followed(file_server: FileServer) -> None:
    file_server.behavior.redirects = {"/a": "/b", "/b": "/data.bin", "/away": "http://example.org/x"}
    with connect(request(f"{file_server.root}/a"), 5, no_other_host) as answer:
        assert answer.read() == BODY
    with pytest.raises(RefusedError, match=r"http://example\.org/x"):
        connect(request(f"{file_server.root}/away"), 5, no_other_host)
    assert file_server.behavior.paths == ["/a", "/b", "/data.bin", "/away"]


def test_a_redirection_keeps_the_headers() -> None:
    handler = CheckedRedirects(no_other_host)
    asked = request("https://example.org/a.zip", Range="bytes=5-")
    other = handler.redirect_request(asked, None, 302, "Found", Message(), "https://example.org/b.zip")
    assert other is not None
    assert other.full_url == "https://example.org/b.zip"
    assert other.get_header("Range") == "bytes=5-"
    assert other.get_header("User-agent") == "toolkit"


@pytest.mark.parametrize(
    ("error", "words", "permanent"),
    [
        (
            urllib.error.HTTPError("u", 404, "Not Found", Message(), None),
            "the server answered 404 Not Found",
            1,
        ),
        (urllib.error.HTTPError("u", 503, "Busy", Message(), None), "the server answered 503 Busy", 0),
        (urllib.error.URLError("refused"), "no connection: refused", 0),
        (TimeoutError(), "it broke off: TimeoutError", 0),
        (http.client.IncompleteRead(b"", 5), "it broke off: IncompleteRead", 0),
    ],
)
def test_words_for_what_went_wrong(error: Exception, words: str, permanent: int) -> None:
    assert reason_of(error, "it broke off").startswith(words)
    assert is_permanent(error) == permanent
