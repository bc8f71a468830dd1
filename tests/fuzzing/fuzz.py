"""Fuzzes every reader for some minutes: ``make fuzz MINUTES=60``, or ``python tests/fuzzing/fuzz.py --help``.

A worker process changes valid files at random and reads them; what it is about to read lies in a folder, so
that the input of a crash is known. Whatever is neither a success nor an error of ``toolkit/errors.py``, takes
more than 10 s or more than 1 GB, is copied to ``build/fuzz/findings/`` and can be read again with ``--replay
FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STUCK = 40.0
"""Seconds after which a worker that does not react to its own alarm is killed."""

MOST_START = 300.0
"""Seconds that a worker may take until its first input; it imports torch, maybe on a busy machine."""

MOST_ADDRESSES = 24 << 30
"""Bytes of address space of a worker: enough for torch, too little for an allocation gone wild."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument(
        "--seed", type=int, default=None, help="of all cases; drawn and printed when left out"
    )
    parser.add_argument("--target", action="append", help="fuzz this reader only; may be repeated")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--replay", type=Path, metavar="FOLDER", help="read one finding again")
    parser.add_argument("--worker", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--start", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path[:0] = [str(HERE), str(ROOT)]
    if args.replay:
        return replay(args.replay)
    if args.worker is not None:
        return work(args.out, args.seed, args.start, args.worker, args.target)
    return watch(args)


def watch(args: argparse.Namespace) -> int:
    """Keep a worker running until the time is over, and take down what ends it."""
    seed = random.SystemRandom().randrange(10**9) if args.seed is None else args.seed
    print(f"seed {seed}; findings go to {args.out / 'findings'}", flush=True)
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    end = time.monotonic() + args.minutes * 60
    start = 0
    while time.monotonic() < end:
        left = end - time.monotonic()
        command = [
            sys.executable,
            str(HERE / "fuzz.py"),
            f"--worker={left}",
            f"--seed={seed}",
            f"--start={start}",
        ]
        command += [f"--out={args.out}", *(f"--target={name}" for name in args.target or ())]
        worker = subprocess.Popen(command, cwd=ROOT)
        problem = _wait(worker, args.out)
        state = _state(args.out)
        start = state.get("index", start) + 1
        if problem and not state:
            print(f"the worker read nothing: {problem}", flush=True)
            return 1
        if problem:
            keep(args.out, state.get("target", "?"), start - 1, seed, problem, problem)
    state = _state(args.out)
    found = sorted((args.out / "findings").glob("*/finding.txt")) if (args.out / "findings").is_dir() else []
    print(
        f"{state.get('count', 0):,} inputs in {args.minutes:g} minutes, seed {seed}; {len(found)} kinds of"
        " findings"
    )
    for path in found:
        print(f"  {path.read_text().splitlines()[0]}  ({path.parent})")
    return 1 if found else 0


def _state(out: Path) -> dict[str, object]:
    try:
        return json.loads((out / "state.json").read_text())
    except (OSError, ValueError):
        return {}


def _wait(worker: subprocess.Popen[bytes], out: Path) -> str:
    """Wait for a worker; what ended it, if it was not the time."""
    last, changed = None, time.monotonic()
    while worker.poll() is None:
        time.sleep(0.5)
        now = _state(out).get("count")
        if now != last:
            last, changed = now, time.monotonic()
        elif time.monotonic() - changed > (MOST_START if now is None else STUCK):
            worker.kill()
            worker.wait()
            return f"hangs for more than {STUCK:g} s"
    return "" if worker.returncode == 0 else f"the process ended with {worker.returncode}"


def work(out: Path, seed: int, start: int, seconds: float, names: list[str] | None) -> int:
    """Read case after case, all readers in turn."""
    from fuzz_harness import case_files, quiet, run_case, write_case
    from fuzz_targets import targets

    quiet()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    chosen = {name: target for name, target in targets().items() if not names or name in names}
    count = int(_state(out).get("count", 0) or 0)
    end = time.monotonic() + seconds
    index = start
    while time.monotonic() < end:
        for name, target in chosen.items():
            write_case(out / "current", case_files(target, name, seed, index))
            count += 1
            (out / "state.json").write_text(json.dumps({"target": name, "index": index, "count": count}))
            finding = run_case(target, out / "current")
            if finding:
                write_case(out / "current", case_files(target, name, seed, index))
                keep(out, name, index, seed, finding.what, finding.details)
        index += 1
    # without taking torch down, which on a busy machine may look like a hang of the last input
    sys.stdout.flush()
    os._exit(0)


def keep(out: Path, target: str, index: int, seed: int, what: str, details: str) -> None:
    """Copy the input of a finding, unless one like it is there."""
    import hashlib

    folder = out / "findings" / hashlib.sha256(f"{target} {what}".encode()).hexdigest()[:12]
    if folder.exists():
        return
    shutil.copytree(out / "current", folder / "input")
    (folder / "finding.txt").write_text(f"{target}: {what}\nseed {seed}, index {index}\n\n{details}\n")
    (folder / "target.txt").write_text(target)
    print(f"{target}: {what}", flush=True)


def replay(folder: Path) -> int:
    """Read the input of a finding again, without limits and with its traceback."""
    from fuzz_targets import targets

    from toolkit.errors import ToolkitError

    copy = folder / "again"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "input", copy)
    try:
        targets()[(folder / "target.txt").read_text()].read(copy)
    except ToolkitError as error:
        print(f"{type(error).__name__}: {error}")
        return 0
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    print("is read")
    return 0


if __name__ == "__main__":
    sys.exit(main())
