"""Figures of gradients and updates against formulas written out, and the warnings against runs that go
wrong.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from toolkit.config import resolve
from toolkit.errors import NonFiniteLossError, TrainingError
from toolkit.training.diagnosis import EXPLODING, FIRST_STEPS, STALLED, TOO_LARGE, VANISHING, Diagnosis
from toolkit.training.gradients import UpdateStatistics, measure_update
from toolkit.training.log import read_metrics
from toolkit.training.loop import TrainResult, train

SUPPORT = Path(__file__).resolve().parents[1] / "support"
DEEP, BACKBONE = str(SUPPORT / "deep.py"), str(SUPPORT / "backbone.py")


def run(tiny: str, out: Path, *words: str, plugin: str = "", resume: bool = False) -> TrainResult:
    fixed = ["train.device=cpu", "train.workers=0", "train.eval_every=1000"]
    return train(resolve(plugin=plugin or tiny, data=tiny, overrides=[*fixed, *words]), out, resume=resume)


# Figures


def example(optimizer: str, decay: float) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2), nn.Linear(2, 2))
    nn.init.zeros_(model[2].weight)
    groups = [
        {"name": "first layer", "params": list(model[0].parameters()), "lr": 0.1, "weight_decay": decay},
        {"params": [*model[1].parameters(), *model[2].parameters()], "lr": 0.01, "weight_decay": 0.0},
        {"name": "idle", "params": list(model[3].parameters()), "lr": 0.01},
    ]
    kinds = {"sgd": lambda: torch.optim.SGD(groups, momentum=0.9), "adamw": lambda: torch.optim.AdamW(groups)}
    return model, kinds[optimizer]()


def norm(*tensors: Tensor) -> float:
    return math.sqrt(sum(float(t.detach().double().square().sum()) for t in tensors))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("limit", [0.05, 1e9])
def test_figures_are_what_they_are_called(optimizer: str, limit: float) -> None:
    model, steps = example(optimizer, decay=0.5)
    first, second, zeros, _ = model
    middle = first(torch.randn(5, 3))
    (second(middle) + zeros(middle)).square().sum().backward()
    groups = {"first_layer": [*first.parameters()], "group_1": [*second.parameters(), *zeros.parameters()]}
    expected = {f"grad_norm/{name}": norm(*(p.grad for p in group)) for name, group in groups.items()}
    total = float(nn.utils.clip_grad_norm_(model.parameters(), limit))
    before = [p.detach().clone() for p in model.parameters()]
    gradients = norm(first.weight.grad), norm(second.weight.grad)
    statistics = measure_update(model, steps, min(1.0, limit / (total + 1e-6)))
    steps.step()
    moved = [(now - then).detach() for now, then in zip(model.parameters(), before, strict=True)]
    expected["update_ratio/first_layer"] = norm(*moved[:2]) / norm(*before[:2])
    expected["update_ratio/group_1"] = norm(*moved[2:6]) / norm(*before[2:6])
    assert statistics.figures == pytest.approx(expected, rel=1e-4)
    by_gradient = 0.1 * gradients[0], 0.01 * gradients[1]  # of SGD's first step, without decay
    if optimizer == "adamw":
        by_gradient = norm(moved[0] + 0.1 * 0.5 * before[0]), norm(moved[2])
    updates = {"0.weight": by_gradient[0] / norm(before[0]), "1.weight": by_gradient[1] / norm(before[2])}
    assert statistics.relative_updates == pytest.approx(updates, rel=1e-4), (
        "zeros have no size to compare with"
    )


def test_weight_decay_is_no_move_of_the_gradient() -> None:
    model, steps = example("adamw", decay=0.5)
    for parameter in model[0].parameters():
        parameter.grad = torch.zeros_like(parameter)
    statistics = measure_update(model, steps, 1.0)
    assert statistics.figures["update_ratio/first_layer"] == pytest.approx(0.05, rel=1e-4)
    assert statistics.idle == {"0.weight"}
    assert statistics.relative_updates["0.weight"] < 1e-6


def test_without_gradients_there_is_nothing_to_see() -> None:
    model, steps = example("sgd", decay=0)
    assert measure_update(model, steps, 1.0) == UpdateStatistics({}, {})


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]]], Optimizer]] = {
    "sgd": lambda groups: SGD(groups),
    "sgd with momentum": lambda groups: SGD(groups, momentum=0.9),
    "sgd with dampening": lambda groups: SGD(groups, momentum=0.9, dampening=0.5),
    "adamw": lambda groups: AdamW(groups),
    "adamw with foreach": lambda groups: AdamW(groups, foreach=True),
    "adamw with fused": lambda groups: AdamW(groups, fused=True),
    "adamw without averages": lambda groups: AdamW(groups, betas=(0.0, 0.0)),
}


class Run:
    """Steps on random gradients, measured ahead by ``measure_update`` and, from copies of the weights, by the
    difference that each step makes.
    """

    def __init__(self, optimizer: str, decay: float, lr: float, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(*(nn.Linear(5, 5) for _ in range(4))).to(dtype)
        self.late = self.model[3]  # frozen at first
        body = [*self.model[0].parameters(), *self.model[1].parameters()]
        rest = [*self.model[2].parameters(), *self.late.parameters()]
        self.groups = {"body": body, "group_1": rest}
        self.optimizer = OPTIMIZERS[optimizer](
            [
                {"name": "body", "params": body, "lr": lr, "weight_decay": decay},
                {"params": rest, "lr": lr / 3, "weight_decay": decay / 2},
            ]
        )
        self.generator = torch.Generator().manual_seed(1)

    def step(self, number: int) -> tuple[UpdateStatistics, UpdateStatistics, dict[str, float]]:
        """The statistics, the expected ones, and by how much rounding may make them differ."""
        for name, parameter in self.model.named_parameters():
            # In double precision, so that runs of either type see the same.
            gradient = torch.randn(parameter.shape, generator=self.generator, dtype=torch.float64)
            is_learning = number >= 2 or not name.startswith("3.")
            scale = 0.0 if name == "1.weight" and number == 3 else 10.0 ** -int(name[0])
            parameter.grad = (scale * gradient).to(parameter.dtype) if is_learning else None
        for group in self.optimizer.param_groups:  # a schedule
            group["lr"] *= 0.8
        statistics = measure_update(self.model, self.optimizer, 0.5)
        before = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.optimizer.step()
        return statistics, *self.by_difference(before)

    def by_difference(self, before: dict[str, Tensor]) -> tuple[UpdateStatistics, dict[str, float]]:
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        figures, updates, idle, rounding = (
            dict[str, float](),
            dict[str, float](),
            set[str](),
            dict[str, float](),
        )
        for (label, parameters), options in zip(
            self.groups.items(), self.optimizer.param_groups, strict=True
        ):
            learning = [p for p in parameters if p.grad is not None]
            then = [before[names[p]].double() for p in learning]
            difference = [p.detach().double() - b for p, b in zip(learning, then, strict=True)]
            figures[f"grad_norm/{label}"] = norm(*(p.grad for p in learning)) / 0.5
            figures[f"update_ratio/{label}"] = norm(*difference) / norm(*then)
            for p, b, d in zip(learning, then, difference, strict=True):
                if p.dim() < 2:
                    continue
                learned = norm(d + options["lr"] * options["weight_decay"] * b)
                if isinstance(self.optimizer, SGD):
                    learned = options["lr"] * norm(p.grad)
                updates[names[p]] = learned / norm(b)
                if not p.grad.any():
                    idle.add(names[p])
                # Decay and step each round a weight once, by at most half of eps times that weight.
                rounding[names[p]] = rounding[f"update_ratio/{label}"] = 1.01 * torch.finfo(p.dtype).eps
        return UpdateStatistics(figures, updates, frozenset(idle)), rounding


def assert_agree(
    got: UpdateStatistics, expected: UpdateStatistics, rel: float, rounding: Mapping[str, float]
) -> None:
    assert got.figures.keys() == expected.figures.keys()
    assert got.relative_updates.keys() == expected.relative_updates.keys()
    assert got.idle == expected.idle
    values = got.figures | got.relative_updates
    for name, value in (expected.figures | expected.relative_updates).items():
        assert values[name] == pytest.approx(value, rel=rel, abs=rounding.get(name, 0.0)), name


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("lr", [3.0, 1e-2, 1e-5, 1e-8])
def test_statistics_are_those_of_the_difference_that_a_step_makes(
    optimizer: str, decay: float, lr: float
) -> None:
    """In double precision, where rounding hides no step; norms are rounded to single precision."""
    run = Run(optimizer, decay, lr, torch.float64)
    for number in range(6):
        statistics, expected, rounding = run.step(number)
        assert_agree(statistics, expected, 1e-6, rounding)
        assert ("3.weight" in statistics.relative_updates) == (number >= 2)
        assert statistics.idle == ({"1.weight"} if number == 3 else set())


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("lr", [3.0, 1e-2, 1e-5, 1e-8])
def test_statistics_in_single_precision(optimizer: str, decay: float, lr: float) -> None:
    """There the difference is that of rounded weights, so it may be off by their last bit; the statistics are
    still those of the same run in double precision.
    """
    run, exact = Run(optimizer, decay, lr, torch.float32), Run(optimizer, decay, lr, torch.float64)
    exact.model.load_state_dict(run.model.state_dict())
    for number in range(6):
        statistics, by_difference, rounding = run.step(number)
        assert_agree(statistics, by_difference, 1e-5, rounding)
        assert_agree(statistics, exact.step(number)[0], 1e-5, {})


def test_a_step_that_float32_cannot_resolve_is_measured_all_the_same() -> None:
    run = Run("adamw", 0.0, 1e-10, torch.float32)
    statistics, by_difference, _ = run.step(0)
    assert by_difference.figures["update_ratio/body"] < 1e-11, "the weights stay as they are"
    weights = torch.cat([p.detach().flatten() for p in run.groups["body"]])
    expected = 0.8e-10 * math.sqrt(len(weights)) / norm(weights)  # AdamW's first step is lr for each weight
    assert statistics.figures["update_ratio/body"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("decay", [0.09, 0.1, 0.11])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_decay_that_replaces_the_weights_is_measured(optimizer: str, decay: float) -> None:
    """With lr * weight_decay = 1, nothing of the weights before the step is left after it."""
    run = Run(optimizer, decay, 12.5, torch.float64)
    for number in range(3):
        statistics, expected, rounding = run.step(number)
        assert_agree(statistics, expected, 1e-6, rounding)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_measuring_leaves_optimizer_and_weights_alone(optimizer: str) -> None:
    run, other = (Run(optimizer, 0.1, 1e-2, torch.float32) for _ in range(2))
    for number in range(4):
        run.step(number)
        other.step(number)
        measure_update(other.model, other.optimizer, 1.0)
    fresh = Run(optimizer, 0.1, 1e-2, torch.float32)
    next(fresh.model.parameters()).grad = torch.ones(5, 5)
    measure_update(fresh.model, fresh.optimizer, 1.0)
    assert not fresh.optimizer.state, "no state before the first step"
    assert all(
        torch.equal(a, b) for a, b in zip(run.model.parameters(), other.model.parameters(), strict=True)
    )
    for mine, others in zip(run.optimizer.state.values(), other.optimizer.state.values(), strict=True):
        assert mine.keys() == others.keys()
        assert all(value is others[key] or torch.equal(value, others[key]) for key, value in mine.items())


def test_gradients_that_a_scaler_has_unscaled() -> None:
    run = Run("adamw", 0.1, 1e-2, torch.float32)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for _ in range(3):
        scaler.scale(run.model(torch.randn(3, 5)).square().sum()).backward()
        scaler.unscale_(run.optimizer)
        statistics = measure_update(run.model, run.optimizer, 0.5)
        before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
        scaler.step(run.optimizer)
        scaler.update()
        expected, rounding = run.by_difference(before)
        assert_agree(statistics, expected, 1e-5, rounding)
        run.optimizer.zero_grad()


def test_an_optimizer_that_fabric_has_wrapped() -> None:
    run = Run("adamw with fused", 0.1, 1e-2, torch.float32)
    _, run.optimizer = Fabric(accelerator="cpu", devices=1).setup(run.model, run.optimizer)
    for number in range(3):
        statistics, expected, rounding = run.step(number)
        assert_agree(statistics, expected, 1e-5, rounding)


@pytest.mark.parametrize(
    ("optimizer", "found"),
    [
        (lambda groups: AdamW(groups, amsgrad=True), "AdamW with amsgrad=True"),
        (lambda groups: SGD(groups, momentum=0.9, nesterov=True), "SGD with nesterov=True"),
        (lambda groups: Adam(groups), "Adam"),
    ],
)
def test_an_optimizer_of_another_kind_is_refused(
    optimizer: Callable[[list[nn.Parameter]], Optimizer], found: str
) -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(TrainingError, match=rf"cannot be computed ahead: {found}\. Hint: use"):
        measure_update(model, optimizer([*model.parameters()]), 1.0)


class LiveBytes(TorchDispatchMode):
    """Follows the bytes of the tensors that are made while it is active and still alive.

    Attributes:
        peak: the most at any time.
        reads: how many single values were read from tensors, each of which would wait for a GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: list[weakref.ref[Tensor]] = []
        self.peak = self.reads = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        if isinstance(result, Tensor) and not any(result is argument for argument in args):
            self.made.append(weakref.ref(result))
        self.peak = max(self.peak, self.alive())
        return result

    def alive(self) -> int:
        storages = {
            t.untyped_storage().data_ptr(): t.untyped_storage() for r in self.made if (t := r()) is not None
        }
        return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize(
    ("optimizer", "copies"), [("sgd", 1), ("sgd with momentum", 1), ("adamw with fused", 2)]
)
def test_memory_does_not_grow_with_the_model(optimizer: str, copies: int) -> None:
    width = 100
    one = 4 * width**2
    for layers in (2, 8):
        model = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(layers)))
        steps = OPTIMIZERS[optimizer]([{"params": [*model.parameters()], "lr": 0.1, "weight_decay": 0.1}])
        for _ in range(2):  # without a state and with one
            for parameter in model.parameters():
                parameter.grad = torch.randn(width, width)
            with LiveBytes() as memory:
                statistics = measure_update(model, steps, 1.0)
            assert len(statistics.relative_updates) == layers
            assert copies * one <= memory.peak < (copies + 0.1) * one, "scalars, and copies of one parameter"
            assert memory.alive() == 0, "nothing is kept"
            assert memory.reads == 0, "all norms are read at once, at the end"
            steps.step()


