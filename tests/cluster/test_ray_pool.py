"""Ray's actors: shares, reasons of deaths, and, slowly, a real cluster whose actors and driver are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cluster_cases import LOADING, check_pool, job
from PIL import Image

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cluster import RayEngine, ray_pool
from toolkit.cluster.job import Problem
from toolkit.cluster.ray_pool import Share, connected, death_of, no_cluster, share_of
from toolkit.errors import UsageError
from toolkit.inference.image_batches import Work
from toolkit.inference.inputs import find_images
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.records import PARTS
from toolkit.inference.result_parts import TOKEN
from toolkit.models.building import rebuild_model

PLUGIN = '''
"""Brightness; the process dies with images that a file names, each once."""
import os, signal, time
from pathlib import Path
import torch
from toolkit import Model, PluginManifest, Prediction

PLUGIN = PluginManifest(name="mortal", summary="dies", task="semantic", build=":build")
DEADLY = Path(__file__).with_name("deadly")

class Mortal(Model):
    def __init__(self, classes):
        super().__init__(classes)
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def predict(self, samples):
        time.sleep(0.01 * len(samples))
        for sample in samples:
            marker = DEADLY / sample.id
            if marker.exists():
                marker.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return [
            Prediction(s.id, s.size, label_map=(s.image.float().mean(0) > 127).to(torch.uint8))
            for s in samples
        ]

def build(settings, classes):
    return Mortal(classes)
'''


def nodes(*resources: dict[str, float]) -> SimpleNamespace:
    return SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": each} for each in resources])


@pytest.mark.parametrize(
    ("ray", "actors", "gpus", "want"),
    [
        (nodes({"CPU": 4.0}), None, None, Share(4, 1, 0.0)),
        (nodes({"CPU": 4.0}), 2, None, Share(2, 2, 0.0)),
        (nodes({"CPU": 4.0}), 9, None, Share(9, 1, 0.0)),
        (nodes({"CPU": 16.0, "GPU": 2.0}), None, None, Share(2, 8, 1.0)),
        (nodes({"CPU": 16.0, "GPU": 2.0}), None, 0.5, Share(4, 4, 0.5)),
        (nodes({"CPU": 16.0, "GPU": 2.0}), None, 0.0, Share(16, 1, 0.0)),
        (nodes({"CPU": 8.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 1.0}), None, None, Share(2, 4, 1.0)),
        (nodes(), None, None, Share(1, 1, 0.0)),
    ],
)
def test_what_each_process_gets(
    ray: SimpleNamespace, actors: int | None, gpus: float | None, want: Share
) -> None:
    assert share_of(ray, actors, gpus) == want


@pytest.mark.parametrize(
    ("said", "want"),
    [
        (
            "The actor died unexpectedly before finishing this task.\n\tclass_name: Worker\n\tpid: 12\n"
            "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR",
            "its worker process has died. Worker exit type: SYSTEM_ERROR",
        ),
        ("Task was killed due to the node running low on memory.\nMemory on the node", "Task was killed due"),
        ("", "no reason was given"),
    ],
)
def test_the_reason_of_a_death_is_one_line(said: str, want: str) -> None:
    found = death_of(RuntimeError(said))
    assert want in found
    assert "\n" not in found


def test_other_versions_of_a_cluster() -> None:
    said = "Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.10.1\nThis process"
    message = no_cluster("head:6379", RuntimeError(said))
    assert message.startswith("the cluster at head:6379 has other versions: ")
    assert "Ray: 2.9.0 Python: 3.10.1" in message
    assert "Hint: install the same versions of Ray" in message


def test_an_error_of_ray_is_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[bool] = []

    def init(**options: object) -> None:
        raise ConnectionError("Could not find any running Ray instance. Please specify …")

    ray = SimpleNamespace(init=init, shutdown=lambda: left.append(True))
    monkeypatch.setattr(ray_pool, "import_ray", lambda purpose: ray)
    before = dict(os.environ)
    message = r"no Ray cluster at auto: Could not find .* Hint: "
    with pytest.raises(UsageError, match=message), connected("auto", None, None):
        raise AssertionError
    assert left == [True]
    assert dict(os.environ) == before


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    plugin, folder = tmp_path / "mortal.py", tmp_path / "run"
    plugin.write_text(PLUGIN)
    (tmp_path / "deadly").mkdir()
    registry.add_path(plugin)
    manifest = CheckpointManifest("mortal", "semantic", ("dark", "bright"))
    folder.mkdir()
    save_checkpoint(folder / "best.safetensors", rebuild_model(manifest, folder).state_dict(), manifest)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(60):
        pixels = np.random.default_rng(i).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((30, 20), Image.Resampling.NEAREST).save(folder / f"{i:02d}.png")
    (folder / "05b.jpg").write_bytes(b"")
    return folder


def check_same(out: Path, alone: Path) -> None:
    """All files are equal, and the manifests apart from who wrote each line."""
    names = [sorted(p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file()) for f in (out, alone)]
    assert names[0] == names[1]
    for name in names[0]:
        if name != "manifest.jsonl":
            assert (out / name).read_bytes() == (alone / name).read_bytes(), name
    lines = [
        [json.loads(line) for line in (f / "manifest.jsonl").read_text().splitlines()] for f in (out, alone)
    ]
    assert [{k: v for k, v in line.items() if k != "actor"} for line in lines[0]] == lines[1]


@pytest.mark.slow
def test_a_real_pool_keeps_the_promises_of_a_pool(run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / TOKEN).write_text("token")
    images = find_images([photos])[:3]
    with connected("local", 2, None) as pool:
        assert pool.share == Share(2, pool.share.cpus, 0.0)
        process = pool.start("broken")
        loading = {**LOADING, "run": str(run / "nowhere")}
        answer = pool.submit(process, "open", job(out, loading=loading))
        while answer not in pool.wait([answer], 5.0):
            pass
        problem = pool.answer(answer)
        assert isinstance(problem, Problem)
        assert "nowhere does not exist there" in problem.message
        pool.stop(process)
        plugins = (str(run.parent / "mortal.py"),)
        check_pool(pool, out, images, loading={**LOADING, "run": str(run)}, plugins=plugins)


@pytest.mark.slow
def test_actors_that_are_killed_lose_nothing(run: Path, photos: Path, tmp_path: Path) -> None:
    work = Work(2, 1)
    predict_folder(run, photos, tmp_path / "alone", work=work, progress=False)
    for name in ("11.png", "40.png"):
        (tmp_path / "deadly" / name).touch()
    engine = RayEngine(actors=2)
    summary = predict_folder(run, photos, tmp_path / "out", work=work, engine=engine, progress=False)
    assert (summary.done, summary.failed) == (60, 1)
    assert not list((tmp_path / "deadly").iterdir())
    check_same(tmp_path / "out", tmp_path / "alone")
    assert len(engine.lines) >= 2


@pytest.mark.slow
def test_a_command_that_is_killed_goes_on(run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(run, photos, tmp_path / "alone", work=Work(2, 1), progress=False)
    command = [sys.executable, "-m", "toolkit", "infer", str(run), str(photos), "--out", str(out)]
    command += ["--plugin", str(tmp_path / "mortal.py"), "--batch-size", "2", "--workers", "1"]
    command += ["--device", "cpu", "--ray", "local", "--actors", "2"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not any(path.stat().st_size for path in (out / PARTS).glob("*.jsonl")):
        assert time.monotonic() < end
        assert driver.poll() is None
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    done = {
        json.loads(line)["image"]
        for path in (out / PARTS).glob("*.jsonl")
        for line in path.read_text().splitlines()
        if line.endswith("}")
    }
    assert 0 < len(done) < 61
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=120)
    assert again.returncode == 3, again.stderr
    assert "done before" in again.stdout
    check_same(out, tmp_path / "alone")
