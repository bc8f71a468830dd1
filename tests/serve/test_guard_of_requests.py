"""Bad requests: each is answered with a reason, the server lives, and nothing is written anywhere."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serve_cases import (
    SIZE,
    add_models,
    client_of,
    encoded,
    half,
    photos,
    picture,
    rle,
    services_for,
    with_limits,
)
from starlette.testclient import TestClient

from toolkit.serve.guard import HEADERS
from toolkit.serve.services import Services

JSON = {"Content-Type": "application/json"}
PREDICT, SESSIONS = "/api/predict", "/api/sessions"
LABELS = "/api/labels?name=00.png"


def huge() -> bytes:
    """A PNG of 100 megapixels in a few bytes."""
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def objects(*entries: Any) -> str:
    return json.dumps({"objects": list(entries)})


def state_of(folder: Path) -> dict[str, str]:
    """All files below a folder, with their contents."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, TestClient, Path]]:
    folder = tmp_path_factory.mktemp("served")
    photos(folder / "photos")
    (folder / "photos" / "text.png").write_text("this is no image")
    (folder / "photos" / "huge.png").write_bytes(huge())
    (folder / "photos" / "cut.png").write_bytes(encoded(picture())[:500])
    (folder / "secret.png").write_bytes(encoded(picture(9)))
    (folder / "photos" / "way-out.png").symlink_to(folder / "secret.png")
    (folder / "photos" / "way-out").symlink_to(folder)
    services = add_models(services_for(folder, limits=with_limits(body_bytes=1 << 20)))
    with client_of(services) as client:
        yield services, client, folder


def ask(client: TestClient, method: str, url: str, body: Any, headers: dict[str, str]) -> Any:
    if isinstance(body, dict):
        return client.request(method, url, headers=headers, **body)
    return client.request(method, url, content=body, headers=headers)


def upload(data: bytes) -> dict[str, Any]:
    return {"files": {"image": ("photo.png", data)}, "data": {"model": "bright"}}


def named(name: str, model: str = "bright", **more: Any) -> dict[str, Any]:
    return {"json": {"model": model, "name": name, **more}}


