"""A short, always equal form of ``make fuzz``: every reader gets some changed files; and the fuzzer
itself.
"""

from __future__ import annotations

import mmap
import random
import time
from pathlib import Path

import pytest
from fuzz_harness import Finding, case_files, quiet, run_case, write_case
from fuzz_mutations import mutate
from fuzz_targets import Target, targets

from toolkit.errors import DataError

TARGETS = targets()
CASES = 12

LONG = 60.0
"""Seconds; other tests may keep the processors busy."""


@pytest.mark.parametrize("name", TARGETS)
def test_valid_files_are_read(name: str, tmp_path: Path) -> None:
    """But for the checkpoint, whose tensors are not those of its network."""
    target = TARGETS[name]
    write_case(tmp_path / "case", {**target.fixed, **target.files})
    found = run_case(target, tmp_path / "case", LONG)
    assert found is None, found
    if name != "checkpoint":
        write_case(tmp_path / "case", {**target.fixed, **target.files})
        target.read(tmp_path / "case")


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    quiet()
    for index in range(CASES):
        files = case_files(TARGETS[name], name, 0, index)
        write_case(tmp_path / "case", files)
        found = run_case(TARGETS[name], tmp_path / "case", LONG)
        assert found is None, f"case {index}: {found and found.what}\n{found and found.details}"


def test_a_case_is_always_the_same() -> None:
    target = TARGETS["predictions"]
    again = [case_files(target, "predictions", 3, index) for index in range(20)]
    assert again == [case_files(target, "predictions", 3, index) for index in range(20)]
    assert len({files["predictions.json"] for files in again}) > 10


def _raises(folder: Path) -> None:
    raise KeyError("of a reader")


def _hangs(folder: Path) -> None:
    while True:
        pass


class _SlowToRemove:
    def __del__(self) -> None:
        time.sleep(0.3)


def _hangs_where_errors_are_ignored(folder: Path) -> None:
    _SlowToRemove()
    _hangs(folder)


def _takes_long_where_errors_are_ignored(folder: Path) -> None:
    _SlowToRemove()


def _refuses(folder: Path) -> None:
    raise DataError("x.json is damaged. Hint: write it again")


def _hoards(folder: Path) -> None:
    # from the system: the process may have kept memory that an earlier test has freed
    with mmap.mmap(-1, 600_000_000) as memory:
        for start in range(0, len(memory), mmap.PAGESIZE):
            memory[start] = 1


def _says_nothing(folder: Path) -> None:
    raise DataError("")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("read", "what"),
    [
        (_raises, "KeyError at fuzzing/test_fuzzing.py"),
        (_hangs, "TooLongError at"),
        (_hangs_where_errors_are_ignored, "TooLongError at"),
        (_takes_long_where_errors_are_ignored, "took too long"),
        (_says_nothing, "DataError without a message"),
        (_refuses, None),
        (lambda folder: None, None),
    ],
)
def test_what_is_a_finding(read: object, what: str | None, tmp_path: Path) -> None:
    found = run_case(Target(read, {}), tmp_path, most_seconds=0.2)  # type: ignore[arg-type]
    assert isinstance(found, Finding) == (what is not None)
    if found:
        assert found.what.startswith(what or "")


def test_memory_is_seen_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large case does not hide the next one."""
    monkeypatch.setattr("fuzz_harness.MOST_BYTES", 200_000_000)
    for _ in range(2):
        found = run_case(Target(_hoards, {}), tmp_path)
        assert found
        assert found.what.endswith(" GB")


def test_mutations_change_files_of_every_kind() -> None:
    for data in (b"", b"a: 1\n", b'{"a": [1, {"b": null}]}', b'{"a": 1}\n{"a": 2}\n', bytes(range(256))):
        changed = [mutate(data, random.Random(seed)) for seed in range(200)]
        assert len(set(changed)) > 50
