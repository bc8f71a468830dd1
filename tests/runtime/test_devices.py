"""Devices by the names that people type, and what choosing one imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from toolkit.errors import ConfigError
from toolkit.runtime.devices import autocast, find_device


@pytest.mark.parametrize(
    ("name", "hint"), [("gpu", "--device cuda"), ("0", "--device cuda:0"), ("abacus", "use the device cpu")]
)
def test_a_device_that_torch_does_not_know(name: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(ConfigError, match=f"device '{name}' cannot be used here: .*Hint: {hint}"):
        find_device(name)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="Hint: use the device cpu, or auto"):
        find_device(name)


def test_inference_imports_neither_fabric_nor_the_compiler() -> None:
    """They take seconds and 150 MB, and `infer` needs none of them."""
    code = (
        "import sys, toolkit.inference, toolkit.inference.pipeline, toolkit.evaluation.memory;"
        " print(sorted({'lightning_fabric', 'torch._dynamo', 'sympy', 'tensorboard'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_a_forward_pass_at_a_precision(precision: str, dtype: torch.dtype) -> None:
    layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with torch.no_grad():
        with autocast(torch.device("cpu"), precision):
            assert layer(x).dtype == dtype
        for full in ("fp32", "auto"):
            with autocast(torch.device("cpu"), full):
                assert layer(x).dtype == torch.float32
