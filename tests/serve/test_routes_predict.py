"""``/api/models`` and ``/api/predict``: what models answer about images of the folder, and about others."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from serve_cases import SIZE, add_models, client_of, dense, encoded, half, picture, ring, services_for
from starlette.testclient import TestClient

from toolkit.serve.services import Services


def test_models_say_what_they_are(client: TestClient) -> None:
    found = {each["name"]: each for each in client.get("/api/models").json()}
    assert list(found) == ["bright", "halves", "sam2"]
    assert found["bright"]["kind"] == "semantic"
    assert found["bright"]["classes"] == ["background", "bright"]
    assert len(found["bright"]["colors"]) == 2
    assert not found["bright"]["promptable"]
    assert found["sam2"]["promptable"]
    assert found["sam2"]["takes_masks"]
    assert not any(each["run"] for each in found.values()), "none of them can be trained"


def test_a_label_map_and_the_regions_of_its_classes(client: TestClient) -> None:
    answer = client.post("/api/predict", json={"model": "bright", "name": "00.png"})
    found = answer.json()
    expected = picture(0).astype(float).mean(2) > 128
    assert found["size"] == list(SIZE)
    label_map = np.array(Image.open(io.BytesIO(base64.b64decode(found["label_map"]["png"]))))
    assert (label_map == expected).all()
    assert found["label_map"]["classes"] == ["background", "bright"]
    (region,) = found["objects"]
    assert (region["category"], region["score"]) == ("bright", None)
    assert (dense(region["rle"]) == expected).all()


@pytest.mark.parametrize(("above", "names"), [(None, ["left"]), (0.0, ["left", "ring"]), (0.95, [])])
def test_objects_above_a_score(client: TestClient, above: float | None, names: list[str]) -> None:
    body = {"model": "halves", "name": "sub/06.png", "score_threshold": above}
    found = client.post("/api/predict", json=body).json()["objects"]
    assert [each["category"] for each in found] == names
    masks = {"left": half(SIZE), "ring": ring(SIZE)}
    for each in found:
        assert (dense(each["rle"]) == masks[each["category"]]).all()
    if above == 0.0:
        assert found[0]["box_xyxy"] == [0, 0, 30, 40]
        assert found[1]["score"] == pytest.approx(0.3)


def test_an_image_that_is_sent_has_the_same_answer(client: TestClient) -> None:
    file = {"image": ("any.png", encoded(picture(3)))}
    sent = client.post("/api/predict", files=file, data={"model": "bright"})
    assert sent.status_code == 200, sent.text
    assert sent.json() == client.post("/api/predict", json={"model": "bright", "name": "03.png"}).json()


def test_without_a_name_the_first_model_predicts(client: TestClient) -> None:
    first = client.post("/api/predict", json={"name": "00.png"}).json()
    assert first == client.post("/api/predict", json={"model": "bright", "name": "00.png"}).json()


def test_polygons_have_the_same_pixels_with_holes_and_parts(client: TestClient) -> None:
    body = {"model": "halves", "name": "00.png", "score_threshold": 0}
    _, found = client.post("/api/predict?format=polygons", json=body).json()["objects"]
    assert "rle" not in found
    assert sorted(len(part) for part in found["polygons"]) == [1, 2], "two parts, one with a hole"
    filled = np.zeros(SIZE, np.uint8)
    for part in found["polygons"]:
        # corners of pixels as centers of pixels twice as fine
        canvas = np.zeros((2 * SIZE[0] + 1, 2 * SIZE[1] + 1), np.uint8)
        cv2.fillPoly(canvas, [2 * np.array(line, np.int32) for line in part], 1)
        filled |= canvas[1::2, 1::2]
    assert (filled == ring(SIZE)).all()


def test_pictures(client: TestClient) -> None:
    body = {"model": "halves", "name": "00.png", "score_threshold": 0}
    numbers = client.post("/api/predict?format=png", json=body)
    assert numbers.headers["content-type"] == "image/png"
    expected = np.where(ring(SIZE), 2, half(SIZE))
    assert (np.array(Image.open(io.BytesIO(numbers.content))) == expected).all()
    labels = client.post("/api/predict?format=png", json={"model": "bright", "name": "00.png"})
    found = Image.open(io.BytesIO(labels.content))
    assert found.mode == "P"
    assert set(np.unique(np.array(found))) == {0, 1}
    drawn = client.post("/api/predict?format=overlay", json=body)
    assert drawn.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(drawn.content)).size == SIZE[::-1]


def test_an_image_that_is_sent_is_drawn_over(client: TestClient) -> None:
    file = {"image": ("any.png", encoded(picture(3)))}
    sent = client.post("/api/predict?format=overlay", files=file, data={"model": "halves"})
    assert Image.open(io.BytesIO(sent.content)).size == SIZE[::-1]


def test_without_a_folder_images_can_be_sent() -> None:
    with client_of(add_models(services_for())) as client:
        assert client.get("/api/images").json()["total"] == 0
        assert client.post("/api/predict", files={"image": encoded(picture())}).status_code == 200
        answer = client.post("/api/predict", json={"name": "00.png"})
    assert answer.status_code == 404
    assert "--images" in answer.json()["detail"]


def test_a_failing_model_is_an_error_of_the_server_and_it_lives(
    services: Services, client: TestClient, tmp_path: Path
) -> None:
    services.models.get("bright").predictor.model.fails_on = "00.png"  # type: ignore[assignment]
    body = {"model": "bright", "name": "00.png"}
    with pytest.raises(RuntimeError, match="odd"):
        client.post("/api/predict", json=body)
    assert client.post("/api/predict", json={**body, "name": "01.png"}).status_code == 200
