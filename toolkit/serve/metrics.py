"""What the server measures, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one server; two in one process do not share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "toolkit_requests",
            "Requests by route and status",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "toolkit_request_seconds",
            "Time until a request was answered",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_sizes = Histogram(
            "toolkit_batch_size", "Images per forward pass", ["model"], buckets=SIZES, registry=self.registry
        )
        self.queued = Gauge(
            "toolkit_queue", "Requests that wait for a model", ["model"], registry=self.registry
        )
        self.loaded = Gauge("toolkit_models", "Models in memory", registry=self.registry)
        self.sessions = Gauge(
            "toolkit_sessions", "Images that are encoded for prompts", registry=self.registry
        )
        self.session_bytes = Gauge(
            "toolkit_session_bytes", "Memory of the encoded images", registry=self.registry
        )

    def watch_queue(self, model: str, waiting: Callable[[], int]) -> None:
        """Report how many requests wait for a model."""
        self.queued.labels(model).set_function(waiting)

    def text(self) -> bytes:
        """All values in Prometheus' format."""
        return generate_latest(self.registry)
