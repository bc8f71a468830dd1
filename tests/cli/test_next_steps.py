"""The commands that come next: they are taken by the command line as they stand."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from toolkit import registry
from toolkit.cli import main, parse
from toolkit.cli.next_steps import next_lines, other_runs, plugin_options, training_command


def commands_in(text: str) -> list[list[str]]:
    """The commands that a text shows, each of which the parser takes."""
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("  toolkit ")]
    for words in lines:
        parse(words[1:])
    return [words[1:] for words in lines]


def test_the_lines_can_be_pasted() -> None:
    lines = list(next_lines(["infer", "my run", "it's here"], ["doctor"]))
    assert lines == ["Next:", "  toolkit infer 'my run' 'it'\"'\"'s here'", "  toolkit doctor"]
    assert list(next_lines()) == []


def test_a_plugin_file_has_to_be_named_again(tiny: str) -> None:
    assert plugin_options(["unet", tiny]) == ["--plugin", tiny]


def test_other_runs_are_those_beside_it(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / name / "best.safetensors").touch()
    assert other_runs(tmp_path / "a") == [str(tmp_path / "b")]
    assert other_runs(tmp_path / "a" / "best.safetensors") == []
    assert other_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("data", "plugin"), [("shapes", "unet"), ("msrc", "unet"), ("coco", "maskrcnn"), ("balloon", "maskrcnn")]
)
def test_a_dataset_is_trained_on_by_a_model_of_its_task(data: str, plugin: str) -> None:
    words = training_command(registry.datasets().get(data), data, "my photos", ["void=0"])
    assert words == [
        "train",
        "--plugin",
        plugin,
        "--data",
        data,
        "--data-dir",
        "my photos",
        "data.options.void=0",
    ]


def test_a_run_is_followed_to_its_end(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train, then each of the commands that the one before named, and those that these name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("toolkit.evaluation.compare.predicting_memory", lambda *_, **__: 1)
    few = ["train.steps=2", "train.device=cpu"]
    assert main(["train", "--plugin", tiny, "--data", tiny, "--out", "runs/first", *few]) == 0
    assert main(["train", "--plugin", tiny, "--data", tiny, "--out", "runs/second", *few]) == 0
    evaluating, inferring = commands_in(capsys.readouterr().out)[2:]
    assert main([*evaluating, "--workers", "0"]) == 0
    after = commands_in(capsys.readouterr().out)
    assert [words[:3] for words in after] == [
        ["infer", "runs/second", "FOLDER_OF_PHOTOS"],
        ["compare", "runs/second", "runs/first"],
    ]
    assert main([*after[1], "--resamples", "3", "--workers", "0"]) == 0
    looking, using = commands_in(capsys.readouterr().out)
    assert looking[:3] == ["compare", "runs/second", "runs/first"]
    assert looking[-4:] == ["--out", "compared.jpg", "--plugin", tiny]
    assert using[0] == "infer"
    assert inferring[:3] == ["infer", "runs/second", "FOLDER_OF_PHOTOS"]


def test_a_clean_dataset_is_looked_at_and_trained_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["train=2", "val=2", "test=2"]
    assert main(["data", "check", "shapes", *small]) == 0
    preview, training = commands_in(capsys.readouterr().out)
    assert training == [
        "train",
        "--plugin",
        "unet",
        "--data",
        "shapes",
        *(f"data.options.{word}" for word in small),
    ]
    assert main(preview) == 0
    assert (tmp_path / "sheet.jpg").is_file()
    assert commands_in(capsys.readouterr().out) == [training]
