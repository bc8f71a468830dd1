"""Giant images, window by window: what is found, peak memory and time at three sizes; merging beside SAHI's.

``python benchmarks/large_images.py [--json] [--sizes 5000 10000 20000] [--objects 5000] [--only KIND]
[--format png]``

Images are generated (tiled TIFF, with long bars and ellipses of which many stand across seams), and predicted
by ``predict_folder`` in processes of their own: objects by an oracle that returns what a window shows, label
maps by a small U-Net of the plugin ``unet`` that is trained here for seconds. Peak memory is what the process
grows by after the model is loaded. SAHI (pip install --no-deps sahi, shapely, fire, pybboxes) merges the same
objects of the same windows; without it, this part is left out. ``--format png`` and ``jpg`` show what it
takes to decode images whole.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from _large_scene import TILE, Components, Scene, overlapping, runs_of_results
from rich.console import Console
from rich.table import Table

from toolkit.inference import Predictor, Tiling, giants
from toolkit.inference.pipeline import Work, predict_folder
from toolkit.models.merging import ObjectMerger
from toolkit.models.semantic import SemanticModel
from toolkit.models.sliding_window import reader_of, window_objects
from toolkit.models.window_grid import grid
from toolkit.types import Sample
from toolkit.types.pixel_runs import area_of, overlap_of

KINDS = ("objects", "labels")
TILING = Tiling(1024, 0.25)
MOST_UNTILED = 5_000  # side of an image that the network gets as a whole
MOST_MB, LEAST_IOU, MOST_WRONG, LEAST_FASTER, MOST_UNEVEN = 1500, 0.99, 0.005, 5.0, 1.3


def small_unet() -> SemanticModel:
    """A U-Net of the plugin, which learns in a few seconds which pixels are objects."""
    from toolkit.plugins.unet.model import build
    from toolkit.plugins.unet.settings import UNetSettings

    torch.manual_seed(0)
    model = build(UNetSettings(encoder="original_padded", depth=2, width=4), ("ground", "blob"))
    pixels, inside = Scene(1024, 5000).rows(0, 1024)
    image = torch.from_numpy(np.repeat(pixels[None], 3, axis=0))
    labels = torch.from_numpy(inside.astype(np.uint8))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=500)
    for step in range(500):
        top, left = torch.randint(0, 1024 - 256, (2,)).tolist()
        place = slice(top, top + 256), slice(left, left + 256)
        sample = Sample(str(step), image[:, *place], labels[place])
        optimizer.zero_grad()
        sum(model.loss([sample]).values()).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def once(kind: str, path: Path, out: Path) -> dict[str, float]:
    """Predict one image in this process; seconds, of all threads and passed, and megabytes beyond the
    model.
    """
    giants.GIANT_PIXELS = 1  # so that all sizes are predicted in the same way
    model = Components() if kind == "objects" else small_unet()
    predictor = Predictor(model, device="cpu", tiling=TILING)
    predictor.predict_samples([Sample("a", torch.zeros((3, 1024, 1024), dtype=torch.uint8))])
    Path("/proc/self/clear_refs").write_text("5")  # see proc(5): the peak becomes the present size
    before = _status("VmRSS")
    start, began = time.process_time(), time.perf_counter()
    summary = predict_folder(predictor, path, out, work=Work(1, 1), progress=False)
    seconds, passed = time.process_time() - start, time.perf_counter() - began
    assert summary.done == 1, "the image could not be predicted"
    return {"cpu_seconds": seconds, "seconds": passed, "mb": (_status("VmHWM") - before) / 1e6}


def _status(key: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key)]
    return int(line.split()[1]) * 1024


def compared_objects(scene: Scene, out: Path) -> dict[str, float]:
    """Number of objects, of those in pieces, and IoU with the truth."""
    (path,) = (out / "instances").iterdir()
    entries = json.loads(path.read_text())
    found = runs_of_results([each["segmentation"]["counts"] for each in entries], (scene.side,) * 2)
    near = overlapping([bounds for _, bounds in found], 512)
    ious, pieces = [], 0
    for blob in scene.blobs:
        runs = blob.runs
        rows = range(blob.top // 512, (blob.top + blob.mask.shape[0]) // 512 + 1)
        columns = range(blob.left // 512, (blob.left + blob.mask.shape[1]) // 512 + 1)
        others = {i for row in rows for column in columns for i in near.get((row, column), ())}
        shared = {i: overlap_of(runs, found[i][0]) for i in others}
        area, touching = area_of(runs), [i for i, count in shared.items() if count]
        pieces += len(touching) > 1
        ious.append(
            max((shared[i] / (area + area_of(found[i][0]) - shared[i]) for i in touching), default=0.0)
        )
    return {
        "true": len(scene.blobs),
        "found": len(found),
        "in_pieces": pieces,
        "worst_iou": min(ious),
        "iou": sum(ious) / len(ious),
    }


def compared_labels(scene: Scene, out: Path) -> dict[str, float]:
    """IoU of the pixels of objects with the truth, and with what the network finds in the whole image, if
    it fits into memory.
    """
    (path,) = (out / "labels").glob("*.tif")
    labels = tifffile.imread(path)
    both = either = 0
    for top in range(0, scene.side, TILE):
        found = labels[top : top + TILE] > 0
        _, inside = scene.rows(top, top + len(found))
        both, either = both + int((found & inside).sum()), either + int((found | inside).sum())
    figures = {"iou": both / either}
    if scene.side <= MOST_UNTILED:
        tops = range(0, scene.side, TILE)
        gray = np.concatenate([scene.rows(top, min(scene.side, top + TILE))[0] for top in tops])
        model = small_unet()
        with torch.no_grad():
            sample = Sample("a", torch.from_numpy(np.repeat(gray[None], 3, axis=0)))
            whole = model.predict([sample])[0].label_map
        assert whole is not None
        untiled = whole.numpy() > 0
        figures["iou_untiled"] = float((untiled & (labels > 0)).sum() / (untiled | (labels > 0)).sum())
    return figures


def measured(
    kind: str, sides: Sequence[int], objects: int, folder: Path, suffix: str
) -> list[dict[str, float]]:
    """Figures of one kind of model at each size, of files with a suffix."""
    rows = []
    for side in sides:
        scene, path, out = Scene(side, objects), folder / f"{side}.{suffix}", folder / f"{kind}-{side}"
        if not path.exists():
            write = scene.write if suffix == "tif" else scene.write_whole
            write(path)
        command = [sys.executable, os.path.abspath(__file__), "--once", kind, str(path), str(out)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        compare = compared_objects if kind == "objects" else compared_labels
        rows.append({"side": side, **json.loads(done.stdout.splitlines()[-1]), **compare(scene, out)})
    return rows


def merging(side: int, objects: int) -> dict[str, float] | None:
    """Seconds of CPU time in which we and SAHI merge the objects of the same windows; None without SAHI."""
    try:
        from sahi.postprocess.combine import GreedyNMMPostprocess
        from sahi.prediction import ObjectPrediction
    except ImportError:
        return None
    scene = Scene(side, objects)
    pixels = torch.from_numpy(np.repeat(scene.rows(0, side)[0][None], 3, axis=0))
    windows = [each for row in grid((side, side), TILING.window or 0, TILING.overlap) for each in row]
    found = list(window_objects(Components(), "a", reader_of(pixels), windows))
    start = time.process_time()
    merger = ObjectMerger((side, side))
    for window, each in found:
        merger.add(window, each)
    count = len(merger.merged())
    ours = time.process_time() - start
    theirs = []
    for window, each in found:
        assert each.masks is not None
        assert each.scores is not None
        masks = map(_polygons, each.masks.dense())
        for box, score, polygons in zip(each.boxes_xyxy.tolist(), each.scores.tolist(), masks, strict=True):
            if not polygons:  # a sliver, which SAHI does not take
                continue
            theirs.append(
                ObjectPrediction(
                    bbox=box,
                    category_id=0,
                    category_name="blob",
                    segmentation=polygons,
                    score=score,
                    shift_amount=[window.place.left, window.place.top],
                    full_shape=[side, side],
                ).get_shifted_object_prediction()
            )
    merge = GreedyNMMPostprocess(match_threshold=0.5, match_metric="IOS", class_agnostic=False)
    start = time.process_time()
    merged = merge(theirs)
    return {
        "side": side,
        "parts": len(theirs),
        "true": len(scene.blobs),
        "found": count,
        "sahi_found": len(merged),
        "seconds": ours,
        "sahi_seconds": time.process_time() - start,
    }


def _polygons(mask: torch.Tensor) -> list[list[float]]:
    """The outlines of a mask, as SAHI takes them."""
    import cv2

    outlines, _ = cv2.findContours(mask.numpy().astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [each.reshape(-1).astype(float).tolist() for each in outlines if cv2.contourArea(each)]


def missed(kind: str, rows: Sequence[dict[str, float]]) -> list[str]:
    """The targets that are missed."""
    faults = []
    for row in rows:
        if row["mb"] > MOST_MB:
            faults.append(f"{kind} {row['side']}: {row['mb']:.0f} MB")
        if row.get("worst_iou", row["iou"]) < LEAST_IOU:
            faults.append(f"{kind} {row['side']}: IoU {row.get('worst_iou', row['iou']):.4f}")
        if abs(row.get("found", 0) - row.get("true", 0)) > MOST_WRONG * row.get("true", 0):
            faults.append(f"{kind} {row['side']}: {row['found']} objects of {row['true']}")
        if row.get("in_pieces"):
            faults.append(f"{kind} {row['side']}: {row['in_pieces']} objects in pieces")
    rates = [row["cpu_seconds"] / row["side"] ** 2 for row in rows]
    if len(rows) > 1 and rates[-1] > MOST_UNEVEN * rates[0]:
        faults.append(f"{kind}: {rates[-1] / rates[0]:.2f} times as slow per pixel at the largest size")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[5_000, 10_000, 20_000], help="sides in pixels"
    )
    parser.add_argument("--objects", type=int, default=5_600, help="per 20,000 x 20,000 pixels, about")
    parser.add_argument("--only", choices=[*KINDS, "merging"], help="measure one part alone")
    parser.add_argument("--format", choices=["tif", "png", "jpg"], default="tif", help="of the images")
    parser.add_argument("--once", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        print(json.dumps(once(args.once[0], Path(args.once[1]), Path(args.once[2]))))
        return 0
    figures: dict[str, Any] = {}
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for kind in KINDS:
            if args.only in (None, kind):
                figures[kind] = measured(kind, args.sizes, args.objects, Path(name), args.format)
                faults += missed(kind, figures[kind])
    if args.only in (None, "merging"):
        merging(2_000, args.objects)  # to warm up both
        found = merging(args.sizes[min(1, len(args.sizes) - 1)], args.objects)
        if found is None:
            print("merging was not measured: SAHI is not installed", file=sys.stderr)
        else:
            figures["merging"] = [found]
            if found["sahi_seconds"] < LEAST_FASTER * found["seconds"]:
                faults.append(
                    f"merging: {found['sahi_seconds'] / found['seconds']:.1f} times as fast as SAHI"
                )
    if args.json:
        print(json.dumps(figures | {"missed": faults}))
        return int(bool(faults))
    for kind, rows in figures.items():
        table = Table(*rows[0], title=kind, title_justify="left")
        for row in rows:
            row = dict.fromkeys(rows[0], float("nan")) | row
            table.add_row(*(f"{value:,.4f}".rstrip("0").rstrip(".") for value in row.values()))
        Console().print(table)
    print(f"missed: {'; '.join(faults) or 'nothing'}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
