"""The rows of a head that stand for classes; they are matched by class names when weights are transferred."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from toolkit.errors import ToolkitError
from toolkit.models.contract import Model
from toolkit.runtime.seeding import undisturbed


@dataclass(frozen=True)
class ClassAxis:
    """How a tensor depends on the classes.

    Attributes:
        dim: the dimension that grows with the number of classes.
        each: number of rows per class; the rows of a class are consecutive.
        others: number of rows that belong to no class, such as a row for the background.
    """

    dim: int
    each: int
    others: int


def axis_between(
    shape: Sequence[int], classes: int, other_shape: Sequence[int], other_classes: int
) -> ClassAxis | None:
    """The axis of a tensor that has these shapes for two numbers of classes; None if the classes do not
    explain the difference.
    """
    if len(shape) != len(other_shape) or classes == other_classes:
        return None
    differing = [dim for dim, (a, b) in enumerate(zip(shape, other_shape, strict=True)) if a != b]
    if len(differing) != 1:
        return None
    dim = differing[0]
    each, rest = divmod(shape[dim] - other_shape[dim], classes - other_classes)
    others = shape[dim] - each * classes
    return None if rest or each < 1 or others < 0 else ClassAxis(dim, each, others)


def declared_axes(model: Model) -> dict[str, ClassAxis]:
    """The axes of the tensors that a model lists in ``class_tensors``, whose first dimension is for the
    classes.
    """
    own, count = model.state_dict(), len(model.classes)
    shapes = {name: own[name].shape for name in model.class_tensors if name in own}
    return {
        name: ClassAxis(0, shape[0] // count, shape[0] % count)
        for name, shape in shapes.items()
        if shape and shape[0] >= count
    }


def probed_axes(model: Model, build: Callable[[Sequence[str]], Model]) -> dict[str, ClassAxis] | None:
    """The axes of all tensors that depend on the classes, found by building the same model with one class
    more or less.

    Args:
        model: the model.
        build: builds a model with the same settings for other classes.

    Returns:
        By the names of tensors; None if the settings allow no other number of classes.
    """
    count = len(model.classes)
    for classes in ([*model.classes, "\0"], model.classes[:-1]):
        try:
            with undisturbed():
                other = build(tuple(classes))
        except ToolkitError:
            continue
        shapes = {name: value.shape for name, value in other.state_dict().items()}
        found = {
            name: axis_between(value.shape, count, shapes[name], len(classes))
            for name, value in model.state_dict().items()
            if name in shapes and shapes[name] != value.shape
        }
        return {name: axis for name, axis in found.items() if axis is not None}
    return None


def moved_rows(
    own: Tensor,
    theirs: Tensor,
    axis: ClassAxis,
    classes: Sequence[str],
    their_classes: Sequence[str],
    first_row: int | None,
) -> Tensor | None:
    """A head in which the rows of shared classes come from other weights, and the rest are its own.

    Args:
        own: the head with its start values.
        theirs: the head of the other weights, for their classes.
        axis: the axis of ``own``.
        classes: the classes of ``own``, in order.
        their_classes: the classes of ``theirs``, in order.
        first_row: index of the first row of the classes; None if that is not known.

    Returns:
        A tensor like ``own``; None if the two do not fit together, or if it is not known which rows belong to
        the classes.
    """
    wanted = list(own.shape)
    wanted[axis.dim] = axis.each * len(their_classes) + axis.others
    if list(theirs.shape) != wanted or (axis.others and first_row is None):
        return None
    begin = (first_row or 0) if axis.others else 0
    result = own.clone()

    def copy(to: int, source: int, rows: int) -> None:
        if rows:
            result.narrow(axis.dim, to, rows).copy_(theirs.narrow(axis.dim, source, rows))

    for place, name in enumerate(classes):
        if name in their_classes:
            copy(begin + place * axis.each, begin + list(their_classes).index(name) * axis.each, axis.each)
    copy(0, 0, begin)
    after = axis.others - begin
    copy(own.shape[axis.dim] - after, theirs.shape[axis.dim] - after, after)
    return result


def fallback_axes(
    model: Model, tensors: Mapping[str, Tensor], their_classes: Sequence[str]
) -> dict[str, ClassAxis]:
    """The axes inferred from the shapes in a file, if it has more or fewer classes than the model."""
    found = {
        name: axis_between(value.shape, len(model.classes), tensors[name].shape, len(their_classes))
        for name, value in model.state_dict().items()
        if name in tensors
    }
    return {name: axis for name, axis in found.items() if axis is not None}
