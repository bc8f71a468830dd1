"""Reads parts of an image while others are predicted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from torch import Tensor

from toolkit.types.pixel_runs import Rectangle


class ReadAhead:
    """Reads parts of an image in a thread of its own, in the order in which they will be asked for; open as a
    context.

    Args:
        read: reads a part.
        places: the parts, in order.
        ahead: number of parts that are read before they are asked for.

    Attributes:
        count: number of parts that were asked for.
    """

    def __init__(self, read: Callable[[Rectangle], Tensor], places: Sequence[Rectangle], ahead: int) -> None:
        self._read, self._left, self._ahead = read, deque(places), ahead
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="toolkit-windows")
        self._waiting: deque[tuple[Rectangle, Future[Tensor]]] = deque()
        self.count = 0

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, place: Rectangle) -> Tensor:
        """The next part.

        Raises:
            ImageError: when it cannot be read.
            ValueError: when it is not the next one.
        """
        while self._left and len(self._waiting) <= self._ahead:
            first = self._left.popleft()
            self._waiting.append((first, self._pool.submit(self._read, first)))
        if not self._waiting or self._waiting[0][0] != place:
            raise ValueError(f"{place} is not the next part to be read")
        self.count += 1
        return self._waiting.popleft()[1].result()
