"""TensorBoard's file: what is in it, and what becomes of errors in the thread that writes it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from toolkit.errors import OutputError
from toolkit.training.events import EventFile


def test_figures_and_pictures(tmp_path: Path) -> None:
    events = EventFile(tmp_path)
    events.write({"loss": 0.5, "lr": 0.1}, 3)
    events.show("batch", np.zeros((4, 6, 3), np.uint8), 3)
    events.close()
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [(each.step, each.value) for each in found.Scalars("loss")] == [(3, 0.5)]
    assert found.Images("batch")[0].width == 6


@pytest.mark.parametrize("when", ["writing", "closing"])
def test_an_error_of_the_thread_is_raised_here_once(
    tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hook, failed = threading.excepthook, threading.Event()
    events = EventFile(tmp_path)

    def full(self: Any, data: bytes) -> None:
        failed.set()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RecordWriter, "write", full)

    def write() -> None:
        for step in range(1000):
            events.write({"loss": 0.5}, step)
            failed.wait(10)

    if when == "writing":
        with pytest.raises(OutputError, match=f"{tmp_path} cannot be written: the disk is full"):
            write()
        with pytest.raises(OutputError, match="full"):
            events.close()
    else:
        events.write({"loss": 0.5}, 0)
        failed.wait(10)
        with pytest.raises(OutputError, match="full"):
            events.close()
    assert threading.excepthook is hook
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_takes_no_files(tmp_path: Path) -> None:
    hook = threading.excepthook
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        EventFile(tmp_path / "file" / "run")
    assert threading.excepthook is hook


def test_errors_of_other_threads_are_still_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    events = EventFile(tmp_path)

    def fail() -> None:
        raise OSError("of somebody else")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    events.close()
    assert [str(each.exc_value) for each in told] == ["of somebody else"]
