"""A process of a cluster: what it answers, and that its errors are answers, too."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import pytest
from cluster_cases import LOADING, Bright, WorkerOf, job
from PIL import Image

from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cluster.job import Problem, versions
from toolkit.cluster.worker import Worker
from toolkit.inference.inputs import InputImage, find_images
from toolkit.inference.records import PARTS
from toolkit.inference.result_places import TOKEN
from toolkit.models.building import rebuild_model
from toolkit.types import Prediction, Sample

PLUGIN = '''
"""One convolution."""
from torch import nn
from toolkit import PluginManifest, SemanticModel

PLUGIN = PluginManifest(name="one-conv-there", summary="one convolution", task="semantic", build=":build")

def build(settings, classes):
    return SemanticModel(nn.Conv2d(3, len(classes), 1), classes)
'''


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / TOKEN).write_text("token")
    return folder


@pytest.fixture
def images(tmp_path: Path) -> list[InputImage]:
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 6), "white").save(tmp_path / "photos" / name)
    (tmp_path / "photos/c.png").write_bytes(b"")
    return find_images([tmp_path / "photos"])


def test_it_says_who_it_is() -> None:
    said = Worker("a").introduce()
    assert (said.host, said.process, said.versions) == (platform.node(), os.getpid(), versions())


def test_what_it_answers_is_on_the_disk(out: Path, images: Sequence[InputImage]) -> None:
    worker = WorkerOf("first", Bright)
    assert worker.open(job(out)) is None
    answer = worker.predict(images)
    assert not isinstance(answer, Problem)
    records, seconds = answer
    assert seconds > 0
    lines = [json.loads(line) for line in (out / PARTS / "first.jsonl").read_text().splitlines()]
    assert [(line["image"], line["status"]) for line in lines] == [
        ("a.png", "ok"),
        ("b.png", "ok"),
        ("c.png", "failed"),
    ]
    assert [record.status for record in records] == ["ok", "ok", "failed"]
    assert {line["actor"] for line in lines} == {"first"}


def test_a_run_with_the_plugin_of_a_file(tmp_path: Path, images: Sequence[InputImage], out: Path) -> None:
    from toolkit import registry

    plugin, run = tmp_path / "one_conv_there.py", tmp_path / "run"
    plugin.write_text(PLUGIN)
    registry.add_path(plugin)
    manifest = CheckpointManifest("one-conv-there", "semantic", ("ground", "square"))
    run.mkdir()
    save_checkpoint(run / "best.safetensors", rebuild_model(manifest, run).state_dict(), manifest)
    registry.clear()  # as in a process that has just begun
    worker = Worker("first")
    loading = {**LOADING, "run": str(run)}
    assert worker.open(job(out, loading=loading, plugins=(str(plugin),))) is None
    assert not isinstance(worker.predict(images), Problem)
    assert (out / "labels/a.png").is_file()


def test_paths_are_those_of_the_command(
    out: Path, images: Sequence[InputImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in messages, as if the command had predicted them itself."""
    monkeypatch.chdir(tmp_path)
    relative = find_images(["photos"])
    monkeypatch.chdir("/")
    worker = WorkerOf("first", Bright)
    assert worker.open(job(out, current=str(tmp_path))) is None
    assert Path.cwd() == tmp_path
    answer = worker.predict(relative)
    assert not isinstance(answer, Problem)
    assert [record.source for record in answer[0]] == [image.source for image in images]
    assert answer[0][2].error is not None
    assert answer[0][2].error.startswith("photos/c.png ")


def test_a_folder_that_is_only_where_the_command_is(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then paths are made absolute, which may be those of a shared folder."""
    monkeypatch.chdir(tmp_path)
    worker = WorkerOf("first", Bright)
    assert worker.open(job(out, current=str(tmp_path / "nowhere"))) is None
    answer = worker.predict(
        [InputImage(Path("a.png"), "a.png", "a"), InputImage(Path("/b.png"), "b.png", "b")]
    )
    assert not isinstance(answer, Problem)
    assert str(answer[0][0].error).startswith(f"{tmp_path}/nowhere/a.png ")
    assert str(answer[0][1].error).startswith("/b.png ")


def test_a_run_that_is_not_there(out: Path) -> None:
    problem = Worker("first").open(job(out, loading={**LOADING, "run": str(out / "nowhere")}))
    assert problem is not None
    error = problem.error()
    assert f"on {platform.node()}: {out / 'nowhere'} does not exist there. Hint: put the run into" in str(
        error
    )


def test_a_checkpoint_that_is_damaged(out: Path) -> None:
    (out / "best.safetensors").write_bytes(b"nothing")
    problem = Worker("first").open(job(out, loading={**LOADING, "run": str(out / "best.safetensors")}))
    assert problem is not None
    assert problem.kind == "CheckpointError"


def test_images_before_the_work(images: Sequence[InputImage]) -> None:
    answer = Worker("first").predict(images)
    assert isinstance(answer, Problem)
    assert "got images before its work" in answer.message


def test_a_bug_of_a_model_is_an_answer(out: Path, images: Sequence[InputImage]) -> None:
    class Faulty(Bright):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            raise KeyError("weights")

    worker = WorkerOf("first", Faulty)
    assert worker.open(job(out)) is None
    answer = worker.predict(images)
    assert isinstance(answer, Problem)
    assert answer.message == f"on {platform.node()}: KeyError: 'weights'"
