"""Controls what the C library does with freed memory."""

from __future__ import annotations

import os

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Parameters of ``mallopt``, from ``malloc.h``."""
_CHOSEN_ALREADY = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Let the GNU C library keep the memory that this process frees, for reuse, until the process ends.

    By default it returns large blocks, such as the feature maps of a network, to the system immediately and
    requests them again in the next step; the system clears each page first. On a CPU that can take as long as
    the arithmetic (``benchmarks/allocator.py`` measures it). In return, the process never shrinks. The
    command ``toolkit`` does this; in your own program, call it before building the first model.

    Returns:
        Whether it was done. It is not done with another C library, and not if the environment configures the
        allocator (another allocator in ``LD_PRELOAD``, or glibc's own variables).
    """
    if any(name in os.environ for name in _CHOSEN_ALREADY):
        return False
    import ctypes  # only when it is needed, because `toolkit --help` should be quick

    try:
        library = ctypes.CDLL(None)
        adjust, _ = library.mallopt, library.gnu_get_libc_version
    except (AttributeError, OSError, TypeError):  # a C library without these functions; TypeError on Windows
        return False
    return bool(adjust(_MMAP_THRESHOLD, 2**31 - 1) and adjust(_TRIM_THRESHOLD, -1))
