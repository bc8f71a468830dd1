"""Times two ways of doing the same work, interleaved in one run, so that other load on the machine affects
both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Comparison:
    """Medians of two interleaved timings.

    Attributes:
        case: description of the work.
        ours: name of the toolkit's way; ``peer`` is the name of the other.
        ours_ms: milliseconds of the median run; ``peer_ms`` the same for the peer.
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
        """Whether the target is reached; true if there is none."""
        return self.target is None or self.ratio >= self.target


@dataclass(frozen=True)
class Options:
    """Options of the command line.

    Attributes:
        device: ``cpu`` or ``cuda``.
        json: print one JSON object instead of a table.
    """

    device: str = "cpu"
    json: bool = False

    def title(self, text: str) -> str:
        """The title of a table, with the name of the GPU if one is used."""
        if self.device == "cpu":
            return text
        import torch

        return f"{text}, on {torch.cuda.get_device_name()}"

    @contextlib.contextmanager
    def autocast(self, precision: str) -> Iterator[None]:
        """The context in which a network computes in ``fp32``, ``tf32``, ``bf16`` or ``fp16``. ``tf32`` is
        float32 as torch computes convolutions on a GPU unless it is told otherwise: with 10 bits of the
        mantissa.
        """
        import torch

        if precision == "tf32":
            torch.backends.cudnn.allow_tf32 = True
            try:
                yield
            finally:
                torch.backends.cudnn.allow_tf32 = False
            return
        with self._half(precision):
            yield

    def _half(self, precision: str) -> contextlib.AbstractContextManager[object]:
        import torch

        if precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, getattr(torch, {"bf16": "bfloat16", "fp16": "float16"}[precision]))


def parse(title: str, *, with_device: bool = False) -> Options:
    """The options of the command line; call it before any timing.

    ``--device auto`` is a CUDA GPU if there is one, else the CPU. In float32, TF32 is off on a GPU, so that
    both sides compute in the same precision.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    if with_device:
        parser.add_argument(
            "--device", choices=["auto", "cpu", "cuda"], default="cpu", help="where both sides compute"
        )
    args = parser.parse_args()
    device = args.device if with_device else "cpu"
    if device != "cpu":
        import torch

        here = torch.cuda.is_available()
        if device == "cuda" and not here:
            parser.error("--device cuda: torch sees no CUDA GPU")
        device = "cuda" if here else "cpu"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return Options(device, args.json)


def finish(device: str) -> None:
    """Wait for a GPU to finish its queued work; calls are asynchronous."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


def interleaved(
    works: Sequence[Callable[[], object]],
    *,
    rounds: int = 9,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Milliseconds of the median run of each: all once to warm up, then in turn ``rounds`` times, each until
    ``device`` has finished, timed by a clock in seconds.
    """
    times: list[list[float]] = [[] for _ in works]
    for n in range(rounds + 1):
        for work, taken in zip(works, times, strict=True):
            # OpenMP's threads keep a core busy for a while after their work, which would slow down the next
            # side.
            time.sleep(0.02)
            finish(device)
            start = clock()
            work()
            finish(device)
            if n:
                taken.append((clock() - start) * 1e3)
    return [statistics.median(taken) for taken in times]


def compare(
    case: str,
    ours: tuple[str, Callable[[], object]],
    peer: tuple[str, Callable[[], object]],
    *,
    rounds: int = 9,
    target: float | None = None,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Time both as ``interleaved`` does."""
    ours_ms, peer_ms = interleaved((ours[1], peer[1]), rounds=rounds, device=device, clock=clock)
    return Comparison(case, ours[0], peer[0], ours_ms, peer_ms, peer_ms / ours_ms, target)


def report(title: str, comparisons: Sequence[Comparison], options: Options | None = None) -> int:
    """Print a table, or with ``--json`` on the command line one JSON object; returns 1 if a target is missed,
    else 0. Without ``options``, the command line is parsed here.
    """
    options = options or parse(title)
    title = options.title(title)
    if options.json:
        found = [asdict(comparison) for comparison in comparisons]
        print(json.dumps({"title": title, "device": options.device, "comparisons": found}))
    else:
        table = Table("case", "peer", title=title, title_justify="left")
        for column in ("ours ms", "peer ms", "times as fast", "target"):
            table.add_column(column, justify="right")
        for c in comparisons:
            target = "" if c.target is None else f"{c.target:g}" + ("" if c.met else " missed")
            table.add_row(c.case, c.peer, f"{c.ours_ms:.2f}", f"{c.peer_ms:.1f}", f"{c.ratio:.1f}", target)
        Console().print(table)
    return 0 if all(comparison.met for comparison in comparisons) else 1
