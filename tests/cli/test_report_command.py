"""`toolkit report`, as words on a command line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.cli import main


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    """Predictions for the generated shapes that are background everywhere."""
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"val-{i:05d}.png"), np.zeros((32, 32), np.uint8))
    return tmp_path


def test_it_says_where_the_report_is(ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ground / "deep" / "a.html"
    words = ["report", "--predictions", str(ground), "--data", "shapes", "--out", str(out), "--workers", "0"]
    assert main([*words, "--resamples", "30", "val=3", "data.options.size=32", "evaluators.iou={}"]) == 0
    assert (
        capsys.readouterr().out == f"The report is {out}; the same content is in {out.with_suffix('.json')}\n"
    )
    document = json.loads(out.with_suffix(".json").read_text())
    assert document["data"]["images"] == 3
    assert document["reports"][0]["per_class"]["accuracy"][0] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to report on"),
        (["RUN", "--predictions", "p"], "both given"),
        (["--predictions", "p"], "Hint: add --data"),
        (["--predictions", "p", "--data", "shapes", "--compare", "r"], "--compare is for two runs"),
        (["RUN", "--out", "a.pdf"], "Hint: --out a.html"),
        (["--predictions", "p", "--data", "shapes", "--prompts", "a.csv"], "take no prompts"),
    ],
)
def test_what_makes_no_sense_is_said(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *words]) == 2
    assert says in capsys.readouterr().err
