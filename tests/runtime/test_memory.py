"""Errors of allocators, and others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toolkit.errors import InvalidDataError
from toolkit.runtime.engines import _cannot_run
from toolkit.runtime.memory import NotEnoughMemoryError, ran_out_of_memory, says_out_of_memory


def message_of(size: int) -> BaseException:
    try:
        torch.empty(size, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError(f"there are {size} bytes")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried …"
        ),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        torch.OutOfMemoryError(),
        MemoryError(),
        NotEnoughMemoryError("too large"),
    ],
    ids=str,
)
def test_allocators_are_recognized(error: BaseException) -> None:
    assert ran_out_of_memory(error)


def test_what_torch_says_here_is_recognized() -> None:
    assert ran_out_of_memory(message_of(2**60))


@pytest.mark.parametrize(
    "error",
    [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory"), RuntimeError()],
    ids=str,
)
def test_other_errors_are_not(error: BaseException) -> None:
    assert not ran_out_of_memory(error)


@pytest.mark.parametrize(
    "message",
    [
        "[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 9",
        "Exception from src/inference: std::bad_alloc",
        "bad allocation",
    ],
)
def test_what_other_libraries_say(message: str) -> None:
    assert says_out_of_memory(message)


def test_a_graph_that_runs_out_of_memory_says_to_take_fewer_images() -> None:
    inputs = {"images": np.zeros((4, 3), np.float32)}
    full = _cannot_run("onnxruntime 1", inputs, Exception("bad_alloc"))
    assert isinstance(full, NotEnoughMemoryError)
    assert "images float32 [4, 3]" in str(full)
    assert "Hint: fewer images at a time" in str(full)
    assert isinstance(_cannot_run("onnxruntime 1", inputs, Exception("bad shape")), InvalidDataError)
