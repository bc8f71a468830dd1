"""``toolkit track``: what it refuses. What tracking gives is tested with the models that can."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cli import main


@pytest.fixture
def words(tiny: str, tmp_path: Path) -> list[str]:
    """A command on two frames with a prompt, for a run whose model cannot track."""
    registry.add_path(tiny)
    plugin = registry.plugins().get("tiny")
    model = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(width=3), ("ground", "square"))
    manifest = CheckpointManifest(
        plugin="tiny", task="semantic", classes=("ground", "square"), model={"width": 3}, step=7
    )
    (tmp_path / "run").mkdir()
    save_checkpoint(tmp_path / "run" / "best.safetensors", model.state_dict(), manifest)
    (tmp_path / "frames").mkdir()
    for index in range(2):
        cv2.imwrite(str(tmp_path / "frames" / f"{index}.png"), np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "prompts.csv").write_text("image,object,x,y,label\n0,1,3,3,1\n")
    return [
        "track",
        str(tmp_path / "run"),
        str(tmp_path / "frames"),
        *("--prompts", str(tmp_path / "prompts.csv"), "--out", str(tmp_path / "out")),
        *("--device", "cpu", "--plugin", tiny),
    ]


def test_a_model_that_cannot_track_is_named(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "this model cannot track objects through a video" in shown.err
    assert not (tmp_path / "out").exists()


def test_settings_of_other_sections_have_no_effect(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "train.steps=3"]) == 2
    assert "settings of train have no effect here" in capsys.readouterr().err


def test_a_run_that_is_not_there_is_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words[1] = "no-such-run"
    assert main(words) == 1
    assert "no-such-run" in capsys.readouterr().err


def test_without_out_the_results_are_named_after_run_and_video(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    place = words.index("--out")
    del words[place : place + 2]
    given = []

    def track(predictor: object, video: Path, prompts: Path, out: Path, **_: object) -> int:
        given.append(out)
        out.mkdir(parents=True)
        (out / "manifest.jsonl").touch()
        return 2

    monkeypatch.setattr("toolkit.inference.tracking.track_video", track)
    assert main(words) == 0
    assert given == [Path("results/run-frames")]
    assert "2 objects tracked; the results of each frame are in results/run-frames" in capsys.readouterr().out
    assert main(words) == 2, "there is nothing to resume"
    message = capsys.readouterr().err
    assert "results/run-frames already contains results. Hint: choose another folder with --out" in message
    assert "--resume" not in message


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--geojson"], "--geojson has no effect without --measure"),
        (["--measure", "--pixel-size", "3"], "the pixel size '3' has no unit"),
    ],
)
def test_options_of_measuring_are_checked_first(
    more: list[str], said: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
