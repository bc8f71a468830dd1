"""Measuring a split in shares gives what measuring it at once gives."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from toolkit import registry
from toolkit.config import resolve
from toolkit.evaluation.requests import Computing, DataChoice, Prompting
from toolkit.evaluation.runs import evaluate_run
from toolkit.evaluation.shares import MeasuredRun
from toolkit.training.loop import train


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


@pytest.mark.parametrize("shares", [1, 2, 3, 100])
def test_shares_give_the_same_report(trained: Path, tiny: str, shares: int) -> None:
    """More shares than images: the last ones are empty."""
    choice, computing = DataChoice(tiny), Computing(accelerator="cpu", batch_size=2)
    measured = MeasuredRun(trained, choice, computing, Prompting())
    seen: list[str] = []
    states = [
        pickle.loads(
            pickle.dumps(
                measured.states(share, shares, lambda batch: seen.extend(s.id for s in batch.samples))
            )
        )
        for share in range(shares)
    ]
    assert sorted(seen) == sorted(measured.dataset.ids)
    (report,) = measured.merged(states)
    whole = evaluate_run(trained, choice, computing)
    assert whole is not None
    assert report.to_dict() == whole[0].to_dict()
