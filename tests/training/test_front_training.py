"""``toolkit.train``: names or settings in, a run out that everything else takes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import toolkit
from toolkit.errors import ConfigError, UsageError
from toolkit.models.building import load_model
from toolkit.training.folder import default_run

FEW = {"train.steps": 2, "train": {"device": "cpu"}}
WORDS = ["train.steps=2", "train.device=cpu"]


def test_names_and_settings_make_a_run_that_can_be_loaded(tiny: str, tmp_path: Path) -> None:
    settings = {"train.steps": 2, "train": {"device": "cpu", "lr": 0.5}, "data.options": {"count": 5}}
    result = toolkit.train(settings, tmp_path / "run", plugin=tiny, data=tiny, progress=False)
    assert result.finished
    assert result.run == tmp_path / "run"
    assert 0 <= result.best <= 1
    saved = toolkit.resolve(config=result.run / "config.yaml")
    assert (saved.train.lr, saved.train.steps) == (0.5, 2)
    assert saved.data.options.count == 5  # type: ignore[attr-defined]
    assert settings["train"] == {"device": "cpu", "lr": 0.5}, "what was handed in stays as it was"
    for run in (result, result.run, str(result.run)):
        assert toolkit.load(run, device="cpu").classes == ("ground", "square")


def test_words_and_whole_settings_do_the_same(tiny: str, tmp_path: Path) -> None:
    by_words = toolkit.train(WORDS, str(tmp_path / "a"), plugin=tiny, data=tiny, progress=False)
    whole = toolkit.resolve(plugin=tiny, data=tiny, overrides=WORDS)
    by_settings = toolkit.train(whole, tmp_path / "b", progress=False)
    assert by_words.best == by_settings.best
    with pytest.raises(UsageError, match="are in the settings already"):
        toolkit.train(whole, tmp_path / "c", plugin=tiny)


def test_a_run_has_a_folder_by_default(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = toolkit.train(FEW, plugin=tiny, data=tiny, progress=False)
    assert result.run == Path("runs/tiny-tiny")
    assert (tmp_path / "runs/tiny-tiny/best.safetensors").is_file()
    with pytest.raises(UsageError, match="exists and is not empty"):
        toolkit.train(FEW, plugin=tiny, data=tiny, progress=False)
    more = FEW | {"train.steps": 3}
    assert toolkit.train(more, plugin=tiny, data=tiny, progress=False, resume=True).steps == 3
    assert default_run("unet", "shapes") == Path("runs/unet-shapes")


def test_the_folder_of_the_data_is_a_setting_like_others(tmp_path: Path) -> None:
    with pytest.raises(toolkit.errors.DataError, match=f"{tmp_path}/none: odd does not exist"):
        toolkit.train(plugin="unet", data="masks", data_dir=tmp_path / "none: odd", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_wrong_settings_are_said_before_anything_is_made(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key; did you mean 'steps'"):
        toolkit.train({"train.stepz": 3}, tmp_path / "run", plugin=tiny, data=tiny)
    with pytest.raises(UsageError, match="a plugin is needed, but none was given"):
        toolkit.train(data=tiny)
    assert not (tmp_path / "run").exists()


def test_progress_is_shown_by_default_and_can_be_turned_off(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.Logger, "hasHandlers", lambda self: False)  # pytest has added its own
    toolkit.train(FEW, tmp_path / "a", plugin=tiny, data=tiny)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "mean_iou" in shown.err
    toolkit.train(FEW, tmp_path / "b", plugin=tiny, data=tiny, progress=False)
    assert "mean_iou" not in capsys.readouterr().err
    assert not logging.getLogger("toolkit").handlers


def test_what_becomes_of_the_log_is_left_to_those_who_have_decided_it(
    tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "toolkit"):
        toolkit.train(FEW, tmp_path / "a", plugin=tiny, data=tiny)
    assert sum("val" in message and "mean_iou" in message for message in caplog.messages) >= 1


def test_a_run_is_resumed_by_its_folder_alone(tiny: str, tmp_path: Path) -> None:
    """What is not given stays as it was started, and not as a recipe would have it."""
    start = {"train.steps": 2, "train.batch_size": 2, "train.workers": 0, "train.device": "cpu"}
    first = toolkit.train(start, tmp_path / "run", plugin=tiny, data=tiny, progress=False)
    again = toolkit.train({"train.steps": 4}, tmp_path / "run", resume=True, progress=False)
    assert (first.steps, again.steps) == (2, 4)
    kept = toolkit.resolve(config=tmp_path / "run")
    assert (kept.train.batch_size, kept.train.workers) == (2, 0)
    assert (
        kept.train.lr_batch_size
        == toolkit.resolve(plugin=tiny, data=tiny, overrides=start).train.lr_batch_size
    )
    whole = toolkit.train(
        start | {"train.steps": 4}, tmp_path / "whole", plugin=tiny, data=tiny, progress=False
    )
    assert whole.steps == 4
    with pytest.raises(UsageError, match="resume=True needs the folder of a run. Hint: give it as out="):
        toolkit.train(resume=True)
    with pytest.raises(UsageError, match="nothing to resume"):
        toolkit.train({"train.steps": 4}, tmp_path / "absent", resume=True)
    with pytest.raises(UsageError, match="train.lr was 0.01 and is now 0.5"):
        toolkit.train({"lr": 0.5}, tmp_path / "run", resume=True, progress=False)


def test_a_model_that_is_handed_over_is_not_said_to_start_from_random_weights(
    tiny: str, tmp_path: Path
) -> None:
    own = toolkit.train(FEW, tmp_path / "a", plugin=tiny, data=tiny, progress=False)
    model, manifest = load_model(own.run)
    assert manifest.start_weights["name"] == "none"
    more = FEW | {"train.eval_every": 1}
    again = toolkit.train(more, tmp_path / "b", plugin=tiny, data=tiny, model=model, progress=False)
    assert load_model(again.run)[1].start_weights["name"] == "handed over"
    resumed = {**more, "train.steps": 3}
    last = toolkit.train(
        resumed, tmp_path / "b", plugin=tiny, data=tiny, model=model, resume=True, progress=False
    )
    assert last.steps == 3
    assert load_model(last.run)[1].start_weights["name"] == "handed over"
