"""What is fuzzed: for each reader, valid files, and how the product reads them."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fuzz_files import (
    CIFAR_BATCH,
    CIFAR_META,
    CLASSES,
    CSV,
    CVAT,
    JOURNAL,
    LABEL_STUDIO,
    LABELME,
    METRICS,
    RCNN,
    RECIPE,
    RECORDS,
    SIZE,
    VIA,
    WORDS,
    ZOO,
    as_json,
    code,
    document,
    journal,
    labels,
    manifest,
    objects,
    panoptic_document,
    panoptic_png,
    picture,
    poses,
    results,
    tiled,
)
from safetensors.torch import save
from toolkit.plugins.maskrcnn.interop.config import read_config, to_recipe
from toolkit.plugins.maskrcnn.interop.weights import read_weights

from toolkit import registry
from toolkit.checkpoints import describe_foreign, license_of, read_checkpoint, read_manifest
from toolkit.config import resolve
from toolkit.data.checks import check_split
from toolkit.data.dataset import open_dataset
from toolkit.data.preview import parse_augment
from toolkit.data.tiff_windows import open_tiff
from toolkit.errors import DataError
from toolkit.evaluation.runs import evaluate_predictions
from toolkit.formats.predictions import PredictionFiles
from toolkit.formats.prompts import PromptFile
from toolkit.formats.tool_writers import config_text
from toolkit.inference.lists import ImageList
from toolkit.inference.results import ResultFolder
from toolkit.inference.window_journal import WindowJournal
from toolkit.inference.window_objects import ObjectJournal
from toolkit.models.building import load_model
from toolkit.models.window_grid import grid
from toolkit.reading.json_text import parse_json
from toolkit.training.log import RunLog, last_step, read_metrics
from toolkit.types import Masks
from toolkit.types.pixel_runs import Rectangle

Reader = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        read: given a folder, reads what lies in it as the product does.
        files: valid content by name below the folder; one of them is changed.
        fixed: further files, which are left as they are.
    """

    read: Reader
    files: Mapping[str, bytes]
    fixed: Mapping[str, bytes] = field(default_factory=dict)


def every_sample(name: str, **options: Any) -> Reader:
    """Open a dataset and check all of it, as ``toolkit data check`` does, and read each sample."""

    def read(folder: Path) -> None:
        dataset = open_dataset(registry.datasets().get(name), str(folder), options.get("split", "train"), {})
        check_split(dataset)
        for index in range(len(dataset)):
            dataset[index]

    return read


def panoptic_results(folder: Path) -> None:
    evaluate_predictions(
        folder / "results.json", data="coco-panoptic", data_dir=str(folder), split="val", overrides={}
    )


def evaluate(predictions: str) -> Reader:
    """Measure predictions against a COCO file, with masks and their boundaries."""

    def read(folder: Path) -> None:
        evaluate_predictions(
            folder / predictions,
            data="coco",
            data_dir=str(folder),
            split="val",
            overrides={"evaluators": {"coco": {"boundary": True}}},
        )

    return read


def through_samples(folder: Path) -> None:
    """The same by reading images, as another evaluator beside needs it."""
    evaluate_predictions(
        folder / "results.json",
        data="coco",
        data_dir=str(folder),
        split="val",
        overrides={"evaluators": {"coco": {}, "iou": {}}},
    )


def predictions(folder: Path) -> None:
    files = PredictionFiles(folder, CLASSES)
    files.require(["a"])
    files.read("a", SIZE)


def prompts(name: str) -> Reader:
    def read(folder: Path) -> None:
        file = PromptFile(folder / name)
        file.assign(["a.png"])
        file.groups("a.png", SIZE)

    return read


def recipe(folder: Path) -> None:
    resolve(config=folder / "recipe.yaml").to_yaml()


def detectron2(folder: Path) -> None:
    to_recipe(read_config(folder / "rcnn.yaml"), folder / "rcnn.yaml")


def words(folder: Path) -> None:
    """The settings of a command line."""
    text = (folder / "words.txt").read_text("utf-8", errors="surrogateescape")
    first, _, rest = text.partition("\n")
    resolve(plugin="unet", data="shapes", overrides=[word for word in rest.split(" ") if word])
    parse_augment(first)


def checkpoint(folder: Path) -> None:
    """A file of the toolkit's own, with the manifest that somebody may have changed."""
    path = folder / "best.safetensors"
    tensors = {"network.weight": torch.zeros(2, 3)}
    path.write_bytes(save(tensors, {"toolkit": (folder / "manifest").read_text("utf-8", "replace")}))
    describe_foreign(path)
    license_of(read_manifest(path))
    load_model(path)


