"""``/api/explanations``: with and without a folder of heat maps."""

from __future__ import annotations

from pathlib import Path

from serve_cases import client_of, photos, services_for
from starlette.testclient import TestClient
from test_explanations_served import entry, write


def test_without_a_folder_there_are_no_maps(client: TestClient) -> None:
    assert client.get("/api/explanations", params={"name": "00.png"}).json() == {"maps": []}
    answer = client.get("/api/explanations/map", params={"name": "00.png"})
    assert answer.status_code == 404
    assert "--explanations" in answer.json()["detail"]
    assert not client.get("/api/images").json()["explanations"]


def test_maps_are_sent_by_the_name_of_an_image(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    folder = write(tmp_path / "maps", entry("00.png"), entry("01.png", "maps/none.png"))
    with client_of(services_for(tmp_path, explanations=folder)) as client:
        found = client.get("/api/explanations", params={"name": "00.png"}).json()
        assert [each["name"] for each in found["maps"]] == ["layercam: cat"]
        answer = client.get("/api/explanations/map", params={"name": "00.png", "number": 0})
        assert (answer.content, answer.headers["content-type"]) == (b"a map", "image/png")
        for name, number, status in (
            ("00.png", 1, 404),
            ("00.png", -1, 422),
            ("../x", 0, 404),
            ("01.png", 0, 422),
        ):
            answer = client.get("/api/explanations/map", params={"name": name, "number": number})
            assert answer.status_code == status
            assert answer.json()["detail"]
