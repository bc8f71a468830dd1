"""Measures how much memory a model needs for prediction, in a separate process; run as a program, this module
is that process.

On a CPU it is the size of the weights plus the growth of the process during prediction. On a CUDA device it
is torch's peak allocation.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from toolkit.errors import TrainingError
from toolkit.evaluation.driver import Subject, predict_batches
from toolkit.evaluation.opening import tiled
from toolkit.models.building import load_model
from toolkit.models.sliding_window import Tiling
from toolkit.registry import add_path
from toolkit.registry.discovery import loaded_paths
from toolkit.runtime.children import isolated_environment
from toolkit.runtime.devices import autocast, find_device
from toolkit.types import Sample

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def predicting_memory(
    run: str | Path,
    samples: Sequence[Sample],
    *,
    accelerator: str,
    precision: str,
    tiling: Tiling | None = None,
) -> int | None:
    """Bytes that the model of a run needs to predict these samples in one batch; None if the system does
    not report it.

    Raises:
        TrainingError: when the process fails, for example by running out of memory.
    """
    job = pickle.dumps(
        (loaded_paths(), str(run), list(samples), accelerator, precision, tiling, torch.get_num_threads())
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        input=job,
        capture_output=True,
        check=False,
        env=os.environ | isolated_environment(),
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise TrainingError(
            f"{run}: measuring its memory failed: {reason[-1] if reason else f'exit code {done.returncode}'}"
        )
    found = done.stdout.split()[-1].decode()
    return None if found == "None" else int(found)


def _measure(
    run: str, samples: list[Sample], accelerator: str, precision: str, tiling: Tiling | None
) -> int | None:
    device = find_device(accelerator)
    loaded, _ = load_model(run)
    model = tiled(loaded, tiling).to(device)
    on_gpu = device.type == "cuda"
    if not on_gpu and not STATUS.exists():
        return None
    gc.collect()
    before = _peak_after_reset(on_gpu)
    for _ in predict_batches([Subject(model, autocast=autocast(device, precision))], [samples]):
        pass
    if on_gpu:
        return torch.cuda.max_memory_allocated()
    weights = sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()])
    return weights + max(0, _status("VmHWM") - before)


def _peak_after_reset(on_gpu: bool) -> int:
    """Reset the peak measurement; returns the current size of the process in bytes."""
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        return 0
    with contextlib.suppress(OSError):  # if that is not allowed, loading is included
        RESET.write_text("5")  # see proc(5): the peak becomes the present size
    return _status("VmRSS")


def _status(key: str) -> int:
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{key}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    files, *job, threads = pickle.load(sys.stdin.buffer)
    torch.set_num_threads(threads)
    for file in files:
        add_path(file)
    sys.stdout.write(f"{_measure(*job)}\n")
