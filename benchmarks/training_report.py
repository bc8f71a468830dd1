"""What share of a short training its own report takes::

    PYTHONPATH=. python benchmarks/training_report.py [--steps 60] [--plugin unet]

The model is that of ``configs/<plugin>-shapes.yaml``, with three validations. Times are those of the
processor, so that other work on the machine does not count; importing what draws charts is a part of the
report.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.config import recipe_folder, resolve
from toolkit.reporting import PAGE
from toolkit.training.loop import train
from toolkit.training.run_report import RunReport

MOST_SHARE = 0.1


def timed(method: Callable[..., Any], spent: dict[str, float]) -> Callable[..., Any]:
    """A method that adds what it takes to ``spent``, under its name."""

    def call(*args: Any) -> Any:
        began = time.process_time()
        try:
            return method(*args)
        finally:
            spent[method.__name__] = spent.get(method.__name__, 0.0) + time.process_time() - began

    return call


def main() -> int:
    """Print what was measured as JSON; 0 when it is within the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--plugin", default="unet")
    args = parser.parse_args()
    spent: dict[str, float] = {}
    for name in ("begin_validation", "add", "improved", "write"):
        setattr(RunReport, name, timed(getattr(RunReport, name), spent))
    words = [f"train.steps={args.steps}", f"train.eval_every={max(1, args.steps // 3)}", "train.report=true"]
    words += ["train.workers=0", "train.device=cpu"]
    settings = resolve(config=recipe_folder() / f"{args.plugin}-shapes.yaml", overrides=words)
    with tempfile.TemporaryDirectory() as folder:
        began, began_cpu = time.perf_counter(), time.process_time()
        train(settings, Path(folder) / "run", show_progress=True)
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        megabytes = (Path(folder) / "run" / PAGE).stat().st_size / 1e6
    share = sum(spent.values()) / (cpu - sum(spent.values()))
    found = {
        "steps": args.steps,
        "seconds": seconds,
        "CPU seconds": cpu,
        "of the report": sum(spent.values()),
    }
    found |= {"share": share, "megabytes": megabytes}
    print(json.dumps({key: round(value, 3) for key, value in found.items()} | {"parts": spent}))
    return 0 if share <= MOST_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
