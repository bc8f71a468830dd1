"""Requests as Label Studio sends them, and what it gets back; and requests that it would not send."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import uvicorn
from starlette.testclient import TestClient
from support.annotated import Pointed, blobs, predictor

from toolkit.annotate import label_studio_routes
from toolkit.annotate.label_studio import LabelStudioBackend
from toolkit.annotate.label_studio_images import ImageSource
from toolkit.annotate.label_studio_routes import is_local, label_studio_app, run_server
from toolkit.formats.brush import decode_brush
from toolkit.formats.label_studio import LabelStudioOptions, label_studio_regions, read_label_studio
from toolkit.formats.regions import to_instances

SIZE = (30, 40)
CONFIG = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="tag" toName="image"><Label value="cat"/><Label value="dog"/></BrushLabels>
  <KeyPointLabels name="tag2" toName="image" smart="true"><Label value="cat"/></KeyPointLabels>
  <RectangleLabels name="tag3" toName="image" smart="true"><Label value="cat"/></RectangleLabels>
</View>"""


def backend(kind: str, folder: Path, **options: Any) -> LabelStudioBackend:
    cv2.imwrite(str(folder / "a.png"), np.full((*SIZE, 3), 90, np.uint8))
    (folder / "broken.png").write_bytes(b"no")
    return LabelStudioBackend(predictor(kind), ImageSource(files=folder), **options)


def client(kind: str, folder: Path, password: str = "", **options: Any) -> TestClient:
    app = label_studio_app(backend(kind, folder, **options), password)
    return TestClient(app, base_url="http://localhost:9090")


def task(name: str = "a.png", number: int = 12) -> dict[str, Any]:
    """A task as Label Studio serializes it."""
    return {
        "id": number,
        "data": {"image": f"/data/local-files/?d={name}"},
        "meta": {},
        "created_at": "2025-11-03T10:11:12.131415Z",
        "is_labeled": False,
        "overlap": 1,
        "project": 3,
        "file_upload": None,
        "annotations": [],
        "predictions": [],
    }


def request(*tasks: Any, context: Any = None, **fields: Any) -> dict[str, Any]:
    """The body of a request for predictions."""
    return {
        "tasks": [*tasks],
        "model_version": None,
        "project": "3.1762164672",
        "label_config": CONFIG,
        "params": {"login": None, "password": None, "context": context},
    } | fields


def keypoint(x: float, y: float, positive: bool = True, label: str = "cat") -> dict[str, Any]:
    """A smart key point as the page sends it."""
    return {
        "id": "HDpGHVeZ3i",
        "from_name": "tag2",
        "to_name": "image",
        "type": "keypointlabels",
        "original_width": 40,
        "original_height": 30,
        "image_rotation": 0,
        "is_positive": positive,
        "value": {"x": x, "y": y, "width": 0.37, "keypointlabels": [label], "labels": [label]},
    }


def rectangle(x: float, y: float, width: float, height: float) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["cat"]}
    return {"from_name": "tag3", "to_name": "image", "type": "rectanglelabels", "value": value}


def test_connecting(tmp_path: Path) -> None:
    page = client("masks", tmp_path)
    for path in ("/health", "/"):
        assert page.get(path).json() == {"status": "UP", "model_class": "masks model"}
    body = {
        "project": "3.1762164672",
        "schema": CONFIG,
        "hostname": "http://evil.example.org",
        "access_token": "x",
        "extra_params": None,
    }
    answer = page.post("/setup", json=body)
    assert (answer.status_code, answer.json()) == (200, {"model_version": "masks model"})
    # the configuration is remembered
    found = page.post("/predict", json=request(task(), label_config=None)).json()
    assert len(found["results"][0]["result"]) == 2
    assert page.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {}}).json() == {
        "status": "ignored"
    }


