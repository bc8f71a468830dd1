"""Which images an engine gets: those that are not done, one after another."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from pipeline_cases import ORDER, manifest, predictor

from toolkit.errors import UsageError
from toolkit.inference import Predictor
from toolkit.inference.image_batches import Work, predict_images
from toolkit.inference.image_engines import Engine, PendingImages
from toolkit.inference.pipeline import Summary, predict_folder
from toolkit.inference.records import Record
from toolkit.inference.results import ResultFolder
from toolkit.inference.sources import Inputs


class Backward(Engine):
    """Predicts from the last image to the first."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.total: int | None = None

    def records(
        self, predictor: Predictor, images: PendingImages, results: ResultFolder, work: Work
    ) -> Generator[Record, None, None]:
        todo = list(images)
        self.got, self.total = [image.name for image in todo], images.total
        for record in predict_images(predictor, reversed(todo), results, work):
            results.append(replace(record, actor="backward"))
            yield record


class Refusing(Backward):
    def check(self, predictor: Predictor, inputs: Inputs) -> None:
        raise UsageError(f"{len(inputs.images)} images are too many")


def test_the_manifest_has_the_order_of_the_images_whatever_the_engine_does(
    photos: Path, tmp_path: Path
) -> None:
    out, engine = tmp_path / "out", Backward()
    assert predict_folder(predictor(), [photos], out, engine=engine) == Summary(done=8, failed=3, resumed=0)
    assert engine.got == ORDER
    assert engine.total == len(ORDER)
    assert [record["image"] for record in manifest(out)] == ORDER
    assert {record["actor"] for record in manifest(out)} == {"backward"}


def test_an_engine_gets_only_what_is_left(photos: Path, tmp_path: Path) -> None:
    out, engine = tmp_path / "out", Backward()
    predict_folder(predictor(), [photos], out)
    (out / "labels" / "3.png").unlink()
    predict_folder(predictor(), [photos], out, engine=engine, resume=True)
    assert engine.got == ["2b.jpg", "3.png", "4b.png", "deep/text.jpg"]


def test_what_an_engine_refuses_writes_nothing(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="11 images are too many"):
        predict_folder(predictor(), [photos], tmp_path / "out", engine=Refusing())
    assert not (tmp_path / "out").exists()
