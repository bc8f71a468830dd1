"""The models that are served: by name, loaded from runs, each with its thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from plugins.sam2_cases import toy
from serve_cases import Bright, picture
from support.tiny import PLUGIN  # noqa: F401 - what the run below was trained with

import toolkit
from toolkit import Model, Predictor, Sample, registry
from toolkit.errors import CheckpointError
from toolkit.inference.image_likes import as_sample
from toolkit.serve.errors import RequestError
from toolkit.serve.metrics import Metrics
from toolkit.serve.models import Models, name_of
from toolkit.serve.options import Limits


def models() -> Models:
    return Models(Limits(), Metrics(), {"device": "cpu"})


def test_a_run_answers_as_by_its_predictor(tmp_path: Path, tiny: str) -> None:
    registry.add_path(tiny)
    run = toolkit.train(
        {"train.steps": 2}, tmp_path / "runs" / "one", plugin="tiny", data="squares", progress=False
    ).run
    served = models()
    model = served.load(run)
    assert (model.name, model.kind, model.is_run, model.is_promptable) == ("one", "semantic", True, False)
    assert served.load(run / "best.safetensors").name == "one-best"
    assert served.load(run).name == "one-2"
    sample = toolkit.Sample("a", as_sample(picture()).image)
    found = model.worker.submit(sample).result(10)
    assert (found.label_map == toolkit.load(run, device="cpu").predict(picture()).label_map).all()
    assert [each.name for each in served] == ["one", "one-best", "one-2"]
    served.stop()


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
