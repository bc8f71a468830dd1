"""The confusion matrix of two label maps of 1024×2048 pixels and 21 classes, against torchmetrics on the same
tensors.
"""

from __future__ import annotations

import sys
import warnings

import torch
from _timing import compare, report
from torch import Tensor
from torch.nn import functional as F

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torchmetrics imports deprecated modules
    try:
        from torchmetrics.functional.classification import multiclass_confusion_matrix
    except ImportError:
        print("skipped: the peer is torchmetrics, which is not installed here (pip install -e '.[bench]')")
        sys.exit(0)

from toolkit.evaluation.confusion import confusion_matrix
from toolkit.types import VOID

SIZE, CLASSES = (1024, 2048), 21


def label_maps() -> tuple[Tensor, Tensor]:
    """Areas of one class, a tenth of the truth void, and a prediction that is right in two rows of three;
    uint8 ``[H, W]``.
    """
    torch.manual_seed(0)
    truth, other = (
        F.interpolate(torch.randn(1, CLASSES, 16, 32), SIZE, mode="bicubic")[0].max(0).indices.to(torch.uint8)
        for _ in range(2)
    )
    prediction = truth.clone()
    prediction[::3] = other[::3]
    truth[:, : SIZE[1] // 10] = VOID
    return truth, prediction


def main() -> int:
    truth, prediction = label_maps()
    truth64, prediction64 = truth.long(), prediction.long()

    def ours() -> object:
        return confusion_matrix(truth, prediction, CLASSES)

    def peer(t: Tensor, p: Tensor, check: bool) -> Tensor:
        return multiclass_confusion_matrix(p, t, CLASSES, ignore_index=VOID, validate_args=check)

    if (
        confusion_matrix(truth, prediction, CLASSES)[:-1, :-1].tolist()
        != peer(truth, prediction, True).tolist()
    ):
        raise SystemExit("the two matrices differ")
    cases = [
        # The target is for int64, which torch's arg-max returns and torchmetrics expects; on uint8
        # torchmetrics is faster, and our gain is smaller.
        ("labels as uint8", lambda: peer(truth, prediction, True), "torchmetrics", None),
        ("labels as int64", lambda: peer(truth64, prediction64, True), "torchmetrics", 30),
        ("labels as uint8", lambda: peer(truth, prediction, False), "torchmetrics, values unchecked", None),
        (
            "labels as int64",
            lambda: peer(truth64, prediction64, False),
            "torchmetrics, values unchecked",
            None,
        ),
    ]
    results = [
        compare(case, ("toolkit", ours), (name, work), target=target) for case, work, name, target in cases
    ]
    return report("Confusion matrix, 1024×2048, 21 classes (ours takes uint8 and checks the values)", results)


if __name__ == "__main__":
    sys.exit(main())