def test_predictions(tmp_path: Path) -> None:
    answer = client("masks", tmp_path).post("/predict", json=request(task(), task(number=13)))
    assert answer.status_code == 200
    found = answer.json()
    assert found["model_version"] == "masks model"
    assert len(found["results"]) == 2
    for each in found["results"]:
        assert each["score"] == 0.625
        for number, result in enumerate(each["result"]):
            assert (result["from_name"], result["to_name"], result["type"]) == ("tag", "image", "brushlabels")
            assert (decode_brush(result["value"]["rle"], SIZE, "x") == blobs(SIZE)[number]).all()
    assert (
        len(
            client("masks", tmp_path, above=0.1)
            .post("/predict", json=request(task()))
            .json()["results"][0]["result"]
        )
        == 3
    )


def test_a_task_round_trips(tmp_path: Path) -> None:
    """What is predicted, accepted and exported is read with exactly its pixels."""
    found = client("masks", tmp_path).post("/predict", json=request(task())).json()["results"][0]
    exported = task() | {"annotations": [{"id": 1, "result": found["result"], "was_cancelled": False}]}
    (tmp_path / "train.json").write_text(json.dumps([exported]))
    (read,) = read_label_studio(tmp_path / "train.json")
    regions = label_studio_regions(read, SIZE, LabelStudioOptions({"cat": 0, "dog": 1}))
    instances = to_instances(regions, SIZE)
    assert instances.masks is not None
    assert (instances.masks.dense().numpy() == blobs(SIZE)).all()
    assert instances.labels.tolist() == [0, 1]


def test_marks_are_answered(tmp_path: Path) -> None:
    one = backend("prompts", tmp_path)
    page = TestClient(label_studio_app(one), base_url="http://127.0.0.1:9090")
    marks = [keypoint(50, 50), keypoint(10, 10, positive=False), rectangle(25, 0, 25, 50)]
    expected = np.zeros(SIZE, bool)
    expected[0:15, 10:20] = True
    expected[13:18, 18:23] = True
    expected[1:6, 2:7] = False
    for _ in range(3):
        answer = page.post("/predict", json=request(task(), context={"result": marks}))
        (result,) = answer.json()["results"][0]["result"]
        assert result["value"]["brushlabels"] == ["cat"]
        assert (decode_brush(result["value"]["rle"], SIZE, "x") == expected).all()
    model = one._predictor.model
    assert isinstance(model, Pointed)
    assert model.encoded == [SIZE], "the image is encoded once"
    far = page.post("/predict", json=request(task(), context={"result": [keypoint(150, 50)]}))
    assert (far.status_code, "lies outside the image" in far.json()["detail"]) == (400, True)
    empty = page.post(
        "/predict", json=request(task(), context={"result": [keypoint(50, 50, positive=False)]})
    )
    assert empty.json()["results"][0]["result"] == []


def test_models_that_take_no_prompts(tmp_path: Path) -> None:
    answer = client("masks", tmp_path).post(
        "/predict", json=request(task(), context={"result": [keypoint(5, 5)]})
    )
    assert answer.status_code == 400
    assert "takes no prompts" in answer.json()["detail"]


def test_some_bad_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = client("masks", tmp_path)
    found = page.post("/predict", json=request(task("broken.png", 4), task())).json()["results"]
    assert [len(each["result"]) for each in found] == [0, 2]
    assert "task 4: " in caplog.text
    answer = page.post("/predict", json=request(task("broken.png")))
    assert answer.status_code == 400
    assert "broken.png" in answer.json()["detail"]


