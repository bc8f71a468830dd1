"""Freed memory is kept: in a process of its own, since it cannot be undone."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from toolkit.runtime import allocator

FAULTS = """
import resource, sys
from toolkit.runtime.allocator import keep_freed_memory
import numpy as np
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for n in range(22):
    if n == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**26, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(word: str, **environment: str) -> int:
    """Pages that the system hands out while 64 MiB are taken and freed twenty times."""
    clean = {
        name: value for name, value in os.environ.items() if name not in allocator._CHOSEN_ALREADY
    } | environment
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, word], env=clean, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is one of the GNU C library")
def test_what_is_freed_is_used_again() -> None:
    huge_pages = 2**21
    assert page_faults("keep") < 20 <= 20 * 2**26 // huge_pages <= page_faults("plain")


@pytest.mark.parametrize("name", ["LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_"])
def test_a_choice_in_the_environment_stands(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    assert not allocator.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in allocator._CHOSEN_ALREADY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not allocator.keep_freed_memory()
