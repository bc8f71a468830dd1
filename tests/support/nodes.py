"""What the tests of training on two nodes of two processes each share."""

from __future__ import annotations

FEW = [
    "train.steps=40",
    "train.checkpoint_every=4",
    "train.batch_size=4",
    "train.device=cpu",
    "train.workers=0",
]
"""Settings of a run that saves its state often."""

NODES = ["--devices", "2", "--num-nodes", "2"]
