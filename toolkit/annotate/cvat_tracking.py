"""A run as CVAT's tracking function: objects that are marked in one frame, found in the next ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import torch
from PIL import Image

from toolkit.annotate.cvat_values import PURPOSE, mask_points, readable
from toolkit.annotate.shapes import region_of
from toolkit.errors import DataError, UsageError
from toolkit.formats.cvat_masks import decode_cvat_mask
from toolkit.inference.predictor import Predictor
from toolkit.models.capabilities import Trackable
from toolkit.models.learned import check_tracking_learned
from toolkit.runtime.extras import import_cvat_sdk
from toolkit.types import Masks, Prediction, Prompts, Sample, Size

if TYPE_CHECKING:
    from cvat_sdk import auto_annotation

SHAPES = frozenset({"mask", "rectangle"})
"""Shapes that are tracked."""


class _Arriving(Sequence[Sample]):
    """The frames of a video whose end is not known, as they arrive; the first and the last are kept."""

    def __init__(self, first: Sample) -> None:
        self._frames, self._count = {0: first}, 1

    def add(self, frame: Sample) -> None:
        """The next frame."""
        self._frames = {0: self._frames[0], self._count: frame}
        self._count += 1

    def __len__(self) -> int:
        return sys.maxsize

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        """The first or the last frame."""
        assert isinstance(index, int)
        return self._frames[index]


@dataclass
class Track:
    """One object on its way through a video.

    Attributes:
        kind: the type of its shape in CVAT.
        size: height and width of the frames.
        frames: those that have arrived.
        found: the model's predictions, frame by frame.
    """

    kind: str
    size: Size
    frames: _Arriving = field(repr=False)
    found: Iterator[Prediction] = field(repr=False)


class CvatTracker:
    """Follows masks and rectangles (``cvat_sdk.auto_annotation.TrackingFunction``), which CVAT's agents run.

    Every object has its own memory of earlier frames, as in ``toolkit track`` with a long video.

    Args:
        predictor: the predictor of a model that can track.

    Raises:
        UnavailableError: when CVAT's SDK is not installed.
        UsageError: when the SDK has no such functions yet, or the model cannot track or was not trained to.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._sdk = import_cvat_sdk(PURPOSE)
        if not hasattr(self._sdk, "TrackingFunctionSpec"):
            raise UsageError(
                "the installed cvat-sdk has no tracking functions. Hint: pip install --upgrade cvat-sdk"
            )
        name = predictor.name or type(predictor.model).__name__
        model = predictor.model.capability(Trackable)
        if model is None:
            raise UsageError(f"{name} cannot track objects. Hint: use a run of sam2; exported models cannot")
        check_tracking_learned(model, predictor.about.get("start_weights", {}), name)
        self._model, self._predictor = model, predictor

    @property
    def spec(self) -> auto_annotation.TrackingFunctionSpec:
        """The types of shapes that are tracked."""
        return self._sdk.TrackingFunctionSpec(supported_shape_types=SHAPES)

    def preprocess_image(
        self, context: auto_annotation.TrackingFunctionContext, image: Image.Image
    ) -> Sample:
        """The frame as a sample."""
        return self._predictor.sample(readable(image, self._predictor.scale))

    def init_tracking_state(
        self,
        context: auto_annotation.TrackingFunctionShapeContext,
        pp_image: Sample,
        shape: auto_annotation.TrackableShape,
    ) -> Track:
        """The state of an object that is marked in a frame.

        Raises:
            DataError: when the mask does not fit the frame, or the type of the shape is not tracked.
        """
        frames = _Arriving(pp_image)
        found = iter(self._model.track(frames, {0: [_prompts(shape, pp_image.size)]}))
        with self._predictor.computing():
            next(found)
        return Track(shape.type, pp_image.size, frames, found)

    def track(
        self, context: auto_annotation.TrackingFunctionShapeContext, pp_image: Sample, state: Track
    ) -> auto_annotation.TrackableShape | None:
        """The object in the next frame, of the same type; None where it is not visible."""
        state.frames.add(pp_image)
        with self._predictor.computing():
            instances = next(state.found).instances
        if instances is None or not len(instances) or instances.masks is None:
            return None
        shape = region_of(instances.masks[[0]], "object", None)
        if shape is None:
            return None
        assert shape.box_xyxy is not None
        points: Sequence[Any] = mask_points(shape) if state.kind == "mask" else shape.box_xyxy
        return self._sdk.TrackableShape(type=state.kind, points=[float(value) for value in points])


def _prompts(shape: auto_annotation.TrackableShape, size: Size) -> Prompts:
    labels = torch.zeros(1, dtype=torch.int64)
    if shape.type == "rectangle":
        height, width = size
        limits = (width, height, width, height)
        corners = [min(max(value, 0.0), limit) for value, limit in zip(shape.points, limits, strict=True)]
        return Prompts(boxes_xyxy=torch.tensor([corners], dtype=torch.float32), labels=labels)
    if shape.type == "mask":
        *lengths, left, top, right, bottom = (int(value) for value in shape.points)
        extent = (right - left + 1, bottom - top + 1)
        code = decode_cvat_mask(lengths, (left, top), extent, size, "the mask to track")
        return Prompts(masks=Masks(size, (code,)), labels=labels)
    raise DataError(f"a {shape.type} cannot be tracked. Hint: mark the object with a mask or a rectangle")
