"""``toolkit settings``: all of them, or those that are asked for."""

from __future__ import annotations

import pytest

from toolkit import registry
from toolkit.cli import main


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["settings", *words]) == 0
    return capsys.readouterr().out


def test_all_settings_are_listed_with_one_line_each_for_key_and_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = listed(capsys)
    for key in (
        "weights",
        "train.lr",
        "data.dir",
        "data.options.void",
        "model.encoder",
        "evaluators.iou.void",
    ):
        assert f"\n  {key} = " in text
    for plugin in registry.plugins():
        if plugin.settings and not plugin.missing_requirements():
            assert f"model: the plugin {plugin.name}\n" in text
    assert "Learning rate after warm-up" in text
    assert "name: flip" in text
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    keys = [line for line in lines if line[2] != " "]
    assert len(lines) == 2 * len(keys)


def test_a_section_and_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    train = listed(capsys, "train")
    assert "train.lr = 0.001" in train
    assert "model" not in train.split("train.freeze")[0]
    assert "data.dir" not in train
    one = listed(capsys, "train.lr_scaling")
    assert one.startswith("train: the training\n  train.lr_scaling = linear   (linear, sqrt, none)\n")
    assert len(one.splitlines()) == 3
    assert len(listed(capsys, "train.lr").splitlines()) == 3, "and not those that begin so"
    assert "train.lr_factors" in listed(capsys, "lr_")


def test_of_one_plugin_and_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys, "--plugin", "unet", "--data", "masks")
    assert "model: the plugin unet" in text
    assert "data.options: the dataset masks" in text
    assert "maskrcnn" not in text
    assert "train.schedule = poly " in text, "what the plugin sets"


def test_a_file_brings_its_own(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "model.width = 4" in listed(capsys, "model", "--plugin", tiny)


@pytest.mark.parametrize("words", [["train.lrr"], ["modl"]])
def test_what_there_is_not(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", *words]) == 2
    assert "did you mean" in capsys.readouterr().err