def test_classes_that_the_project_lacks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = client("masks", tmp_path)
    for _ in range(2):
        body = request(task(), label_config=CONFIG.replace("dog", "cow"))
        assert len(page.post("/predict", json=body).json()["results"][0]["result"]) == 1
    assert caplog.text.count("no labels for the classes dog") == 1
    other = CONFIG.replace("dog", "cow").replace("cat", "pig")
    assert (
        page.post("/predict", json=request(task(), label_config=other)).json()["results"][0]["result"] == []
    )


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/predict", "[]", "must be a JSON object"),
        ("/predict", "{", "not valid JSON"),
        ("/predict", "", "is empty"),
        ("/predict", "[" * 300 + "]" * 300, "not valid JSON"),
        ("/predict", json.dumps(request(label_config=None)), "project '3.1762164672' is not known"),
        ("/predict", json.dumps(request(label_config="<View>")), "not valid XML"),
        (
            "/predict",
            json.dumps(request(label_config="<!DOCTYPE a [<!ENTITY b 'c'>]><View/>")),
            "document type",
        ),
        ("/predict", json.dumps(request(tasks=3)), "tasks must be a list"),
        ("/predict", json.dumps(request(3)), "a task must be a JSON object"),
        ("/predict", json.dumps(request({"data": 3})), "the data of a task must be"),
        ("/predict", json.dumps(request({"data": {"text": "a"}})), "shows image"),
        ("/predict", json.dumps(request(task("../a.png"))), "not below"),
        ("/predict", json.dumps(request({"data": {"image": "/etc/passwd"}})), "not below"),
        ("/predict", json.dumps(request(task(), context={"result": [3]})), "takes no prompts"),
        ("/setup", json.dumps({"schema": "<a"}), "not valid XML"),
        ("/setup", "3", "must be a JSON object"),
        ("/webhook", "{", "not valid JSON"),
    ],
)
def test_bad_requests(tmp_path: Path, path: str, body: str, says: str) -> None:
    page = client("masks", tmp_path)
    answer = page.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["detail"]
    assert page.get("/health").status_code == 200


def test_addresses_that_are_not_allowed(tmp_path: Path) -> None:
    body = request({"data": {"image": "http://169.254.169.254/latest/meta-data"}})
    answer = client("masks", tmp_path).post("/predict", json=body)
    assert answer.status_code == 502
    assert "--allow-host 169.254.169.254" in answer.json()["detail"]


def test_large_and_other_bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = client("masks", tmp_path)
    answer = page.post("/predict", content="{}", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, "text/plain" in answer.json()["detail"]) == (400, True)
    monkeypatch.setattr(label_studio_routes, "MOST_BODY", 100)
    answer = page.post("/predict", json=request(task()))
    assert (answer.status_code, "larger than 100 bytes" in answer.json()["detail"]) == (400, True)


def test_names_of_other_machines_and_passwords(tmp_path: Path) -> None:
    page = client("masks", tmp_path)
    assert page.get("/health", headers={"Host": "evil.example.org"}).status_code == 403
    assert page.get("/health", headers={"Host": "[::1]:9090"}).status_code == 200
    assert page.get("/health", headers={"Host": "host.docker.internal:9090"}).status_code == 200
    page = client("masks", tmp_path, password="päss")
    for auth in (None, ("toolkit", "wrong"), ("toolkit", "")):
        answer = page.get("/health", auth=auth)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Basic")
    for header in ("Basic !!", "Basic /w==", "Bearer päss".encode().decode("latin-1")):
        assert page.get("/health", headers={"Authorization": header.encode("latin-1")}).status_code == 401
    assert page.get("/health", auth=("anyone", "päss"), headers={"Host": "my.server"}).status_code == 200
    assert [is_local(name) for name in ("127.0.0.3", "::1", "0.0.0.0", "192.168.0.2", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_too_many_requests_are_sent_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_studio_routes, "MOST_WAITING", 1)
    one = backend("masks", tmp_path)
    page = TestClient(label_studio_app(one), base_url="http://localhost:9090")
    busy, go = threading.Event(), threading.Event()
    plain = one.predict

    def slow(payload: Any) -> Any:
        busy.set()
        assert go.wait(20)
        return plain(payload)

    one.predict = slow  # type: ignore[method-assign]
    page = TestClient(label_studio_app(one), base_url="http://localhost:9090")
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(page.post("/predict", json=request(task()))))
    thread.start()
    assert busy.wait(20)
    answer = page.post("/predict", json=request(task()))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    go.set()
    thread.join(20)
    assert answers[0].status_code == 200


def test_log_files_of_the_process_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets=None: setattr(self, "started", True))
    handler = logging.FileHandler(tmp_path / "own.log")
    stream = handler.stream
    run_server(label_studio_app(backend("label_map", tmp_path), ""), "127.0.0.1", 0)
    try:
        assert not stream.closed, "uvicorn's way of setting up logs closes all handlers"
    finally:
        handler.close()
