"""Trains one run in a process of its own, for ``gpu_runs.run_child``:
``python gpu_child.py CONFIG OUT [--resume] [--plain]``. A configuration may name ``tiny.py``.

The last line that it prints is a JSON object: ``nondeterministic`` lists what torch said about operators that
have no deterministic form on this device, and ``steps`` how many were done. With ``--plain`` operators are
chosen as usual.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import torch

from toolkit import registry
from toolkit.config import resolve
from toolkit.training.loop import train


def main(config: str, out: str, *options: str) -> None:
    torch.set_num_threads(1)
    registry.add_path(Path(__file__).with_name("tiny.py"))
    if "--plain" not in options:
        # only a warning, because a family with a single such operator is to be run all the same
        torch.use_deterministic_algorithms(True, warn_only=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = train(resolve(config=Path(config)), out, resume="--resume" in options)
    said = {str(each.message).split(". ")[0] for each in caught if "determinis" in str(each.message)}
    print(json.dumps({"steps": result.steps, "nondeterministic": sorted(said)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
