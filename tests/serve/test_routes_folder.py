"""``/api/images``, ``/api/labels`` and ``/api/categories`` over the interface."""

from __future__ import annotations

from typing import Any

import numpy as np
from serve_cases import SIZE, dense, half, ring, rle
from starlette.testclient import TestClient


def save(client: TestClient, name: str, *objects: dict[str, Any], revision: str | None = None) -> Any:
    headers = {} if revision is None else {"If-Match": revision}
    return client.put("/api/labels", params={"name": name}, json={"objects": objects}, headers=headers)


def test_images_come_in_pages_and_say_what_is_labeled(client: TestClient) -> None:
    assert save(client, "sub/06.png").status_code == 200
    first = client.get("/api/images", params={"limit": 3}).json()
    assert first == {
        "total": 7,
        "labeled": 1,
        "folder": first["folder"],
        "explanations": False,
        "images": [{"name": f"{i:02}.png", "labeled": False} for i in range(3)],
    }
    last = client.get("/api/images", params={"offset": 6, "limit": 3}).json()
    assert last["images"] == [{"name": "sub/06.png", "labeled": True}]
    assert client.get("/api/images", params={"offset": 99}).json()["images"] == []


def test_sizes(client: TestClient) -> None:
    answer = client.get("/api/image/size", params={"name": "sub/06.png"})
    assert answer.json() == {"width": 60, "height": 40}


def test_labels_are_saved_and_guarded_by_their_revision(client: TestClient) -> None:
    start = client.get("/api/labels", params={"name": "00.png"})
    assert start.json() == {"revision": "unlabeled", "objects": []}
    first = save(
        client, "00.png", {"category": "cup", "rle": rle(ring(SIZE))}, revision=start.headers["ETag"]
    )
    assert first.status_code == 200, first.text
    assert (dense(first.json()["objects"][0]["rle"]) == ring(SIZE)).all()
    assert first.headers["ETag"] == f'"{first.json()["revision"]}"'
    lost = save(client, "00.png", revision=start.headers["ETag"])
    assert lost.status_code == 409
    assert lost.headers["ETag"] == first.headers["ETag"]
    # the answer can be sent back as it is, and a star or no header stands for anything
    assert client.put("/api/labels?name=00.png", json=first.json()).json() == first.json()
    assert save(client, "00.png", revision="*").json()["objects"] == []
    assert client.delete("/api/labels?name=00.png", headers={"If-Match": '"old"'}).status_code == 409
    assert client.delete("/api/labels?name=00.png").status_code == 204
    assert client.get("/api/labels?name=00.png").json()["revision"] == "unlabeled"


def test_predictions_can_be_saved_as_labels(client: TestClient) -> None:
    body = {"model": "halves", "name": "00.png", "score_threshold": 0}
    found = client.post("/api/predict", json=body).json()["objects"]
    objects = [{"category": each["category"], "rle": each["rle"]} for each in found]
    saved = save(client, "00.png", *objects).json()["objects"]
    assert [each["category"] for each in saved] == ["left", "ring"]
    assert all(
        (dense(each["rle"]) == mask).all() for each, mask in zip(saved, (half(SIZE), ring(SIZE)), strict=True)
    )


def test_categories(client: TestClient) -> None:
    assert client.get("/api/categories").json()["categories"] == []
    save(client, "00.png", {"category": "cup", "rle": rle(half(SIZE))})
    now = client.get("/api/categories")
    changed = now.json()
    changed["categories"][0]["name"] = "mug"
    changed["categories"].append({"name": "lid"})
    then = client.put("/api/categories", json=changed, headers={"If-Match": now.headers["ETag"]})
    assert then.status_code == 200, then.text
    assert [each["name"] for each in then.json()["categories"]] == ["mug", "lid"]
    assert client.get("/api/labels?name=00.png").json()["objects"][0]["category"] == "mug"
    refused = client.put("/api/categories", json=changed, headers={"If-Match": now.headers["ETag"]})
    assert refused.status_code == 409


def test_a_revision_does_not_depend_on_other_images(client: TestClient) -> None:
    first = save(client, "00.png", {"category": "cup", "rle": rle(half(SIZE))}).json()
    for name in ("01.png", "02.png"):
        save(client, name, {"category": "lid", "rle": rle(np.ones(SIZE, bool))})
    assert client.get("/api/labels?name=00.png").json() == first
