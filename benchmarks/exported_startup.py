"""From the command to the answer for one photo, as whole processes: exported folders against the run::

    PYTHONPATH=. python benchmarks/exported_startup.py [--families unet …] [--runs FOLDER] [--rounds 5]

``predict.py`` of an exported folder imports neither torch nor the toolkit; ``toolkit infer`` imports both,
for a run as for an exported folder. The photo has 128 × 128 pixels, so that starting is what takes the time.
Families without a run in ``--runs`` are trained there first, in minutes. The target is what 1.5 s are of the
5 that torch takes.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
from _exported import NAMES, RECIPES, exported, photo, trained
from _timing import Comparison, Options, interleaved, report

TITLE = "From the command to the answer for one photo"
TARGET = 5 / 1.5
FAMILIES = ("unet", "deeplabv3", "maskrcnn")
"""Those that need no prompts."""


def run(*words: object) -> None:
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)


def measure(family: str, runs: Path, work: Path, rounds: int) -> list[Comparison]:
    """Each export by ``predict.py`` and by ``toolkit infer``, with the run as the peer."""
    own = trained(family, runs)
    folders = exported(own, runs / "exports").folders
    picture, places = work / f"{family}.png", itertools.count()
    cv2.imwrite(str(picture), photo((128, 128), 128).image.permute(1, 2, 0).numpy()[..., ::-1])

    def infer(path: Path) -> None:
        run("-m", "toolkit", "infer", path, picture, "--out", work / f"{family}{next(places)}")

    works, cases = [lambda: infer(own)], []
    for (target, precision), folder in folders.items():
        if precision == "int8":
            continue  # starts as fp32 does
        name = f"{family}, {NAMES[target]} in {precision}"
        cases += [(f"{name}, predict.py", TARGET), (f"{name}, toolkit infer", None)]
        works += [
            lambda folder=folder: run(folder / "predict.py", picture, "--out", work / "program"),
            lambda folder=folder: infer(folder),
        ]
    peer_ms, *times = interleaved(works, rounds=rounds)
    return [
        Comparison(case, case, "toolkit infer RUN", ms, peer_ms, peer_ms / ms, target)
        for (case, target), ms in zip(cases, times, strict=True)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", default=["unet"], choices=[*FAMILIES])
    parser.add_argument("--runs", type=Path, help="folder of runs and exports; a temporary one if left out")
    parser.add_argument("--rounds", type=int, default=5, help="timed processes of each; default: 5")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        runs, work = args.runs or Path(temporary) / "runs", Path(temporary)
        found = [each for family in args.families for each in measure(family, runs, work, args.rounds)]
    return report(TITLE, found, Options(json=args.json))


if __name__ == "__main__":
    assert set(FAMILIES) <= set(RECIPES)
    raise SystemExit(main())
