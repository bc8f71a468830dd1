"""Predicts images with this exported model: python predict.py photo.jpg … --out results

Needs NumPy, OpenCV and the runtime (onnxruntime or openvino). Writes NAME.npz with the results of each image
and, if they have a label map, NAME.png with the number of the class of each pixel.
"""

# This file was written by `toolkit export` and belongs to you: change it, or rewrite it in another language.

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit.models.semantic_program import predict

HERE = Path(__file__).resolve().parent


def open_graphs(
    manifest: dict[str, Any], folder: Path, threads: int
) -> dict[str, Callable[..., list[np.ndarray[Any, Any]]]]:
    """The graphs by name: functions of arrays, in the order of their inputs, to lists of arrays."""
    opening = _open_onnx if manifest["target"] == "onnx" else _open_openvino
    return {graph["name"]: opening(graph, folder, manifest, threads) for graph in manifest["graphs"]}


def _open_onnx(graph: dict[str, Any], folder: Path, manifest: dict[str, Any], threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    file = str(folder / graph["files"][0]["name"])
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names, outputs = list(graph["inputs"]), list(graph["outputs"])
    return lambda *arrays: session.run(outputs, dict(zip(names, arrays, strict=True)))


def _open_openvino(graph: dict[str, Any], folder: Path, manifest: dict[str, Any], threads: int) -> Any:
    import openvino

    precision = "bf16" if (graph["precision"] or manifest["precision"]) == "bf16" else "f32"
    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    model = openvino.Core().compile_model(folder / graph["files"][0]["name"], "CPU", options)
    names, outputs = list(graph["inputs"]), list(graph["outputs"])

    def run(*arrays: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        found = model(dict(zip(names, arrays, strict=True)))
        return [np.array(found[name]) for name in outputs]

    return run


def main() -> int:
    """Predict the images that are given on the command line."""
    parser = argparse.ArgumentParser(description="predict images with the exported model in this folder")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--threads", type=int, default=0, help="0: as the runtime chooses")
    parser.add_argument(
        "--prompts",
        type=Path,
        help='points and boxes as JSON, for models that take them: {"photo.jpg": [{"box_xyxy": [x0, y0, x1,'
        ' y1]}, {"points_xy": [[x, y]], "point_labels": [1]}]}',
    )
    args = parser.parse_args()
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    takes_prompts = manifest["processing"].get("kind") == "promptable"
    if takes_prompts != (args.prompts is not None):
        parser.error(f"this model takes {'prompts: add --prompts FILE' if takes_prompts else 'no prompts'}")
    prompts = json.loads(args.prompts.read_text(encoding="utf-8")) if takes_prompts else {}
    graphs = open_graphs(manifest, HERE, args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.images:
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if pixels is None:
            sys.exit(f"{path} is not an image that OpenCV can read")
        more = [prompts.get(path.name, prompts.get(path.stem, []))] if takes_prompts else []
        if manifest["size"] not in (None, list(pixels.shape[:2])):
            sizes = [" x ".join(map(str, size)) for size in (manifest["size"], pixels.shape[:2])]
            sys.exit(f"this model takes images of {sizes[0]} pixels (height x width); {path} has {sizes[1]}")
        rgb = np.ascontiguousarray(pixels[:, :, ::-1])
        found: dict[str, Any] = dict(predict(rgb, graphs, manifest, *more))
        np.savez_compressed(args.out / f"{path.stem}.npz", **found)
        if "label_map" in found:
            cv2.imwrite(str(args.out / f"{path.stem}.png"), found["label_map"])
        sys.stdout.write(f"{path}: {', '.join(f'{name} {list(x.shape)}' for name, x in found.items())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
