"""Optimizers, schedules and the moving average, against formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from toolkit import registry
from toolkit.config import TrainSettings
from toolkit.errors import ConfigError, TrainingError
from toolkit.training.optimizer import Ema, build_optimizer, build_schedule, set_learning_rate


def settings(**values: object) -> TrainSettings:
    return TrainSettings.model_validate({"steps": 100} | values)


def tiny_model(tiny: str):
    registry.add_path(tiny)
    plugin = registry.plugins().get("tiny")
    return plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(), ("a", "b"))


@pytest.mark.parametrize("step", [0, 1, 10, 50, 99])
def test_schedules_follow_their_formulas(step: int) -> None:
    assert build_schedule(settings(schedule="constant"), 100)(step) == 1
    assert build_schedule(settings(schedule="cosine"), 100)(step) == pytest.approx(
        0.5 * (1 + math.cos(math.pi * step / 100))
    )
    assert build_schedule(settings(schedule="poly", poly_power=0.9), 100)(step) == pytest.approx(
        (1 - step / 100) ** 0.9
    )
    multistep = build_schedule(settings(schedule="multistep", milestones=(10, 50), gamma=0.5), 100)
    assert multistep(step) == pytest.approx(0.5 ** sum(step >= m for m in (10, 50)))


def test_warm_up_rises_linearly_and_meets_the_schedule() -> None:
    factor = build_schedule(settings(schedule="poly", warmup_steps=10, warmup_factor=0.1), 100)
    main = build_schedule(settings(schedule="poly"), 100)
    assert factor(0) == pytest.approx(0.1)
    assert factor(5) == pytest.approx((0.1 + main(10)) / 2)
    for step in (10, 11, 60, 99):
        assert factor(step) == pytest.approx(main(step))


def test_warm_up_takes_at_most_half_of_a_short_run() -> None:
    factor = build_schedule(settings(schedule="constant", warmup_steps=100, warmup_factor=0.2), 10)
    assert [factor(step) for step in (0, 5, 9)] == pytest.approx([0.2, 1, 1])
    assert build_schedule(settings(schedule="cosine", warmup_steps=100), 1)(0) == 1


def test_schedules_that_do_not_fit_the_run_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"milestones \[100\] are beyond"):
        build_schedule(settings(schedule="multistep", milestones=(3, 100)), 100)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_groups_decay_kernels_only_and_follow_the_schedule(tiny: str, name: str) -> None:
    model = tiny_model(tiny)
    optimizer = build_optimizer(model, settings(optimizer=name, lr=0.1, weight_decay=0.3))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    counts = [len(group["params"]) for group in optimizer.param_groups]
    assert counts == [2, 2]
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]


def test_frozen_parameters_do_not_reach_the_optimizer(tiny: str) -> None:
    model = tiny_model(tiny)
    model.net[0].requires_grad_(False)
    optimizer = build_optimizer(model, settings())
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == sum(
        p.numel() for p in model.net[3].parameters()
    )
    model.requires_grad_(False)
    with pytest.raises(TrainingError, match="everything is frozen"):
        build_optimizer(model, settings())


def test_moving_average_is_the_weighted_mean_of_the_past() -> None:
    module = nn.BatchNorm1d(1)
    ema = Ema(module, decay=0.5)
    expected = 1.0
    for step in range(1, 30):
        with torch.no_grad():
            module.weight.fill_(step)
        module.num_batches_tracked.fill_(step)
        ema.update(module, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert ema.average["weight"].item() == pytest.approx(expected, rel=1e-5)
    assert ema.average["num_batches_tracked"].item() == 29, "counters are copied"
