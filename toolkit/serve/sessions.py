"""Images that were encoded for prompts. Each prompt gives all clicks of an object, so that undo is left to
the client, and the server keeps nothing but what it would compute again.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.inference.prompted_image import PromptedImage, PromptedObject
from toolkit.serve.errors import RequestError, busy
from toolkit.serve.metrics import Metrics
from toolkit.serve.models import ServedModel
from toolkit.serve.options import Limits
from toolkit.types import Masks, Sample, Size

MOST_CLICKS = 200
MOST_KEPT = 32
"""Answers per session that are kept, so that a further click does not repeat the earlier ones."""


@dataclass(frozen=True)
class Clicks:
    """All prompts for an object.

    Attributes:
        points: in pixels, in the order in which they were given.
        labels: for each 1 (on the object) or 0 (off it).
        box: ``x0, y0, x1, y1`` in pixels, or None.
        mask: an approximate mask, as run lengths, or None.
        after: how many of the points had been given when the box or the mask was set (the later of the two);
            it matters for models that refine their earlier answer.
    """

    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: Masks | None = None
    after: int = 0

    def __post_init__(self) -> None:
        if len(self.points) != len(self.labels):
            raise RequestError(
                422,
                f"there are {len(self.points)} points and {len(self.labels)} labels. Hint: give each point a"
                " label, 1 on the object or 0 off it",
            )
        if not self.points and self.box is None and self.mask is None:
            raise RequestError(422, "there are no points, no box and no mask. Hint: give one of them")
        if not 0 <= self.after <= len(self.points):
            raise RequestError(
                422,
                f"after is {self.after}; expected a number from 0 to {len(self.points)}, that of the points",
            )


@dataclass
class Session:
    """An encoded image, and answers that continue.

    Attributes:
        id: a random name.
        model: the model.
        image: the image.
        bytes: memory of what the model keeps.
        used: when it was last used, in seconds of a monotonic clock.
    """

    id: str
    model: ServedModel
    image: PromptedImage
    bytes: int
    used: float
    kept: OrderedDict[Any, PromptedObject] = field(default_factory=OrderedDict)

    def answer(self, clicks: Clicks) -> PromptedObject:
        """The object that clicks describe: what ``toolkit.inference.Session`` answers to the same prompts,
        bit for bit. Called in the model's thread.

        Raises:
            InvalidDataError: when a point or the box lies outside the image.
            UsageError: when the model was not trained on such prompts.
        """
        now = self._set_up(clicks)
        has_shape = clicks.box is not None or clicks.mask is not None
        after = clicks.after if has_shape else 0
        if not self.image.refines:
            return self._asked(self._with_points(now, clicks, 0, None), 0)
        if has_shape:
            # a box or a mask makes the model forget its earlier answers
            now = self._asked(self._with_points(now, clicks, 0, after), after)
        for place in range(after, len(clicks.points)):
            now = self._asked(self._with_points(now, clicks, place, place + 1), after)
        return now

    def _set_up(self, clicks: Clicks) -> PromptedObject:
        now = PromptedObject()
        if clicks.mask is not None:
            now = self.image.with_mask(now, clicks.mask.dense()[0])
        if clicks.box is not None:
            now = self.image.with_box(now, *clicks.box)
        return now

    def _with_points(
        self, now: PromptedObject, clicks: Clicks, first: int, end: int | None
    ) -> PromptedObject:
        for (x, y), label in list(zip(clicks.points, clicks.labels, strict=True))[first:end]:
            now = self.image.with_point(now, x, y, positive=bool(label))
        return now

    def _asked(self, now: PromptedObject, after: int) -> PromptedObject:
        """The model's answer, which is kept; the same clicks in the same order determine what it refines."""
        mask = None if now.mask is None else now.mask.counts
        key = (now.points_xy, now.point_labels, now.box_xyxy, mask, after)
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key]
        found = self.image.answered(now)
        self.kept[key] = found
        while len(self.kept) > MOST_KEPT:
            self.kept.popitem(last=False)
        return found


