"""``toolkit plugins check``: what it prints, and its exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolkit.cli import main
from toolkit.testing import DATASET_CHECKS, EVALUATOR_CHECKS, MODEL_CHECKS

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def check(*words: str) -> int:
    return main(["plugins", "check", *words])


def test_ten_planted_faults_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    text = (SUPPORT / "faulty.py").read_text(encoding="utf-8")
    planted = re.findall(
        r'^    "(\w+)",$', re.search(r"TEN = \((.*?)^\)", text, re.DOTALL | re.MULTILINE)[1], re.MULTILINE
    )  # type: ignore[index]
    assert len(planted) == 10
    assert check(str(SUPPORT / "faulty.py")) == 1
    shown = capsys.readouterr().out
    assert re.findall(r"^  failed   (\w+): ", shown, re.MULTILINE) == [
        c.__name__ for c in MODEL_CHECKS if c.__name__ in planted
    ]
    assert shown.endswith("14 passed, 10 failed, 9 skipped\n\n")
    for failure in re.findall(r"^  failed .*\n           (.*)$", shown, re.MULTILINE):
        assert len(failure) > 20


def test_a_plugin_without_faults_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(SUPPORT / "faulty.py"), "model.faults=[]") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "plugin faulty: a plugin with faults, for tests"
    assert "           a semantic model predicts no objects" in lines
    assert "24 passed, 0 failed, 9 skipped" in lines


def test_evaluators_and_datasets_come_by_the_same_door(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert check("iou", "evaluators.iou.void=false_positive") == 0
    assert f"{len(EVALUATOR_CHECKS)} passed, 0 failed, 0 skipped" in capsys.readouterr().out
    (tmp_path / "seed").write_text("3")
    assert check(str(SUPPORT / "faulty_dataset.py"), "--data-dir", str(tmp_path)) == 0
    assert f"{len(DATASET_CHECKS)} passed, 0 failed, 0 skipped" in capsys.readouterr().out
    assert (
        check(
            str(SUPPORT / "faulty_dataset.py"),
            "--data-dir",
            str(tmp_path),
            'data.options.faults=["ids_are_unique"]',
        )
        == 1
    )


def test_all_that_bears_a_name_is_checked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dataset and an evaluator are both called coco."""
    monkeypatch.chdir(tmp_path)
    assert check("coco") == 1
    captured = capsys.readouterr()
    assert "dataset 'coco' needs a folder of files, but data/coco does not exist" in captured.err
    assert "It must contain: annotations/" in captured.err


def test_a_dataset_that_can_draw_a_stand_in_needs_no_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert check("oxford-pets") == 0
    assert "as published" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["unett"], "no plugin, dataset, evaluator or task is called 'unett'. Did you mean 'unet'?"),
        (["no-such.py"], "no plugin at .*no-such.py"),
        (
            ["iou", "width=8"],
            r"width: unknown key. Hint: toolkit settings lists all",
        ),
    ],
)
def test_what_makes_no_sense_is_explained(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert check(*words) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_wrong_setting_fails_every_check_that_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("iou", "evaluators.iou.voidd=ignore") == 1
    assert "did you mean 'void'?" in capsys.readouterr().out
