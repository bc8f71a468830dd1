"""Runs a reader on a changed file and says what came of it: success, an error on purpose, or a finding."""

from __future__ import annotations

import logging
import random
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fuzz_mutations import mutate
from fuzz_targets import Target

from toolkit import registry
from toolkit.errors import ToolkitError

MOST_SECONDS = 10.0
MOST_BYTES = 1 << 30


class TooLongError(BaseException):
    """No ``Exception``, so that no reader takes it for a damaged file."""


@dataclass(frozen=True)
class Finding:
    """What must not happen.

    Attributes:
        what: error and place, by which findings are told apart.
        details: the traceback.
    """

    what: str
    details: str


def case_files(target: Target, name: str, seed: int, index: int) -> dict[str, bytes]:
    """The files of a case, always the same for the same numbers: one is changed."""
    rng = random.Random(f"{seed}/{name}/{index}")
    changed = rng.choice(sorted(target.files))
    files = {**target.fixed, **target.files}
    files[changed] = mutate(files[changed], rng)
    return files


def write_case(folder: Path, files: dict[str, bytes]) -> None:
    """Put the files of a case into a folder that then holds nothing else."""
    if folder.exists():
        shutil.rmtree(folder)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def run_case(target: Target, folder: Path, most_seconds: float = MOST_SECONDS) -> Finding | None:
    """Read a folder. Anything but success and the errors of ``toolkit/errors.py``, in time and within memory,
    is a finding.
    """
    before = _start_of_memory()
    start = time.perf_counter()
    try:
        with _alarm(most_seconds), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(folder)
    except ToolkitError as error:
        if not str(error).strip():
            return Finding(f"{type(error).__name__} without a message", traceback.format_exc())
        try:
            str(error).encode()
        except UnicodeEncodeError:
            return Finding(f"{type(error).__name__} with a message that cannot be printed", repr(str(error)))
    except (Exception, TooLongError) as error:
        return Finding(f"{type(error).__name__} at {_place(error)}", traceback.format_exc())
    finally:
        registry.clear()
    took, grown = time.perf_counter() - start, _most_memory() - before
    if took > most_seconds:
        return Finding("took too long", f"{took:.1f} s")
    if grown > MOST_BYTES:
        return Finding(f"took {grown / 1e9:.1f} GB", f"after {took:.1f} s")
    return None


def _start_of_memory() -> int:
    """Begin to watch the memory of this process; how much it has, in bytes."""
    if sys.platform == "linux":
        # else a large case would hide the next one, which stays below the same mark
        Path("/proc/self/clear_refs").write_text("5")
    return _most_memory()


def _most_memory() -> int:
    """The most that this process has had since then, or, other than on Linux, at all; in bytes."""
    if sys.platform == "linux":
        line = next(
            line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
        )
        return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)


def _place(error: BaseException) -> str:
    """The last line of the toolkit that the error passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if any(f"/{part}/" in frame.filename for part in ("toolkit", "plugins", "datasets"))
    ]
    last = (own or frames)[-1]
    return f"{Path(last.filename).parent.name}/{Path(last.filename).name}:{last.lineno}"


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    # again each second, because Python ignores what is raised while it removes an object
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def quiet() -> None:
    """Nothing that readers say is shown."""
    logging.getLogger("toolkit").setLevel(logging.CRITICAL)
