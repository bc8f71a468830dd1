"""The image of a request: forms and JSON."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest
from serve_cases import add_models, client_of, encoded, picture, services_for
from starlette.testclient import TestClient


@pytest.fixture
def client() -> Iterator[TestClient]:
    with client_of(add_models(services_for())) as client:
        yield client


def test_the_fields_of_a_form_are_read_as_their_types(client: TestClient) -> None:
    file = {"image": ("a.png", encoded(picture()))}
    for above, count in (("0", 2), ("0.5", 1), ("1", 0)):
        data = {"model": "halves", "score_threshold": above}
        answer = client.post("/api/predict", files=file, data=data)
        assert len(answer.json()["objects"]) == count
    for data in ({"score_threshold": "high"}, {"score_threshold": "nan"}, {"unknown": "1"}):
        assert client.post("/api/predict", files=file, data=data).status_code == 422


def test_too_many_fields_and_files_are_refused(client: TestClient) -> None:
    file = {"image": ("a.png", encoded(picture()))}
    many = client.post("/api/predict", files=file, data={str(i): "x" for i in range(50)})
    assert many.status_code == 400
    assert "Too many fields" in many.json()["detail"]
    two = client.post("/api/predict", files=[("image", b"a"), ("image", b"b")])
    assert two.status_code == 400
    assert (
        client.post("/api/predict", files={"model": ("a", b"a")}, data={"image": "text"}).status_code == 422
    )


def test_nothing_is_written_to_the_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms with large files usually are."""

    def roll(file: object) -> None:
        raise AssertionError("the file was written to the disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", roll)
    data = encoded(picture(size=(1200, 1600)))
    assert len(data) > 2 << 20
    assert client.post("/api/predict", files={"image": data}).status_code == 200


def test_a_name_may_be_anything(client: TestClient) -> None:
    for name in ("../../etc/passwd", "a\u00e9.png", '"quoted".png', "x" * 3000):
        answer = client.post("/api/predict", files={"image": (name, encoded(picture()))})
        assert answer.status_code == 200, answer.text
