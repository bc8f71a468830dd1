"""``evaluate_run`` with a cluster in its place: the same report, whoever dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_cases import Bright, FakePool

from toolkit import registry
from toolkit.cli import main
from toolkit.cluster import evaluating
from toolkit.cluster.evaluating import MeasuringJob, MeasuringTeam, MeasuringWorker, RayMeasuring
from toolkit.cluster.job import Problem
from toolkit.cluster.ray_pool import Share
from toolkit.config import resolve
from toolkit.data.dataset import open_dataset
from toolkit.errors import UsageError
from toolkit.evaluation.requests import Computing, DataChoice, Prompting
from toolkit.evaluation.runs import evaluate_run
from toolkit.training.loop import train

COMPUTING = Computing(accelerator="cpu", batch_size=2)


@pytest.fixture(autouse=True)
def _known(tiny: str) -> None:
    registry.add_path(tiny)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = str(Path(__file__).resolve().parents[1] / "support" / "tiny.py")
    run = tmp_path_factory.mktemp("runs") / "tiny"
    words = ["train.steps=5", "train.workers=0", "train.device=cpu"]
    train(resolve(plugin=tiny, data=tiny, overrides=words), run)
    return run


class Here(FakePool):
    share = Share(2, 1, 0.0)

    def __init__(self, **options: Any) -> None:
        super().__init__(Bright, make=MeasuringWorker, **options)


def use(pool: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    @contextlib.contextmanager
    def connected(address: str, actors: int | None, gpus: float | None, worker: type) -> Iterator[Here]:
        assert worker is MeasuringWorker
        yield pool

    monkeypatch.setattr(evaluating, "connected", connected)
    return pool


def test_the_report_is_that_of_one_process(
    trained: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = use(Here(), monkeypatch)
    alone = evaluate_run(trained, DataChoice(tiny), COMPUTING)
    together = evaluate_run(trained, DataChoice(tiny), COMPUTING, engine=RayMeasuring("local"))
    assert alone is not None
    assert together is not None
    assert [report.to_dict() for report in together] == [report.to_dict() for report in alone]
    assert len(pool.processes) == 2
    words = ["eval", str(trained), "--plugin", tiny, "--data", "squares", "--device", "cpu", "--workers", "0"]
    assert main([*words, "--json"]) == 0
    plain = capsys.readouterr().out
    assert main([*words, "--json", "--ray", "local", "--actors", "2"]) == 0
    assert capsys.readouterr().out == plain


def test_a_dead_process_is_replaced(trained: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[int] = []

    def dies(process: object, piece: Any) -> int | None:
        if piece[0] in (1, 2) and piece[0] not in died:
            died.append(piece[0])
            return 0
        return None

    pool = use(Here(dies=dies), monkeypatch)
    together = evaluate_run(trained, DataChoice(tiny), COMPUTING, engine=RayMeasuring("local"))
    alone = evaluate_run(trained, DataChoice(tiny), COMPUTING)
    assert alone is not None
    assert together is not None
    assert [report.to_dict() for report in together] == [report.to_dict() for report in alone]
    assert died
    assert len(pool.processes) > 2


def test_images_that_processes_die_with_end_the_work(
    trained: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Here(dies=lambda process, piece: 0 if piece[0] == 1 else None), monkeypatch)
    with pytest.raises(
        UsageError, match=r"died each time with the same images: it was killed\. Hint: a smaller"
    ):
        evaluate_run(trained, DataChoice(tiny), COMPUTING, engine=RayMeasuring("local"))


def test_an_open_dataset_stays_here(trained: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(Here(), monkeypatch)
    data = open_dataset(registry.named(registry.datasets(), tiny, by_user=True), None, "val")
    with pytest.raises(UsageError, match=r"cannot be sent to other processes\. Hint: name it"):
        evaluate_run(trained, DataChoice(data), COMPUTING, engine=RayMeasuring("local"))


def test_answers_of_a_worker(trained: Path, tmp_path: Path) -> None:
    worker = MeasuringWorker("a")
    early = worker.measure((0, 1))
    assert isinstance(early, Problem)
    assert "before its work" in early.message
    missing = worker.open(MeasuringJob(str(tmp_path / "nowhere"), DataChoice(), COMPUTING, Prompting(), ()))
    assert missing is not None
    assert "nowhere does not exist there. Hint: put the run into" in missing.message


def test_shares_are_no_more_than_there_are() -> None:
    job = MeasuringJob("run", DataChoice(), COMPUTING, Prompting(), ())
    team = MeasuringTeam(Here(), job, 3, 10, 2, "a")
    assert [team.next_piece(None) for _ in range(4)] == [(0, 3), (1, 3), (2, 3), None]  # type: ignore[arg-type]
    assert team.is_done()


@pytest.mark.slow
def test_on_a_real_cluster(trained: Path, tiny: str) -> None:
    alone = evaluate_run(trained, DataChoice(tiny), COMPUTING)
    together = evaluate_run(trained, DataChoice(tiny), COMPUTING, engine=RayMeasuring("local", 2))
    assert alone is not None
    assert together is not None
    assert [report.to_dict() for report in together] == [report.to_dict() for report in alone]
