"""The pace of two actors against twice that of one, and whether they write what one process writes.

``python benchmarks/cluster_throughput.py [--json] [--run RUN] [--photos DIR] [--images 400]``

Copies of photos are predicted with a run (without one: a U-Net of random weights, and generated photos): by
one process, by one actor on a Ray cluster on this machine, and by two, each with one thread. Files must be
equal byte for byte, and the lines of the manifests apart from the actor. The pace begins when every process
has done something, and ends with the last image that the command counts; the start of Ray and of the actors,
with the libraries and the model that they load, is given beside it, as the seconds to that moment. The goal
is 0.9 of twice the pace of one actor, or of what the cores allow: two processes without a cluster, each with
a half of the images, are measured in the same run, and may reach less than twice one, because cores share
memory, caches and power, and because reading images takes some of the second core already for one process.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cluster import RayEngine
from toolkit.data.image_files import IMAGE_SUFFIXES
from toolkit.inference.image_batches import Work
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.records import Record
from toolkit.models.building import rebuild_model

GOAL = 0.9
WORK = Work(4, 1)


@dataclass(frozen=True)
class Pace:
    """Of one way.

    Attributes:
        start_seconds: until every process has done something.
        images_per_second: from then on.
    """

    start_seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Figures:
    """What was measured.

    Attributes:
        images: how many.
        process, one_actor, two_actors: what one process and actors reach.
        cores: what two processes with a half of the images each reach together.
        are_equal: whether all wrote the same.
    """

    images: int
    process: Pace
    one_actor: Pace
    two_actors: Pace
    cores: Pace
    are_equal: bool

    @property
    def scaling(self) -> float:
        """Two processes without a cluster, relative to one."""
        return self.cores.images_per_second / self.process.images_per_second

    @property
    def share(self) -> float:
        """Of what could be reached: twice one actor, or what the cores allow."""
        two, one = self.two_actors.images_per_second, self.one_actor.images_per_second
        return two / min(2 * one, self.cores.images_per_second)


def untrained(folder: Path) -> Path:
    """The run of a U-Net of random weights."""
    folder.mkdir()
    torch.manual_seed(0)
    manifest = CheckpointManifest("unet", "semantic", tuple(f"class {number}" for number in range(21)))
    save_checkpoint(folder / "best.safetensors", rebuild_model(manifest, folder).state_dict(), manifest)
    return folder


def generated(folder: Path) -> Path:
    """Eight photos of smooth noise, 320 x 240 pixels."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number in range(8):
        noise = chance.integers(0, 256, (15, 20, 3), dtype=np.uint8)
        cv2.imwrite(
            str(folder / f"{number}.jpg"), cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
        )
    return folder


def pace(run: Path, photos: Path, out: Path, actors: int | None) -> Pace:
    """Predict."""
    times: list[tuple[float, str | None]] = []

    def note(record: Record) -> None:
        times.append((time.perf_counter(), record.actor))

    engine = None if actors is None else RayEngine(actors=actors, device="cpu")
    start = time.perf_counter()
    predict_folder(run, photos, out, work=WORK, engine=engine, progress=False, on_record=note)
    begun = max(next(moment for moment, actor in times if actor == each) for _, each in times)
    # Those that come together, as a chunk of an actor does, were predicted before the first of them.
    later = sum(moment > begun + 0.01 for moment, _ in times)
    if not later:
        raise SystemExit("error: too few images. Hint: a larger --images")
    return Pace(begun - start, later / (times[-1][0] - begun))


def together(run: Path, photos: Path, folder: Path) -> Pace:
    """Two processes that know nothing of each other."""
    halves = [folder / f"half-{number}" for number in range(2)]
    for half in halves:
        half.mkdir()
    for number, photo in enumerate(sorted(photos.iterdir())):
        os.link(photo, halves[number % 2] / photo.name)
    words = [sys.executable, __file__, "--half", "--run", str(run), "--photos"]
    started = [subprocess.Popen([*words, str(half)], stdout=subprocess.PIPE, text=True) for half in halves]
    paces = [Pace(**json.loads(process.communicate()[0])) for process in started]
    return Pace(max(each.start_seconds for each in paces), sum(each.images_per_second for each in paces))


def equal(first: Path, second: Path) -> bool:
    """Whether two folders have the same files, apart from who wrote each line of the manifest."""
    names = [
        sorted(p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file()) for f in (first, second)
    ]
    others = [name for name in names[0] if name != "manifest.jsonl"]
    same = filecmp.cmpfiles(first, second, others, shallow=False)[0]
    lines = [
        [json.loads(line) for line in (f / "manifest.jsonl").read_text().splitlines()]
        for f in (first, second)
    ]
    for line in (*lines[0], *lines[1]):
        line.pop("actor", None)
    return names[0] == names[1] and same == others and lines[0] == lines[1]


def measure(run: Path, source: Path, images: int, folder: Path) -> Figures:
    """Predict copies of photos in all ways."""
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise SystemExit(f"error: no image in {source}")
    photos = folder / "photos"
    photos.mkdir()
    for number in range(images):
        path = found[number % len(found)]
        shutil.copy(path, photos / f"{number:04d}{path.suffix}")
    paces = {name: pace(run, photos, folder / name, actors) for name, actors in _WAYS.items()}
    same = all(equal(folder / "process", folder / name) for name in _WAYS)
    return Figures(images, **paces, cores=together(run, photos, folder), are_equal=same)


_WAYS = {"process": None, "one_actor": 1, "two_actors": 2}


def table(figures: Figures) -> str:
    """The figures in words."""
    ways = {
        "one process": figures.process,
        "one actor": figures.one_actor,
        "two actors": figures.two_actors,
        "two processes without a cluster": figures.cores,
    }
    paces = [
        f"{name}: {way.images_per_second:.1f} images/s, after {way.start_seconds:.1f} s of starting"
        for name, way in ways.items()
    ]
    lines = (
        f"{figures.images} photos, one thread each",
        *paces,
        f"the cores allow two processes {figures.scaling:.2f} times the pace of one",
        f"two actors reach {figures.share:.2f} of twice one, or of what the cores allow; goal {GOAL}",
        f"results are {'equal' if figures.are_equal else 'NOT equal'} byte for byte",
    )
    return "\n".join(lines)


def main() -> int:
    """Measure and print; returns 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, metavar="RUN", help="default: a U-Net of random weights")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="default: generated ones")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--images", type=int, default=400, metavar="N")
    parser.add_argument("--half", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    # Ray leaves this to its actors, and torch has read it already.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, photos = args.run or untrained(folder / "run"), args.photos or generated(folder / "source")
        if args.half:
            print(json.dumps(asdict(pace(run, photos, folder / "out", None))))
            return 0
        figures = measure(run, photos, args.images, folder)
    print(json.dumps(asdict(figures)) if args.json else table(figures))
    return 0 if figures.are_equal and figures.share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
