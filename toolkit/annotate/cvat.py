"""Functions for CVAT's auto-annotation: a run as a detector, or as an answer to clicks.

CVAT's own command line takes this module as it is::

    cvat-cli task auto-annotate 7 --function-module toolkit.annotate.cvat -p run=str:runs/unet-shapes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from toolkit.annotate.cvat_values import PURPOSE, mask_points, readable
from toolkit.annotate.prompting import Encoded, Prompting
from toolkit.annotate.shapes import Kind, Shape, kind_of, names_of_objects, shapes_of
from toolkit.errors import UsageError
from toolkit.inference.predictor import Precision, Predictor, load
from toolkit.runtime.extras import import_cvat_sdk

if TYPE_CHECKING:
    from cvat_sdk import auto_annotation, models

    from toolkit.annotate.cvat_tracking import CvatTracker


def create(
    run: str,
    kind: Literal["detection", "interaction", "tracking"] = "detection",
    device: str = "auto",
    precision: Precision = "fp32",
) -> CvatDetector | CvatInteractor | CvatTracker:
    """A function of CVAT's SDK, as its command line asks for it.

    Args:
        run: folder of a run, a checkpoint file, or an exported folder.
        kind: ``detection`` finds all objects, regions or classes; ``interaction`` answers points and boxes,
            and ``tracking`` follows objects through videos; both need a promptable run.
        device: ``auto``, ``cpu``, ``cuda``, ….
        precision: ``fp32`` or ``bf16``.

    Raises:
        UnavailableError: when CVAT's SDK is not installed.
        UsageError: when the kind is unknown, or the run takes no prompts or cannot track.
        CheckpointError: when there is no usable checkpoint.
    """
    if kind not in ("detection", "interaction", "tracking"):
        raise UsageError(f"kind must be detection, interaction or tracking, not {kind!r}")
    predictor = load(run, device=device, precision=precision)
    if kind == "tracking":
        from toolkit.annotate.cvat_tracking import CvatTracker

        return CvatTracker(predictor)
    return CvatDetector(predictor) if kind == "detection" else CvatInteractor(predictor)


class CvatDetector:
    """What a model finds, as a detection function (``cvat_sdk.auto_annotation.DetectionFunction``).

    Objects and regions of classes become masks, objects without masks rectangles, and the class of an image a
    tag. Labels are matched with those of the task by name.

    Args:
        predictor: the model.
        above: the minimum score where CVAT gives no threshold; the model's own when None.

    Attributes:
        kind: what it gives for each object.

    Raises:
        UnavailableError: when CVAT's SDK is not installed.
    """

    def __init__(self, predictor: Predictor, above: float | None = None) -> None:
        self._sdk = import_cvat_sdk(PURPOSE)
        self._predictor = predictor
        self._above = predictor.model.draw_above if above is None else above
        self.kind: Kind = kind_of(predictor)
        self._numbers = {name: number for number, name in enumerate(names_of_objects(predictor), start=1)}

    @property
    def spec(self) -> auto_annotation.DetectionFunctionSpec:
        """The labels and their type."""
        labels = [
            self._sdk.label_spec(name, number, type=self.kind) for name, number in self._numbers.items()
        ]
        return self._sdk.DetectionFunctionSpec(labels=labels)

    def detect(
        self, context: auto_annotation.DetectionFunctionContext, image: Image.Image
    ) -> list[models.LabeledShapeRequest | models.LabeledImageRequest]:
        """The shapes and tags of an image.

        Args:
            context: has the minimum score, and whether polygons are asked for instead of masks.
            image: of any mode.
        """
        above = self._above if context.conf_threshold is None else context.conf_threshold
        prediction = self._predictor.predict(readable(image, self._predictor.scale))
        found: list[Any] = []
        for number, shape in enumerate(shapes_of(prediction, self._predictor.classes, above), start=1):
            found += self._annotations(shape, number, polygons=context.conv_mask_to_poly)
        return found

    def _annotations(self, shape: Shape, number: int, *, polygons: bool) -> list[Any]:
        label = self._numbers[shape.name]
        if shape.kind == "tag":
            return [self._sdk.tag(label)]
        score = {} if shape.score is None else {"score": shape.score}
        if shape.kind == "rectangle":
            assert shape.box_xyxy is not None
            return [self._sdk.rectangle(label, list(shape.box_xyxy), **score)]
        if not polygons:
            return [self._sdk.mask(label, mask_points(shape), **score)]
        parts = shape.polygons()
        group = {"group": number} if len(parts) > 1 else {}
        flat = [[value for point in part for value in point] for part in parts]
        return [self._sdk.polygon(label, points, **score, **group) for points in flat]


class CvatInteractor:
    """What points and boxes indicate, as an interaction function
    (``cvat_sdk.auto_annotation.InteractionFunction``), which CVAT's agents run.

    Args:
        predictor: the predictor of a promptable model.

    Raises:
        UnavailableError: when CVAT's SDK is not installed, or has no such functions yet.
        UsageError: when the model takes no prompts.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._sdk = import_cvat_sdk(PURPOSE)
        if not hasattr(self._sdk, "InteractionFunctionSpec"):
            raise UsageError(
                "the installed cvat-sdk has no interaction functions. Hint: pip install --upgrade cvat-sdk"
            )
        self._prompting, self._scale = Prompting(predictor), predictor.scale

    @property
    def spec(self) -> auto_annotation.InteractionFunctionSpec:
        """Any number of points on and off the object, and a box or none."""
        return self._sdk.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)

    def preprocess_image(
        self, context: auto_annotation.InteractionFunctionContext, image: Image.Image
    ) -> Encoded:
        """The encoded image, which serves for any number of prompts."""
        return self._prompting.encode(readable(image, self._scale))

    def detect(
        self,
        context: auto_annotation.InteractionFunctionContext,
        pp_image: Encoded,
        prompts: auto_annotation.InteractionPrompts,
    ) -> list[auto_annotation.InteractionResultShape]:
        """The mask of the object; none where there are no prompts, or the mask is empty."""
        points = [*prompts.pos_points, *prompts.neg_points]
        box = prompts.bounding_box
        if not points and box is None:
            return []
        labels = [1] * len(prompts.pos_points) + [0] * len(prompts.neg_points)
        corners = None if box is None else (*box[0], *box[1])
        shape = self._prompting.answer(pp_image, "object", _inside(points, pp_image), labels, corners)
        if shape is None:
            return []
        attributes = []
        if shape.score is not None:
            from cvat_sdk import models

            confidence = int(self._sdk.InteractionResultAttributes.CONFIDENCE)
            score = min(max(shape.score, 0.0), 1.0)
            attributes = [models.AttributeValRequest(spec_id=confidence, value=str(score))]
        points_of_mask = [float(value) for value in mask_points(shape)]
        return [self._sdk.InteractionResultShape(type="mask", points=points_of_mask, attributes=attributes)]


def _inside(points: Sequence[tuple[float, float]], encoded: Encoded) -> list[tuple[float, float]]:
    """Points of which those on the right and lower border belong to the last pixels."""
    height, width = encoded.size
    return [
        (np.nextafter(width, 0) if x == width else x, np.nextafter(height, 0) if y == height else y)
        for x, y in points
    ]
