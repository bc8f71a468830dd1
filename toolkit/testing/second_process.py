"""A second, fresh process with a different hash seed, for checks of what must be the same in every
process."""

from __future__ import annotations

import atexit
import datetime
import hashlib
import multiprocessing
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from toolkit import registry
from toolkit.models.contract import TrainableModel, total_loss
from toolkit.testing.checks import skip
from toolkit.types import Sample, Size

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE_S = 30


@cache
def _other_process() -> ProcessPoolExecutor:
    """One process shared by all checks, because starting one takes seconds."""
    executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    atexit.register(executor.shutdown, wait=False, cancel_futures=True)
    return executor


def elsewhere(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """Call a function in the other process; a plugin given by path has to be loaded again there."""
    seed = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = (
        "1" if seed != "1" else "2"
    )  # only the process that is about to start reads it
    try:
        return _other_process().submit(_call, function, args, kwargs)
    finally:
        os.environ.pop("PYTHONHASHSEED")
        if seed is not None:
            os.environ["PYTHONHASHSEED"] = seed


def _call(function: Callable[..., R], args: Any, kwargs: Any) -> R:
    torch.set_num_threads(1)
    for each in (registry.plugins, registry.datasets, registry.evaluators):
        each.cache_clear()  # files loaded by an earlier call may be gone
    return function(*args, **kwargs)


@dataclass(frozen=True)
class SharedStep:
    """The training run shared by two processes; see ``ModelCase`` for the fields."""

    plugin: str
    settings: Mapping[str, Any]
    train: Mapping[str, Any]
    size: Size


def in_two_processes(step: SharedStep) -> tuple[str, str]:
    """Train for two steps in this process and another, on half of a batch each; the fingerprint of the
    parameters in both.
    """
    if dist.is_initialized():
        skip("this process already takes part in a distributed run")
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{folder}/meeting"
        other = elsewhere(_train_share, step, meeting, 1)
        try:
            own = _train_share(step, meeting, 0)
        except Exception as error:
            theirs = other.exception(timeout=2 * PATIENCE_S)
            if theirs is not None and "gloo" in str(error):  # this process only lost its peer
                raise theirs from None
            raise
        return own, other.result(timeout=2 * PATIENCE_S)


class _Loss(nn.Module):
    """A model whose ``forward`` is its loss, as distributed training requires."""

    def __init__(self, model: TrainableModel) -> None:
        super().__init__()
        self.model = model
        self.unused = nn.Parameter(
            torch.zeros(())
        )  # torch warns if it was told that there may be unused parameters, and there are none

    def forward(self, batch: list[list[Sample]]) -> dict[str, Tensor]:
        return self.model.loss(batch[0])


def _train_share(step: SharedStep, meeting: str, rank: int) -> str:
    from toolkit.runtime.seeding import seed_everything
    from toolkit.testing.model_case import ModelCase
    from toolkit.training.optimizer import build_optimizer

    timeout = datetime.timedelta(seconds=PATIENCE_S)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timeout)
    try:
        case = ModelCase(step.plugin, step.settings, step.train, step.size)
        model = case.build_trainable()
        module = DistributedDataParallel(_Loss(model), find_unused_parameters=True)
        optimizer = build_optimizer(model, case.train_settings())
        share = case.samples()[rank::2]
        for number in range(2):
            seed_everything(0, "step", number, rank)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's, about the strides of gradients
                total_loss(module([share])).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        digest = hashlib.sha256()
        for parameter in model.parameters():
            digest.update(parameter.detach().flatten().numpy().tobytes())
        return digest.hexdigest()
    finally:
        dist.destroy_process_group()
