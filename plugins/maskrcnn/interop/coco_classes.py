"""The classes for which the weights of Detectron2's model zoo were trained."""

from __future__ import annotations

from pathlib import Path

from .zoo import ZOO

COCO = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck"),
    *("boat", "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat"),
    *("dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    *("backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard"),
    *(
        "sports ball",
        "kite",
        "baseball bat",
        "baseball glove",
        "skateboard",
        "surfboard",
        "tennis racket",
        "bottle",
    ),
    *("wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
    *("chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop"),
    *("mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
    *("refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)
"""COCO's classes in the order of their ids, which is also the order of the heads' rows."""


def zoo_classes(path: Path, rows: int) -> tuple[str, ...] | None:
    """The classes of a file of the model zoo, recognized by its name, in the order of the heads' rows; None
    for other files, which do not contain their classes, and for backbones alone.

    Args:
        path: the file.
        rows: number of rows of the head that scores classes, one more than the number of classes.
    """
    for name, address in ZOO.items():
        if path.name == address.rsplit("/", 1)[-1] and not name.startswith("imagenet"):
            classes = ("person",) if name.startswith("coco-keypoint") else COCO
            return classes if rows == len(classes) + 1 else None
    return None
