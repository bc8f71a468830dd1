"""``/api/training`` over the interface."""

from __future__ import annotations

from serve_cases import add_models, client_of, services_for
from starlette.testclient import TestClient


def test_nothing_is_trained_at_first(client: TestClient) -> None:
    assert client.get("/api/training").json() == {"state": "idle"}
    assert client.post("/api/training/stop").json() == {"state": "idle"}


def test_what_cannot_be_trained_says_why(client: TestClient) -> None:
    for body, words in (
        ({"model": "bright", "name": "new"}, "cannot be trained"),
        ({"model": "none", "name": "new"}, "no model"),
        ({"model": "bright"}, "name"),
        ({"name": "new", "settings": "fast"}, "settings"),
    ):
        answer = client.post("/api/training", json=body)
        assert answer.status_code in (404, 422)
        assert words in answer.json()["detail"]


def test_without_a_folder_there_are_no_labels() -> None:
    with client_of(add_models(services_for())) as client:
        assert client.get("/api/training").json() == {"state": "idle"}
        for url in ("/api/training/stop", "/api/training"):
            answer = client.post(url, json={"name": "new"})
            assert answer.status_code == 404
            assert "--images" in answer.json()["detail"]
