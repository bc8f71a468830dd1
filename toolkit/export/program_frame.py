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


def read(path: Path, scale: dict[str, Any] | None) -> np.ndarray[Any, Any]:
    """An image as the model got it in training: RGB uint8 ``[H, W, 3]``."""
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH if scale else cv2.IMREAD_COLOR
    pixels = cv2.imread(str(path), flags)
    if pixels is None:
        sys.exit(f"{path} is not an image that OpenCV can read")
    if scale:
        pixels = scaled(pixels, scale, path)
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, ::-1])


def scaled(values: np.ndarray[Any, Any], scale: dict[str, Any], path: Path) -> np.ndarray[Any, Any]:
    """Values of an image as 8 bits, by data.options.scale of the training."""
    depths = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float", "float64": "float"}
    depth = depths.get(values.dtype.name, "32-bit")
    if scale.get("bit_depth") not in (None, "any", depth):
        sys.exit(f"{path} has {depth} values, but the model was trained on {scale['bit_depth']} images")
    finite = values[np.isfinite(values)]
    if not finite.size:
        sys.exit(f"{path} has no value that is a number")
    percentiles = scale.get("percentiles")
    low, high = np.percentile(finite, percentiles) if percentiles else scale["range"]
    levels = values.astype(np.float64)
    levels = (levels - low) * (255 / (high - low)) if high > low else (levels > low) * 255.0
    return np.asarray(np.nan_to_num(np.clip(np.rint(levels), 0, 255)), np.uint8)


def main() -> int:
    """Predict the images that are given on the command line."""
    parser = argparse.ArgumentParser(description="predict images with the exported model in this folder")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--threads", type=int, default=0, help="0: as the runtime chooses")
    parser.add_argument(
        "--scaled",
        action="store_true",
        help="images have the 8 bits that the model gets",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        help='points and boxes as JSON, for models that take them: {"photo.jpg": [{"box_xyxy": [x0, y0, x1,'
        ' y1]}, {"points_xy": [[x, y]], "point_labels": [1]}]}',
    )
    args = parser.parse_args()
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    data = manifest["checkpoint"]["config"].get("data") or {}
    scale = None if args.scaled else (data.get("options") or {}).get("scale")
    takes_prompts = manifest["processing"].get("kind") == "promptable"
    if takes_prompts != (args.prompts is not None):
        parser.error(f"this model takes {'prompts: add --prompts FILE' if takes_prompts else 'no prompts'}")
    prompts = json.loads(args.prompts.read_text(encoding="utf-8")) if takes_prompts else {}
    graphs = open_graphs(manifest, HERE, args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.images:
        rgb = read(path, scale)
        more = [prompts.get(path.name, prompts.get(path.stem, []))] if takes_prompts else []
        if manifest["size"] not in (None, list(rgb.shape[:2])):
            sizes = [" x ".join(map(str, size)) for size in (manifest["size"], rgb.shape[:2])]
            sys.exit(f"this model takes images of {sizes[0]} pixels (height x width); {path} has {sizes[1]}")
        found: dict[str, Any] = dict(predict(rgb, graphs, manifest, *more))
        np.savez_compressed(args.out / f"{path.stem}.npz", **found)
        if "label_map" in found:
            cv2.imwrite(str(args.out / f"{path.stem}.png"), found["label_map"])
        sys.stdout.write(f"{path}: {', '.join(f'{name} {list(x.shape)}' for name, x in found.items())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
