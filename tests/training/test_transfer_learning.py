"""Transfer learning: parts that do not learn, learn later, or learn at a rate of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.backbone import BackboneSettings, build
from support.commands import run_command, train_words
from support.small_settings import MODELS
from torch import Tensor, nn

from toolkit import registry
from toolkit.config import TrainSettings, resolve
from toolkit.data.dataset import draw_sample
from toolkit.errors import ConfigError, TrainingError, UsageError
from toolkit.models.building import build_model
from toolkit.models.parts import top_parts
from toolkit.models.semantic import SemanticModel
from toolkit.runtime.seeding import seed_everything
from toolkit.training.loop import Trainer, TrainResult, train
from toolkit.training.optimizer import build_optimizer, with_lr_factors
from toolkit.training.splits import open_splits

BACKBONE = str(Path(__file__).resolve().parents[1] / "support" / "backbone.py")
FIXED = ["train.device=cpu", "train.workers=0", "data.options.count=8", "train.eval_every=3"]


def run(tiny: str, out: Path, *words: str, plugin: str = BACKBONE, resume: bool = False) -> TrainResult:
    return train(resolve(plugin=plugin, data=tiny, overrides=[*FIXED, *words]), out, resume=resume)


def weights(folder: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = load_file(folder / "last.safetensors")
    return tensors


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


# Runs


def test_frozen_parts_stay_bit_for_bit_with_their_statistics(tiny: str, tmp_path: Path) -> None:
    run(tiny, tmp_path / "first", "train.steps=4")
    start = weights(tmp_path / "first")
    assert start["network.encoder.1.num_batches_tracked"] == 4
    run(
        tiny,
        tmp_path / "second",
        "train.freeze=encoder",
        f"weights={tmp_path / 'first' / 'last.safetensors'}",
        "train.weight_decay=0.1",
    )
    assert changed(start, weights(tmp_path / "second")) == {name for name in start if "encoder" not in name}


def test_a_new_head_alone_learns(tiny: str, tmp_path: Path) -> None:
    run(tiny, tmp_path / "first", "train.steps=2")
    words = [
        'train.freeze=["*", "!head"]',
        f"weights={tmp_path / 'first' / 'last.safetensors'}",
        "train.ema=0.9",
        "train.precision=bf16",
    ]
    run(tiny, tmp_path / "second", *words)
    start = weights(tmp_path / "first")
    assert changed(start, weights(tmp_path / "second")) == {"network.head.weight", "network.head.bias"}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_unfrozen_parts_learn_from_their_step_on_at_their_own_rate(
    tiny: str, tmp_path: Path, precision: str
) -> None:
    """One step of AdamW moves a weight by its learning rate at most; the first one of a weight nearly as
    much.
    """
    words = [
        "train.freeze=encoder",
        "train.unfreeze_at=3",
        "train.lr_factors.encoder=0.25",
        "train.weight_decay=0",
    ]
    words.append(f"train.precision={precision}")
    run(tiny, tmp_path / "still", "train.steps=1", "train.freeze=encoder")
    run(tiny, tmp_path / "run", "train.steps=4", *words)
    before, after = weights(tmp_path / "still"), weights(tmp_path / "run")
    moved = [
        float((after[name] - before[name]).abs().max())
        for name in before
        if re.match(r"network\.encoder\..*weight", name)
    ]
    assert moved == pytest.approx([0.01 * 0.25] * len(moved), rel=1e-2)
    assert after["network.encoder.1.num_batches_tracked"] == 1, (
        "the statistics learn with the last step alone"
    )
    assert after["network.neck.1.num_batches_tracked"] == 4


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_resuming_before_and_after_unfreezing_changes_nothing(
    tiny: str, tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        "train.freeze=[encoder]",
        "train.unfreeze_at=4",
        "train.lr_factors={encoder: 0.1, neck: 2}",
        "train.ema=0.8",
    ]
    words += ["train.checkpoint_every=1", "train.schedule=cosine", "train.log_every=1"]
    run(tiny, tmp_path / "whole", *words)
    take_step = Trainer._diagnose_step

    def stopping(self: Trainer, step: int, *rest: Any, **words: Any) -> dict[str, float]:
        if step == stop:
            raise KeyboardInterrupt
        return take_step(self, step, *rest, **words)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_diagnose_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, tmp_path / "stopped", *words)
    run(tiny, tmp_path / "stopped", *words, resume=True)
    states = [torch.load(tmp_path / name / "resume.pt", weights_only=True) for name in ("whole", "stopped")]
    for part in ("model", "ema"):
        assert changed(states[0][part], states[1][part]) == set()
    moments = [state["optimizer"]["state"] for state in states]
    assert moments[0].keys() == moments[1].keys()
    assert all(torch.equal(moments[0][i]["exp_avg_sq"], moments[1][i]["exp_avg_sq"]) for i in moments[0])


def test_two_processes_freeze_and_unfreeze_like_one(tiny: str, tmp_path: Path) -> None:
    words = [
        *FIXED,
        "train.steps=6",
        "train.freeze=net.0",
        "train.unfreeze_at=3",
        "train.lr_factors={net.0: 0.5}",
    ]
    for devices in (1, 2):
        command = train_words(tiny, tmp_path / str(devices), "--devices", str(devices), *words)
        done = run_command(*command, processes=devices)
        assert done.returncode == 0, done.stderr
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5)
    run(tiny, tmp_path / "still", "train.steps=6", "train.freeze=net.0", plugin=tiny)
    assert not torch.equal(one["net.0.weight"], weights(tmp_path / "still")["net.0.weight"]), (
        "the unfrozen part has learned"
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_plugin_can_be_frozen_and_unfrozen(name: str, tmp_path: Path) -> None:
    case = MODELS[name]
    if missing := case.manifest.missing_requirements():
        pytest.skip(f"needs {', '.join(missing)}")
    fixed = {"steps": 3, "batch_size": 2, "workers": 0, "device": "cpu", "lr": 1e-3}
    data, section = "shapes", {"options": {"size": 64, "train": 4, "val": 1}}
    if registry.task_of(case.manifest).name == "classification":
        draw_sample(registry.datasets().get("image-folder"), tmp_path / "images")
        data, section = "image-folder", {"dir": str(tmp_path / "images")}
    tree = {"model": case.settings, "weights": "none", "data": section, "train": fixed}
    settings = resolve(plugin=name, data=data, overrides=tree)
    dataset = open_splits(settings, case.task).train
    seed_everything(settings.train.seed, "model")
    start = build_model(case.manifest, settings.model, dataset.classes)
    part = next(n for n, each in top_parts(start).items() if any(p.requires_grad for p in each.parameters()))
    before = dict(start.state_dict())
    inside = {n for n, tensor in before.items() if n.startswith(f"{part}.")}
    assert inside
    assert inside < set(before)
    for folder, more in (("frozen", {}), ("unfrozen", {"unfreeze_at": 1})):
        words = {**tree, "train": {**fixed, "freeze": part, **more}}
        train(resolve(plugin=name, data=data, overrides=words), tmp_path / folder)
    still, moved = (
        changed(before, weights(tmp_path / "frozen")),
        changed(before, weights(tmp_path / "unfrozen")),
    )
    assert not still & inside
    assert still
    assert moved & inside


# Rates


def test_parts_with_their_own_rate_are_groups_of_their_own() -> None:
    network = build(BackboneSettings(), ("a", "b"))
    factors = {"network": 0.5, "encoder": 0.1, "encoder.0.bias": 3.0}
    optimizer = build_optimizer(network, TrainSettings(steps=1, lr=0.1, weight_decay=0.3, lr_factors=factors))
    rate_of = {id(p): group["base_lr"] for group in optimizer.param_groups for p in group["params"]}
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in network.named_parameters():
        expected = 0.3 if name == "network.encoder.0.bias" else 0.01 if "encoder" in name else 0.05
        assert rate_of[id(parameter)] == pytest.approx(expected), name
        assert decay_of[id(parameter)] == (0.3 if parameter.dim() > 1 else 0.0), name
    names = [group["name"] for group in optimizer.param_groups]
    assert names == [
        "network weights",
        "network biases and norms",
        "encoder weights",
        "encoder biases and norms",
        "encoder.0.bias biases and norms",
    ]


def test_rates_multiply_those_of_the_plugin() -> None:
    layers = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    groups = [{"params": list(layers[i].parameters()), "lr": rate} for i, rate in enumerate([1.0, 0.5])]
    split = with_lr_factors(groups, layers, {"*": 0.1})
    assert [(group["lr"], group["name"]) for group in split] == [(0.1, "*"), (0.05, "*")]


# What is refused, and what is said


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["train.unfreeze_at=3"], ConfigError, "unfreeze_at needs freeze"),
        (
            ["train.freeze=head", "train.unfreeze_at=8"],
            ConfigError,
            "train.unfreeze_at 8 is beyond the 8 steps",
        ),
        (["train.freeze=heat"], ConfigError, "matches 'heat'; did you mean 'head'"),
        (
            ["train.lr_factors={decoder: 0.1}"],
            ConfigError,
            "train.lr_factors: no part of the model matches 'decoder'",
        ),
        (["train.lr_factors={head: 0}"], ConfigError, "expected a number above 0"),
        (["train.lr_factors={'!head': 1}"], ConfigError, "'!head'"),
        (["train.freeze='*'"], TrainingError, "everything is frozen"),
        (["train.freeze='*'", "train.unfreeze_at=2"], TrainingError, "everything is frozen"),
    ],
)
def test_what_cannot_be_is_refused(
    tiny: str, tmp_path: Path, words: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        run(tiny, tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


def test_one_name_needs_no_list() -> None:
    assert TrainSettings.model_validate({"steps": 1, "freeze": "encoder"}).freeze == ("encoder",)
    assert TrainSettings.model_validate({"steps": 1, "freeze": ""}).freeze == ()


def test_a_run_begins_with_a_table_of_what_learns(
    tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="toolkit"):
        run(
            tiny,
            tmp_path / "run",
            "train.freeze=encoder",
            "train.unfreeze_at=2",
            "train.lr_factors={encoder: 0.1}",
            "model.width=6",
        )
    rows = {
        line.split()[0]: line.split(maxsplit=3)[1:]
        for record in caplog.messages
        for line in record.splitlines()
        if "network." in line
    }
    assert rows == {
        "network.encoder": ["0", "510", "0.001, frozen until step 2"],  # 6·3·9 + 6 + 12, 6·6·9 + 6
        "network.neck": ["54", "0", "0.01"],
        "network.head": ["14", "0", "0.01"],
    }
    assert "step 2: all parts are trained from now on" in caplog.messages


@pytest.mark.parametrize(
    ("untrained", "words", "message"),
    [
        ((), ["train.freeze=encoder"], "268 parameters are frozen at random values: set weights=…"),
        (("encoder.4", "head"), ["train.freeze=encoder"], "120 parameters are frozen at random values"),
        (("encoder",), ["train.freeze=encoder"], None),
        ((), [], None),
    ],
)
def test_what_is_frozen_at_random_values_is_said_unless_training_does_not_use_it(
    untrained: tuple[str, ...],
    words: list[str],
    message: str | None,
    tiny: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SemanticModel, "untrained", untrained)
    with caplog.at_level("INFO", logger="toolkit"):
        run(tiny, tmp_path / "run", "train.steps=1", *words)
    said = [line for line in caplog.messages if "frozen at random" in line]
    assert len(said) == (message is not None)
    assert not message or said[0].startswith(message)


def test_a_run_from_before_a_setting_existed_can_be_resumed(tiny: str, tmp_path: Path) -> None:
    run(tiny, tmp_path / "run", "train.steps=2")
    config = tmp_path / "run" / "config.yaml"
    tree = yaml.safe_load(config.read_text())
    for key in ("freeze", "unfreeze_at", "lr_factors"):
        del tree["train"][key]
    config.write_text(yaml.safe_dump(tree))
    with pytest.raises(UsageError, match=r"train\.freeze was \[\] and is now \['head'\]"):
        run(tiny, tmp_path / "run", "train.steps=3", "train.freeze=head", resume=True)
    assert run(tiny, tmp_path / "run", "train.steps=3", resume=True).steps == 3
