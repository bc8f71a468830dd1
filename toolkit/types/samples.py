"""Images with their annotations, and the predictions of models for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types.basics import FIELDS, Size
from toolkit.types.checking import (
    check,
    check_label_map,
    check_size,
    check_tensor,
    check_type,
    describe,
    pixels,
)
from toolkit.types.equality import ByValue
from toolkit.types.instances import Instances
from toolkit.types.panoptic import PanopticMap
from toolkit.types.prompts import Prompts
from toolkit.wording import counted


@dataclass(frozen=True, eq=False)
class PixelMap(ByValue):
    """A number for every pixel of an image, such as its depth. Augmentation transforms it together with the
    image, using the nearest pixel.

    Attributes:
        values: float32 ``[H, W]``; NaN where nothing is known.

    Raises:
        InvalidDataError: when the shape or dtype is wrong.
    """

    values: Tensor

    def __post_init__(self) -> None:
        check_tensor("PixelMap", "values", self.values, torch.float32, (None, None))

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return int(self.values.shape[0]), int(self.values.shape[1])


def _check_extras(owner: str, extras: object, size: Size) -> None:
    """Check what a plugin's task adds to a sample or a prediction."""
    if not isinstance(extras, Mapping):
        raise InvalidDataError(
            f"{owner}.extras must be a mapping from names to values, not {describe(extras)}"
        )
    for name, value in extras.items():
        check(
            not isinstance(value, (PixelMap, PanopticMap)) or value.size == size,
            f"{owner}.extras[{name!r}] is a map of {getattr(value, 'size', None)}, but the image has {size}",
        )


def _check_contents(name: str, owner: Sample | Prediction) -> None:
    """What both have must be of the size of the image."""
    _check_extras(name, owner.extras, owner.size)
    check_label_map(name, owner.label_map, owner.size)
    check_type(name, "instances", owner.instances, Instances)
    if owner.instances is not None:
        check(
            owner.instances.size == owner.size,
            f"{name}.instances are of an image of {owner.instances.size}, but the image has {owner.size}",
        )


def _contents(owner: Sample | Prediction) -> list[str]:
    """A short description of the contents of a sample or a prediction, for its repr."""
    words = [] if owner.label_map is None else ["label_map"]
    if owner.instances is not None:
        words.append(counted(len(owner.instances), "instance"))
    return [*words, *map(str, owner.extras)]


@dataclass(frozen=True, eq=False)
class Sample(ByValue):
    """One image and what is known about it.

    Attributes:
        id: unique within its dataset; for files, the path relative to the dataset's image folder without
            suffix.
        image: uint8 ``[3, H, W]``, RGB.
        label_map: uint8 ``[H, W]`` of class indexes, ``VOID`` where nothing is known, or None.
        instances: the objects, or None when the dataset provides none (no objects is an empty
            ``Instances``).
        prompts: the prompts for a promptable model, or None.
        path: where the image came from, for messages; None for generated images.
        extras: truth for further tasks, by name, such as those from plugins: a ``PixelMap`` and a
            ``PanopticMap`` are transformed together with the image under augmentation, anything else stays as
            it is.

    Raises:
        InvalidDataError: when shapes, dtypes or sizes do not fit together.
    """

    id: str
    image: Tensor
    label_map: Tensor | None = None
    instances: Instances | None = None
    prompts: Prompts | None = None
    path: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = f"Sample {self.id!r}"
        check(isinstance(self.id, str), f"{owner}: id must be str, not {type(self.id).__name__}")
        check_tensor(owner, "image", self.image, torch.uint8, (3, None, None))
        check(self.image.numel() > 0, f"{owner}.image has no pixels: {describe(self.image)}")
        _check_contents(owner, self)
        check_type(owner, "prompts", self.prompts, Prompts)

    @property
    def size(self) -> Size:
        """Height and width of the image, in pixels."""
        return int(self.image.shape[1]), int(self.image.shape[2])

    def __repr__(self) -> str:
        return f"Sample({self.id!r}, {', '.join([pixels(self.size), *_contents(self)])})"

    def get(self, name: str) -> Any:
        """The value of a name in ``TaskManifest.truth``: an attribute, or one of ``extras``; None if it is
        not known.
        """
        return getattr(self, name) if name in FIELDS else self.extras.get(name)

    def fields(self) -> list[str]:
        """The names of the fields that are known: those of ``FIELDS`` first, then those of the extras."""
        return [name for name in FIELDS if getattr(self, name) is not None] + list(self.extras)

    def pin_memory(self) -> Sample:
        """The sample with its image and label map in pinned memory, for asynchronous copies to a GPU."""
        label_map = None if self.label_map is None else self.label_map.pin_memory()
        return replace(self, image=self.image.pin_memory(), label_map=label_map)

    def with_(self, **changes: Any) -> Sample:
        """A copy with some fields replaced, which is checked again."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Prediction(ByValue):
    """A model's output for one sample, always in the sample's own pixel grid.

    Attributes:
        sample_id: the ``id`` of the sample.
        size: height and width of the sample's image, in pixels.
        label_map: uint8 ``[H, W]`` of class indexes (``VOID``: no class), from semantic models.
        instances: objects with scores, from instance and promptable models.
        extras: what models of further tasks predict, by name; a ``PixelMap`` or ``PanopticMap`` has the
            image's size.

    Raises:
        InvalidDataError: when sizes or dtypes do not fit, or there are neither a label map nor instances nor
            extras.
    """

    sample_id: str
    size: Size
    label_map: Tensor | None = None
    instances: Instances | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = f"Prediction {self.sample_id!r}"
        check(
            isinstance(self.sample_id, str),
            f"{owner}: sample_id must be str, not {type(self.sample_id).__name__}",
        )
        check_size(owner, self.size)
        check(
            self.label_map is not None or self.instances is not None or bool(self.extras),
            f"{owner} has neither a label_map nor instances; an image without objects has empty Instances",
        )
        _check_contents(owner, self)

    def __repr__(self) -> str:
        parts = [pixels(self.size), *_contents(self)]
        return f"{type(self).__name__}({self.sample_id!r}, {', '.join(parts)})"

    def get(self, name: str) -> Any:
        """The value of a name in ``TaskManifest.predicts``, like ``Sample.get``; ``answers`` are
        instances.
        """
        name = "instances" if name == "answers" else name
        return getattr(self, name) if name in FIELDS else self.extras.get(name)

    def fields(self) -> list[str]:
        """The names of the fields that are predicted, like ``Sample.fields``."""
        return [name for name in FIELDS if getattr(self, name) is not None] + list(self.extras)
