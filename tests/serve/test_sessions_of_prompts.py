"""Sessions: the same answers as ``toolkit.inference.Session``, bit for bit; bounded in number, memory and
time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from plugins.sam2_cases import toy
from serve_cases import SIZE, picture, with_limits

from toolkit import Predictor
from toolkit import Session as Reference
from toolkit.models.capabilities import MaskPromptable
from toolkit.serve.errors import RequestError
from toolkit.serve.metrics import Metrics
from toolkit.serve.models import Models
from toolkit.serve.options import Limits
from toolkit.serve.sessions import Clicks, Session, Sessions, bytes_of, encode
from toolkit.types import Masks, Sample


def sample() -> Sample:
    return Sample("a", torch.from_numpy(picture()).permute(2, 0, 1))


def session_of(**settings: Any) -> tuple[Predictor, Session]:
    predictor = Predictor(toy(**settings).eval(), device="cpu", about={"task": "promptable"})
    model = Models(Limits(), Metrics()).add(predictor, "sam2")
    return predictor, Session("a", model, encode(model, sample()), 0, 0.0)


def answered(session: Session, clicks: Clicks) -> np.ndarray[Any, Any]:
    found = session.answer(clicks).answer
    assert found is not None
    assert found.masks is not None
    return found.masks.dense()[0].numpy()


@pytest.mark.parametrize("settings", [{"corrections": 1}, {"corrections": 0}, {"rough_masks": True}])
def test_random_clicks_and_undos_are_answered_as_by_a_session_of_the_library(
    settings: dict[str, Any],
) -> None:
    """Boxes and masks at any place among the clicks."""
    rng = np.random.default_rng(1)
    differ = 0
    for _ in range(4):
        predictor, session = session_of(**settings)
        reference = Reference(predictor, sample().image)
        now: dict[str, Any] = {"points": (), "labels": (), "box": None, "mask": None, "after": 0}
        history = [now]
        for _ in range(7):
            kind = rng.choice(["point", "point", "point", "box", "mask", "undo"])
            if kind == "mask" and predictor.model.capability(MaskPromptable) is None:
                kind = "point"
            if kind == "undo" and len(history) > 2:
                reference.undo()
                history.pop()
                expected = reference.instances.masks
                assert expected is not None
                mask = expected.dense()[0]
            elif kind == "box":
                x, y = (int(v) for v in rng.integers(0, 20, 2))
                now = {**history[-1], "box": (x, y, x + 25, y + 15), "after": len(history[-1]["points"])}
                history.append(now)
                mask = reference.box(*now["box"])
            elif kind == "mask":
                rough = rng.random(SIZE) > 0.5
                now = {**history[-1], "mask": Masks.from_dense(rough[None])}
                history.append({**now, "after": len(history[-1]["points"])})
                mask = reference.mask(rough)
            else:
                x, y = (float(v) for v in rng.uniform(0, 40, 2))
                label = int(rng.integers(2))
                points = (*history[-1]["points"], (x, y))
                history.append({**history[-1], "points": points, "labels": (*history[-1]["labels"], label)})
                mask = reference.point(x, y, positive=bool(label))
            assert (answered(session, Clicks(**history[-1])) == mask.numpy()).all(), history[-1]
            # and without what was kept of earlier answers
            session.kept.clear()
            assert (answered(session, Clicks(**history[-1])) == mask.numpy()).all(), history[-1]
            differ += bool(mask.any() and not mask.all())
    assert differ > 5, "the toy answers with more than empty masks"


def test_the_order_of_box_and_clicks_matters_where_answers_are_refined() -> None:
    _, session = session_of(corrections=1)
    points, labels = ((12.0, 12.0), (40.0, 30.0), (50.0, 8.0)), (1, 1, 0)
    logits = {
        after: session.answer(Clicks(points, labels, (2.0, 2.0, 30.0, 30.0), after=after)).logits
        for after in (0, 3)
    }
    assert logits[0] is not None
    assert logits[3] is not None
    assert not torch.equal(logits[0], logits[3])


def test_a_further_click_runs_the_decoder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, session = session_of(corrections=1)
    calls = []
    whole = session.image.answered

    def counted(now: Any) -> Any:
        calls.append(now)
        return whole(now)

    monkeypatch.setattr(session.image, "answered", counted)
    points = tuple((float(x), 10.0) for x in range(5, 40, 5))
    for count in range(1, len(points) + 1):
        session.answer(Clicks(points[:count], (1,) * count))
        assert len(calls) == count
    session.answer(Clicks(points[:3], (1,) * 3))
    assert len(calls) == len(points), "undo costs nothing"
    for x in range(100):
        session.answer(Clicks(((x / 10, 3.0),), (1,)))
    assert len(session.kept) <= 32


@pytest.mark.parametrize(
    ("clicks", "message"),
    [
        ({"points": ((1.0, 1.0),), "labels": ()}, "1 points and 0 labels"),
        ({}, "no points, no box"),
        ({"points": ((1.0, 1.0),), "labels": (1,), "after": 2}, "after is 2"),
    ],
)
def test_clicks_that_do_not_fit_together(clicks: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Clicks(**clicks)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def sessions_of(**limits: Any) -> tuple[Sessions, Clock, Any, Any]:
    clock = Clock()
    _, session = session_of()
    sessions = Sessions(with_limits(spared_seconds=5.0, idle_seconds=100.0, **limits), Metrics(), clock)
    return sessions, clock, session.model, session.image


def start(sessions: Sessions, model: Any, image: Any) -> Session:
    sessions.reserve()
    return sessions.add(model, image)


def test_the_least_recently_used_session_makes_room() -> None:
    sessions, clock, model, image = sessions_of(sessions=3)
    keys = [start(sessions, model, image).id for _ in range(3)]
    clock.now += 6
    sessions.get(keys[0])
    start(sessions, model, image)
    assert len(sessions) == 3
    with pytest.raises(RequestError, match="no such session"):
        sessions.get(keys[1])
    sessions.get(keys[0])


def test_sessions_in_use_are_not_closed_for_others() -> None:
    sessions, clock, model, image = sessions_of(sessions=2)
    start(sessions, model, image)
    start(sessions, model, image)
    with pytest.raises(RequestError, match="2 images") as caught:
        sessions.reserve()
    assert caught.value.status_code == 503
    assert caught.value.headers == {"Retry-After": "5"}
    clock.now += 6
    start(sessions, model, image)


def test_places_of_images_that_are_being_encoded_count_and_come_back() -> None:
    sessions, _, model, image = sessions_of(sessions=2)
    sessions.reserve()
    sessions.reserve()
    with pytest.raises(RequestError):
        sessions.reserve()
    sessions.release()
    start(sessions, model, image)


def test_memory_is_bounded() -> None:
    sessions, clock, model, image = sessions_of(sessions=100)
    each = bytes_of(image.encoded)
    assert each > 3 * SIZE[0] * SIZE[1], "the image and its features"
    sessions, clock, model, image = sessions_of(sessions=100, session_bytes=3 * each)
    for _ in range(3):
        start(sessions, model, image)
    with pytest.raises(RequestError, match="memory"):
        start(sessions, model, image)
    clock.now += 6
    for _ in range(9):
        start(sessions, model, image)
        clock.now += 6
    assert len(sessions) == 3


def test_what_is_idle_is_closed() -> None:
    sessions, clock, model, image = sessions_of(sessions=5)
    first, second = (start(sessions, model, image).id for _ in range(2))
    clock.now += 60
    sessions.get(first)
    clock.now += 60
    sessions.close_idle()
    assert len(sessions) == 1
    with pytest.raises(RequestError, match="not used"):
        sessions.get(second)
    assert sessions.close(first)
    assert not sessions.close(first)
    assert len(sessions) == 0
