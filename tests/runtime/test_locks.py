"""One process at a time in a folder; a lock that nobody holds is in nobody's way."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from toolkit.errors import OutputError, UsageError
from toolkit.runtime.files import atomic_write
from toolkit.runtime.locks import (
    LOCK_FILE,
    holds_nothing,
    lock_of,
    locked,
    locked_file,
    require_unlocked,
    waiting_for,
)


def test_a_folder_is_made_and_locked(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    with locked(folder):
        with (
            pytest.raises(UsageError, match=r"another process is writing to .*out\. Hint: wait for it"),
            locked(folder),
        ):
            pytest.fail("two at once")
        with pytest.raises(UsageError, match="another process is writing"):
            require_unlocked(folder)
        (folder / "result").write_text("")
    assert [path.name for path in folder.iterdir()] == ["result"]
    require_unlocked(folder)
    with locked(folder):
        pass


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "out"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    with locked(tmp_path / "there"):
        pass
    assert (tmp_path / "there").is_dir()


def test_another_process_counts_and_its_kill_ends_its_lock(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire();"
        " print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / LOCK_FILE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="another process is writing"):
            require_unlocked(tmp_path)
        with pytest.raises(UsageError, match="another process is writing"), locked(tmp_path):
            pytest.fail("two at once")
        process.kill()
    assert (tmp_path / LOCK_FILE).exists(), "a kill leaves the file"
    require_unlocked(tmp_path)
    assert holds_nothing(tmp_path)
    with locked(tmp_path):
        pass


def test_a_file_is_locked_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "weights.pth"
    with locked_file(path):
        with pytest.raises(UsageError, match=r"writing to .*weights\.pth"), locked_file(path):
            pytest.fail("two at once")
        with locked_file(path.with_name("other.pth")):
            pass
    assert list(path.parent.iterdir()) == []


def test_waiting_for_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "toolkit")
    path, done = tmp_path / "data.zip", threading.Event()
    first = FileLock(lock_of(path))
    first.acquire()

    def second() -> None:
        with waiting_for(path, "downloading data.zip"):
            done.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not done.wait(0.2)
    first.release()
    assert done.wait(10)
    thread.join()
    assert "another process is downloading data.zip; waiting for it" in caplog.text


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with locked(tmp_path / "out"):
        (tmp_path / "out" / "x").write_text("")
    (tmp_path / "out" / LOCK_FILE).touch()
    require_unlocked(tmp_path / "out")


def test_where_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match="a part of its path is a file"), locked(place):
            pytest.fail("locked")


def test_a_folder_with_nothing_but_leftovers_holds_nothing(tmp_path: Path) -> None:
    assert holds_nothing(tmp_path / "absent")
    assert holds_nothing(tmp_path)
    with atomic_write(tmp_path / "x") as file:
        file.write(b"half")
        (left,) = tmp_path.iterdir()
    (tmp_path / "x").rename(left)
    (tmp_path / LOCK_FILE).touch()
    assert holds_nothing(tmp_path)
    (tmp_path / ".hidden.part").touch()
    assert not holds_nothing(tmp_path), "somebody else's"
    assert not holds_nothing(tmp_path / LOCK_FILE), "a file"


def test_what_only_looks_like_remains_is_something(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).touch()
    (tmp_path / ".toolkit-0123456789ab.part").touch()
    assert holds_nothing(tmp_path)
    (tmp_path / ".toolkit-0123456789ab.part").unlink()
    (tmp_path / ".toolkit-0123456789ab.part").mkdir()
    assert not holds_nothing(tmp_path)