def weights_header(folder: Path) -> None:
    describe_foreign(folder / "w.safetensors")
    read_checkpoint(folder / "w.safetensors")


def pickles(folder: Path) -> None:
    describe_foreign(folder / "zoo.pkl")
    read_weights(folder / "zoo.pkl", ("backbone.bottom_up.res2.0.conv1.weight",))


def run_lengths(folder: Path) -> None:
    """Codes and polygons given to the type itself."""
    given = parse_json((folder / "codes.json").read_bytes(), "codes", "codes", DataError)
    if isinstance(given, dict) and isinstance(given.get("counts"), str):
        masks = Masks(SIZE, (given["counts"].encode("latin-1", "replace"),))
        masks.dense(), masks.areas(), masks.boxes_xyxy()
    codes = given.get("codes") if isinstance(given, dict) else None
    for entry in codes if isinstance(codes, list) else ():
        if isinstance(entry, dict):
            Masks.from_coco([entry], SIZE).dense()
        elif isinstance(entry, list):
            Masks.from_polygons([entry], SIZE).areas()


def figures(folder: Path) -> None:
    """What a run or a folder of results reads back of its own."""
    read_metrics(folder), last_step(folder)
    RunLog(folder, start=3, steps=10)
    with ResultFolder(
        folder, CLASSES, ((0, 0, 0), (9, 9, 9)), model="net 1", resume=True, overlays=False
    ) as done:
        done.finish(["a.png"])


def image_list(folder: Path) -> None:
    """A list of images, as text or Parquet; memory and time do not depend on what a list claims."""
    names = ImageList(folder / "names")
    names.check()
    for _ in zip(names, names.names(), range(1000), strict=False):
        pass


