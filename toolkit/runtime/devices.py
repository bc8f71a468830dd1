"""The device to compute on, and a suitable precision."""

from __future__ import annotations

from typing import Literal

import torch

from toolkit.errors import ConfigError

_DEVICES_MEANT = {"gpu": "cuda", "nvidia": "cuda", "apple": "mps", "metal": "mps"}
"""Devices by names that torch does not know."""


def find_device(name: str | torch.device = "auto") -> torch.device:
    """The device that a name stands for; ``auto`` is a CUDA GPU if there is one, then Apple's, then the CPU.

    Raises:
        ConfigError: when torch does not know it, or it is not available.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        meant = _DEVICES_MEANT.get(str(name).lower(), f"cuda:{name}" if str(name).isdecimal() else "")
        # suggesting it would only lead to the next error
        if meant.startswith("cuda") and not torch.cuda.is_available():
            meant = ""
        hint = f"--device {meant}" if meant else "use the device cpu, or auto"
        raise ConfigError(f"device {str(name)!r} cannot be used here: {reason}. Hint: {hint}") from error
    return device


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context of a forward pass at a given precision; for ``precision`` see ``choose_precision``."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(choose_precision(precision, device.type))
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def choose_precision(wanted: str, accelerator: str) -> Literal["fp32", "fp16", "bf16"]:
    """``auto`` is bf16 on GPUs that have it, fp16 on older ones, fp32 elsewhere."""
    if wanted == "auto":
        if accelerator != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return wanted  # type: ignore[return-value]