def test_the_log_has_them_by_group_and_with_the_ratio_of_clipping(tiny: str, tmp_path: Path) -> None:
    words = ["train.steps=12", "train.log_every=3", "train.clip_norm=0.3", "train.lr_factors={net.0: 0.1}"]
    run(tiny, tmp_path / "run", *words)
    lines = [line for line in read_metrics(tmp_path / "run") if "loss" in line]
    assert [line["step"] for line in lines] == [3, 6, 9, 12]
    groups = ["weights", "biases_and_norms", "net.0_weights", "net.0_biases_and_norms"]
    for line in lines:
        assert {f"{kind}/{group}" for kind in ("grad_norm", "update_ratio") for group in groups} <= set(line)
        whole = float(line["grad_norm"] or 0)
        assert math.hypot(*(float(line[f"grad_norm/{group}"] or 0) for group in groups)) == pytest.approx(
            whole, rel=1e-4
        )
        assert line["clip_ratio"] == pytest.approx(min(1, 0.3 / whole), rel=1e-3)
    assert 0 < min(float(line["clip_ratio"] or 0) for line in lines) < 1
    board = EventAccumulator(str(tmp_path / "run")).Reload()
    assert [event.step for event in board.Scalars("update_ratio/net.0_weights")] == [3, 6, 9, 12]


