"""From the command to the first answer: an exported model against the run that it was made from.

``PYTHONPATH=. python benchmarks/exported_startup.py [--json]``

Each time is that of a whole process that predicts one photo and writes its label map: Python, all imports,
reading the model, preparing it, and predicting. The program ``predict.py`` of an exported folder must need at
most 1.5 seconds. ``toolkit infer`` of the same folder also imports torch, whose tensors are the type of
images and predictions.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from _exported import exported, random_run
from _timing import Comparison, compare, parse, report

TITLE = "From the command to the label map of one photo of 480 x 640 pixels, as whole processes"
MODELS: dict[str, dict[str, object]] = {
    "unet": {"encoder": "original_padded", "norm": "batch"},
    "deeplabv3": {"encoder": "resnet50"},
}
MOST_MS = 1500.0
"""What ``predict.py`` may take."""
AGREE = 0.999
"""Fraction of equal pixels; with random weights, many pixels have two classes that are almost equal."""


def run(words: Sequence[str]) -> None:
    subprocess.run([sys.executable, *words], check=True, capture_output=True)


def read(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise SystemExit(f"{path} was not written")
    return found


def measure(name: str, folder: Path, photo: Path) -> list[Comparison]:
    model = random_run(name, MODELS[name], folder / name)
    peer = ["-m", "toolkit", "infer", str(model), str(photo), "--out"]
    run([*peer, str(folder / "expected")])
    expected = read(folder / "expected" / "labels" / "photo.png")
    found, number = [], 0
    for target in ("onnx", "openvino"):
        place = exported(model, folder / f"{name}-{target}", target)
        ways = {
            "predict.py": [str(place / "predict.py"), str(photo), "--out"],
            "toolkit infer": ["-m", "toolkit", "infer", str(place), str(photo), "--out"],
        }
        for way, words in ways.items():

            def once(words: Sequence[str]) -> Path:
                nonlocal number
                number += 1
                out = folder / f"out-{number}"
                run([*words, str(out)])
                return out

            out = once(words)
            label_map = next(
                path for path in (out / "photo.png", out / "labels" / "photo.png") if path.exists()
            )
            agreement = float((read(label_map) == expected).mean())
            if agreement < AGREE:
                raise SystemExit(f"{name}, {target}, {way}: only {agreement:.2%} of the pixels are equal")
            found.append(
                compare(
                    f"{name}, {target}, {way}",
                    (way, lambda words=words: once(words)),
                    ("toolkit infer RUN", lambda: once(peer)),
                    rounds=5,
                )
            )
    return found


def main() -> int:
    options = parse(TITLE)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        photo = folder / "photo.jpg"
        cells = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(photo), cv2.resize(cells, (640, 480), interpolation=cv2.INTER_CUBIC))
        results = [each for name in MODELS for each in measure(name, folder, photo)]
    missed = [each.case for each in results if each.ours == "predict.py" and each.ours_ms > MOST_MS]
    status = report(TITLE, results, options)
    if missed and not options.json:
        print(f"more than {MOST_MS:g} ms: {'; '.join(missed)}")
    return status or int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