class Sessions:
    """All sessions, bounded in number and memory.

    Args:
        limits: their number, memory, and idle time.
        metrics: in which they are counted.
        clock: seconds, monotonic.
    """

    def __init__(self, limits: Limits, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._metrics, self._clock = limits, metrics, clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._starting = 0
        self._lock = threading.Lock()

    def reserve(self) -> None:
        """Take a place for a session that is about to be encoded; ``add`` or ``release`` gives it back.

        Raises:
            RequestError: 503, when all places are taken by sessions that are in use.
        """
        with self._lock:
            self._close_idle()
            while len(self._sessions) + self._starting >= self._limits.sessions:
                if not self._close_oldest():
                    raise busy(
                        f"{len(self._sessions) + self._starting} images are being prompted, the most that are"
                        " kept. Hint: close a session, or try again later",
                        max(1, int(self._limits.spared_seconds)),
                    )
            self._starting += 1
            self._measure()

    def release(self) -> None:
        """Give back a place for a session that failed."""
        with self._lock:
            self._starting -= 1

    def add(self, model: ServedModel, image: PromptedImage) -> Session:
        """A session for an encoded image, in the place that was reserved.

        Raises:
            RequestError: 503, when there is no memory for it.
        """
        with self._lock:
            self._starting -= 1
            size = bytes_of(image.encoded)
            while sum(each.bytes for each in self._sessions.values()) + size > self._limits.session_bytes:
                if not self._close_oldest():
                    raise busy(
                        "the memory for encoded images is used up. Hint: close a session, or try again later",
                        max(1, int(self._limits.spared_seconds)),
                    )
            session = Session(secrets.token_urlsafe(12), model, image, size, self._clock())
            self._sessions[session.id] = session
            self._measure()
            return session

    def get(self, key: str) -> Session:
        """The session of an id, which counts as used.

        Raises:
            RequestError: 404, when there is none, or it was closed.
        """
        with self._lock:
            self._close_idle()
            if key not in self._sessions:
                raise RequestError(
                    404,
                    "there is no such session; it may have been closed because it was not used, or its model"
                    " has made room for another. Hint: POST"
                    " /api/sessions starts one",
                )
            self._sessions.move_to_end(key)
            session = self._sessions[key]
            session.used = self._clock()
            return session

    def close(self, key: str) -> bool:
        """Close a session, if there is one of this id."""
        with self._lock:
            found = self._sessions.pop(key, None)
            self._measure()
            return found is not None

    def close_of(self, model: ServedModel) -> None:
        """Close the sessions of a model."""
        with self._lock:
            for key in [key for key, each in self._sessions.items() if each.model is model]:
                del self._sessions[key]
            self._measure()

    def close_idle(self) -> None:
        """Close the sessions that were not used for long."""
        with self._lock:
            self._close_idle()

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

    def _close_idle(self) -> None:
        end = self._clock() - self._limits.idle_seconds
        for key in [key for key, each in self._sessions.items() if each.used < end]:
            del self._sessions[key]
        self._measure()

    def _close_oldest(self) -> bool:
        """Close the session that was not used for the longest time, unless it is in use."""
        oldest = next(iter(self._sessions.values()), None)
        if oldest is None or oldest.used > self._clock() - self._limits.spared_seconds:
            return False
        del self._sessions[oldest.id]
        return True

    def _measure(self) -> None:
        self._metrics.sessions.set(len(self._sessions))
        self._metrics.session_bytes.set(sum(each.bytes for each in self._sessions.values()))


def encode(model: ServedModel, sample: Sample) -> PromptedImage:
    """Encode an image. Called in the model's thread.

    Raises:
        UsageError: when the model takes no prompts.
    """
    return PromptedImage(model.predictor, sample)


def mask_of(rle: Any, size: Size) -> Masks:
    """An approximate mask from run lengths.

    Raises:
        RequestError: 422, when they do not fit.
    """
    try:
        return Masks.from_coco([rle], size)
    except InvalidDataError as error:
        raise RequestError(422, f"mask: {error}. Hint: encode the mask again") from error


def bytes_of(value: Any) -> int:
    """The memory of all tensors in what a model keeps of an image."""
    seen: dict[int, int] = {}
    for tensor in _tensors(value, set()):
        seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
    return sum(seen.values())


def _tensors(value: Any, visited: set[int]) -> Iterator[Tensor]:
    if id(value) in visited or isinstance(value, (str, bytes, int, float, torch.nn.Module)):
        return
    visited.add(id(value))
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each, visited)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _tensors(each, visited)
    else:
        for each in getattr(value, "__dict__", {}).values():
            yield from _tensors(each, visited)
        for name in getattr(type(value), "__slots__", ()):
            yield from _tensors(getattr(value, name, None), visited)
