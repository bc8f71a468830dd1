"""A run of a model that its processes die with, and a comparison of folders of results."""

from __future__ import annotations

import json
from pathlib import Path

PLUGIN = '''
"""Brightness; the process dies with images that a file names, each once."""
import os, signal, time
from pathlib import Path
import torch
from toolkit import Model, PluginManifest, Prediction

PLUGIN = PluginManifest(name="mortal", summary="dies", task="semantic", build=":build")
DEADLY = Path(__file__).with_name("deadly")

class Mortal(Model):
    def __init__(self, classes):
        super().__init__(classes)
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def predict(self, samples):
        time.sleep(0.01 * len(samples))
        for sample in samples:
            marker = DEADLY / sample.id
            if marker.exists():
                marker.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return [
            Prediction(s.id, s.size, label_map=(s.image.float().mean(0) > 127).to(torch.uint8))
            for s in samples
        ]

def build(settings, classes):
    return Mortal(classes)
'''


def check_same(out: Path, alone: Path) -> None:
    """All files are equal, and the manifests apart from who wrote each line."""
    names = [sorted(p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file()) for f in (out, alone)]
    assert names[0] == names[1]
    for name in names[0]:
        if name != "manifest.jsonl":
            assert (out / name).read_bytes() == (alone / name).read_bytes(), name
    lines = [
        [json.loads(line) for line in (f / "manifest.jsonl").read_text().splitlines()] for f in (out, alone)
    ]
    assert [{k: v for k, v in line.items() if k != "actor"} for line in lines[0]] == lines[1]
