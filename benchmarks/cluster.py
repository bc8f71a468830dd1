"""What a million names cost the process that hands them out, and how many actors it can feed.

``python benchmarks/cluster.py [--json] [--names 1000000] [--actors 2]``

A list of names is handed out to actors on a Ray cluster on this machine. They predict nothing, but record
each image in their manifests, so what is measured is everything else: reading the list, handing out,
transporting records, counting, and putting the manifests together in the end. The driver saturates when its
CPU time per image, times the images per second of all actors, is one second. What an actor does for an image
besides predicting it is measured by itself: entering it in the manifest, and writing its label map and its
overlay to the disk. Targets: 5,000 names a second, the first result within 15 s of a warm cluster, and memory
that grows by no more than 50 MB while images are handed out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from toolkit.cluster.crew import Crew
from toolkit.cluster.handout import HandOut
from toolkit.cluster.job import Introduction, Job, introduction
from toolkit.cluster.ray_pool import LOCAL, connected
from toolkit.inference.findings import Tally
from toolkit.inference.image_batches import Work
from toolkit.inference.image_engines import PendingImages
from toolkit.inference.inputs import InputImage
from toolkit.inference.lists import ImageList
from toolkit.inference.records import Record
from toolkit.inference.result_parts import ResultPart
from toolkit.inference.result_places import TOKEN
from toolkit.inference.results import ResultFolder
from toolkit.inference.sources import Inputs
from toolkit.types import Prediction, Sample
from toolkit.visualization.palettes import default_palette

CLASSES = ("dark", "bright")
SIZE = (240, 320)
"""Height and width of the image whose files are written."""
PACES = (1, 10, 100)
"""Images per second of an actor for which the number of actors is given."""


@dataclass(frozen=True)
class Figures:
    """What was measured.

    Attributes:
        names, actors: how many.
        first_seconds: from the start of the actors to the first result.
        names_per_second: between the first and the last result.
        driver_us: CPU time of the driver per image, in microseconds.
        growth_mb: of the driver's resident memory between the first and the last result.
        finish_seconds, finish_growth_mb: of putting the manifests together.
        manifest_us: an actor's time to enter an image in its manifest, in microseconds.
        store_us: an actor's time to write the files of an image, in microseconds.
    """

    names: int
    actors: int
    first_seconds: float
    names_per_second: float
    driver_us: float
    growth_mb: float
    finish_seconds: float
    finish_growth_mb: float
    manifest_us: float
    store_us: float


class Idle:
    """A worker that predicts nothing, and records that.

    Args:
        name: of its manifest.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def introduce(self) -> Introduction:
        """As a real one."""
        return introduction()

    def open(self, job: Job) -> None:
        """Open the folder of the results."""
        palette = default_palette(len(CLASSES))
        self._results = ResultPart(Path(job.out), CLASSES, palette, part=self.name, token=job.token)

    def predict(self, images: Sequence[InputImage]) -> tuple[list[Record], float]:
        """Record that nothing was done."""
        start = time.perf_counter()
        records = [self._results.failed(image, "nothing was predicted") for image in images]
        for record in records:
            self._results.append(record)
        self._results.flush()
        return records, time.perf_counter() - start


