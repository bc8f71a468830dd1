"""The thread of a model: prompts first, batches of what waits, and nothing for those who have gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import pytest

from toolkit.serve.errors import RequestError
from toolkit.serve.worker import Worker


class Slow:
    """Doubles numbers, once it is let go.

    Attributes:
        batches: what was computed.
    """

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        if -1 in items:
            raise ValueError("minus one")
        return [2 * item for item in items]


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def worker(slow: Slow) -> Iterator[Worker[int, int]]:
    found = Worker("toy", slow, batch_size=4, limit=6)
    yield found
    slow.go.set()
    found.stop()


def held(worker: Worker[int, int], slow: Slow) -> Future[Any]:
    """Keep the thread at work until ``slow.go``."""
    begun = threading.Event()

    def block() -> None:
        begun.set()
        slow.go.wait(10)

    future = worker.call(block)
    assert begun.wait(10)
    return future


def test_what_waits_becomes_a_batch_and_prompts_come_first(worker: Worker[int, int], slow: Slow) -> None:
    held(worker, slow)
    order: list[str] = []
    futures = [worker.submit(item) for item in range(5)]
    prompt = worker.call(lambda: order.append(f"prompt before {len(slow.batches)}"))
    assert worker.waiting == 6
    slow.go.set()
    assert [future.result(10) for future in futures] == [0, 2, 4, 6, 8]
    prompt.result(10)
    assert slow.batches == [[0, 1, 2, 3], [4]]
    assert order == ["prompt before 0"]
    assert worker.waiting == 0


def test_a_full_queue_says_when_to_come_back(worker: Worker[int, int], slow: Slow) -> None:
    held(worker, slow)
    futures = [worker.submit(item) for item in range(6)]
    for more in (lambda: worker.submit(7), lambda: worker.call(lambda: 7)):
        with pytest.raises(RequestError, match="6 requests wait for the model toy") as caught:
            more()
        assert caught.value.status_code == 503
        assert caught.value.headers == {"Retry-After": "1"}
    # who has gone makes room
    futures[2].cancel()
    late = worker.submit(7)
    slow.go.set()
    assert late.result(10) == 14


def test_what_was_canceled_is_not_computed(worker: Worker[int, int], slow: Slow) -> None:
    held(worker, slow)
    futures = [worker.submit(item) for item in range(6)]
    for place in (0, 1, 5):
        assert futures[place].cancel()
    assert worker.waiting == 3
    slow.go.set()
    wait(futures, 10)
    worker.submit(9).result(10)
    assert slow.batches[0] == [2, 3, 4]
    assert sorted(item for batch in slow.batches for item in batch) == [2, 3, 4, 9]


def test_one_failure_does_not_fail_the_others_of_its_batch(worker: Worker[int, int], slow: Slow) -> None:
    held(worker, slow)
    futures = [worker.submit(item) for item in (1, -1, 3)]
    slow.go.set()
    assert [futures[0].result(10), futures[2].result(10)] == [2, 6]
    with pytest.raises(ValueError, match="minus one"):
        futures[1].result(10)
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 / 0).result(10)
    assert worker.submit(4).result(10) == 8, "and the thread lives"


def test_stopping_cancels_what_waits(slow: Slow) -> None:
    worker = Worker("toy", slow)
    held(worker, slow)
    future = worker.submit(1)
    threading.Timer(0.05, slow.go.set).start()
    worker.stop()
    with pytest.raises(CancelledError):
        future.result(0)
    with pytest.raises(RequestError, match="stopping"):
        worker.submit(2)


def test_many_threads_get_their_own_results(slow: Slow) -> None:
    sizes: list[int] = []
    worker = Worker("toy", slow, batch_size=8, limit=1000, on_size=sizes.append)
    found: dict[int, int] = {}

    def ask(start: int) -> None:
        for item in range(start, start + 50):
            found[item] = worker.submit(item).result(10)

    threads = [threading.Thread(target=ask, args=(1000 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    worker.stop()
    assert found == {item: 2 * item for item in found}
    assert len(found) == 400
    assert sum(sizes) == 400
