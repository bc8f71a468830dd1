"""Startup: the time of the command line beyond starting Python itself.

``python benchmarks/startup.py [--json]``

The peer is ``python -c pass``, in the same interpreter and environment, alternating with the toolkit's
command; so a ratio of 0.5 means that the command takes twice as long as starting Python.
"""

from __future__ import annotations

import subprocess
import sys

from _timing import Comparison, compare, report

COMMANDS = (["--help"], ["--version"], ["train", "--help"], ["plugins", "list"], ["data", "list"])
TARGETS = {"--help": 0.25}
"""Help must take less than four times as long as Python alone."""


def run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def measure(words: list[str], rounds: int = 15) -> Comparison:
    case = " ".join(words)
    ours = f"toolkit {case}", lambda: run("-m", "toolkit", *words)
    return compare(
        f"toolkit {case}",
        ours,
        ("python -c pass", lambda: run("-c", "pass")),
        rounds=rounds,
        target=TARGETS.get(case),
    )


if __name__ == "__main__":
    sys.exit(report("Startup of the command line", [measure(words) for words in COMMANDS]))
