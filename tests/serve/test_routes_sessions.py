"""``/api/sessions``: prompts over the interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from serve_cases import (
    add_models,
    client_of,
    dense,
    encoded,
    half,
    photos,
    picture,
    rle,
    services_for,
    with_limits,
)
from starlette.testclient import TestClient

from toolkit import Session
from toolkit.serve.services import Services


def test_clicks_are_answered_as_by_a_session_of_the_library(client: TestClient, services: Services) -> None:
    started = client.post("/api/sessions", json={"model": "sam2", "name": "00.png"}).json()
    assert (started["width"], started["height"]) == (60, 40)
    url = f"/api/sessions/{started['session']}/prompt"
    assert services.images is not None
    reference = Session(services.models.get("sam2").predictor, services.images.folder / "00.png")
    points: list[list[float]] = []
    labels: list[int] = []
    for x, y, label in ((15, 12, 1), (30.5, 20, 1), (50, 35, 0), (3, 3, 0), (20, 18, 1)):
        points, labels = [*points, [x, y]], [*labels, label]
        answer = client.post(url, json={"points": points, "labels": labels})
        assert (dense(answer.json()["rle"]) == reference.point(x, y, positive=bool(label)).numpy()).all()
        assert reference.instances.scores is not None
        assert np.float32(answer.json()["score"]) == reference.instances.scores[0].numpy()
    # a second object, in the same session
    reference.new_object("cup")
    answer = client.post(url, json={"box": [5, 5, 30, 25]})
    assert (dense(answer.json()["rle"]) == reference.box(5, 5, 30, 25).numpy()).all()
    answer = client.post(url, json={"mask": rle(half((40, 60))), "box": None})
    reference.new_object("lid")
    assert (dense(answer.json()["rle"]) == reference.mask(half((40, 60))).numpy()).all()


def test_an_image_that_is_sent_has_the_same_answer(client: TestClient) -> None:
    ids = [
        client.post("/api/sessions", json={"model": "sam2", "name": "00.png"}).json()["session"],
        client.post("/api/sessions", files={"image": encoded(picture(0))}, data={"model": "sam2"}).json()[
            "session"
        ],
    ]
    prompt = {"points": [[20, 14]], "labels": [1]}
    first, second = (client.post(f"/api/sessions/{key}/prompt", json=prompt).json() for key in ids)
    assert first == second


def test_a_session_is_closed_by_its_client(client: TestClient, services: Services) -> None:
    keys = [
        client.post("/api/sessions", json={"model": "sam2", "name": "00.png"}).json()["session"]
        for _ in range(2)
    ]
    assert len(services.sessions) == 2
    assert client.delete(f"/api/sessions/{keys[0]}").status_code == 204
    # as navigator.sendBeacon does, which cannot DELETE
    beacon = client.post(
        f"/api/sessions/{keys[1]}/close", content=b"", headers={"Content-Type": "text/plain"}
    )
    assert beacon.status_code == 204
    assert len(services.sessions) == 0
    assert client.delete(f"/api/sessions/{keys[0]}").status_code == 404
    assert client.post(f"/api/sessions/{keys[0]}/close").status_code == 204
    assert client.post(f"/api/sessions/{keys[0]}/prompt", json={"box": [1, 2, 3, 4]}).status_code == 404


def test_failures_give_their_place_back(client: TestClient, services: Services) -> None:
    for _ in range(40):
        answer = client.post("/api/sessions", json={"model": "sam2", "name": "nothing.png"})
        assert answer.status_code == 404
    assert client.post("/api/sessions", json={"model": "sam2", "name": "00.png"}).status_code == 200


def test_when_all_places_are_taken_the_answer_says_when_to_come_back(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    limited = add_models(services_for(tmp_path, limits=with_limits(sessions=1)))
    with client_of(limited) as client:
        body = {"model": "sam2", "name": "00.png"}
        assert client.post("/api/sessions", json=body).status_code == 200
        answer = client.post("/api/sessions", json=body)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
