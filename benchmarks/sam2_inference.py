"""A folder of photos with 16 boxes each through SAM 2 tiny, against a loop over ``SAM2ImagePredictor`` with
the same weights.

``python benchmarks/sam2_inference.py [--device auto|cpu|cuda] [--json]``

Both read the same generated JPEGs of 1080 × 1440 pixels and the same boxes, and end with run-length coded
masks in a JSON file: ours by ``predict_folder`` with a file of prompts (what ``toolkit infer RUN FOLDER
--prompts FILE`` does), in float32 and in bf16; the loop as the package's examples write it, in float32 on a
CPU, and on a GPU in the precision of ours, under autocast. The agreement of the masks is measured in the same
run and shown in the table. The weights are random, which does not affect the time; the last layer is changed
so that masks are smooth, like those of a trained model.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import torch
from _timing import Comparison, Options, compare, parse, report
from PIL import Image
from pycocotools import mask as coco_mask

from toolkit.inference.pipeline import predict_folder
from toolkit.inference.predictor import Precision, Predictor
from toolkit.models.prompted import FromFile, PromptedModel

PHOTOS, BOXES, SIZE = 2, 16, (1080, 1440)
TITLE = f"SAM 2.1 tiny, {PHOTOS} photos with {BOXES} boxes each"
TARGET: dict[str, float | None] = {"cpu": 2.5, "cuda": None}  # not measured on a GPU yet


def write_photos(folder: Path) -> dict[str, list[list[float]]]:
    """Photos with an ellipse in every cell of a 4 × 4 grid; returns the boxes ``x0, y0, x1, y1`` of each."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    height, width = SIZE
    boxes: dict[str, list[list[float]]] = {}
    for i in range(PHOTOS):
        picture = rng.normal(0, 1, (height // 16 + 1, width // 16 + 1, 3)).astype(np.float32)
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC) * 20 + 128
        name = f"{i:02}.jpg"
        boxes[name] = []
        for cell in range(BOXES):
            half_width, half_height = rng.uniform(40, width / 9), rng.uniform(40, height / 9)
            x, y = (cell % 4 + 0.5) * width / 4, (cell // 4 + 0.5) * height / 4
            color = rng.uniform(0, 255, 3).tolist()
            cv2.ellipse(picture, (int(x), int(y)), (int(half_width), int(half_height)), 0, 0, 360, color, -1)
            boxes[name].append([x - half_width, y - half_height, x + half_width, y + half_height])
        cv2.imwrite(str(folder / name), picture.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return boxes


def write_prompts(path: Path, boxes: dict[str, list[list[float]]]) -> None:
    """The boxes as a CSV file."""
    rows = [",".join([name, *map(str, box)]) for name, found in boxes.items() for box in found]
    path.write_text("\n".join(["image,x0,y0,x1,y1", *rows]) + "\n")


def network() -> Any:
    """SAM 2.1 tiny with random weights that predict smooth masks: the fine features of the photo have little
    influence.
    """
    from toolkit.plugins.sam2.upstream import build_network

    torch.manual_seed(0)
    model = build_network("2.1", "tiny", 1024).eval()
    with torch.no_grad():
        for layer in (model.sam_mask_decoder.conv_s0, model.sam_mask_decoder.conv_s1):
            layer.weight.mul_(0.05)
    return model


def loop(predictor: Any, folder: Path, boxes: dict[str, list[list[float]]], out: Path) -> None:
    """The loop of the package's examples over a folder."""
    results = []
    for path in sorted(folder.iterdir()):
        image = np.array(Image.open(path).convert("RGB"))
        predictor.set_image(image)
        masks, scores, _ = predictor.predict(box=np.array(boxes[path.name]), multimask_output=False)
        for mask, score in zip(masks[:, 0], scores[:, 0], strict=True):
            code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            code["counts"] = code["counts"].decode()
            results.append({"image": path.name, "segmentation": code, "score": float(score)})
    out.write_text(json.dumps(results))


def ours(weights: Any, prompts: Path, precision: Precision, device: str) -> Predictor:
    """The plugin with the same weights, prompted by the file."""
    from toolkit.plugins.sam2.model import build
    from toolkit.plugins.sam2.settings import Sam2Settings

    model = build(
        Sam2Settings(size="tiny", preset="sam2", mask="single", cache={"enabled": False}), ("object",)
    )
    model.network.load_state_dict(weights.state_dict())
    return Predictor(PromptedModel(model, FromFile(prompts)), precision=precision, device=device)


def agreement(results: Path, expected: Path) -> float:
    """The mean IoU of the masks in a folder of results with those of the loop, which have the order of the
    boxes.
    """
    theirs: dict[str, list[Any]] = {}
    for result in json.loads(expected.read_text()):
        theirs.setdefault(result["image"], []).append(result["segmentation"])
    ious = []
    for name, codes in theirs.items():
        found = json.loads((results / "instances" / f"{Path(name).stem}.json").read_text())
        pairs = zip((entry["segmentation"] for entry in found), codes, strict=True)
        ious += [float(coco_mask.iou([a], [b], [0])[0, 0]) for a, b in pairs]
    return float(np.mean(ious))


def measure(options: Options) -> list[Comparison]:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    comparisons = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        boxes = write_photos(work / "photos")
        write_prompts(work / "boxes.csv", boxes)
        device = options.device
        weights = network().to(device)
        theirs = SAM2ImagePredictor(weights)
        runs = iter(range(1000))

        for precision in get_args(Precision):
            predictor = ours(weights, work / "boxes.csv", precision, device)
            peer_precision = "fp32" if device == "cpu" else precision

            def peer(precision: str = peer_precision) -> None:
                with options.autocast(precision):
                    loop(theirs, work / "photos", boxes, work / "peer.json")

            def predict(predictor: Predictor = predictor) -> Path:
                out = work / f"ours{next(runs)}"
                predict_folder(predictor, [work / "photos"], out, overlays=False)
                return out

            peer()
            mask_iou = agreement(predict(), work / "peer.json")
            if precision == "fp32" and mask_iou < 0.999:
                raise SystemExit(
                    f"in fp32 the masks have an IoU of {mask_iou:.4f} with the loop's: not the same work"
                )
            case = f"{precision}: mask IoU {mask_iou:.4f}"
            comparisons.append(
                compare(
                    case,
                    ("toolkit", predict),
                    (f"SAM2ImagePredictor, {peer_precision}", peer),
                    rounds=3,
                    target=TARGET[device],
                    device=device,
                )
            )
    return comparisons


if __name__ == "__main__":
    warnings.filterwarnings("ignore", ".torch.jit.script. is deprecated")
    chosen = parse(TITLE, with_device=True)
    raise SystemExit(report(TITLE, measure(chosen), chosen))
