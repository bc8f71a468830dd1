"""Predicting in batches: what waits is bounded, and failures are entered at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from pipeline_cases import Bright, predictor, write_image

from toolkit.config.scale import Scale
from toolkit.data.images import Picture
from toolkit.errors import UsageError
from toolkit.inference import image_batches, inputs
from toolkit.inference.image_batches import Work
from toolkit.inference.pipeline import predict_folder
from toolkit.types import Prediction, Sample


def test_what_waits_is_bounded_in_number_and_in_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(60):
        write_image(tmp_path / "photos" / f"{i:02}.png", i, 20, 20)
    waiting, most, lock = 0, 0, threading.Lock()
    read = inputs.read_picture

    def counting(path: Path, scale: Scale | None) -> Picture:
        nonlocal waiting, most
        with lock:
            waiting += 1
            most = max(most, waiting)
        return read(path, scale)

    class Counting(Bright):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            nonlocal waiting
            time.sleep(0.003)  # the readers could run far ahead
            with lock:
                waiting -= len(samples)
            return super().predict(samples)

    monkeypatch.setattr(inputs, "read_picture", counting)
    predict_folder(predictor(Counting()), [tmp_path / "photos"], tmp_path / "a", work=Work(3, 2))
    assert waiting == 0
    assert 3 < most <= 3 + 2 + 3 + 1
    most = 0
    monkeypatch.setattr(image_batches, "AHEAD_PIXELS", 800)  # two images
    predict_folder(predictor(Counting()), [tmp_path / "photos"], tmp_path / "b", work=Work(1, 4))
    assert most <= 4


@pytest.mark.parametrize("first", ["good", "bad"])
def test_failures_are_entered_as_they_happen(tmp_path: Path, first: str) -> None:
    photos = tmp_path / "photos"
    write_image(photos / ("a.png" if first == "good" else "z.png"))
    for i in range(100):
        (photos / f"bad{i:03}.png").write_bytes(b"")
    lag: list[int] = []
    read = image_batches.read_input
    reads = 0

    def counting(*args: object, **options: object) -> object:
        nonlocal reads
        reads += 1
        return read(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_batches, "read_input", counting)
        on_record = lambda record: lag.append(reads - len(lag))  # noqa: E731
        predict_folder(predictor(), [photos], tmp_path / "out", work=Work(2, 1), on_record=on_record)
    assert len(lag) == 101
    assert max(lag) <= 8 * 2 + 2 * (2 + 1) + 2


@pytest.mark.parametrize(("name", "least"), [("batch_size", 1), ("workers", 0)])
def test_numbers_below_the_least(name: str, least: int) -> None:
    with pytest.raises(UsageError, match=f"{name} must be at least {least}, not {least - 1}"):
        Work(**{name: least - 1})
