"""Tells errors of allocators from others."""

from __future__ import annotations

import torch

from toolkit.errors import ToolkitError

OUT_OF_MEMORY = (
    *("not enough memory", "can't allocate memory", "cannot allocate memory", "failed to allocate memory"),
    *("out of memory", "bad_alloc", "bad allocation", "alloc_failed"),
)
"""What the messages of allocators say, in lower case: torch has an exception of its own only for GPUs, and
other libraries have none.
"""


class NotEnoughMemoryError(ToolkitError, MemoryError):
    """There is not enough memory on the device or in the machine."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch or Python says that there is not enough memory on the device or in the
    machine.
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and says_out_of_memory(str(error))


def says_out_of_memory(message: str) -> bool:
    """Whether the message of an error, of whatever class, is that of an allocator."""
    return any(words in message.lower() for words in OUT_OF_MEMORY)
