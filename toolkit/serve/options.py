"""What can be set when the server is started."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import UsageError

PORT = 8000
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Limits:
    """Bounds on what requests may cost.

    Attributes:
        body_bytes: largest body of a request.
        bodies_bytes: most bytes of all bodies that are in memory.
        body_seconds: longest time in which the header of a request must arrive, and its body.
        pixels: largest image, in pixels.
        pixels_at_once: pixels of all images that are decoded and wait for a model; at least one is let in.
        request_seconds: longest time for an answer.
        queue: requests that may wait for one model.
        batch_size: most images in a forward pass.
        models: most models in memory.
        connections: most connections at a time.
        sessions: most images encoded for prompts.
        session_bytes: most memory that they may take.
        idle_seconds: after this time without a prompt, a session is closed.
        spared_seconds: a session that was used in this time does not make room for a new one.
    """

    body_bytes: int = 64 << 20
    bodies_bytes: int = 512 << 20
    body_seconds: float = 30.0
    pixels: int = 64_000_000
    pixels_at_once: int = 256_000_000
    request_seconds: float = 120.0
    queue: int = 64
    batch_size: int = 4
    models: int = 4
    connections: int = 256
    sessions: int = 16
    session_bytes: int = 2 << 30
    idle_seconds: float = 600.0
    spared_seconds: float = 10.0


@dataclass(frozen=True)
class ServeOptions:
    """What ``toolkit serve`` was asked for.

    Attributes:
        runs: folders of runs, checkpoint files or exported folders.
        images: the folder of images, or None.
        labels: the folder of labels, or None.
        take_over: the name of a dataset and its folder, whose labels are taken over; or None.
        explanations: a folder that ``toolkit explain`` wrote, or None.
        new_runs: the folder in which fine-tuned runs are made; next to each run when None.
        host, port: the address to listen on.
        token: what requests have to show; empty for none.
        plugins: files of plugins that were named, by the name of the plugin.
        predictor: further arguments of ``toolkit.load``, such as ``device``.
        limits: bounds on what requests may cost.
    """

    runs: tuple[str, ...]
    images: Path | None = None
    labels: Path | None = None
    take_over: tuple[str, str] | None = None
    explanations: Path | None = None
    new_runs: Path | None = None
    host: str = LOOPBACK
    port: int = PORT
    token: str = ""
    plugins: dict[str, str] = field(default_factory=dict)
    predictor: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host} can be reached from other machines, and there is no token. Hint: give"
                " one with --token"
            )
        if not 0 <= self.port <= 65_535:
            raise UsageError(
                f"--port {self.port} is not a port. Hint: give one up to 65535, or 0 for any free one"
            )
        if self.labels is not None and self.images is None:
            raise UsageError("--labels belongs to a folder of images. Hint: add --images DIR")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def default_labels(images: Path) -> Path:
    """The folder of labels next to a folder of images: ``photos-labels`` for ``photos``."""
    whole = Path(os.path.abspath(images))
    return whole.with_name(f"{whole.name}-labels")
