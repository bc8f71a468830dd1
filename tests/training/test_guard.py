"""No NaN gets into what a run saves, and looking for it makes no step wait that is not logged."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning_fabric
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from support.commands import run_command, train_words
from support.two_processes import in_two_processes
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import toolkit
from toolkit import registry
from toolkit.config import RunSettings, TrainSettings, resolve
from toolkit.errors import NonFiniteLossError
from toolkit.models.building import build_model
from toolkit.models.contract import TrainableModel
from toolkit.runtime.fabric import make_fabric
from toolkit.training import guard as guard_module
from toolkit.training import loop, run_parts
from toolkit.training.diagnosis import FIRST_STEPS, Diagnosis
from toolkit.training.guard import MOST_SKIPPED, LossGuard
from toolkit.training.loop import train
from toolkit.training.state import Progress

NAN, INFINITY = math.nan, math.inf


def make_guard(delayed: bool | None = None, precision: str = "fp32", fabric: Any = None) -> LossGuard:
    if fabric is None:
        fabric = make_fabric(accelerator="cpu", devices=1, precision=precision)
        fabric.launch()
    diagnosis = Diagnosis(TrainSettings(steps=100))
    return LossGuard(fabric, diagnosis, Progress(), Path("nowhere"), delayed=delayed)


def watch(guard: LossGuard, step: int, first: float, norm: float = 1.0, **others: float) -> None:
    losses = {name: torch.tensor(value) for name, value in {"first": first, **others}.items()}
    names = [f"sample {step}"]
    guard.watch(step, losses, torch.tensor(norm), sample_names=names, lr=0.01)


@pytest.mark.parametrize("delayed", [False, True])
def test_figures_are_those_of_the_last_step_that_was_looked_at(delayed: bool) -> None:
    guard = make_guard(delayed)
    assert math.isnan(guard.loss)
    assert math.isnan(guard.grad_norm)
    guard.settle()
    assert math.isnan(guard.loss), "there was nothing to look at"
    for step in range(1, 5):
        watch(guard, step, float(step), norm=10.0 * step, second=0.5)
        seen = step - delayed
        if seen:
            assert guard.loss == seen + 0.5, "the total of all terms"
            assert guard.grad_norm == 10.0 * seen
            assert guard.terms == {"first": seen, "second": 0.5}
    guard.settle()
    guard.settle()
    assert (guard.loss, guard.grad_norm) == (4.5, 40.0)


def test_the_device_decides_when_to_look() -> None:
    on_cpu = make_guard()
    assert not on_cpu.delayed
    elsewhere = SimpleNamespace(device=torch.device("cuda"))
    assert LossGuard(elsewhere, on_cpu.diagnosis, Progress(), Path()).delayed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("losses", "norm", "message"),
    [
        ({"first": NAN}, NAN, r"step 3: first is nan, in a batch with the samples sample 3\."),
        ({"first": 1.0, "second": -INFINITY}, 1.0, r"step 3: second is -inf, in a batch with"),
        ({"first": INFINITY, "second": NAN}, 1.0, r"step 3: first is inf, second is nan, in a batch with"),
        ({"first": 1.0}, NAN, r"step 3: the gradient's norm is nan, though the losses of this process are"),
        ({"first": 1.0}, INFINITY, r"step 3: the gradient's norm is inf"),
    ],
)
@pytest.mark.parametrize("delayed", [False, True])
def test_what_is_not_finite_is_raised_at_once_or_one_step_later_and_always_by_its_own_step(
    delayed: bool, losses: dict[str, float], norm: float, message: str
) -> None:
    for later in ("watch", "settle"):
        guard = make_guard(delayed)
        watch(guard, 2, 1.0)
        if not delayed:
            with pytest.raises(NonFiniteLossError, match=message + r"(?s:.*)The step was not taken"):
                watch(guard, 3, norm=norm, **losses)
            continue
        watch(guard, 3, norm=norm, **losses)
        with pytest.raises(NonFiniteLossError, match=message + r"(?s:.*)Nothing of that step was saved"):
            watch(guard, 4, 1.0) if later == "watch" else guard.settle()


def test_a_total_that_overflows_is_no_fault_of_its_terms_and_no_measure_for_later_ones() -> None:
    """Terms and gradient are looked at, not their sum in float32."""
    guard = make_guard()
    watch(guard, 1, 3e38, second=3e38)
    assert math.isinf(guard.loss)
    assert guard.diagnosis.first is None


def test_fp16_skips_while_its_scale_finds_its_level_but_not_forever() -> None:
    guard = make_guard(precision="fp16")
    for step in range(MOST_SKIPPED):
        watch(guard, step, 1.0, norm=INFINITY)
        assert guard.progress.skipped == step + 1
    watch(guard, MOST_SKIPPED, 1.0)
    assert guard.progress.skipped == 0, "a step that was taken ends the row"
    for step in range(MOST_SKIPPED):
        watch(guard, step, NAN)
    with pytest.raises(NonFiniteLossError, match="step 77: first is nan"):
        watch(guard, 77, NAN)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_without_a_scale_nothing_is_skipped(precision: str) -> None:
    with pytest.raises(NonFiniteLossError, match="step 1: the gradient's norm is inf"):
        watch(make_guard(precision=precision), 1, 1.0, norm=INFINITY)


class Shared:
    """What a guard needs of a Fabric, for the processes of a test."""

    device = torch.device("cpu")
    world_size = 2
    strategy = SimpleNamespace(precision=SimpleNamespace(state_dict=dict))

    def all_reduce(self, data: Tensor, reduce_op: str) -> Tensor:
        assert reduce_op == "mean"
        dist.all_reduce(data)
        return data / 2


def share_of_faults() -> list[str]:
    """What this process hears of faults in the other, and in itself."""
    heard = []
    for delayed in (False, True):
        for faulty, loss, norm in ((0, NAN, 1.0), (1, INFINITY, 1.0), (1, 1.0, NAN)):
            guard = make_guard(delayed, fabric=Shared())
            mine = dist.get_rank() == faulty
            watch(guard, 1, 2.0 + 2 * dist.get_rank())
            try:
                watch(guard, 2, loss if mine else 1.0, norm=norm if mine else 1.0)
                watch(guard, 3, 1.0)
                heard.append("nothing")
            except NonFiniteLossError as error:
                heard.append(str(error).partition(", in a batch with")[0])
            if loss == 1.0 and not delayed:
                heard.append(f"mean of the losses {guard.loss}")
    return heard


def test_a_fault_in_one_process_stops_both_at_the_same_step(tmp_path: Path) -> None:
    first, second = in_two_processes(tmp_path, share_of_faults)
    fine = "step 2: a loss or gradient of another process is not finite, and that process says which"
    no_norm = (
        "step 2: the gradient's norm is nan, though the losses of this process are finite ({'first': 1.0})"
    )
    assert first[:3] == ["step 2: first is nan", fine, fine]
    assert second[:3] == [fine, "step 2: first is inf", no_norm]
    assert first[4:] == first[:3], "delayed it is the same"
    assert second[4:] == second[:3]
    assert first[3] == second[3] == "mean of the losses 1.0"


def test_two_processes_stop_when_one_of_them_meets_a_nan(tiny: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["model.poison=train/0", "train.steps=3", "train.workers=0", "train.device=cpu"]
    command = train_words(tiny, run, "--devices", "2", *words, "data.options.count=4")
    done = run_command(*command, processes=2)
    assert done.returncode == 1
    errors = done.stderr
    said = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(said) == 2, f"each of the processes says why it stops: {errors}"
    assert all(line.startswith("error: step 1: ") for line in said)
    (own,) = [line for line in said if "cross_entropy is nan" in line]
    (other,) = [line for line in said if "though the losses of this process are finite" in line]
    assert "train/0" in own
    assert "train/0" not in other
    assert not list(run.glob("*.safetensors"))


def settings(tiny: str, *words: str) -> RunSettings:
    fixed = ["train.device=cpu", "train.workers=0", "train.steps=20", "train.log_every=1000"]
    return resolve(plugin=tiny, data=tiny, overrides=[*fixed, *words])


def spoiled(
    chosen: RunSettings, step: int, how: str, meanwhile: Callable[[TrainableModel], None]
) -> tuple[TrainableModel, list[int]]:
    """The model of a run, whose loss is at fault in one step; and the steps that it was asked for.

    Args:
        chosen: the settings of the run.
        step: from 1.
        how: ``nan`` or ``inf`` for the loss; ``gradient`` for a gradient that is NaN though the loss is not.
        meanwhile: called while the loss of that step is computed.
    """
    torch.manual_seed(0)
    model: Any = build_model(
        registry.named(registry.plugins(), chosen.plugin), chosen.model, ("ground", "square")
    )
    right, steps = model.loss, list[int]()

    def loss(samples: Sequence[Any]) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = right(samples)
        if not model.training:
            return terms
        steps.append(len(steps) + 1)
        if steps[-1] != step:
            return terms
        meanwhile(model)
        (name, value), weight = next(iter(terms.items())), next(model.parameters()).sum()
        if how == "gradient":
            return {name: value + (weight - weight.detach()).square().sqrt()}  # sqrt is vertical at 0
        return {name: value * float(how)}

    model.loss = loss
    return model, steps


def copies(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def files(run: Path) -> dict[str, bytes]:
    """What could be resumed from, or used."""
    return {path.name: path.read_bytes() for path in run.iterdir() if path.suffix in (".pt", ".safetensors")}


@pytest.mark.parametrize("how", ["nan", "inf", "gradient"])
def test_on_a_cpu_the_step_is_not_taken(tiny: str, tmp_path: Path, how: str) -> None:
    chosen, before = settings(tiny), dict[str, Tensor]()
    model, steps = spoiled(chosen, 12, how, lambda model: before.update(copies(model)))
    with pytest.raises(NonFiniteLossError, match=r"^step 12: (?s:.*)The step was not taken"):
        train(chosen, tmp_path / "run", model=model, **splits(chosen))
    assert steps[-1] == 12
    assert same(before, model.state_dict())
    assert not same(before, dict.fromkeys(before, torch.zeros(()))), "there is something to compare"


def splits(chosen: RunSettings) -> dict[str, Any]:
    """The data of a run, opened beforehand."""
    from toolkit.training.splits import open_splits

    opened = open_splits(chosen, registry.tasks().get("semantic"))
    return {"train_set": opened.train, "val_set": opened.val}


@pytest.mark.parametrize("how", ["nan", "gradient"])
@pytest.mark.parametrize(
    ("fault", "raised", "words"),
    [
        pytest.param(12, 13, ["train.eval_every=5", "train.checkpoint_every=5"], id="one step later"),
        pytest.param(15, 15, ["train.eval_every=4", "train.checkpoint_every=5"], id="before saving"),
        pytest.param(16, 16, ["train.eval_every=8", "train.checkpoint_every=5"], id="before measuring"),
        pytest.param(20, 20, ["train.eval_every=8", "train.checkpoint_every=5"], id="in the last step"),
        pytest.param(7, 7, ["train.eval_every=3", "train.checkpoint_every=2"], id="in the first steps"),
        pytest.param(
            12, 13, ["train.eval_every=5", "train.checkpoint_every=5", "train.ema=0.9"], id="with an average"
        ),
    ],
)
def test_elsewhere_it_is_raised_before_anything_of_it_is_measured_or_saved_and_the_run_can_be_resumed(
    tiny: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: int,
    raised: int,
    words: list[str],
    how: str,
) -> None:
    """With a guard that is delayed, as on a GPU."""
    chosen = settings(tiny, *words)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    start, _ = spoiled(chosen, 0, how, lambda model: None)
    train(chosen, unbroken, model=start, **splits(chosen))

    monkeypatch.setattr(run_parts, "LossGuard", partial(LossGuard, delayed=True))
    at_fault: dict[str, bytes] = {}
    model, steps = spoiled(chosen, fault, how, lambda model: at_fault.update(files(broken)))
    with pytest.raises(NonFiniteLossError, match=f"^step {fault}: (?s:.*)the last saved state is in"):
        train(chosen, broken, model=model, **splits(chosen))
    assert steps[-1] == raised
    assert set(at_fault) == {"best.safetensors", "last.safetensors", "resume.pt"}
    assert files(broken) == at_fault
    if raised > fault:
        assert any(value.isnan().any() for value in model.state_dict().values()), "that step was taken"

    again, _ = spoiled(chosen, 0, how, lambda model: None)
    train(chosen, broken, model=again, resume=True, **splits(chosen))
    for name in ("best.safetensors", "last.safetensors"):
        assert same(load_file(broken / name), load_file(unbroken / name)), name
    assert same(again.state_dict(), start.state_dict())


WAITING = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "_unique2"}
"""Operators whose result the host has to know, so that it waits for the device."""

TORCH, FABRIC, OURS = (str(Path(m.__file__ or "").parent) for m in (torch, lightning_fabric, toolkit))
NOT_OF_THE_DEVICE = (f"{OURS}/data", f"{OURS}/types")
"""Where tensors are on the host whatever the device is."""


def is_of_the_loop() -> bool:
    """Whether the toolkit has asked, itself or through Fabric, for what is done now."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        name = frame.f_code.co_filename
        if name.startswith(f"{TORCH}/optim"):
            return False  # it counts its steps in tensors that are on the host
        if not name.startswith((TORCH, FABRIC, __file__)):
            return name.startswith(OURS) and not name.startswith(NOT_OF_THE_DEVICE)
    return False


