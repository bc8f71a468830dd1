"""Logits of every kind, and the label maps that torch makes of them."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.types import Size


def reference(logits: Tensor, size: Size) -> Tensor:
    return (
        F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]
        .argmax(0)
        .to(torch.uint8)
    )


def blobs(classes: int, height: int, width: int) -> Tensor:
    """Smooth logits, as networks give them: large areas of one class."""
    coarse = torch.randn(1, classes, height // 8 + 1, width // 8 + 1) * 5
    return F.interpolate(coarse, size=(height, width), mode="bicubic")[0]


def ulps_apart(classes: int, height: int, width: int) -> Tensor:
    """All classes within a few roundings of one another, so that rounding alone decides."""
    return torch.randn(1, height, width) + torch.randn(classes, height, width) * 1e-7


def one_outlier(classes: int, height: int, width: int) -> Tensor:
    logits = blobs(classes, height, width)
    logits[classes // 2, height // 2, width // 2] = random.choice([1e6, -1e6, 1e30, -1e30, 3e38])
    return logits


LOGITS = {
    "smooth": blobs,
    "noise": torch.randn,
    "bfloat16 steps": lambda *shape: blobs(*shape).bfloat16().float(),
    "whole numbers": lambda *shape: blobs(*shape).round(),
    "zero and one": lambda *shape: (torch.randn(*shape) > 0).float(),
    "constant": lambda *shape: torch.full(shape, 0.3),
    "twins": lambda *shape: blobs(*shape)[torch.randint(shape[0], (shape[0],))],
    "rounding": ulps_apart,
    "outlier": one_outlier,
    "negative": lambda *shape: blobs(*shape) - 100,
    "tiny": lambda *shape: blobs(*shape) * 1e-35,
}
