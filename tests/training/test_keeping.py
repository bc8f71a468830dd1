"""What a run keeps is of one state, whenever it was killed; and what validation demands is known before."""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.commands import Command, run_command, train_words

import toolkit
from toolkit import registry
from toolkit.checkpoints import read_manifest
from toolkit.config import resolve
from toolkit.errors import CheckpointError, ConfigError, LoaderError, ToolkitError, UsageError
from toolkit.runtime.locks import LOCK_FILE
from toolkit.training import keeping
from toolkit.training.log import read_metrics
from toolkit.training.loop import TrainResult, train
from toolkit.training.state import load_state
from toolkit.training.validation import Validation

FIXED = ["train.device=cpu", "train.workers=0", "train.log_every=1"]


def run_tiny(tiny: str, out: Path, *words: str, resume: bool = False) -> TrainResult:
    return train(resolve(plugin=tiny, data=tiny, overrides=[*FIXED, *words]), out, resume=resume)


def step_of(run: Path, name: str) -> int:
    manifest = read_manifest(run / name)
    assert manifest is not None
    return manifest.step


# What belongs together


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ((), "older"),
        (("train.ema=0.9",), "older"),
        (("data.val_split=",), "none"),
        (("data.val_split=", "train.ema=0.5"), "damaged"),
    ],
)
def test_a_finished_run_whose_last_file_is_another_gets_its_own(
    tiny: str, tmp_path: Path, words: tuple[str, ...], left: str
) -> None:
    """As a kill leaves it that comes between the two files."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    run_tiny(tiny, whole, *words, "train.steps=7", "train.checkpoint_every=3")
    shutil.copytree(whole, run)
    last = run / "last.safetensors"
    if left == "older":
        run_tiny(tiny, tmp_path / "short", *words, "train.steps=3", "train.checkpoint_every=3")
        shutil.copy(tmp_path / "short" / "last.safetensors", last)
        assert step_of(run, "last.safetensors") == 3
    elif left == "none":
        last.unlink()
    else:
        last.write_bytes(last.read_bytes()[:100])
    result = run_tiny(tiny, run, *words, "train.steps=7", "train.checkpoint_every=3", resume=True)
    assert result.finished
    expected, found = load_file(whole / "last.safetensors"), load_file(last)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert read_manifest(last) == read_manifest(whole / "last.safetensors")


def test_the_state_is_saved_before_validating(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nothing is lost when that fails, and the run goes on with what it was to measure."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    words = ["train.steps=9", "train.eval_every=3", "train.checkpoint_every=100", "train.ema=0.9"]
    run_tiny(tiny, whole, *words)
    measure, calls = Validation.measure, []

    def fails(self: Validation, *given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no memory for that")
        return measure(self, *given)

    monkeypatch.setattr(Validation, "measure", fails)
    with pytest.raises(RuntimeError, match="no memory"):
        run_tiny(tiny, run, *words)
    progress, _ = load_state(run)
    assert (progress.step, progress.validated) == (6, 3)
    assert step_of(run, "last.safetensors") == 6
    monkeypatch.setattr(Validation, "measure", measure)
    run_tiny(tiny, run, *words, resume=True)
    for name in ("last.safetensors", "best.safetensors"):
        expected, found = load_file(whole / name), load_file(run / name)
        assert all(torch.equal(value, found[key]) for key, value in expected.items()), name
    lines, others = read_metrics(run), read_metrics(whole)
    timed = {"images_per_second", "data_wait"}
    assert [{k: v for k, v in line.items() if k not in timed} for line in lines] == [
        {k: v for k, v in line.items() if k not in timed} for line in others
    ]
    assert load_state(run)[0] == load_state(whole)[0]


def test_a_kill_between_a_validation_and_the_next_state_leaves_no_line_twice(
    tiny: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["train.steps=8", "train.eval_every=2", "train.checkpoint_every=100"]
    run_tiny(tiny, run, *words)
    state = torch.load(run / "resume.pt", weights_only=True)
    state["progress"]["validated"] = 6  # of step 8, before it was validated
    torch.save(state, run / "resume.pt")
    before = read_metrics(run)
    run_tiny(tiny, run, *words, resume=True)
    assert [line["step"] for line in read_metrics(run)] == [line["step"] for line in before]
    assert load_state(run)[0].validated == 8


def test_early_stopping_is_no_other_after_a_kill_while_validating(tiny: str, tmp_path: Path) -> None:
    words = ["train.steps=50", "train.eval_every=1", "train.patience=3", "train.lr=1e-9"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    run_tiny(tiny, whole, *words)
    shutil.copytree(whole, run)
    state = torch.load(run / "resume.pt", weights_only=True)
    state["progress"] |= {"validated": 3, "stale": 2}
    torch.save(state, run / "resume.pt")
    assert run_tiny(tiny, run, *words, resume=True).steps == 4
    assert load_state(run)[0] == load_state(whole)[0]


# Found too late, then locked in


@pytest.mark.parametrize(
    "fault",
    ["data.options.damaged=val/0", "evaluators.coco={}"],
    ids=["a label that is missing", "an evaluator"],
)
def test_what_validation_demands_is_known_before_the_first_step(
    tiny: str, tmp_path: Path, fault: str
) -> None:
    run = tmp_path / "run"
    for _ in range(2):  # and never blocks the next try
        with pytest.raises(ToolkitError) as caught:
            run_tiny(tiny, run, "train.steps=6", "train.eval_every=3", fault)
        assert not (run / "resume.pt").exists()
        assert "before the first step" in str(caught.value) or isinstance(caught.value, UsageError)
    assert run_tiny(tiny, run, "train.steps=6", "train.eval_every=3").finished


def test_the_try_changes_nothing(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["train.steps=4", "model.dropout=0.5", "train.eval_every=2"]
    run_tiny(tiny, tmp_path / "with", *words)
    monkeypatch.setattr(Validation, "try_out", lambda self, model: None)
    run_tiny(tiny, tmp_path / "without", *words)
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("with", "without"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    metrics = [
        [line.get("val/mean_iou") for line in read_metrics(tmp_path / name)] for name in ("with", "without")
    ]
    assert metrics[0] == metrics[1]


def test_what_only_measures_may_change_and_the_best_is_looked_for_anew(
    tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    words = ["train.steps=4", "train.eval_every=2"]
    run_tiny(tiny, run, *words)
    with caplog.at_level("INFO", logger="toolkit"):
        again = run_tiny(tiny, run, *words, "train.best_metric=loss", resume=True)
    assert "The metrics have changed" in caplog.text
    assert (again.best_metric, again.steps) == ("loss", 4)
    assert again.best == pytest.approx(
        [line["val/loss"] for line in read_metrics(run) if "val/loss" in line][-1]
    )
    assert step_of(run, "best.safetensors") == 4
    longer = [
        "train.steps=6",
        "train.eval_every=2",
        "train.best_metric=loss",
        "evaluators.iou.void=false_positive",
    ]
    assert run_tiny(tiny, run, *longer, resume=True).best_step in (4, 6)
    without = run_tiny(tiny, run, "train.steps=7", "data.val_split=", resume=True)
    assert math.isnan(without.best)


# Other ways to go on


@pytest.mark.parametrize(
    ("first", "then"), [("fp32", "fp16"), ("fp16", "fp32"), ("fp16", "bf16"), ("bf16", "fp16")]
)
def test_another_precision_goes_on(tiny: str, tmp_path: Path, first: str, then: str) -> None:
    run_tiny(tiny, tmp_path / "run", "train.steps=3", f"train.precision={first}", "train.clip_norm=1")
    again = run_tiny(
        tiny, tmp_path / "run", "train.steps=6", f"train.precision={then}", "train.clip_norm=1", resume=True
    )
    assert again.steps == 6


@pytest.mark.parametrize(
    "change", ["train.accumulate=2", "train.workers=1", "train.loggers=csv", "data.in_memory=true"]
)
def test_other_settings_that_may_change_do_change(tiny: str, tmp_path: Path, change: str) -> None:
    run_tiny(tiny, tmp_path / "run", "train.steps=2")
    assert run_tiny(tiny, tmp_path / "run", "train.steps=4", change, resume=True).steps == 4


# Remains in the way


@pytest.mark.parametrize(
    "names",
    [
        [".toolkit-0123456789ab.part"],
        [LOCK_FILE],
        [LOCK_FILE, ".toolkit-0123456789ab.part", ".toolkit-ffffffffffff.part"],
        [LOCK_FILE, "config.yaml"],
        [LOCK_FILE, "config.yaml", ".toolkit-0123456789ab.part"],
        [LOCK_FILE, "config.yaml", "metrics.jsonl"],
    ],
)
def test_remains_of_a_kill_are_no_run(tiny: str, tmp_path: Path, names: list[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in names:
        (run / name).write_text("plugin: tiny\n" if name == "config.yaml" else "")
    assert run_tiny(tiny, run, "train.steps=1").finished
    assert not any(path.suffix == ".part" for path in run.iterdir())


@pytest.mark.parametrize(
    "name", [".notes.part", "0123456789ab.part", ".0123456789AB.part", ".0123456789ab.part.txt"]
)
def test_what_is_only_like_them_is_kept(tiny: str, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / name).write_text("mine")
    with pytest.raises(UsageError, match="exists and is not empty"):
        run_tiny(tiny, run, "train.steps=1")
    assert (run / name).read_text() == "mine"


# Signals and deaths


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_saves_the_step_in_hand(
    tiny: str, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    words = ["train.steps=100000", "train.eval_every=100000", "train.workers=2", "train.log_every=1"]
    command = train_words(tiny, run, *words, "train.device=cpu", "train.checkpoint_every=100000")
    process = Command(*command, new_session=True)
    while not ((run / "metrics.jsonl").exists() and (run / "metrics.jsonl").stat().st_size):
        assert process.poll() is None
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--resume" in output, errors
    assert "Traceback" not in errors
    assert load_state(run)[0].step == read_metrics(run)[-1]["step"] > 0


def test_when_loaders_die_the_state_is_saved_and_the_run_goes_on(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    words = ["train.steps=6", "train.accumulate=2", "train.checkpoint_every=100"]
    run_tiny(tiny, whole, *words)
    from toolkit.training import run_parts

    real = run_parts.training_batches

    def dying(*given: Any, **named: Any) -> Any:
        for number, batch in enumerate(real(*given, **named)):
            if number == 7:  # the second part of the fourth step
                raise LoaderError("a process that reads images was stopped. Hint: use fewer")
            yield batch

    monkeypatch.setattr(run_parts, "training_batches", dying)
    with pytest.raises(
        LoaderError, match=r"Hint: use fewer\. The state after step 3 is saved; --resume continues"
    ):
        run_tiny(tiny, run, *words)
    monkeypatch.setattr(run_parts, "training_batches", real)
    run_tiny(tiny, run, *words, resume=True)
    one, two = (load_file(folder / "last.safetensors") for folder in (whole, run))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_a_death_before_the_first_step_leaves_nothing_in_the_way(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.training import run_parts

    def dying(*given: Any, **named: Any) -> Any:
        raise LoaderError("died. Hint: use fewer")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(run_parts, "training_batches", dying)
        with pytest.raises(LoaderError, match=r"^died\. Hint: use fewer$"):
            run_tiny(tiny, tmp_path / "run", "train.steps=2")
    assert run_tiny(tiny, tmp_path / "run", "train.steps=2").finished


# Processes


NORMED = '''
from torch import nn
from toolkit import PluginManifest, SemanticModel, Settings

PLUGIN = PluginManifest(name="normed", summary="with batch norm", task="semantic", build=":build",
                        settings=":Own", evaluators=("iou",))

class Own(Settings):
    fails: int = -1
    """Process that fails."""

def build(settings, classes):
    import os
    if settings.fails >= 0 and int(os.environ.get("LOCAL_RANK", 0)) == settings.fails:
        from toolkit.errors import ConfigError
        raise ConfigError("this setting is wrong. Hint: another")
    body = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, momentum=0.9), nn.ReLU()]
    return SemanticModel(nn.Sequential(*body, nn.Conv2d(4, len(classes), 1)), classes)
'''


def command(tiny: str, folder: Path, run: Path, *words: str) -> list[str]:
    (folder / "normed.py").write_text(NORMED)
    plugin = ["--plugin", str(folder / "normed.py"), "--data", tiny, "--out", str(run)]
    fixed = ["train.device=cpu", "train.workers=0", "batch_size=4", "train.steps=4", "train.eval_every=2"]
    return ["train", *plugin, "--devices", "2", *fixed, *words]


@pytest.mark.parametrize(
    "ema",
    [pytest.param((), id="plain"), pytest.param(("train.ema=0.5",), id="averaged")],
)
def test_what_two_processes_measure_is_what_they_keep(
    tiny: str, tmp_path: Path, ema: tuple[str, ...]
) -> None:
    """Batch norm has learned other statistics in each of them."""
    run = tmp_path / "run"
    done = run_command(*command(tiny, tmp_path, run, *ema), processes=2)
    assert done.returncode == 0, done.stderr
    registry.add_path(str(tmp_path / "normed.py"))
    measured = toolkit.evaluate(run / "last.safetensors", data=tiny, device="cpu", progress=False).metrics
    line = [line for line in read_metrics(run) if "val/mean_iou" in line][-1]
    for name, value in measured.items():
        assert line[f"val/{name}"] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("fails", [0, 1])
def test_a_process_that_fails_while_building_ends_the_others(tiny: str, tmp_path: Path, fails: int) -> None:
    run = tmp_path / "run"
    done = run_command(*command(tiny, tmp_path, run, f"model.fails={fails}"), processes=2)
    said = done.stderr
    assert done.returncode in (1, 2), said
    assert "Traceback" not in said
    assert said.count("this setting is wrong. Hint: another") == 1
    assert f"process {1 - fails} stopped, because process {fails} failed" in said
    assert not run.exists()


def test_a_port_that_is_taken_is_said_before_any_process_is_started(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        monkeypatch.setenv("MASTER_PORT", str(server.getsockname()[1]))
        with pytest.raises(ConfigError, match="the processes cannot meet at port"):
            run_tiny(tiny, tmp_path / "run", "train.devices=2")
    assert not (tmp_path / "run").exists()


def test_what_decides_the_best_is_text(tiny: str) -> None:
    one = keeping.measured_by(resolve(plugin=tiny, data=tiny))
    assert one == keeping.measured_by(
        resolve(plugin=tiny, data=tiny, overrides=["train.steps=3", "workers=9"])
    )
    for word in ("train.best_metric=loss", "evaluators.iou.void=false_positive", "data.val_split="):
        assert keeping.measured_by(resolve(plugin=tiny, data=tiny, overrides=[word])) != one


@pytest.fixture(scope="module")
def stepped(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("stepped") / "run"
    run_tiny(tiny, run, "train.steps=2", "train.ema=0.5")
    return run


def without(name: str) -> Any:
    return lambda state: state.pop(name)


def change(name: str, value: Any) -> Any:
    return lambda state: state.update({name: value})


def narrow_moments(state: dict[str, Any]) -> None:
    for moments in state["optimizer"]["state"].values():
        moments["exp_avg"] = torch.zeros(7)


CHANGES = {
    "no weights": without("model"),
    "no origin": without("start_weights"),
    "an origin without a license": change("start_weights", {"name": "x"}),
    "no progress": without("progress"),
    "progress as a list": change("progress", [1]),
    "a step as text": lambda state: state["progress"].update(step="2"),
    "a step below 0": lambda state: state["progress"].update(step=-3),
    "weights as a number": change("model", 5),
    "weights of another network": change("model", {"a": torch.zeros(2)}),
    "one weight as text": lambda state: state["model"].update(dict.fromkeys(list(state["model"])[:1], "x")),
    "no groups": lambda state: state["optimizer"].pop("param_groups"),
    "no moments": lambda state: state["optimizer"].pop("state"),
    "groups as text": lambda state: state["optimizer"].update(param_groups="ab"),
    "moments of another shape": narrow_moments,
    "an average of other weights": change("ema", {"a": torch.zeros(2)}),
    "an average that is text": lambda state: state["ema"].update(dict.fromkeys(state["ema"], "x")),
    "precision as a list": change("precision", [1]),
    "warnings as a number": change("diagnosis", {"warnings": 5}),
    "data without classes": change("data", {"fingerprint": "x", "digests": {}}),
    "measured by a number": change("measured", {"by": 5}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_state_that_a_stranger_may_have_made(tiny: str, stepped: Path, tmp_path: Path, name: str) -> None:
    run = Path(shutil.copytree(stepped, tmp_path / "run"))
    state = torch.load(run / "resume.pt", weights_only=True)
    CHANGES[name](state)
    torch.save(state, run / "resume.pt")
    with pytest.raises(CheckpointError) as caught:
        run_tiny(tiny, run, "train.steps=4", "train.ema=0.5", resume=True)
    assert str(run) in str(caught.value)


@pytest.mark.parametrize("state", [[1, 2], 5, None])
def test_a_state_that_is_something_else(tiny: str, stepped: Path, tmp_path: Path, state: Any) -> None:
    run = Path(shutil.copytree(stepped, tmp_path / "run"))
    torch.save(state, run / "resume.pt")
    with pytest.raises(CheckpointError, match=r"resume.pt: expected an object.*Hint: start a new run"):
        run_tiny(tiny, run, "train.steps=4", "train.ema=0.5", resume=True)


@pytest.mark.parametrize("left", ["weights", "damaged weights", "nothing"])
def test_a_run_whose_state_got_lost_is_not_begun_anew_over_its_weights(
    tiny: str, stepped: Path, tmp_path: Path, left: str
) -> None:
    run = Path(shutil.copytree(stepped, tmp_path / "run"))
    (run / "resume.pt").unlink()
    if left == "nothing":
        for name in ("best.safetensors", "last.safetensors"):
            (run / name).unlink()
        assert run_tiny(tiny, run, "train.steps=2", "train.ema=0.5", resume=True).finished
        return
    if left == "damaged weights":
        (run / "last.safetensors").write_bytes(b"x")
    before = {path.name: path.read_bytes() for path in run.glob("*.safetensors")}
    with pytest.raises(UsageError, match=r"its state, resume.pt, is missing. Hint: start a new run from"):
        run_tiny(tiny, run, "train.steps=2", "train.ema=0.5", resume=True)
    assert {path.name: path.read_bytes() for path in run.glob("*.safetensors")} == before
