"""Ray's actors: shares, reasons of deaths, and, slowly, a real cluster whose actors and driver are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from cluster_cases import LOADING, check_pool, job
from mortal_cases import check_same

from toolkit.cluster import RayEngine, ray_pool
from toolkit.cluster.job import Problem
from toolkit.cluster.ray_pool import RayPool, Share, connected, death_of, no_cluster, share_of
from toolkit.cluster.worker import Worker
from toolkit.errors import UsageError
from toolkit.inference.image_batches import Work
from toolkit.inference.inputs import find_images
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.records import PARTS
from toolkit.inference.result_places import TOKEN


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
        (nodes({"CPU": 0.0}, {"CPU": 8.0, "GPU": 2.0}), None, None, Share(2, 4, 1.0)),
        (nodes({"CPU": 2.0}, {"CPU": 8.0, "GPU": 2.0}), None, None, Share(2, 4, 1.0)),
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
        (
            "The actor is dead because its worker process has died. End of file. Some common causes include:"
            " (1) the process was killed by the OOM killer due to high memory usage, (2) ray stop",
            "its worker process has died. End of file, perhaps for lack of memory",
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


@pytest.mark.parametrize(
    ("free", "gpus", "want"),
    [({"CPU": 2.0}, 0.0, True), ({"CPU": 1.0}, 0.0, False), ({}, 0.0, False), ({"CPU": 2.0}, 0.5, False)],
)
def test_whether_there_is_room(
    monkeypatch: pytest.MonkeyPatch, free: dict[str, float], gpus: float, want: bool
) -> None:
    ray = SimpleNamespace(remote=lambda **options: lambda worker: worker, available_resources=lambda: free)
    monkeypatch.setattr(ray_pool, "import_ray", lambda purpose: ray)
    pool = RayPool(Share(4, 2, gpus), Worker)
    assert pool.has_room() == want
    assert pool.shortage().startswith("each needs 2 CPU")


def test_a_cluster_that_asks_for_a_token() -> None:
    said = "Failed to connect to Ray cluster at head:6379."
    message = no_cluster("head:6379", ConnectionError(said))
    assert "does not let this machine in" in message
    assert "Hint: if it asks for a token, set RAY_AUTH_MODE=token" in message


def test_the_reason_is_what_the_cluster_answers_and_nothing_else_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = "[W 1 1] gcs_client.cc:210: Failed to get cluster ID from GCS server: Unauthenticated: no token\n"

    def init(**options: object) -> None:
        for _ in range(3):
            os.write(2, said.encode())
        raise ConnectionError("Failed to connect to Ray cluster at head:6379.")

    ray = SimpleNamespace(init=init, shutdown=lambda: None, exceptions=SimpleNamespace(RayError=RuntimeError))
    monkeypatch.setattr(ray_pool, "import_ray", lambda purpose: ray)
    match = "does not let this machine in: Unauthenticated: no token. Hint: if it asks for a token"
    with pytest.raises(UsageError, match=match), connected("head:6379", None, None, Worker):
        raise AssertionError
    os.write(2, b"heard again\n")
    assert capfd.readouterr().err == "heard again\n"


def test_an_error_of_ray_is_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[bool] = []

    def init(**options: object) -> None:
        raise ConnectionError("Could not find any running Ray instance. Please specify …")

    errors = SimpleNamespace(RayError=RuntimeError)
    ray = SimpleNamespace(init=init, shutdown=lambda: left.append(True), exceptions=errors)
    monkeypatch.setattr(ray_pool, "import_ray", lambda purpose: ray)
    before = dict(os.environ)
    message = r"no Ray cluster at auto: Could not find .* Hint: "
    with pytest.raises(UsageError, match=message), connected("auto", None, None, Worker):
        raise AssertionError
    assert left == [True]
    assert dict(os.environ) == before


@pytest.mark.slow
def test_a_real_pool_keeps_the_promises_of_a_pool(mortal: Path, many_photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / TOKEN).write_text("token")
    images = find_images([many_photos])[:3]
    with connected("local", 2, None, Worker) as pool:
        assert pool.share == Share(2, pool.share.cpus, 0.0)
        process = pool.start("broken")
        loading = {**LOADING, "run": str(mortal / "nowhere")}
        answer = pool.submit(process, "open", job(out, loading=loading))
        while answer not in pool.wait([answer], 5.0):
            pass
        problem = pool.answer(answer)
        assert isinstance(problem, Problem)
        assert "nowhere does not exist there" in problem.message
        pool.stop(process)
        plugins = (str(mortal.parent / "mortal.py"),)
        check_pool(pool, out, images, loading={**LOADING, "run": str(mortal)}, plugins=plugins)


@pytest.mark.slow
def test_actors_that_are_killed_lose_nothing(mortal: Path, many_photos: Path, tmp_path: Path) -> None:
    work = Work(2, 1)
    predict_folder(mortal, many_photos, tmp_path / "alone", work=work, progress=False)
    for name in ("11.png", "40.png"):
        (tmp_path / "deadly" / name).touch()
    engine = RayEngine(actors=2)
    summary = predict_folder(mortal, many_photos, tmp_path / "out", work=work, engine=engine, progress=False)
    assert (summary.done, summary.failed) == (60, 1)
    assert not list((tmp_path / "deadly").iterdir())
    check_same(tmp_path / "out", tmp_path / "alone")
    counts = [int(line.split(": ")[1].split()[0]) for line in engine.lines]
    assert sum(counts) == 61, engine.lines


@pytest.mark.slow
def test_a_command_that_is_killed_goes_on(mortal: Path, many_photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(mortal, many_photos, tmp_path / "alone", work=Work(2, 1), progress=False)
    command = [sys.executable, "-m", "toolkit", "infer", str(mortal), str(many_photos), "--out", str(out)]
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