BAD: dict[str, tuple[str, str, Any, dict[str, str], int, str]] = {
    "not an image": ("POST", PREDICT, upload(b"hello world, this is text"), {}, 422, "not a readable image"),
    "an empty image": ("POST", PREDICT, upload(b""), {}, 422, "empty"),
    "100 megapixels": ("POST", PREDICT, upload(huge()), {}, 413, "100,000,000 pixels"),
    "a truncated image": ("POST", PREDICT, upload(encoded(picture())[:900]), {}, 422, "photo.png"),
    "an image of 0 pixels": (
        "POST",
        PREDICT,
        upload(encoded(picture())[:16] + b"\0" * 40),
        {},
        422,
        "photo.png",
    ),
    "no image in the form": (
        "POST",
        PREDICT,
        {"data": {"model": "bright"}, "files": {"other": b"x"}},
        {},
        422,
        "image",
    ),
    "a broken form": ("POST", PREDICT, b"--x\r\n", {"Content-Type": "multipart/form-data"}, 400, "form"),
    "a file of text in the folder": ("POST", PREDICT, named("text.png"), {}, 422, "text.png"),
    "a huge file in the folder": ("POST", PREDICT, named("huge.png"), {}, 413, "--max-pixels"),
    "a truncated file in the folder": ("POST", SESSIONS, named("cut.png", "sam2"), {}, 422, "cut.png"),
    "traversal": ("POST", PREDICT, named("../secret.png"), {}, 404, "no image"),
    "traversal in an address": ("GET", "/api/image?name=..%2Fsecret.png", b"", {}, 404, "no image"),
    "traversal twice encoded": ("GET", "/api/image?name=..%252Fsecret.png", b"", {}, 404, "no image"),
    "traversal while saving": ("PUT", "/api/labels?name=../secret.png", objects(), JSON, 404, "no image"),
    "an absolute path": ("GET", "/api/image?name=/etc/hostname", b"", {}, 404, "no image"),
    "a link out of the folder": ("GET", "/api/image?name=way-out.png", b"", {}, 404, "no image"),
    "through a link out of the folder": (
        "GET",
        "/api/image?name=way-out/secret.png",
        b"",
        {},
        404,
        "no image",
    ),
    "a zero byte in a name": ("GET", "/api/image?name=a%00.png", b"", {}, 404, "no image"),
    "a name that is not UTF-8": ("GET", "/api/image?name=%ff.png", b"", {}, 404, "no image"),
    "an endless name": ("GET", "/api/image?name=" + "a" * 5000, b"", {}, 422, "name"),
    "no name": ("GET", "/api/image", b"", {}, 422, "name"),
    "traversal to the code": ("GET", "/..%2fapp.py", b"", {}, 404, "Not Found"),
    "an unknown address": ("GET", "/api/nothing", b"", {}, 404, "Not Found"),
    "a wrong method": ("PATCH", PREDICT, b"", {}, 405, "Not Allowed"),
    "an unknown model": ("POST", PREDICT, named("00.png", "none"), {}, 404, "bright, halves, sam2"),
    "a wrong type": ("POST", PREDICT, {"json": {"model": 7, "name": ["00.png"]}}, {}, 422, "name"),
    "an unknown field": ("POST", PREDICT, named("00.png", above=1), {}, 422, "above"),
    "an unknown format": ("POST", PREDICT + "?format=bmp", named("00.png"), {}, 422, "format"),
    "a threshold that is NaN": (
        "POST",
        PREDICT,
        b'{"name":"00.png","score_threshold":NaN}',
        JSON,
        422,
        "threshold",
    ),
    "a threshold above 1": (
        "POST",
        PREDICT,
        named("00.png", score_threshold=2),
        {},
        422,
        "less than or equal",
    ),
    "no JSON": ("POST", PREDICT, b"{", JSON, 422, "JSON"),
    "JSON that nests without end": ("POST", PREDICT, b"[" * 100_000, JSON, 422, "JSON"),
    "no type": ("POST", PREDICT, b"{}", {}, 415, "multipart/form-data"),
    "prompts for a model without": ("POST", SESSIONS, named("00.png"), {}, 422, "takes no prompts"),
    "an unknown session": (
        "POST",
        SESSIONS + "/abc/prompt",
        {"json": {"box": [1, 2, 3, 4]}},
        {},
        404,
        "no such session",
    ),
    "a body that is too large": ("POST", PREDICT, b"x" * (2 << 20), JSON, 413, "--max-body"),
    "a length that is no number": (
        "POST",
        PREDICT,
        b"{}",
        {**JSON, "Content-Length": "many"},
        400,
        "Content-Length",
    ),
    "a negative page": ("GET", "/api/images?offset=-1", b"", {}, 422, "offset"),
    "too large a page": ("GET", "/api/images?limit=1000000", b"", {}, 422, "limit"),
    "a foreign origin": ("GET", "/api/models", b"", {"Origin": "https://evil.example"}, 403, "another site"),
    "no origin": ("GET", "/api/models", b"", {"Origin": "null"}, 403, "another site"),
    "a picture in a foreign page": (
        "GET",
        "/api/image?name=00.png",
        b"",
        {"Sec-Fetch-Site": "cross-site"},
        403,
        "another site",
    ),
    "a foreign host": ("GET", "/api/models", b"", {"Host": "evil.example"}, 421, "host"),
    "a foreign host that looks like ours": ("GET", "/", b"", {"Host": "localhost.evil.example"}, 421, "host"),
    "a host that is no host": ("GET", "/", b"", {"Host": "a@b/c"}, 421, "host"),
    "a mask of another size": (
        "PUT",
        LABELS,
        objects({"category": "a", "rle": rle(half((9, 9)))}),
        JSON,
        422,
        "size",
    ),
    "a mask that is none": (
        "PUT",
        LABELS,
        objects({"category": "a", "rle": {"size": [40, 60], "counts": "`" * 99}}),
        JSON,
        422,
        "run lengths",
    ),
    "a mask of billions of pixels": (
        "PUT",
        LABELS,
        objects({"category": "a", "rle": {"size": [2**40, 2**40], "counts": "0"}}),
        JSON,
        422,
        "size",
    ),
    "a mask without pixels": (
        "PUT",
        LABELS,
        objects({"category": "a", "rle": rle(np.zeros(SIZE, bool))}),
        JSON,
        422,
        "no pixel",
    ),
    "a category without a name": (
        "PUT",
        LABELS,
        objects({"category": "", "rle": rle(half(SIZE))}),
        JSON,
        422,
        "category",
    ),
    "objects that are no list": ("PUT", LABELS, '{"objects": {"a": 1}}', JSON, 422, "objects"),
    "labels of a file of text": ("PUT", "/api/labels?name=text.png", objects(), JSON, 422, "text.png"),
    "an outdated revision": ("PUT", LABELS, objects(), {**JSON, "If-Match": '"old"'}, 409, "have changed"),
    "training without labels": (
        "POST",
        "/api/training",
        {"json": {"model": "bright", "name": "new"}},
        {},
        422,
        "cannot be trained",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_answered_with_a_reason_and_writes_nothing(
    server: tuple[Services, TestClient, Path], case: str
) -> None:
    _, client, folder = server
    method, url, body, headers, status, words = BAD[case]
    before = state_of(folder)
    answer = ask(client, method, url, body, headers)
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert words in detail
    assert str(folder) not in detail, "where files are is nobody's business"
    assert state_of(folder) == before
    assert client.get("/health").json() == {"status": "ok"}
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


CLICKS: dict[str, tuple[Any, str]] = {
    "NaN": (b'{"points": [[NaN, 1]], "labels": [1]}', "finite"),
    "infinity": (b'{"points": [[1e999, 1]], "labels": [1]}', "finite"),
    "outside": (b'{"points": [[60, 1]], "labels": [1]}', "lies outside the image, which is 60 × 40"),
    "negative": (b'{"points": [[-1, 1]], "labels": [1]}', "lies outside"),
    "three numbers": (b'{"points": [[1, 2, 3]], "labels": [1]}', "at most 2"),
    "a text": (b'{"points": [["a", 2]], "labels": [1]}', "number"),
    "no label": (b'{"points": [[1, 2]], "labels": []}', "1 points and 0 labels"),
    "another label": (b'{"points": [[1, 2]], "labels": [2]}', "less than or equal to 1"),
    "nothing": (b"{}", "no points, no box and no mask"),
    "too many": (json.dumps({"points": [[1, 2]] * 201, "labels": [1] * 201}).encode(), "at most 200"),
    "a box outside": (b'{"box": [70, 50, 80, 60]}', "does not overlap"),
    "an empty box": (b'{"box": [10, 10, 10, 20]}', "does not overlap"),
    "a box of NaN": (b'{"box": [NaN, 10, 20, 20]}', "finite"),
    "half a box": (b'{"box": [1, 2]}', "at least 4"),
    "a mask of another size": (json.dumps({"mask": rle(half((9, 9)))}).encode(), "size"),
    "an empty mask": (json.dumps({"mask": rle(np.zeros(SIZE, bool))}).encode(), "empty"),
}


@pytest.fixture(scope="module")
def prompt_url(server: tuple[Services, TestClient, Path]) -> str:
    answer = server[1].post(SESSIONS, json={"model": "sam2", "name": "00.png"})
    return f"{SESSIONS}/{answer.json()['session']}/prompt"


@pytest.mark.parametrize("case", CLICKS)
def test_bad_clicks_are_answered_with_a_reason_and_the_session_goes_on(
    server: tuple[Services, TestClient, Path], prompt_url: str, case: str
) -> None:
    _, client, _ = server
    body, words = CLICKS[case]
    answer = client.post(prompt_url, content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]
    assert client.post(prompt_url, json={"points": [[1, 2]], "labels": [1]}).status_code == 200


def test_a_body_without_a_length_is_limited_too(server: tuple[Services, TestClient, Path]) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * (1 << 16)

    answer = server[1].post(PREDICT, content=parts(), headers=JSON)
    assert answer.status_code == 413


def test_bodies_together_are_limited(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    services = add_models(services_for(tmp_path, limits=with_limits(bodies_bytes=1000)))
    with client_of(services) as client:
        assert client.post(PREDICT, content=b"x" * 2000, headers=JSON).status_code == 503
        # what was held is given back
        assert client.post(PREDICT, **named("00.png")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:8000"},
        {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"},
        {"Host": "[::1]:8000"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_own_pages_and_programs_pass(
    server: tuple[Services, TestClient, Path], headers: dict[str, str]
) -> None:
    assert server[1].get("/api/models", headers=headers).status_code == 200


TOKEN = "s3cret-token"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a server that needs a token, without it."""
    services = add_models(services_for(host="0.0.0.0", token=TOKEN))
    with client_of(services) as client:
        yield client


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/api/models", {}),
        ("/", {}),
        ("/docs", {}),
        ("/metrics", {}),
        ("/api/models?token=", {}),
        ("/api/models?token=wrong", {}),
        ("/api/models", {"Authorization": "Bearer wrong"}),
        ("/api/models", {"Authorization": "Bearer "}),
        ("/api/models", {"Authorization": f"Basic {TOKEN}"}),
        ("/api/models", {"Authorization": "Bearer s3cret-tokenn\u00e9".encode("latin-1")}),
        ("/api/models", {"Cookie": "toolkit_token_8000=wrong"}),
    ],
)
def test_without_the_token_nothing_is_shown(locked: TestClient, url: str, headers: dict[str, Any]) -> None:
    answer = locked.get(url, headers=headers, follow_redirects=False)
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["detail"]
    assert TOKEN not in answer.text


def test_the_token_passes_as_a_header_and_in_the_address(locked: TestClient) -> None:
    assert locked.get("/api/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert locked.get("/api/models", params={"token": TOKEN}).status_code == 200
    assert locked.get("/health").status_code == 200


def test_the_page_keeps_the_token_as_a_cookie_that_scripts_cannot_read(locked: TestClient) -> None:
    answer = locked.get(f"/?token={TOKEN}&name=a", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?name=a", "the token leaves the address"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    try:
        assert locked.get("/api/models").status_code == 200
        foreign = locked.get("/api/models", headers={"Origin": "http://evil.example"})
        assert foreign.status_code == 403, "not even with the cookie"
    finally:
        locked.cookies.clear()


def test_responses_name_no_other_site(server: tuple[Services, TestClient, Path]) -> None:
    policy = server[1].get("/docs").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy


def test_images_are_read_as_they_are(server: tuple[Services, TestClient, Path]) -> None:
    """The other tests in this file would pass if every answer were an error."""
    from PIL import Image

    found = server[1].get("/api/image?name=00.png")
    assert (np.array(Image.open(io.BytesIO(found.content))) == picture(0)).all()
