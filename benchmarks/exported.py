"""A photo through exported models on OpenVINO and ONNX Runtime, against our torch path and against what
people would use instead, with what the precision costs beside it::

    PYTHONPATH=. python benchmarks/exported.py [--families unet …] [--runs FOLDER] [--rounds 5] [--json]

Families without a run in ``--runs`` are trained there first on generated images, in five to fifteen minutes
each, with networks as wide as the published ones; their exports pass the gate of ``toolkit export`` and stay
there, too. What the gate refuses is in the table, with the reason below it. All of them go in turn from a
uint8 photo in memory to the result on the same cores; the photo is a mosaic of images as in training. The
metric is measured by ``toolkit eval`` on the run's validation images.

The peers, in float32: for the U-Net, the same network as torch computes it by itself; for DeepLabv3,
torchvision's with the same weights; for Mask R-CNN, torchvision's with other random weights; for SAM 2.1 tiny
with 16 boxes, ``SAM2ImagePredictor`` with the same.

Mask R-CNN R50-FPN and SAM 2.1 tiny at 1024 pixels are timed with random weights; ``same`` is the part of the
objects that torch finds, and the mean IoU of the masks with those of torch, while ``metric`` is that of the
trained run: of a narrow Mask R-CNN, and of SAM 2.1 tiny at 256 pixels.

The targets are for CPUs without AMX. Exits with 1 if one is missed.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from _exported import NAMES, RECIPES, exported, metric, photo, trained
from _maskrcnn_exported import maskrcnn_ways
from _sam2_exported import sam2_ways
from _timing import interleaved
from rich.console import Console
from rich.table import Table
from torchvision.transforms.functional import normalize

from toolkit.inference.predictor import Predictor, load
from toolkit.types import Sample

TARGETS = {
    ("unet", "openvino", "fp32"): 1.2,
    ("unet", "openvino", "bf16"): 2.3,
    ("unet", "openvino", "int8"): 3.0,
    ("deeplabv3", "openvino", "fp32"): 1.05,
    ("deeplabv3", "openvino", "bf16"): 2.1,
    ("deeplabv3", "openvino", "int8"): 2.5,
    ("maskrcnn", "openvino", "fp32"): 1.0,
    ("sam2", "openvino", "fp32"): 1.9,
    ("sam2", "openvino", "bf16"): 3.3,
}
"""How many times as fast as our torch path in fp32 (SAM 2: as ``SAM2ImagePredictor``)."""
MOST_LOST = {"unet": 0.005}
"""By how much the metric in int8 may be below that in fp32."""

Work = Callable[[], object]


@dataclass
class Row:
    """One way of computing a family.

    Attributes:
        family, runtime, precision: which.
        ms: of the median run; None if the gate refused the export.
        metric: on validation images.
        against_torch, against_peer: how many times as fast as our torch path in fp32, and as the peer.
        agreement: with what torch finds, for those with random weights.
        target: what the speed must reach.
        met: whether it does, and the metric has not lost too much.
        note: why there is no export, or what is missed.
    """

    family: str
    runtime: str
    precision: str
    ms: float | None = None
    metric: float | None = None
    against_torch: float | None = None
    against_peer: float | None = None
    agreement: float | None = None
    target: float | None = None
    met: bool = True
    note: str = ""


def predicting(run: Path, sample: Sample, precision: str = "fp32") -> Work:
    """Prediction of a photo by a run or an exported folder."""
    predictor: Predictor = load(run, device="cpu", precision=precision)
    return lambda: predictor.predict_samples([sample])


def plain_unet(run: Path, sample: Sample) -> Work:
    """The network by itself, with torch's usual memory format, interpolation and arg-max."""
    model: Any = load(run, device="cpu").model
    network = copy.deepcopy(model.network).to(memory_format=torch.contiguous_format).eval()
    return semantic(lambda batch: network(batch), model, sample)


def torchvision_deeplabv3(run: Path, sample: Sample) -> Work:
    """torchvision's network with the same weights; checks that its logits are ours."""
    from torchvision.models.segmentation import deeplabv3_resnet50

    model: Any = load(run, device="cpu").model
    network = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=len(model.classes)).eval()
    network.load_state_dict(model.export_state())
    with torch.no_grad():
        theirs = network(normalize(sample.image[None] / 255, list(model.mean), list(model.std)))["out"]
        ours = model.logits(sample.image[None])
    if float((ours - theirs).abs().max() / theirs.abs().max()) > 1e-4:
        raise SystemExit("deeplabv3: torchvision's logits differ from ours, so it is not the same work")
    return semantic(lambda batch: network(batch)["out"], model, sample)


