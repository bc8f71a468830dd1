"""From what a user asks to what is explained in an image: a class, a region, an object or an answer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError, UsageError
from toolkit.explaining.regions import component_at
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model
from toolkit.models.learned import prompts_not_learned
from toolkit.models.simulated_prompts import BOX, POINT
from toolkit.types import (
    BACKGROUND,
    VOID,
    Instances,
    Prediction,
    Prompts,
    Sample,
    Size,
    Target,
    TargetPart,
    class_scores,
)

Point = tuple[float, float]
Corners = tuple[float, float, float, float]


class NothingToExplainError(InvalidDataError):
    """The image has nothing of the kind that was asked for, such as an object."""


@dataclass(frozen=True)
class Question:
    """What to explain; with the defaults, what is most prominent in an image.

    Attributes:
        class_name: name of a class; of objects, the most certain one of it.
        object: position of a detection among the predictions for the image, best first, from 0.
        point: x and y in pixels: the region or object there, or a prompt.
        box: x0, y0, x1 and y1 in pixels: that region, the object that fits it best, or a prompt.
        part: of an object, whether to explain its class or its mask.

    Raises:
        UsageError: when more than one of object, point and box is given, or the object's number is negative.
    """

    class_name: str | None = None
    object: int | None = None
    point: Point | None = None
    box: Corners | None = None
    part: TargetPart = "class"

    def __post_init__(self) -> None:
        given = [name for name in ("object", "point", "box") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} were both given. Hint: leave out all but one")
        if self.object is not None and self.object < 0:
            raise UsageError(f"object must be 0 or more, not {self.object}. Hint: objects count from 0")
        if self.box is not None and (self.box[2] <= self.box[0] or self.box[3] <= self.box[1]):
            raise UsageError(
                f"box {_numbers(self.box)} has no area. Hint: give the left, top, right and bottom edge, in"
                " pixels"
            )


def class_index(name: str, classes: Sequence[str]) -> int:
    """The index of a class by its name.

    Raises:
        UsageError: when the model has no such class; names the nearest.
    """
    if name in classes:
        return classes.index(name)
    near = difflib.get_close_matches(name, classes, n=3) or [
        each for each in classes if each.lower() == name.lower()
    ]
    some = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "choose one of these"
    raise UsageError(f"the model has no class {name!r}; expected one of: {some}. Hint: {hint}")


def find_target(
    question: Question,
    model: Model,
    sample: Sample,
    prediction: Prediction | None,
    *,
    start_weights: Mapping[str, str] | None = None,
) -> Target:
    """What is explained in one image.

    Args:
        question: what was asked.
        model: the model.
        sample: the image.
        prediction: the model's prediction for it; not needed for promptable models.
        start_weights: what a promptable model's training started from; None if unknown.

    Raises:
        UsageError: when the model predicts nothing of the kind that was asked for.
        NothingToExplainError: when there is no such object or region in this image.
    """
    check_inside(question, sample)
    promptable = model.capability(Promptable)
    if promptable is not None:
        return _answer(question, promptable, sample, start_weights or {})
    assert prediction is not None  # the caller predicts with all other models
    if prediction.label_map is not None:
        return _region(question, model.classes, prediction.label_map)
    if prediction.instances is not None:
        return _object(question, model.classes, prediction.instances)
    return _image_class(question, model.classes, prediction)


def check_inside(question: Question, sample: Sample) -> None:
    """Check that the point or box of a question touches an image.

    Raises:
        NothingToExplainError: when it does not.
    """
    height, width = sample.size
    where = f"the image, which is {width} × {height} pixels (width × height)"
    if question.point is not None:
        x, y = question.point
        if not (0 <= x < width and 0 <= y < height):
            raise NothingToExplainError(
                f"the point {_numbers(question.point)} is outside {where}. Hint: give a point inside it"
            )
    if question.box is not None:
        x0, y0, x1, y1 = question.box
        if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            raise NothingToExplainError(
                f"the box {_numbers(question.box)} is outside {where}. Hint: give a box inside it"
            )


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _region(question: Question, classes: Sequence[str], label_map: Tensor) -> Target:
    """A class of pixels."""
    _refuse_object(question, "classes of pixels, not objects", "give --class, --point or --box")
    label = None if question.class_name is None else class_index(question.class_name, classes)
    if question.point is not None:
        x, y = question.point
        there = int(label_map[int(y), int(x)])
        if there == VOID:
            raise NothingToExplainError(
                f"the model predicts no class at the point {_numbers(question.point)}. Hint: give another one"
            )
        mask = component_at(label_map == there, int(y), int(x))
        return Target("region", there if label is None else label, mask)
    if question.box is not None:
        mask = _filled(question.box, (label_map.shape[0], label_map.shape[1]))
        return Target("region", _commonest(label_map[mask], classes) if label is None else label, mask)
    if label is None:
        label = _commonest(label_map, classes)
    mask = label_map == label
    return Target("class", label, mask if bool(mask.any()) else None)


def _filled(box: Corners, size: Size) -> Tensor:
    """The pixels whose centers are inside a box, at least one, bool ``[H, W]``."""
    mask = torch.zeros(size, dtype=torch.bool)
    rows, columns = (
        slice(min(max(0, round(first)), side - 1), max(round(last), round(first) + 1, 1))
        for first, last, side in ((box[1], box[3], size[0]), (box[0], box[2], size[1]))
    )
    mask[rows, columns] = True
    return mask


def _commonest(labels: Tensor, classes: Sequence[str]) -> int:
    """The class with the most pixels; the background only if there is no other."""
    counts = torch.bincount(labels.flatten().long(), minlength=VOID + 1)[: len(classes)]
    if not bool(counts.any()):
        raise NothingToExplainError("the model predicts no class here. Hint: name a class with --class")
    if BACKGROUND in classes:
        others = counts.clone()
        others[classes.index(BACKGROUND)] = 0
        counts = others if bool(others.any()) else counts
    return int(counts.argmax())


def _object(question: Question, classes: Sequence[str], found: Instances) -> Target:
    """A detection."""
    chosen = torch.arange(len(found))
    what = "objects"
    if question.class_name is not None:
        label = class_index(question.class_name, classes)
        chosen = chosen[found.labels == label]
        what = f"objects of class {question.class_name!r}"
    if not len(chosen):
        raise NothingToExplainError(f"the model finds no {what} here, so there is nothing to explain")
    if question.object is not None:
        return _target_of(found, _numbered(question.object, chosen, what), question.part)
    if question.point is not None:
        chosen = chosen[_contain(found, question.point)[chosen]]
        if not len(chosen):
            raise NothingToExplainError(
                f"the model finds no {what} at the point {_numbers(question.point)}. Hint: choose one of"
                f" {len(found)} by --object, from 0"
            )
    if question.box is not None:
        overlaps = _ious(found.boxes_xyxy[chosen], question.box)
        if not bool((overlaps > 0).any()):
            raise NothingToExplainError(
                f"the model finds no {what} in the box {_numbers(question.box)}. Hint: choose one of"
                f" {len(found)} by --object, from 0"
            )
        return _target_of(found, int(chosen[overlaps.argmax()]), question.part)
    scores = torch.ones(len(found)) if found.scores is None else found.scores
    return _target_of(found, int(chosen[scores[chosen].argmax()]), question.part)


def _numbered(number: int, chosen: Tensor, what: str) -> int:
    if number not in chosen.tolist():
        numbers = chosen.tolist()
        shown = ", ".join(map(str, numbers[:10])) + (", …" if len(numbers) > 10 else "")
        raise NothingToExplainError(
            f"there is no object {number}: the model finds {len(numbers)} {what} here, with the numbers"
            f" {shown}. Hint: choose one of these"
        )
    return number


def _contain(found: Instances, point: Point) -> Tensor:
    """Whether each object contains a point, bool ``[N]``, by its mask if it has one, else by its box."""
    x, y = point
    x0, y0, x1, y1 = found.boxes_xyxy.unbind(1)
    inside = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    if found.masks is not None:
        for i in inside.nonzero()[:, 0].tolist():
            inside[i] = bool(found.masks[[i]].dense()[0, int(y), int(x)])
    return inside


def _ious(boxes: Tensor, box: Corners) -> Tensor:
    """Intersection over union ``[N]`` of boxes ``[N, 4]`` with one."""
    other = torch.tensor(box)
    sides = (torch.minimum(boxes[:, 2:], other[2:]) - torch.maximum(boxes[:, :2], other[:2])).clamp(min=0)
    shared = sides.prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (other[2:] - other[:2]).prod()
    return shared / (areas - shared).clamp(min=1e-9)


def _target_of(found: Instances, number: int, part: TargetPart) -> Target:
    mask = None
    if found.masks is not None:
        dense = found.masks[[number]].dense()[0].bool()
        mask = dense if bool(dense.any()) else None
    if part == "mask" and mask is None:
        raise NothingToExplainError(f"object {number} has no mask. Hint: explain its class")
    return Target("object", int(found.labels[number]), mask, found.boxes_xyxy[number], None, number, part)


def _answer(
    question: Question, promptable: Promptable, sample: Sample, start_weights: Mapping[str, str]
) -> Target:
    """The answer to a prompt."""
    if question.class_name is not None:
        raise UsageError(
            "the model segments what it is prompted with, and has no classes. Hint: leave out --class"
        )
    _refuse_object(question, "answers to prompts, not objects of its own", "give --point or --box")
    hint = "prompt it as it was trained (model.prompts of the run)"
    if question.point is not None:
        kind, prompts = (
            POINT,
            Prompts(torch.tensor([[question.point]]), torch.ones(1, 1, dtype=torch.int64)),
        )
    elif question.box is not None:
        kind, prompts = BOX, Prompts(boxes_xyxy=torch.tensor([question.box]))
    else:
        raise UsageError(
            "the model needs a prompt, whose answer is explained. Hint: give --point X,Y or --box X0,Y0,X1,Y1"
        )
    if reason := prompts_not_learned(promptable, [kind], start_weights, hint):
        raise UsageError(reason)
    (encoded,) = promptable.encode([sample])
    found = promptable.answer(encoded, prompts)
    mask = None if found.masks is None else found.masks.dense()[0].bool()
    if mask is None or not bool(mask.any()):
        raise NothingToExplainError("the answer to the prompt is empty. Hint: give another prompt")
    return Target("prompt", mask=mask, prompts=prompts)


def _image_class(question: Question, classes: Sequence[str], prediction: Prediction) -> Target:
    """A class of the whole image. The scores of classes are the value in ``extras`` that has one number for
    each class, if there is exactly one such value.
    """
    _refuse_object(question, "the class of a whole image", "give --class, or nothing")
    if question.point is not None or question.box is not None:
        raise UsageError("the model predicts the class of a whole image. Hint: leave out --point and --box")
    if question.class_name is not None:
        return Target("class", class_index(question.class_name, classes))
    scores = class_scores(prediction, len(classes))
    if scores is None:
        raise UsageError("the model predicts no scores of classes. Hint: name a class with --class")
    return Target("class", scores.label)


def _refuse_object(question: Question, predicts: str, hint: str) -> None:
    if question.object is not None:
        raise UsageError(f"the model predicts {predicts}. Hint: leave out --object; {hint}")
    if question.part == "mask":
        raise UsageError(f"the model predicts {predicts}. Hint: leave out --part; {hint}")
