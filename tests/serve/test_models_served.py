"""The models that are served: by name, loaded from runs, each with its thread."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from plugins.sam2_cases import toy
from serve_cases import Bright, client_of, photos, picture, services_for
from support.tiny import PLUGIN  # noqa: F401 - what the run below was trained with

import toolkit
from toolkit import Model, Predictor, Sample, registry
from toolkit.errors import CheckpointError
from toolkit.inference.image_likes import as_sample
from toolkit.serve.errors import RequestError
from toolkit.serve.metrics import Metrics
from toolkit.serve.models import Models, ServedModel, name_of
from toolkit.serve.options import Limits


def models(most: int = 4) -> Models:
    return Models(Limits(models=most), Metrics(), {"device": "cpu"})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Path:
    """A run of the plugin ``tiny``, which is in a file."""
    registry.add_path(tiny)
    out = tmp_path_factory.mktemp("trained") / "one"
    return toolkit.train({"train.steps": 1}, out, plugin="tiny", data="squares", progress=False).run


@pytest.fixture
def known(tiny: str) -> None:
    """The plugin of the run is known."""
    registry.add_path(tiny)


def labels_of(model: ServedModel) -> torch.Tensor:
    """What a model says about an image."""
    found = model.worker.submit(toolkit.Sample("a", as_sample(picture()).image)).result(10)
    assert found.label_map is not None
    return found.label_map


@pytest.mark.usefixtures("known")
def test_a_run_answers_as_by_its_predictor(run: Path) -> None:
    served = models()
    model = served.load(run)
    assert model.name == "one"
    (about,) = served.about()
    assert (about["kind"], about["run"], about["promptable"]) == ("semantic", True, False)
    assert served.load(run / "best.safetensors").name == "one-best"
    assert served.load(run).name == "one-2"
    reference = toolkit.load(run, device="cpu").predict(picture()).label_map
    assert reference is not None
    assert (labels_of(model) == reference).all()
    assert served.names == ("one", "one-best", "one-2")
    served.stop()


@pytest.mark.usefixtures("known")
def test_a_bounded_number_is_in_memory_and_the_others_come_back(run: Path) -> None:
    served = models(2)
    first = labels_of(served.load(run))
    for _ in range(2):
        served.load(run)
    assert served.names == ("one", "one-2", "one-3")
    assert [each.name for each in served.loaded] == ["one-2", "one-3"], "the oldest made room"
    assert len(served.about()) == 3, "all can be chosen"
    with served.using(served.get("one-2")):
        pass
    assert (labels_of(served.get("one")) == first).all()
    assert [each.name for each in served.loaded] == ["one", "one-2"], "the one that was not used for longest"
    assert served.get("one") is served.loaded[0], "it is not loaded twice"
    served.stop()


@pytest.mark.usefixtures("known")
def test_a_model_in_use_does_not_make_room(run: Path) -> None:
    dropped: list[ServedModel] = []
    served = Models(Limits(models=1), Metrics(), {"device": "cpu"}, dropped.append)
    first = served.load(run)
    with served.using(first):
        served.load(run)
        assert len(served.loaded) == 2, "a run that is new is served in any case"
        with served.using(served.get("one-2")):
            third = served.load(run)
            with served.using(third), pytest.raises(RequestError, match="3 models are in use") as caught:
                served._make_room()
        assert caught.value.status_code == 503
    assert dropped == []
    served.load(run)
    assert [each.name for each in dropped] == ["one", "one-2", "one-3"]
    assert len(served.loaded) == 1
    with pytest.raises(RequestError, match="made room for another"), served.using(first):
        pass
    served.stop()


@pytest.mark.usefixtures("known")
def test_a_run_that_is_gone_says_so(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    served = models(1)
    served.load(copy)
    served.load(run)
    shutil.rmtree(copy)
    with pytest.raises(CheckpointError, match="copy"):
        served.get("copy")
    assert served.get("one").name == "one", "the others are still there"
    served.stop()


@pytest.mark.usefixtures("known")
def test_sessions_of_a_dropped_model_end(run: Path, tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    services = services_for(tmp_path, limits=Limits(models=1), predictor={"device": "cpu"})
    services.models.add(Predictor(toy(corrections=1).eval(), device="cpu"), "sam2", source=run)
    with client_of(services) as client:
        session = client.post("/api/sessions", json={"name": "00.png"}).json()["session"]
        prompt = f"/api/sessions/{session}/prompt"
        body = {"points": [[12, 12]], "labels": [1]}
        assert client.post(prompt, json=body).status_code == 200
        services.models.load(run)
        answer = client.post(prompt, json=body)
        assert answer.status_code == 404
        assert "has made room for another. Hint: POST /api/sessions" in answer.json()["detail"]
        assert "toolkit_models 1.0" in client.get("/metrics").text
        assert client.get("/metrics").text.count("toolkit_sessions 0.0") == 1
        found = client.post("/api/predict", json={"model": "sam2", "name": "00.png"})
        assert found.status_code == 200, "loaded again, from what was said to be its source"
        assert found.json()["label_map"]["classes"] == ["ground", "square"]


def test_what_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        models().load(tmp_path)


def test_an_unknown_name_lists_the_others() -> None:
    served = models()
    with pytest.raises(RequestError, match="there is no model ''"):
        served.get("")
    for name in ("a", "b"):
        served.add(Predictor(Bright(), device="cpu"), name)
    assert served.get("").name == "a"
    with pytest.raises(RequestError, match=r"no model 'c'. Hint: choose one of a, b") as caught:
        served.get("c")
    assert caught.value.status_code == 404
    served.stop()


def test_names_fit_into_addresses(tmp_path: Path) -> None:
    folder = tmp_path / "my runs" / "unet & co"
    folder.mkdir(parents=True)
    assert name_of(folder) == "unet-co"
    assert name_of(folder / "best.safetensors") == "unet-co-best"
    assert name_of("/") == "model"


@pytest.mark.parametrize(("model", "sizes"), [(Bright(), [3]), (toy(), [1, 1, 1])])
def test_promptable_models_predict_one_by_one_so_that_clicks_do_not_wait(
    model: Model, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(model, device="cpu")
    seen: list[int] = []

    def counted(samples: Sequence[Sample]) -> list[Sample]:
        seen.append(len(samples))
        return [*samples]

    monkeypatch.setattr(predictor, "predict_named", counted)
    served = models()
    worker, go = served.add(predictor, "a").worker, threading.Event()
    worker.call(lambda: go.wait(10))
    sample = toolkit.Sample("a", as_sample(picture()).image)
    futures = [worker.submit(sample) for _ in range(3)]
    go.set()
    assert all(future.result(10) is sample for future in futures)
    assert seen == sizes
    served.stop()
