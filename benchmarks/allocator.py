"""Steps on a CPU with and without the memory setting of the command ``toolkit``, which keeps freed memory.

``python benchmarks/allocator.py [--json]``

Each side runs in a separate process, because the setting applies to a whole process; they alternate. Linux
with the GNU C library only. The gain depends on the cost of a page fault, which is higher in virtual
machines.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import torch
from _timing import Comparison, compare, report

from toolkit import registry
from toolkit.models.contract import TrainableModel, total_loss
from toolkit.runtime.allocator import keep_freed_memory
from toolkit.types import Instances, Masks, Sample


def model(name: str, **settings: object) -> TrainableModel:
    """A plugin's model with random weights."""
    torch.manual_seed(0)
    manifest = registry.plugins().get(name)
    built: TrainableModel = manifest.resolve(manifest.build)(
        manifest.resolve(manifest.settings)(**settings), ("background", "thing")
    )
    return built


def sample(height: int, width: int) -> Sample:
    """Noise with two objects."""
    masks = np.zeros((2, height, width), bool)
    masks[0, : height // 2, : width // 2] = masks[1, height // 3 :, width // 3 :] = True
    found, image = Masks.from_dense(masks), torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    objects = Instances((height, width), found.boxes_xyxy(), torch.ones(2, dtype=torch.int64), found)
    return Sample("noise", image, label_map=torch.zeros(height, width, dtype=torch.uint8), instances=objects)


def training(name: str, samples: list[Sample], **settings: object) -> Callable[[], object]:
    """Loss and gradients of a batch."""
    learner = model(name, **settings).train()

    def step() -> None:
        learner.zero_grad()
        total_loss(learner.loss(samples)).backward()

    return step


def inference(name: str, samples: list[Sample], **settings: object) -> Callable[[], object]:
    """Predictions of a batch."""
    predictor = model(name, **settings).eval()

    def step() -> None:
        with torch.no_grad():
            predictor.predict(samples)

    return step


CASES: dict[str, Callable[[], Callable[[], object]]] = {
    "U-Net, training step, 4 of 512 x 512": lambda: training("unet", [sample(512, 512)] * 4),
    "U-Net, inference, 512 x 512": lambda: inference("unet", [sample(512, 512)]),
    "Mask R-CNN, training step, 800 x 1066": lambda: training(
        "maskrcnn", [sample(800, 1066)], engine="torchvision"
    ),
    "Mask R-CNN, inference, 800 x 1066": lambda: inference(
        "maskrcnn", [sample(800, 1066)], engine="torchvision"
    ),
}


def serve(case: str, keeps: bool, connection: Connection) -> None:
    """Run in a process of its own: do the work of a case each time the connection asks for it."""
    if keeps and not keep_freed_memory():
        connection.send(
            "skipped: the setting has no effect here (not the GNU C library, or the environment sets it)"
        )
        return
    work = CASES[case]()
    connection.send("")
    while connection.recv():
        connection.send(work())


def measure(case: str) -> Comparison:
    context, ends, processes = multiprocessing.get_context("spawn"), [], []
    for keeps in (True, False):
        here, there = context.Pipe()
        processes.append(context.Process(target=serve, args=(case, keeps, there), daemon=True))
        processes[-1].start()
        if refusal := here.recv():
            sys.exit(refusal)
        ends.append(here)

    def ask(end: Connection) -> None:
        end.send(True)
        end.recv()

    ours, peer = ends
    comparison = compare(
        case, ("kept", lambda: ask(ours)), ("the C library's default", lambda: ask(peer)), rounds=5
    )
    for end, process in zip(ends, processes, strict=True):
        end.send(False)
        process.join()
    return comparison


if __name__ == "__main__":
    raise SystemExit(report("Keeping freed memory", [measure(case) for case in CASES]))
