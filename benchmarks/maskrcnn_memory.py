"""Memory that Mask R-CNN needs beyond the model itself for a photo of 4,000 × 3,000 with 300 instances: at
most 1 GB.

``python benchmarks/maskrcnn_memory.py [--json]``

Linux only. The model is R50-FPN with random weights, so the masks are noise, the worst case for run-length
codes. Each precision runs in a separate process; weights that are folded, cast and packed for inference count
as memory beyond the model.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import torch
from _maskrcnn import image
from toolkit.plugins.maskrcnn.model import MaskRCNN
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings, RoISettings
from torch import nn

from toolkit.types import Sample

TARGET_MB = 1024
SIZE = (3000, 4000)


def peak_beyond_model(low_precision: bool) -> float:
    """Peak resident memory in MB of a prediction in this process, less what was resident before it."""
    torch.manual_seed(0)
    settings = MaskRCNNSettings(
        engine="torchvision", roi=RoISettings(score_thresh_test=0.0, detections_per_image=300)
    )
    model = MaskRCNN(settings, tuple("abc")).eval()
    for name, module in model.named_modules():
        if name.endswith("conv3.norm"):
            nn.init.zeros_(
                module.weight
            )  # without statistics of trained weights, activations would overflow otherwise
    photo = Sample(
        "photo", image((SIZE[0] // 8, SIZE[1] // 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    )
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        found = model.predict([photo])[0].instances
    if found is None or found.masks is None or len(found) != 300:
        raise SystemExit(
            f"{0 if found is None else len(found)} instances were found; the benchmark is about 300"
        )
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6 - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--once", choices=["fp32", "bf16"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        print(peak_beyond_model(args.once == "bf16"))
        return
    if sys.platform != "linux":
        raise SystemExit("this benchmark reads /proc, which only Linux has")
    figures = {}
    for precision in ("fp32", "bf16"):
        command = [sys.executable, __file__, "--once", precision]
        figures[f"peak_mb_{precision}"] = float(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:16}{value:8.0f}   (target: {TARGET_MB})")
    raise SystemExit(max(figures.values()) > TARGET_MB)


if __name__ == "__main__":
    main()
