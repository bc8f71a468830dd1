"""Figures of gradients and updates against formulas written out, and the warnings against runs that go
wrong.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from toolkit.config import resolve
from toolkit.errors import NonFiniteLossError
from toolkit.training.diagnosis import EXPLODES, FIRST_LOOKS, STANDS, TOO_LARGE, VANISH, Diagnosis
from toolkit.training.gradients import GradientView, Look
from toolkit.training.log import read_metrics
from toolkit.training.loop import TrainResult, train

SUPPORT = Path(__file__).resolve().parents[1] / "support"
DEEP, BACKBONE = str(SUPPORT / "deep.py"), str(SUPPORT / "backbone.py")


def run(tiny: str, out: Path, *words: str, plugin: str = "", resume: bool = False) -> TrainResult:
    fixed = ["train.accelerator=cpu", "train.workers=0", "train.eval_every=1000"]
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
    view = GradientView(model, steps, decoupled_decay=optimizer == "adamw")
    first, second, zeros, _ = model
    middle = first(torch.randn(5, 3))
    (second(middle) + zeros(middle)).square().sum().backward()
    groups = {"first_layer": [*first.parameters()], "group_1": [*second.parameters(), *zeros.parameters()]}
    expected = {f"grad_norm/{name}": norm(*(p.grad for p in group)) for name, group in groups.items()}
    total = float(nn.utils.clip_grad_norm_(model.parameters(), limit))
    before = [p.detach().clone() for p in model.parameters()]
    gradients = norm(first.weight.grad), norm(second.weight.grad)
    view.before()
    steps.step()
    look = view.after(min(1.0, limit / (total + 1e-6)))
    moved = [(now - then).detach() for now, then in zip(model.parameters(), before, strict=True)]
    expected["update_ratio/first_layer"] = norm(*moved[:2]) / norm(*before[:2])
    expected["update_ratio/group_1"] = norm(*moved[2:6]) / norm(*before[2:6])
    assert look.figures == pytest.approx(expected, rel=1e-4)
    by_gradient = 0.1 * gradients[0], 0.01 * gradients[1]  # of SGD's first step, without decay
    if optimizer == "adamw":
        by_gradient = norm(moved[0] + 0.1 * 0.5 * before[0]), norm(moved[2])
    moves = {"0.weight": by_gradient[0] / norm(before[0]), "1.weight": by_gradient[1] / norm(before[2])}
    assert look.moves == pytest.approx(moves, rel=1e-4), "zeros have no size to compare with"


def test_weight_decay_is_no_move_of_the_gradient() -> None:
    model, steps = example("adamw", decay=0.5)
    for parameter in model[0].parameters():
        parameter.grad = torch.zeros_like(parameter)
    view = GradientView(model, steps, decoupled_decay=True)
    view.before()
    steps.step()
    look = view.after(1.0)
    assert look.figures["update_ratio/first_layer"] == pytest.approx(0.05, rel=1e-4)
    assert look.idle == {"0.weight"}
    assert look.moves["0.weight"] < 1e-6


def test_without_gradients_there_is_nothing_to_see() -> None:
    model, steps = example("sgd", decay=0)
    view = GradientView(model, steps, decoupled_decay=False)
    view.before()
    assert view.after(1.0) == Look({}, {})


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


def test_looking_changes_nothing(tiny: str, tmp_path: Path) -> None:
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
    assert warning.startswith(f"step 4: {EXPLODES}: the loss went from 0.8")
    assert "train.lr=1)" in warning
    assert "train.clip_norm=1" in warning
    assert [record.levelname for record in caplog.records if warning in record.message] == ["WARNING"]


def test_huge_steps_are_called_so_where_norms_keep_the_loss_down(tiny: str, tmp_path: Path) -> None:
    """The weights of a network with norms may grow without harm, but what they held is gone."""
    words = ["train.steps=12", "train.warmup_steps=6"]
    assert run(tiny, tmp_path / "good", *words, plugin=BACKBONE).warnings == ()
    warning, *_ = run(tiny, tmp_path / "bad", *words, "train.lr=10", plugin=BACKBONE).warnings
    assert TOO_LARGE in warning or EXPLODES in warning
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
    assert VANISH in warning
    assert "network.0.weight" in warning, "the first layer is the one that gets least"
    assert "ReLU" in warning
    assert run(tiny, tmp_path / "shallow", *words, "model.depth=2", plugin=DEEP).warnings == ()


def test_weights_that_stand_still_are_called_so(tiny: str, tmp_path: Path) -> None:
    (warning,) = run(tiny, tmp_path / "run", "train.lr=1e-9", "train.steps=8").warnings
    assert STANDS in warning
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


def test_the_first_steps_are_all_looked_at(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    look = Diagnosis.look

    def noting(self: Diagnosis, step: int, *rest: object) -> list[str]:
        seen.append(step)
        return look(self, step, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Diagnosis, "look", noting)
    run(tiny, tmp_path / "run", "train.steps=25", "train.log_every=8")
    assert seen == [*range(1, FIRST_LOOKS + 1), 16, 24, 25]
