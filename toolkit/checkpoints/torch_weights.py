"""Tensors in files of ``torch.save``, which are read without running code."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor

from toolkit.checkpoints.finding import refuse_if_known
from toolkit.errors import CheckpointError
from toolkit.runtime.torch_files import load_torch

STATE_DICTS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
)
"""What programs call the state dict in what they save, first that which counts where several are there."""


def read_torch_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file. A state dict may lie at the top level or in dictionaries, under one of the
    names ``STATE_DICTS`` or as the only one.

    Raises:
        CheckpointError: when the file is truncated, or holds anything that would run code when loaded.
    """
    tensors = _state_dict(_load_torch(path))
    if tensors is None:
        refuse_if_known(path)
        known = ", ".join(repr(name) for name in STATE_DICTS)
        raise CheckpointError(
            f"{path} contains no state dict: expected tensors by name, at the top level or under one of"
            f" {known}. Hint: save model.state_dict() with torch.save, and use that file"
        )
    return tensors


def _state_dict(content: Any, depth: int = 3) -> dict[str, Tensor] | None:
    """The tensors by name in what ``torch.load`` returned."""
    if not isinstance(content, dict) or not content:
        return None
    if all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        return content
    if not depth:
        return None
    for name in STATE_DICTS:
        found = _state_dict(content.get(name), depth - 1)
        if found is not None:
            return found
    others = [found for value in content.values() if (found := _state_dict(value, 0)) is not None]
    return others[0] if len(others) == 1 else None


def _load_torch(path: Path) -> Any:
    """What ``torch.save`` wrote, as far as it is plain values and tensors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, on the way to the error below
            return load_torch(path, "weights", CheckpointError)
    except CheckpointError:
        refuse_if_known(path)
        raise
    except pickle.UnpicklingError as error:
        refuse_if_known(path)
        # torch's message begins with the advice to switch the protection off; what it found comes later
        found = re.search(r"unsupported .*?(?= was not|\.?$|\. )", str(error), re.IGNORECASE | re.MULTILINE)
        raise CheckpointError(
            f"{path} is refused: it contains pickled Python objects, and opening it could run code"
            f" ({found[0] if found else 'unknown content'}). Hint: save its state_dict alone, preferably as"
            " .safetensors"
        ) from None
    except (
        Exception
    ) as error:  # torch raises many kinds for files that are damaged, or something else altogether
        refuse_if_known(path)
        raise CheckpointError(
            f"{path} is truncated or not a torch file: {_first_line(error)}. Hint: copy or download it again"
        ) from None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].split(". ")[0].rstrip(".: ")
