"""One thread for each model: it does one thing at a time, prompts first, and joins waiting images to
batches.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from toolkit.serve.errors import busy

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V")


@dataclass
class _Job(Generic[T]):
    """Something to do, or an item of a batch if there is no ``action``."""

    action: Callable[[], Any] | None = None
    item: T | None = None
    future: Future[Any] = field(default_factory=Future)


class Worker(Generic[T, R]):
    """A thread that calls functions one after the other.

    Args:
        name: of the thread, and in messages.
        on_batch: computes the results of several items at once, in order.
        batch_size: most items of a batch. A batch consists of what is waiting; nothing waits for it to fill.
        limit: most jobs that may wait.
        on_size: called with the size of each batch.
    """

    def __init__(
        self,
        name: str,
        on_batch: Callable[[Sequence[T]], Sequence[R]],
        *,
        batch_size: int = 4,
        limit: int = 64,
        on_size: Callable[[int], object] = lambda size: None,
    ) -> None:
        self.name = name
        self._on_batch, self._batch_size, self._limit, self._on_size = on_batch, batch_size, limit, on_size
        self._first: deque[_Job[T]] = deque()
        self._items: deque[_Job[T]] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"serve {name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of jobs that wait and were not canceled."""
        with self._changed:
            return sum(not job.future.cancelled() for queue in (self._first, self._items) for job in queue)

    def call(self, action: Callable[[], V]) -> Future[V]:
        """Call a function, before all waiting items.

        Raises:
            RequestError: 503, when too many jobs wait.
        """
        return self._put(self._first, _Job(action=action))

    def submit(self, item: T) -> Future[R]:
        """Compute the result of an item, in a batch with others that wait; ``call`` describes the error."""
        return self._put(self._items, _Job(item=item))

    def stop(self) -> None:
        """End the thread after its current job; what waits is canceled."""
        with self._changed:
            self._stopped = True
            for job in (*self._first, *self._items):
                job.future.cancel()
            self._changed.notify()
        self._thread.join(timeout=10)

    def _put(self, queue: deque[_Job[T]], job: _Job[T]) -> Future[Any]:
        with self._changed:
            if self._stopped:
                raise busy("the server is stopping", 10)
            for each in (self._first, self._items):
                _drop_canceled(each)
            if len(self._first) + len(self._items) >= self._limit:
                raise busy(
                    f"{self._limit} requests wait for the model {self.name} already. Hint: try again later"
                )
            queue.append(job)
            self._changed.notify()
        return job.future

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._first or self._items)
                if self._stopped:
                    return
                jobs = self._taken()
            if jobs and jobs[0].action is not None:
                _settle(jobs[0], jobs[0].action)
            elif jobs:
                self._on_size(len(jobs))
                self._settle_batch(jobs)

    def _taken(self) -> list[_Job[T]]:
        """The next job, or the next batch; canceled ones are left out."""
        while self._first:
            job = self._first.popleft()
            if job.future.set_running_or_notify_cancel():
                return [job]
        batch: list[_Job[T]] = []
        while self._items and len(batch) < self._batch_size:
            job = self._items.popleft()
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
        return batch

    def _settle_batch(self, jobs: Sequence[_Job[T]]) -> None:
        try:
            results = self._on_batch([job.item for job in jobs])  # type: ignore[misc]
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            # one image must not fail the others
            for job in jobs:
                self._settle_batch([job])
            return
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)


def _settle(job: _Job[Any], action: Callable[[], Any]) -> None:
    try:
        job.future.set_result(action())
    except BaseException as error:
        job.future.set_exception(error)


def _drop_canceled(queue: deque[_Job[Any]]) -> None:
    """Remove canceled jobs, which no longer take anyone's place."""
    kept = [job for job in queue if not job.future.cancelled()]
    if len(kept) < len(queue):
        queue.clear()
        queue.extend(kept)
