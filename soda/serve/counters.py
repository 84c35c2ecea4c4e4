"""What /metrics shows, in Prometheus' text form: requests, their time, batches, the queue, the process."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

TIMES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """A registry of its own, so that several services may live in one process."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter("soda_requests", "Requests answered", ["route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "soda_request_seconds", "From the head of a request to its answer", ["route"], buckets=TIMES, registry=self._registry
        )
        self._batches = Histogram("soda_batch_pictures", "Pictures of one run", buckets=BATCHES, registry=self._registry)
        self._requests_by: dict[tuple[str, int], Callable[[], object]] = {}
        self._seconds_by: dict[str, Callable[[float], object]] = {}

    def gauge(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A value that is read whenever somebody looks."""
        Gauge(name, about, registry=self._registry).set_function(read)

    def batch(self, count: int) -> None:
        """A run of the session with `count` pictures."""
        self._batches.observe(count)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request that was answered, or (499) whose client went away."""
        key = route, status
        if key not in self._requests_by:  # labels() costs as much as all the rest
            self._requests_by[key] = self._requests.labels(route, str(status)).inc
        if route not in self._seconds_by:
            self._seconds_by[route] = self._seconds.labels(route).observe
        self._requests_by[key]()
        self._seconds_by[route](seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