def test_measuring_changes_nothing_in_a_run(tiny: str, tmp_path: Path) -> None:
    for name, every in (("often", 1), ("seldom", 1000)):
        run(tiny, tmp_path / name, "train.steps=14", f"train.log_every={every}", "model.dropout=0.5")
    often, seldom = (load_file(tmp_path / name / "last.safetensors") for name in ("often", "seldom"))
    assert all(torch.equal(often[name], seldom[name]) for name in often)


# Runs that go wrong, and runs that do not


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_thousandfold_learning_rate_is_called_an_explosion(
    tiny: str, tmp_path: Path, optimizer: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["train.steps=20", f"train.optimizer={optimizer}", "train.schedule=constant"]
    assert run(tiny, tmp_path / "good", *words, "train.lr=0.01").warnings == ()
    result = run(tiny, tmp_path / "bad", *words, "train.lr=10")
    warning, *_ = result.warnings
    assert warning.startswith(f"step 4: {EXPLODING}: the loss went from 0.8")
    assert "train.lr=1)" in warning
    assert "train.clip_norm=1" in warning
    assert [record.levelname for record in caplog.records if warning in record.message] == ["WARNING"]


def test_huge_steps_are_called_so_where_norms_keep_the_loss_down(tiny: str, tmp_path: Path) -> None:
    """The weights of a network with norms may grow without harm, but what they held is gone."""
    words = ["train.steps=12", "train.warmup_steps=6"]
    assert run(tiny, tmp_path / "good", *words, plugin=BACKBONE).warnings == ()
    warning, *_ = run(tiny, tmp_path / "bad", *words, "train.lr=10", plugin=BACKBONE).warnings
    assert TOO_LARGE in warning or EXPLODING in warning
    assert "train.lr=1)" in warning


def test_an_explosion_to_infinity_is_called_so_in_the_error(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(
        NonFiniteLossError,
        match=r"step 2: the gradient's norm is inf.*Training explodes: the loss went from 0\.\d+ to \d.*e\+",
    ):
        run(tiny, tmp_path / "run", "model.activation=relu", "train.lr=10", plugin=DEEP)


def test_a_nan_from_the_data_is_no_explosion(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError) as caught:
        run(tiny, tmp_path / "run", "train.steps=50", "model.poison=train/8")
    assert "explode" not in str(caught.value)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_gradients_that_vanish_in_a_deep_network_are_called_so(
    tiny: str, tmp_path: Path, optimizer: str
) -> None:
    words = ["train.steps=8", f"train.optimizer={optimizer}"]
    (warning,) = run(tiny, tmp_path / "deep", *words, plugin=DEEP).warnings
    assert VANISHING in warning
    assert "network.0.weight" in warning, "the first layer is the one that gets least"
    assert "ReLU" in warning
    assert run(tiny, tmp_path / "shallow", *words, "model.depth=2", plugin=DEEP).warnings == ()


def test_weights_that_stand_still_are_called_so(tiny: str, tmp_path: Path) -> None:
    (warning,) = run(tiny, tmp_path / "run", "train.lr=1e-9", "train.steps=8").warnings
    assert STALLED in warning
    assert "Try a higher learning rate than train.lr=1e-09" in warning


def test_a_run_to_the_end_of_its_schedule_has_nothing_to_be_warned_of(tiny: str, tmp_path: Path) -> None:
    """At the end the learning rate, and with it every step, is next to nothing."""
    words = [
        "train.steps=60",
        "train.log_every=1",
        "train.schedule=poly",
        "train.warmup_steps=10",
        "model.width=8",
    ]
    assert run(tiny, tmp_path / "run", *words).warnings == ()


def test_the_first_steps_are_all_checked(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    check = Diagnosis.check

    def noting(self: Diagnosis, step: int, *rest: object) -> list[str]:
        seen.append(step)
        return check(self, step, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Diagnosis, "check", noting)
    run(tiny, tmp_path / "run", "train.steps=25", "train.log_every=8")
    assert seen == [*range(1, FIRST_STEPS + 1), 16, 24, 25]