def costs(out: Path) -> tuple[float, float]:
    """What an actor does for an image besides predicting it.

    Returns:
        Microseconds to enter it in the manifest, and to write its files.
    """
    chance = np.random.default_rng(0)
    noise = chance.integers(0, 256, (15, 20, 3), dtype=np.uint8)
    pixels = cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    sample = Sample("photo", torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
    prediction = Prediction("photo", SIZE, label_map=(sample.image.float().mean(0) > 127).to(torch.uint8))
    palette = default_palette(len(CLASSES))
    times = {}
    results = ResultPart(out, CLASSES, palette, part="costs", token="token")
    with results:
        for count, chunk, has_files in ((20_000, 64, False), (500, 16, True)):
            start = time.perf_counter()
            for number in range(count):
                image = InputImage(
                    Path(f"/data/photo-{number}.jpg"), f"photo-{number}.jpg", f"photo-{number}"
                )
                if has_files:
                    results.append(results.write(image, sample, prediction, None))
                else:
                    results.append(results.failed(image, "nothing was predicted"))
                if number % chunk == chunk - 1:
                    results.flush()
            results.flush()
            times[has_files] = 1e6 * (time.perf_counter() - start) / count
    return times[False], times[True] - times[False]


def resident_mb() -> float:
    """The resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(folder: Path, names: int, actors: int) -> Figures:
    """Hand out a list of names."""
    listing = folder / "names.txt"
    with listing.open("w") as file:
        file.writelines(f"/data/photos/{i % 1000:03d}/photo-{i:07d}.jpg\n" for i in range(names))
    out = folder / "out"
    job = Job({}, (), str(out), "token", False, 0.0, False, Work(4, 0))
    with (
        connected(LOCAL, actors, 0.0, Idle) as pool,
        ResultFolder(out, CLASSES, default_palette(len(CLASSES)), overlays=False) as results,
    ):
        (out / TOKEN).write_text("token")
        start = time.perf_counter()
        images = PendingImages(Inputs((), lists=(ImageList(listing),)), results)
        hand_out = HandOut(_claimed(images, results), step=4, total=images.total, workers=actors)
        crew = Crew(pool, job, hand_out, results, actors, "idle")
        tally, count, most = Tally(), 0, 0.0
        first_seconds = cpu = first = memory = 0.0
        for record in crew.results():
            if not count:
                first, cpu, memory = time.perf_counter(), time.process_time(), resident_mb()
                first_seconds = first - start
            count += 1
            if record.size is not None:
                tally.add(record.findings, record.size)
            if count % 10_000 == 0:
                most = max(most, resident_mb())
        seconds, cpu = time.perf_counter() - first, time.process_time() - cpu
        assert count == names
        before, start = resident_mb(), time.perf_counter()
        results.finish(images.names())
        finish, finish_growth = time.perf_counter() - start, max(0.0, resident_mb() - before)
        manifest_us, store_us = costs(out)
        return Figures(
            names,
            actors,
            first_seconds,
            names / seconds,
            1e6 * cpu / names,
            max(0.0, most - memory),
            finish,
            finish_growth,
            manifest_us,
            store_us,
        )


def _claimed(images: PendingImages, results: ResultFolder) -> Iterator[InputImage]:
    """As the engine does for each image."""
    for image in images:
        results.names.claim(image)
        yield image


def table(figures: Figures) -> str:
    """The figures, and what follows from them."""
    height, width = SIZE
    lines = [
        f"{figures.names:,} names, {figures.actors} actors that predict nothing",
        f"first result after {figures.first_seconds:.1f} s",
        f"{figures.names_per_second:,.0f} names/s, {figures.driver_us:.0f} us of the driver's CPU per image",
        f"the driver's memory grew by {figures.growth_mb:.0f} MB while they were handed out",
        f"manifests put together in {figures.finish_seconds:.0f} s (+ {figures.finish_growth_mb:.0f} MB)",
        f"an actor enters an image in its manifest in {figures.manifest_us:.0f} us, and writes the files of"
        f" one of {width} x {height} pixels in {figures.store_us / 1000:.1f} ms",
    ]
    for pace in PACES:
        most = 1e6 / figures.driver_us / pace
        lines.append(f"with {pace} images/s per actor, the driver saturates at {most:,.0f} actors")
    return "\n".join(lines)


def main() -> int:
    """Measure and print; returns 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--names", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--actors", type=int, default=2, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), args.names, args.actors)
    print(json.dumps(asdict(figures)) if args.json else table(figures))
    met = figures.names_per_second >= 5000 and figures.first_seconds <= 15 and figures.growth_mb <= 50
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
