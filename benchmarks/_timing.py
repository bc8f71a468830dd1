"""Times two ways of doing the same work, side by side in one run, so that whatever else the machine does hits
both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Comparison:
    """Medians of two interleaved timings.

    Attributes:
        case: what was worked on.
        ours: name of the toolkit's way; ``peer`` that of the other.
        ours_ms: milliseconds of the median run; ``peer_ms`` likewise.
        ratio: how many times as fast ours is.
        target: what ``ratio`` must reach, or None.
    """

    case: str
    ours: str
    peer: str
    ours_ms: float
    peer_ms: float
    ratio: float
    target: float | None = None

    @property
    def met(self) -> bool:
        """Whether the target is reached, where there is one."""
        return self.target is None or self.ratio >= self.target


def compare(
    case: str,
    ours: tuple[str, Callable[[], object]],
    peer: tuple[str, Callable[[], object]],
    *,
    rounds: int = 9,
    target: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Run both once to warm up, then in turn ``rounds`` times, by a clock in seconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for n in range(rounds + 1):
        for (_, work), taken in zip((ours, peer), times, strict=True):
            # OpenMP's threads keep a core busy for a while after their work, which would be charged to the
            # next one.
            time.sleep(0.02)
            start = clock()
            work()
            if n:
                taken.append((clock() - start) * 1e3)
    ours_ms, peer_ms = (statistics.median(taken) for taken in times)
    return Comparison(case, ours[0], peer[0], ours_ms, peer_ms, peer_ms / ours_ms, target)


def report(title: str, comparisons: Sequence[Comparison]) -> int:
    """Print a table, or with ``--json`` on the command line one JSON object; 1 when a target is missed, else
    0.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    if parser.parse_args().json:
        print(json.dumps({"title": title, "comparisons": [asdict(comparison) for comparison in comparisons]}))
    else:
        table = Table("case", "peer", title=title, title_justify="left")
        for column in ("ours ms", "peer ms", "times as fast", "target"):
            table.add_column(column, justify="right")
        for c in comparisons:
            target = "" if c.target is None else f"{c.target:g}" + ("" if c.met else " missed")
            table.add_row(c.case, c.peer, f"{c.ours_ms:.2f}", f"{c.peer_ms:.1f}", f"{c.ratio:.1f}", target)
        Console().print(table)
    return 0 if all(comparison.met for comparison in comparisons) else 1