def semantic(network: Callable[[Any], Any], model: Any, sample: Sample) -> Work:
    """From the photo to a label map with a network."""
    mean, std = list(model.mean), list(model.std)

    def work() -> object:
        with torch.no_grad():
            logits = network(normalize(sample.image[None] / 255, mean, std))
            return logits.argmax(1)[0].to(torch.uint8)

    return work


PEERS: dict[str, tuple[str, Callable[[Path, Sample], Work]]] = {
    "unet": ("torch, NCHW", plain_unet),
    "deeplabv3": ("torchvision", torchvision_deeplabv3),
}


AT_FULL_SIZE = {"maskrcnn": maskrcnn_ways, "sam2": sam2_ways}
"""Families that are timed with random weights, larger than what minutes of training on two cores allow."""


def measure(family: str, runs: Path, rounds: int) -> list[Row]:
    """All ways of computing a family, the peer first and our torch path second."""
    run = trained(family, runs)
    exports = exported(run, runs / "exports")
    ways: dict[tuple[str, str], Work] = {}
    agreement: dict[tuple[str, str], float] = {}
    if family in AT_FULL_SIZE:
        ways, agreement = AT_FULL_SIZE[family](runs / "exports")
    else:
        sample = photo(RECIPES[family].size, 128)
        name, peer = PEERS[family]
        ways[name, "fp32"] = peer(run, sample)
        for precision in ("fp32", "bf16"):
            ways["torch", precision] = predicting(run, sample, precision)
        ways |= {key: predicting(folder, sample) for key, folder in exports.folders.items()}
    times = dict(zip(ways, interleaved(list(ways.values()), rounds=rounds), strict=True))
    peer_ms, torch_ms = next(iter(times.values())), times["torch", "fp32"]
    rows = []
    for key, ms in times.items():
        row = Row(family, *key, ms, None, torch_ms / ms, peer_ms / ms, agreement.get(key))
        folder = run if key[0] == "torch" else exports.folders.get(key)
        if folder is not None:
            row.metric = metric(folder, family, "bf16" if key == ("torch", "bf16") else "fp32")
        rows.append(row)
    rows += [
        Row(family, *key, note=why, met=(family, *key) not in TARGETS)
        for key, why in exports.refused.items()
        if key not in times
    ]
    for row in rows:
        judge(row, rows)
    return rows


def judge(row: Row, rows: list[Row]) -> None:
    """Compare a row with its target, and note what is missed."""
    row.target = TARGETS.get((row.family, row.runtime, row.precision))
    if row.ms is None:
        return
    reached = row.against_peer if row.family == "sam2" else row.against_torch
    assert reached is not None
    if row.target is not None and reached < row.target:
        row.met, row.note = False, f"{reached:.2f} is below the target {row.target:g}"
    most = MOST_LOST.get(row.family)
    if most is not None and row.precision == "int8" and row.metric is not None:
        wanted = next(each.metric for each in rows if each.runtime == "torch" and each.precision == "fp32")
        assert wanted is not None
        if wanted - row.metric > most:
            row.met, row.note = False, f"the metric is {wanted - row.metric:.4f} below that in fp32"


def show(rows: list[Row]) -> None:
    table = Table("family", "runs on", "precision", "metric", "same", title=TITLE, title_justify="left")
    for column in ("ms", "x torch", "x peer", "target"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in rows:
        stays = row.runtime in ("openvino", "onnx") and (row.against_torch or 0) < 1
        name, precision = NAMES.get(row.runtime, row.runtime), row.precision
        numbers = [number(row.ms, 0), number(row.against_torch, 2), number(row.against_peer, 2)]
        target = "" if row.target is None else f"{row.target:g}"
        verdict = "missed" if not row.met else "stays on torch" if stays else ""
        measured = [number(row.metric, 4), number(row.agreement, 4)]
        table.add_row(row.family, name, precision, *measured, *numbers, target, verdict)
    Console(width=120).print(table)
    for row in rows:
        if row.note:
            print(f"{row.family}, {NAMES.get(row.runtime, row.runtime)} in {row.precision}: {row.note}")


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


TITLE = "A photo through exported models"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--runs", type=Path, help="folder of runs and exports; a temporary one if left out")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each; default: 5")
    parser.add_argument("--prepare", action="store_true", help="train and export alone, and time nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, and no table")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", ".torch.jit.script. is deprecated")
    with tempfile.TemporaryDirectory() as temporary:
        runs = args.runs or Path(temporary)
        if args.prepare:
            for family in args.families:
                exported(trained(family, runs), runs / "exports")
            return 0
        rows = [row for family in args.families for row in measure(family, runs, args.rounds)]
    if args.json:
        print(json.dumps({"title": TITLE, "rows": [asdict(row) for row in rows]}))
    else:
        show(rows)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
