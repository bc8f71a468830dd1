"""The training loop: what a run leaves behind, what stops it, and what parts and processes must not
change.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.commands import run_command, train_words

from toolkit.checkpoints import read_checkpoint
from toolkit.config import resolve
from toolkit.errors import CheckpointError, DataError, NonFiniteLossError, OutputError, UsageError
from toolkit.models.building import load_model
from toolkit.training.log import read_metrics
from toolkit.training.loop import TrainResult, train


def run_tiny(tiny: str, out: Path, *words: str, resume: bool = False) -> TrainResult:
    fixed = ["train.device=cpu", "train.workers=0"]
    return train(resolve(plugin=tiny, data=tiny, overrides=[*fixed, *words]), out, resume=resume)


def weights(run: Path, name: str = "last.safetensors") -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(run / name)
    return tensors


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], tolerance: float = 0.0) -> bool:
    return all(torch.allclose(left[name], right[name], rtol=0, atol=tolerance) for name in left)


def test_a_run_learns_and_leaves_everything_that_was_promised(tiny: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = run_tiny(tiny, run, "train.steps=60", "train.eval_every=20", "model.width=8")
    assert result.finished
    assert result.best_metric == "mean_iou"
    assert result.best > 0.8
    present = {path.name for path in run.iterdir()}
    assert {"config.yaml", "best.safetensors", "last.safetensors", "metrics.jsonl", "resume.pt"} <= present
    assert {"train.log", "results.csv", "curves.png", "train-batch.jpg", "val-predictions.jpg"} <= present
    assert any(name.startswith("events.out.tfevents") for name in present)
    lines = read_metrics(run)
    assert [line["step"] for line in lines if "val/mean_iou" in line] == [20, 40, 60]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0] / 2  # type: ignore[operator]
    assert all("val/loss" in line for line in lines if "val/mean_iou" in line)
    assert all(
        {"lr", "grad_norm", "images_per_second", "data_wait"} <= set(line) for line in lines if "loss" in line
    )

    _, manifest = read_checkpoint(run / "best.safetensors")
    assert manifest is not None
    assert manifest.classes == ("ground", "square")
    assert manifest.model == {"width": 8, "dropout": 0.0, "poison": ""}
    assert manifest.metrics["mean_iou"] == pytest.approx(result.best)
    assert manifest.dataset["fingerprint"]
    assert manifest.config["train"]["steps"] == 60
    assert (
        resolve(config=run / "config.yaml").model_dump() == resolve(config=run / "config.yaml").model_dump()
    )
    model, _ = load_model(run)
    assert equal(dict(model.state_dict()), weights(run, "best.safetensors"))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny: str, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_tiny(tiny, tmp_path / name, "train.steps=5", f"train.seed={seed}", "model.dropout=0.5")
    assert equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not equal(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_accumulated_parts_give_the_step_of_the_whole_batch(
    tiny: str, tmp_path: Path, optimizer: str
) -> None:
    run_tiny(tiny, tmp_path / "whole", "train.steps=4", f"train.optimizer={optimizer}")
    run_tiny(tiny, tmp_path / "parts", "train.steps=4", f"train.optimizer={optimizer}", "train.accumulate=4")
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"), tolerance=1e-5)


def test_two_processes_train_and_measure_like_one(tiny: str, tmp_path: Path) -> None:
    words = [
        "train.steps=6",
        "train.eval_every=3",
        "train.log_every=1",
        "train.device=cpu",
        "train.workers=0",
        "data.options.count=9",
    ]
    for devices in (1, 2):
        command = train_words(tiny, tmp_path / str(devices), "--devices", str(devices), *words)
        done = run_command(*command, processes=devices)
        assert done.returncode == 0, done.stderr
        assert "find_unused_parameters" not in done.stderr, "torch's advice is not for the user"
    assert equal(weights(tmp_path / "1"), weights(tmp_path / "2"), tolerance=1e-5)
    log = (tmp_path / "2" / "train.log").read_text()
    assert log.count("Starts from random weights") == 1, "the first process writes, and no other"
    assert log.count("step 6/6") == 1
    one, two = (read_metrics(tmp_path / name) for name in ("1", "2"))
    assert len(one) == len(two) == 6 + 2, "each step, and each validation"
    for left, right in zip(one, two, strict=True):
        for name in left.keys() - {"images_per_second", "data_wait"}:
            assert right[name] == pytest.approx(left[name], abs=1e-5), name
    command = ["eval", str(tmp_path / "1"), "--data", tiny, "--plugin", tiny, "--json", "--device", "cpu"]
    figures = []
    for devices in (1, 2):
        done = run_command(*command, "--devices", str(devices), processes=devices)
        assert done.returncode == 0, done.stderr
        figures.append(json.loads(done.stdout))
    assert figures[0] == figures[1]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_precisions_train_on_a_cpu(tiny: str, tmp_path: Path, precision: str) -> None:
    result = run_tiny(
        tiny, tmp_path / "run", "train.steps=40", f"train.precision={precision}", "model.width=8"
    )
    assert result.best > 0.6
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert bool(state["precision"]) == (precision == "fp16"), "only fp16 has a GradScaler"


def test_a_nan_loss_stops_with_step_loss_and_samples(tiny: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(NonFiniteLossError) as caught:
        run_tiny(tiny, run, "train.steps=50", "model.poison=train/8", "train.checkpoint_every=1")
    message = str(caught.value)
    assert "cross_entropy is nan" in message
    assert "train/8" in message
    assert "train.lr" in message
    assert f"the last saved state is in {run}" in message, (
        "with this seed the sample comes after the first step"
    )
    assert all(bool(torch.isfinite(value).all()) for value in weights(run).values())


def test_a_nan_that_stays_stops_fp16_too(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="cross_entropy is nan.*no state was saved yet"):
        run_tiny(
            tiny,
            tmp_path / "run",
            *("train.steps=100", "train.eval_every=100"),
            *("model.poison=train", "train.precision=fp16"),
        )


def test_one_overflow_is_skipped_in_fp16_and_training_goes_on(tiny: str, tmp_path: Path) -> None:
    result = run_tiny(
        tiny, tmp_path / "run", "train.steps=30", "model.poison=train/7", "train.precision=fp16"
    )
    assert result.finished
    assert all(bool(torch.isfinite(value).all()) for value in weights(tmp_path / "run").values())


def test_gradients_are_clipped_by_their_global_norm(tiny: str, tmp_path: Path) -> None:
    words = [
        "train.steps=1",
        "train.optimizer=sgd",
        "train.momentum=0",
        "train.weight_decay=0",
        "train.lr=1",
        "train.log_every=1",
        "train.schedule=constant",
    ]
    run_tiny(tiny, tmp_path / "zero", *words, "train.lr=1e-12")
    run_tiny(tiny, tmp_path / "clipped", *words, "train.clip_norm=0.01")
    before, after = weights(tmp_path / "zero"), weights(tmp_path / "clipped")
    moved = math.sqrt(sum(float((after[name] - before[name]).square().sum()) for name in before))
    assert moved == pytest.approx(0.01, rel=1e-3)
    assert read_metrics(tmp_path / "clipped")[0]["grad_norm"] > 0.01, (
        "what is logged is the norm before clipping"
    )  # type: ignore[operator]


def test_early_stopping(tiny: str, tmp_path: Path) -> None:
    result = run_tiny(
        tiny, tmp_path / "run", "train.steps=1000", "train.eval_every=1", "train.patience=3", "train.lr=1e-9"
    )
    assert result.finished
    assert result.steps == 4, "the first validation is the best, the next three are no better"
    assert (
        run_tiny(
            tiny,
            tmp_path / "run",
            "train.steps=1000",
            "train.eval_every=1",
            "train.patience=3",
            "train.lr=1e-9",
            resume=True,
        ).steps
        == 4
    )


def test_the_moving_average_is_what_is_kept_and_measured(tiny: str, tmp_path: Path) -> None:
    run_tiny(tiny, tmp_path / "run", "train.steps=10", "train.ema=0.9")
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert equal(weights(tmp_path / "run"), state["ema"])
    assert not equal(weights(tmp_path / "run"), state["model"])


def test_epochs_become_steps(tiny: str, tmp_path: Path) -> None:
    assert (
        run_tiny(tiny, tmp_path / "run", "train.epochs=1.5", "data.options.count=6").steps == 3
    )  # 9 images in fours


def test_another_run_is_never_overwritten(tiny: str, tmp_path: Path) -> None:
    run_tiny(tiny, tmp_path / "run", "train.steps=1")
    before = weights(tmp_path / "run")
    with pytest.raises(UsageError, match="exists and is not empty.*--resume"):
        run_tiny(tiny, tmp_path / "run", "train.steps=2")
    with pytest.raises(UsageError, match="nothing to resume"):
        run_tiny(tiny, tmp_path / "other", resume=True)
    assert equal(before, weights(tmp_path / "run"))


def test_resuming_a_finished_run_changes_nothing(tiny: str, tmp_path: Path) -> None:
    run_tiny(tiny, tmp_path / "run", "train.steps=3")
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    assert run_tiny(tiny, tmp_path / "run", "train.steps=3", resume=True).finished
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before


def test_a_run_that_cannot_start_leaves_nothing_in_the_way(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run_tiny(tiny, tmp_path / "run", "weights=nothing.pth")
    assert run_tiny(tiny, tmp_path / "run", "train.steps=1").finished


def test_a_run_is_not_resumed_as_another(tiny: str, tmp_path: Path) -> None:
    run_tiny(tiny, tmp_path / "run", "train.steps=3")
    with pytest.raises(
        UsageError, match=r"model\.width was 4 and is now 5; train\.lr was 0\.01 and is now 0\.5"
    ):
        run_tiny(tiny, tmp_path / "run", "train.steps=3", "model.width=5", "train.lr=0.5", resume=True)
    longer = run_tiny(tiny, tmp_path / "run", "train.steps=5", "train.log_every=1", resume=True)
    assert longer.steps == 5


def test_a_damaged_resume_file_is_named(tiny: str, tmp_path: Path) -> None:
    run_tiny(tiny, tmp_path / "run", "train.steps=3")
    path = tmp_path / "run" / "resume.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"resume\.pt is damaged"):
        run_tiny(tiny, tmp_path / "run", "train.steps=9", resume=True)


def test_a_full_disk_stops_and_keeps_the_last_state(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    real, calls = os.replace, []

    def full(source: str, target: str) -> None:
        calls.append(target)
        if len(calls) > 8:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left on device|disk is full|space"):
        run_tiny(tiny, run, "train.steps=40", "train.checkpoint_every=2")
    monkeypatch.setattr(os, "replace", real)
    result = run_tiny(tiny, run, "train.steps=40", "train.checkpoint_every=2", resume=True)
    assert result.finished


def test_an_unknown_best_metric_lists_those_there_are(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"best_metric=accuracy is not measured\. Expected one of: mean_iou"):
        run_tiny(tiny, tmp_path / "run", "train.steps=1", "train.best_metric=accuracy")


def test_an_empty_split_is_an_error(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="split 'train' has no images"):
        run_tiny(tiny, tmp_path / "run", "data.options.count=0")


def test_the_best_can_be_chosen_by_the_validation_loss(tiny: str, tmp_path: Path) -> None:
    result = run_tiny(tiny, tmp_path / "run", "train.steps=6", "train.eval_every=2", "train.best_metric=loss")
    losses = [line["val/loss"] for line in read_metrics(tmp_path / "run") if "val/loss" in line]
    assert result.best == pytest.approx(min(losses))  # type: ignore[type-var]


def test_unknown_weights_list_the_official_names(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="weights=nothing.pth: no such file, and no official weights of plugin 'tiny'"
    ):
        run_tiny(tiny, tmp_path / "run", "weights=nothing.pth")


def test_training_starts_from_another_run(tiny: str, tmp_path: Path) -> None:
    run_tiny(tiny, tmp_path / "first", "train.steps=5")
    words = [
        "train.steps=1",
        "train.lr=1e-12",
        "train.weight_decay=0",
        f"weights={tmp_path / 'first' / 'last.safetensors'}",
    ]
    run_tiny(tiny, tmp_path / "second", *words)
    assert equal(weights(tmp_path / "first"), weights(tmp_path / "second"), tolerance=1e-6)
    _, manifest = read_checkpoint(tmp_path / "second" / "last.safetensors")
    assert manifest is not None
    assert manifest.start_weights["name"].endswith("last.safetensors")


def test_resuming_clears_away_what_a_kill_left_half_written(tiny: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_tiny(tiny, run, "train.steps=1")
    (run / ".toolkit-0123456789ab.part").write_bytes(b"half of a checkpoint")
    before = {path.name for path in run.iterdir()}
    run_tiny(tiny, run, "train.steps=2", resume=True)
    left = {path.name for path in run.iterdir()}
    assert not any(name.endswith(".part") for name in left)
    assert before - left == {".toolkit-0123456789ab.part"}, "and nothing else"


def test_the_recipe_scaled_for_another_batch_says_so(
    tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="toolkit"):
        run_tiny(tiny, tmp_path / "run", "train.steps=1", "train.batch_size=8")
    assert "Learning rate scaled from 0.01 (batch 4) to 0.02 (batch 8)" in caplog.text
