"""Small models, images and requests that the tests of the server share."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from plugins.sam2_cases import toy
from starlette.testclient import TestClient
from torch import nn

from toolkit import Instances, Masks, Model, Prediction, Predictor, Sample
from toolkit.serve.app import build_services, create_app
from toolkit.serve.options import Limits, ServeOptions
from toolkit.serve.services import Services


class Bright(Model):
    """Classifies bright pixels.

    Args:
        fails_on: name of a sample that fails.
    """

    def __init__(self, fails_on: str = "") -> None:
        super().__init__(("background", "bright"))
        self.unused, self.fails_on = nn.Parameter(torch.zeros(1)), fails_on
        self.batches: list[int] = []

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        self.batches.append(len(samples))
        if any(sample.id == self.fails_on for sample in samples):
            raise RuntimeError("this one is odd")
        return [
            Prediction(sample.id, sample.size, (sample.image.float().mean(0) > 128).to(torch.uint8))
            for sample in samples
        ]


class Halves(Model):
    """Finds the left half of every image with certainty, and a ring in it with less."""

    def __init__(self) -> None:
        super().__init__(("left", "ring"))
        self.unused = nn.Parameter(torch.zeros(1))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(sample.id, sample.size, instances=self._found(sample)) for sample in samples]

    def _found(self, sample: Sample) -> Instances:
        dense = np.stack([half(sample.size), ring(sample.size)])
        masks = Masks.from_dense(dense)
        scores, labels = torch.tensor([0.9, 0.3]), torch.tensor([0, 1])
        return Instances(sample.size, masks.boxes_xyxy(), labels, masks, scores)


def half(size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """The left half of an image."""
    mask = np.zeros(size, bool)
    mask[:, : size[1] // 2] = True
    return mask


def ring(size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Two parts, one of them with a hole."""
    mask = np.zeros(size, bool)
    mask[2:12, 2:14] = True
    mask[5:8, 5:9] = False
    mask[14:16, 1:3] = True
    return mask


def rle(mask: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A mask as requests give it."""
    (code,) = Masks.from_dense(mask[None]).to_coco()
    return {"size": code["size"], "counts": code["counts"].decode()}


def dense(code: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The mask of run lengths in an answer."""
    return Masks.from_coco([code], tuple(code["size"])).dense()[0].numpy()  # type: ignore[arg-type]


SIZE = (40, 60)
"""Height and width of the images in ``photos``."""


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray[Any, Any]:
    """A noisy image with a bright square."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, (*size, 3), dtype=np.uint8)
    image[8:20, 10:26] += 140
    return image


def photos(folder: Path, count: int = 7) -> Path:
    """A folder of images ``00.png``, ``01.png``, …, the last in a subfolder."""
    (folder / "sub").mkdir(parents=True)
    for seed in range(count):
        name = f"{seed:02}.png" if seed < count - 1 else f"sub/{seed:02}.png"
        Image.fromarray(picture(seed)).save(folder / name)
    return folder


def encoded(image: np.ndarray[Any, Any], format: str = "PNG", **options: Any) -> bytes:
    """An image as the bytes of a file."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, format, **options)
    return data.getvalue()


def services_for(folder: Path | None = None, *, limits: Limits | None = None, **options: Any) -> Services:
    """The services of a server without models.

    Args:
        folder: has the images in ``photos``; labels go to ``photos-labels``.
        limits, options: of the server.
    """
    images = None if folder is None else folder / "photos"
    return build_services(ServeOptions((), images=images, limits=limits or Limits(), **options))


def add_models(services: Services) -> Services:
    """Add ``bright``, ``halves`` and ``sam2``, a toy that refines its answers."""
    for name, model, task in (
        ("bright", Bright(), "semantic"),
        ("halves", Halves(), "instance"),
        ("sam2", toy(corrections=1).eval(), "promptable"),
    ):
        predictor = Predictor(model, device="cpu", name=name, about={"plugin": name, "task": task})
        services.models.add(predictor, name)
    return services


@contextmanager
def client_of(services: Services, **headers: str) -> Iterator[TestClient]:
    """A client of a server in this process."""
    host = "http://localhost:8000" if services.options.host == "127.0.0.1" else "http://server:8000"
    with TestClient(create_app(services), base_url=host, headers=headers) as client:
        yield client


def with_limits(**changes: Any) -> Limits:
    """The usual limits with changes."""
    return replace(Limits(), **changes)