def parquet_list() -> dict[str, bytes]:
    """A list in a Parquet file; without pyarrow, the one of text again."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return {"names": WORDS}
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table({"path": ["a.png", "b/c.jpg"] * 9, "n": list(range(18))}), sink)
    return {"names": sink.getvalue().to_pybytes()}


def tiled_tiff(folder: Path) -> None:
    reader = open_tiff(folder / "a.tif")
    if reader is not None:
        with reader:
            height, width = (min(length, 100) for length in reader.size)
            reader.read(Rectangle(0, 0, height, width))


def window_journal(folder: Path) -> None:
    with WindowJournal(folder, "a", JOURNAL) as lines:
        ObjectJournal(lines, grid(SIZE, max(SIZE), 0.25)[0])


def class_table(folder: Path) -> None:
    PredictionFiles(folder, CLASSES).read("a", SIZE)


def targets() -> dict[str, Target]:
    """All of them, by name."""
    image = {"val/a.png": picture(), "train/a.png": picture()}
    truth = {"annotations/instances_val.json": as_json(document())}
    found = {"results.json": as_json(results())}
    predicted = document()
    for entry in predicted["annotations"]:
        entry["score"] = 0.5
    predicted["categories"][0]["label_value"] = 0
    predicted["categories"][1]["label_value"] = 1
    by_image = {
        "a.png": [
            {"points_xy": [[5, 4], [7, 8]], "point_labels": [1, 0], "box_xyxy": [1, 2, 9, 9]},
            {"box_xyxy": [1, 2, 9, 9], "class": "cup"},
        ]
    }
    codes = {"counts": code()["counts"], "codes": [entry["segmentation"] for entry in objects()]}
    return {
        "coco": Target(
            every_sample("coco"), {"annotations/instances_train.json": as_json(document())}, image
        ),
        "coco keypoints": Target(
            every_sample("coco"), {"annotations/instances_train.json": as_json(poses())}, image
        ),
        "panoptic": Target(
            every_sample("coco-panoptic"),
            {
                "annotations/panoptic_train.json": as_json(panoptic_document()),
                "annotations/panoptic_train/a.png": panoptic_png(),
            },
            image,
        ),
        "panoptic results": Target(
            panoptic_results,
            {"results.json": as_json(panoptic_document()), "results/a.png": panoptic_png()},
            image
            | {
                "annotations/panoptic_val.json": as_json(panoptic_document()),
                "annotations/panoptic_val/a.png": panoptic_png(),
            },
        ),
        "coco truth for results": Target(evaluate("results.json"), truth, image | found),
        "coco results": Target(evaluate("results.json"), found, image | truth),
        "coco results by sample": Target(through_samples, found, image | truth),
        "via": Target(every_sample("balloon"), {"train/via_region_data.json": as_json(VIA)}, image),
        "cvat": Target(every_sample("cvat"), {"train/annotations.xml": CVAT}, image),
        "label studio": Target(
            every_sample("label-studio"),
            {"train.json": as_json(LABEL_STUDIO), "config.xml": config_text(("cup", "no")).encode()},
            image,
        ),
        "label studio without configuration": Target(
            every_sample("label-studio"), {"train.json": as_json(LABEL_STUDIO)}, image
        ),
        "labelme": Target(every_sample("labelme"), {"train/a.json": as_json(LABELME)}, image),
        "yolo": Target(
            every_sample("yolo"),
            {
                "data.yaml": b"path: .\ntrain: images/train\nnames: {0: cup, 1: no}\n",
                "labels/train/a.txt": b"0 0.1 0.2 0.5 0.2 0.5 0.7\n1 0.2 0.2 0.6 0.2 0.6 0.7\n",
            },
            {"images/train/a.png": picture()},
        ),
        "yolo poses": Target(
            every_sample("yolo"),
            {
                "data.yaml": b"train: images/train\nnames: [cup]\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\n",
                "labels/train/a.txt": b"0 0.4 0.4 0.3 0.2 0.3 0.4 2 0.5 0.4 1\n",
            },
            {"images/train/a.png": picture()},
        ),
        "mnist": Target(
            every_sample("mnist"),
            {
                "train-images-idx3-ubyte": b"\0\0\x08\3" + b"\0\0\0\2" * 3 + bytes(range(8)),
                "train-labels-idx1-ubyte.gz": gzip.compress(b"\0\0\x08\1\0\0\0\2\1\7", mtime=0),
            },
        ),
        "cifar10": Target(
            every_sample("cifar10"),
            {"data_batch_1": CIFAR_BATCH, "batches.meta": CIFAR_META},
            {f"data_batch_{i}": CIFAR_BATCH for i in range(2, 6)},
        ),
        "cifar10 binary": Target(
            every_sample("cifar10"),
            {"data_batch_1.bin": bytes([1]) + bytes(3072), "batches.meta.txt": b"cat\ndog\n\n"},
            {f"data_batch_{i}.bin": bytes([0]) + bytes(3072) for i in range(2, 6)},
        ),
        "masks": Target(
            every_sample("masks"),
            {"labels/a.png": labels(), "classes.txt": b"0 cup\n1 flask\n255 void\n"},
            {"images/a.png": picture()},
        ),
        "label images": Target(
            class_table,
            {
                "classes.csv": b"index,value,name,color\n0,0,cup,#000000\n1,1,flask,#ff0000\n",
                "a.png": labels(),
            },
        ),
        "predictions": Target(predictions, {"predictions.json": as_json(predicted)}),
        "prompts csv": Target(prompts("p.csv"), {"p.csv": CSV}),
        "prompts json": Target(prompts("p.json"), {"p.json": as_json(by_image)}),
        "prompts coco": Target(prompts("p.json"), {"p.json": as_json(document())}),
        "recipe": Target(recipe, {"recipe.yaml": RECIPE}),
        "words": Target(words, {"words.txt": WORDS}),
        "list of images": Target(image_list, {"names": b"photos/a.jpg\n/b.png\ns3://box/c%20d.png\n"}),
        "parquet list of images": Target(image_list, parquet_list()),
        "detectron2 yaml": Target(detectron2, {"rcnn.yaml": RCNN}),
        "detectron2 pickle": Target(pickles, {"zoo.pkl": pickle.dumps(ZOO, protocol=2)}),
        "checkpoint": Target(checkpoint, {"manifest": as_json(manifest())}),
        "weights": Target(
            weights_header,
            {"w.safetensors": save({"a.b": torch.zeros(2, 3)}, {"toolkit": json.dumps(manifest())})},
        ),
        "run lengths": Target(run_lengths, {"codes.json": as_json(codes)}),
        "tiled tiff": Target(tiled_tiff, {"a.tif": tiled()}),
        "journal of windows": Target(window_journal, {"unfinished/a.jsonl": journal()}),
        "records of runs": Target(
            figures,
            {
                "metrics.jsonl": METRICS,
                "manifest.jsonl": RECORDS,
                "instances/a.json": as_json([{"category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]),
            },
        ),
    }
