"""Training on a GPU in each precision, by ``toolkit.train``, ends finite and lowers the loss; the memory of a
step stays what it is.
"""

from __future__ import annotations

import gc
import math
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from support.gpu_runs import FAMILIES, ON_BOTH, STEPS, settings_of, skip_without_packages, weights
from support.small_settings import MODELS

from toolkit.models.contract import total_loss
from toolkit.runtime.devices import choose_precision, find_device
from toolkit.runtime.seeding import seed_everything
from toolkit.testing import ModelCase
from toolkit.training.log import read_metrics
from toolkit.training.loop import train
from toolkit.training.optimizer import build_optimizer

PRECISIONS = ("fp32", "bf16", "fp16")
ON_CPU = [("tiny", precision) for precision in PRECISIONS] + [("maskrcnn", "fp32"), ("sam2", "bf16")]
"""What is tried on the CPU too, where half precision takes long."""

CASES = [
    pytest.param(name, precision, "cpu", id=f"{name}-{precision}-cpu", marks=pytest.mark.slow)
    for name, precision in ON_CPU
] + [
    pytest.param(name, precision, "cuda", id=f"{name}-{precision}-cuda", marks=pytest.mark.gpu)
    for name in FAMILIES
    for precision in PRECISIONS
]


def test_every_plugin_is_among_the_families() -> None:
    assert set(MODELS) <= set(FAMILIES)


@pytest.mark.parametrize(("name", "precision", "device"), CASES)
def test_training_lowers_the_loss(
    name: str, precision: str, device: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = settings_of(name, device, tmp_path_factory.getbasetemp(), precision=precision)
    result = train(settings, tmp_path / "run")
    assert result.finished
    assert not result.warnings
    lines = read_metrics(tmp_path / "run")
    losses = [
        line["loss"] for line in lines if line.get("loss") is not None
    ]  # null where fp16 skipped a step
    few = STEPS // 4
    assert len(losses) >= STEPS - (few if precision == "fp16" else 0)
    first, last = (statistics.fmean(float(loss) for loss in part) for part in (losses[:few], losses[-few:]))  # type: ignore[arg-type]
    assert last < first, f"the loss went from {first:.4g} to {last:.4g}"
    validated = [line["val/loss"] for line in lines if "val/loss" in line]
    assert len(validated) == 1
    assert validated[0] is not None
    assert math.isfinite(validated[0])
    assert all(bool(torch.isfinite(value).all()) for value in weights(tmp_path / "run").values())
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True, map_location="cpu")
    assert bool(state["precision"]) == (precision == "fp16"), "only fp16 has a GradScaler"


@pytest.mark.gpu
def test_auto_is_bf16_on_a_gpu_that_has_it() -> None:
    wanted = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    assert choose_precision("auto", find_device().type) == wanted


def allocated(device: str) -> int:
    """Bytes of all tensors that are alive there."""
    if device == "cuda":
        return torch.cuda.memory_allocated()
    gc.collect()
    with_storage = {
        each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
        for each in gc.get_objects()
        if type(each) in (torch.Tensor, torch.nn.Parameter)
        and each.device.type == "cpu"
        and each.layout == torch.strided  # convolutions' packed weights have no storage to ask
    }
    return sum(with_storage.values())


def memory_after_steps(
    case: ModelCase, device: str, steps: int, leak: list[torch.Tensor] | None = None
) -> list[int]:
    """What is allocated after each of some steps on one batch; ``leak`` takes up the losses."""
    model, batch = case.build_trainable().to(device), case.samples()
    optimizer = build_optimizer(model, case.train_settings())
    found = []
    for step in range(steps):
        seed_everything(0, "step", step)
        loss = total_loss(model.loss(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if leak is not None:
            leak.append(torch.cat([loss.detach().reshape(1)] * 1000))
        del loss
        found.append(allocated(device))
    return found


def growth(found: list[int]) -> float:
    """Bytes by which a usual step adds to the memory, once optimizer and libraries have what they need; what
    one of them takes once more, such as a workspace, is no growth.
    """
    late = found[4:]
    return statistics.median(after - before for before, after in pairwise(late))


@pytest.mark.parametrize("device", ON_BOTH)
def test_a_leak_would_be_seen(device: str) -> None:
    assert growth(memory_after_steps(MODELS["unet"], device, 9, leak=[])) >= 4000


@pytest.mark.parametrize(
    ("name", "device"),
    [pytest.param("unet", "cpu", id="unet-cpu", marks=pytest.mark.slow)]
    + [pytest.param(name, "cuda", id=f"{name}-cuda", marks=pytest.mark.gpu) for name in MODELS],
)
def test_the_memory_of_a_step_does_not_grow(name: str, device: str) -> None:
    skip_without_packages(name)
    found = memory_after_steps(MODELS[name], device, 12)
    assert growth(found) <= 0, found
