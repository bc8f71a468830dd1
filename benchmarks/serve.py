"""What the server adds to the time of the models, and whether it stays up under load.

``python benchmarks/serve.py [--run RUN] [--prompt-run RUN] [--size tiny] [--json]``

The server runs in a process of its own, on the same cores as the clients, and the models are those of the
runs, or else a convolutional network and SAM 2 with random weights, of the size given by ``--size``.

- ``click``: the time of a click on an encoded image, from the client's request to its answer, divided by the
  decoder's own time for the same click, in the server's process. Each click is at another place, so that
  nothing is answered from memory; both are measured in turn.
- ``click_cpu``: the same in CPU time of the server, which depends less on what else the machine does.
- ``hover``: such clicks per second of one client.
- ``load``: 1,000 requests from 16 clients for the label maps of photos of the folder, as PNG: images per
  second divided by those of ``toolkit infer`` on the same photos, which writes the same PNGs. Any answer but
  200 and 503 is a failure. Both are measured in turn, a few times.
- ``load_cpu``: the same in CPU time, of ``toolkit infer`` and of the server.
- ``memory``: resident memory of the server after all requests, divided by that after the first 200.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import queue
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import torch
from folder_inference import CLASSES, network, write_photos

from toolkit import Predictor, SemanticModel, load
from toolkit.data.images import read_image
from toolkit.inference.pipeline import Work, predict_folder

CLIENTS, REQUESTS, FIRST = 16, 1000, 200
CLICKS = 100
ROUNDS = 4
SIZES = ("toy", "tiny", "small")
CPU = "process_cpu_seconds_total"


@dataclass(frozen=True)
class Found:
    """What was measured.

    Attributes:
        decoder_ms, click_ms: medians of the decoder's own time, and of a click's.
        click: their ratio; at most 1.2.
        click_cpu: the ratio of their CPU times.
        hover: clicks per second.
        infer, served: images per second of ``toolkit infer`` and of the server.
        load: their ratio; at least 0.9.
        load_cpu: the ratio of their CPU times per image.
        answers: number of answers by status.
        megabytes: of the server after the first requests, and after all.
        memory: their ratio; at most 1.1.
    """

    decoder_ms: float
    click_ms: float
    click: float
    click_cpu: float
    hover: float
    infer: float
    served: float
    load: float
    load_cpu: float
    answers: dict[int, int]
    megabytes: tuple[float, float]
    memory: float

    @property
    def met(self) -> bool:
        """Whether all targets are reached."""
        return self.click <= 1.2 and self.load >= 0.9 and self.memory <= 1.1 and {*self.answers} <= {200, 503}


def semantic(run: str | None, folder: Path) -> Predictor:
    """The model whose label maps are asked for."""
    if run is not None:
        return load(run, device="cpu")
    photo = read_image(next(iter(sorted(folder.iterdir()))))
    return Predictor(SemanticModel(network(photo), CLASSES, divisor=8), device="cpu")


def promptable(run: str) -> Predictor:
    """The model that is clicked on: a run, or SAM 2 of a size."""
    if run not in SIZES:
        return load(run, device="cpu")
    from toolkit.plugins.sam2.model import build
    from toolkit.plugins.sam2.settings import Sam2Settings

    torch.manual_seed(0)
    return Predictor(build(Sam2Settings(size=run, cache={"enabled": False}), ("object",)), device="cpu")


def serve(folder: Path, run: str | None, prompt_run: str, pipe: Any) -> None:
    """The process of the server: tells its port, and the decoder's own times when it is asked."""
    from toolkit.serve.options import ServeOptions
    from toolkit.serve.running import RunningServer
    from toolkit.serve.sessions import Clicks

    server = RunningServer(ServeOptions((), images=folder, labels=folder.with_name("labels"), port=0))
    models = server.services.models
    models.add(semantic(run, folder), "semantic")
    models.add(promptable(prompt_run), "promptable")
    threading.Thread(target=server.run, daemon=True).start()
    pipe.send(server.options.port)
    while (asked := pipe.recv()) is not None:
        session = server.services.sessions.get(asked[0])

        def timed(points: Any = asked[1], session: Any = session) -> float:
            start = time.perf_counter()
            session.answer(Clicks(points, (1,) * len(points)))
            return time.perf_counter() - start

        pipe.send(session.model.worker.call(timed).result())
    server.stop()