class Waits(TorchDispatchMode):
    """Notes in which step of a run the host has to wait for it.

    Attributes:
        step: the one in hand, from 1.
        found: for each step what it waits for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.found: dict[int, list[str]] = {}

    def note(self, what: str) -> None:
        if self.step and is_of_the_loop():
            self.found.setdefault(self.step, []).append(what)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket.__name__ in WAITING:
            self.note(str(func))
        return func(*args, **(kwargs or {}))


@contextmanager
def noting_waits(monkeypatch: pytest.MonkeyPatch, *, delayed: bool) -> Iterator[Waits]:
    """Note the waits of what trains inside."""
    waits = Waits()
    with monkeypatch.context() as patch:
        for name in ("tolist", "numpy", "cpu"):  # these reach no dispatcher for a tensor of the CPU
            real = getattr(Tensor, name)

            def noting(self: Tensor, *args: Any, name: str = name, real: Any = real, **kwargs: Any) -> Any:
                waits.note(f"Tensor.{name}")
                return real(self, *args, **kwargs)

            patch.setattr(Tensor, name, noting)

        def read(self: Any) -> list[float]:
            """What an earlier step has sent is there by now; only for the step in hand one has to wait."""
            if self.step == waits.step:
                waits.found.setdefault(waits.step, []).append("the numbers of this step")
            step, waits.step = waits.step, 0
            values: list[float] = read_numbers(self)
            waits.step = step
            return values

        def seed(*parts: int | str) -> None:
            if parts[1] == "step":
                waits.step = int(parts[2]) + 1
            seed_everything(*parts)

        read_numbers, seed_everything = guard_module._Watched.read, loop.seed_everything
        patch.setattr(guard_module._Watched, "read", read)
        patch.setattr(loop, "seed_everything", seed)
        patch.setattr(run_parts, "LossGuard", partial(LossGuard, delayed=delayed))
        with waits:
            yield waits


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["train.optimizer=sgd", "train.clip_norm=0.5", "train.warmup_steps=5"],
        ["train.ema=0.9", "train.accumulate=2", "train.freeze=['net.0']", "train.unfreeze_at=13"],
    ],
)
def test_no_step_waits_for_the_device_unless_it_is_logged_or_among_the_first(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    words = ["train.log_every=6", "train.steps=24", "train.eval_every=1000", *words]
    with noting_waits(monkeypatch, delayed=True) as waits:
        train(settings(tiny, *words), tmp_path / "run")
    assert FIRST_STEPS == 10
    due = {*range(1, FIRST_STEPS + 1), 12, 18, 24}
    assert set(waits.found) == due, {step: waits.found[step] for step in set(waits.found) - due}


def test_a_guard_that_is_not_delayed_waits_in_every_step(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above can fail."""
    with noting_waits(monkeypatch, delayed=False) as waits:
        train(settings(tiny, "train.steps=14", "train.eval_every=1000"), tmp_path / "run")
    assert set(waits.found) == set(range(1, 15))


@pytest.mark.parametrize(
    "look",
    [
        lambda norm: float(norm),
        lambda norm: norm.item(),
        lambda norm: norm.tolist(),
        lambda norm: bool(norm > 0),
        lambda norm: math.isfinite(norm),
        lambda norm: norm.cpu(),
        lambda norm: norm.nonzero(),
    ],
)
def test_every_way_of_looking_at_a_number_of_the_device_is_noted(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Tensor], object]
) -> None:
    # as if it were a module of the toolkit
    code = compile("def see(look, norm):\n    look(norm)\n", f"{OURS}/training/looks.py", "exec")
    names: dict[str, Any] = {}
    exec(code, names)
    real = LossGuard.watch

    def watching(self: LossGuard, step: int, losses: Any, norm: Any, **more: Any) -> None:
        if step == 13:
            names["see"](look, norm)
        real(self, step, losses, norm, **more)

    monkeypatch.setattr(LossGuard, "watch", watching)
    with noting_waits(monkeypatch, delayed=True) as waits:
        train(settings(tiny, "train.steps=15", "train.eval_every=1000"), tmp_path / "run")
    assert set(waits.found) == {*range(1, FIRST_STEPS + 1), 13, 15}