class Client:
    """One connection to the server, which sends a request in one piece, as browsers do."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """The status and the body of an answer."""
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        head = "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""])
        self._socket.sendall(head.encode() + data)
        answer = http.client.HTTPResponse(self._socket, method=method)
        answer.begin()
        return answer.status, answer.read()


def clicks(port: int, pipe: Any, name: str) -> tuple[list[float], list[float], float]:
    """Seconds of the decoder's own answers and of those to clicks, in turn, and the ratio of their CPU
    times.
    """
    client, rng = Client(port), np.random.default_rng(0)
    _, data = client.ask("POST", "/api/sessions", {"model": "promptable", "name": name})
    session = json.loads(data)

    def place() -> tuple[float, float]:
        return rng.uniform(0, session["width"]), rng.uniform(0, session["height"])

    def ask_decoder() -> float:
        pipe.send((session["session"], (place(),)))
        return float(pipe.recv())

    def ask_server() -> float:
        start = time.perf_counter()
        path = f"/api/sessions/{session['session']}/prompt"
        status, _ = client.ask("POST", path, {"points": [place()], "labels": [1]})
        assert status == 200
        return time.perf_counter() - start

    own, asked, cpu = [], [], []
    for number in range(CLICKS + 5):
        if number % 2:
            own.append(ask_decoder())
        asked.append(ask_server())
        if not number % 2:
            own.append(ask_decoder())
    for ask in (ask_decoder, ask_server):
        before = metric(port, CPU)
        for _ in range(CLICKS):
            ask()
        cpu.append(metric(port, CPU) - before)
    return own[5:], asked[5:], cpu[1] / cpu[0]


def loaded(port: int, names: list[str], count: int) -> tuple[float, Counter[int]]:
    """Images per second for so many requests from all clients at once, and the answers by status."""
    waiting: queue.Queue[str] = queue.Queue()
    for place in range(count):
        waiting.put(names[place % len(names)])
    answers: Counter[int] = Counter()

    def work() -> None:
        client = Client(port)
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            status, _ = client.ask(
                "POST", f"/api/predict?{urlencode({'format': 'png'})}", {"model": "semantic", "name": name}
            )
            answers[status] += 1
            if status == 503:
                waiting.put(name)
                time.sleep(0.05)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - start), answers


def metric(port: int, name: str) -> float:
    """A metric of the server."""
    _, text = Client(port).ask("GET", "/metrics")
    line = next(line for line in text.decode().splitlines() if line.startswith(f"{name} "))
    return float(line.split()[1])


def measured(folder: Path, scratch: Path, run: str | None, prompt_run: str) -> Found:
    """Start the server, and measure."""
    names = sorted(path.name for path in folder.iterdir())
    pipe, other = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(folder, run, prompt_run, other)
    )
    process.start()
    port = pipe.recv()
    time.sleep(1)
    own, asked, click_cpu = clicks(port, pipe, names[0])
    predictor = semantic(run, folder)
    answers: Counter[int] = Counter()
    infer, served, memory, cpu = [], [], [], []
    rounds = (FIRST, *((REQUESTS - FIRST) // ROUNDS,) * ROUNDS)
    for number, count in enumerate(rounds):
        cpu_before = metric(port, CPU)
        rate, found = loaded(port, names, count)
        cpu_served = (metric(port, CPU) - cpu_before) / count
        answers += found
        memory.append(metric(port, "process_resident_memory_bytes") / 1e6)
        start, cpu_before = time.perf_counter(), time.process_time()
        predict_folder(predictor, [str(folder)], scratch / f"results-{number}", work=Work(4), overlays=False)
        if number:  # the first of both is for warming up
            served.append(rate)
            infer.append(len(names) / (time.perf_counter() - start))
            cpu.append((time.process_time() - cpu_before) / len(names) / cpu_served)
    pipe.send(None)
    process.join()
    decoder_ms, click_ms = 1000 * statistics.median(own), 1000 * statistics.median(asked)
    return Found(
        decoder_ms,
        click_ms,
        click_ms / decoder_ms,
        click_cpu,
        1000 / click_ms,
        statistics.median(infer),
        statistics.median(served),
        statistics.median(served) / statistics.median(infer),
        statistics.median(cpu),
        dict(answers),
        (memory[0], memory[-1]),
        memory[-1] / memory[0],
    )


def main() -> int:
    """Measure, and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", help="a semantic run")
    parser.add_argument("--prompt-run", help="a promptable run")
    parser.add_argument("--size", default="tiny", choices=SIZES, help="of SAM 2 with random weights")
    parser.add_argument("--images", type=Path, help="a folder of images without subfolders")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if args.images is None:
            write_photos(scratch / "photos", 64, 240, 320)
        found = measured(args.images or scratch / "photos", scratch, args.run, args.prompt_run or args.size)
    if args.json:
        print(json.dumps(asdict(found) | {"met": found.met}))
        return 0 if found.met else 1
    own = f"the decoder's own {found.decoder_ms:.1f} ms"
    print(f"a click: {found.click_ms:.1f} ms, {found.click:.2f} times {own}")
    print(f"CPU time of a click: {found.click_cpu:.2f} times the decoder's own")
    print(f"hover: {found.hover:.0f} clicks a second")
    print(f"load: {found.served:.1f} images/s, {found.load:.2f} times those of infer, {found.infer:.1f}")
    print(f"CPU time: {found.load_cpu:.2f} times as many images per second of it as infer")
    print(f"answers: {found.answers}")
    print(f"memory: {found.megabytes[0]:.0f} MB, then {found.megabytes[1]:.0f} MB")
    print("all targets are reached" if found.met else "a target is missed")
    return 0 if found.met else 1


if __name__ == "__main__":
    sys.exit(main())
