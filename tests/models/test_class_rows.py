"""The rows of heads follow the names of classes, wherever weights move."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from toolkit import Model, Prediction, Sample
from toolkit.errors import CheckpointError, ConfigError
from toolkit.models.class_rows import ClassAxis, axis_between, declared_axes, moved_rows, probed_axes
from toolkit.models.weights import take_tensors


class Heads(Model):
    """A network with heads of every kind: a row a class, four rows a class, one more behind or before, and
    one with the classes in its second dimension; and a layer that has as many rows as there are classes, by
    chance.
    """

    def __init__(self, classes: Sequence[str], *, width: int = 3, refuses: Sequence[int] = ()) -> None:
        super().__init__(classes)
        count = len(self.classes)
        if count in refuses:
            raise ConfigError(f"{count} classes are not allowed")
        self.body = nn.Sequential(*(nn.Linear(width, width) for _ in range(4)))
        self.score = nn.Linear(width, count)
        self.boxes = nn.Linear(width, 4 * count, bias=False)
        self.with_background = nn.Linear(width, count + 1, bias=False)
        self.upwards = nn.ConvTranspose2d(width, count, 2, bias=False)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return []


HEADS = {"score.weight", "score.bias", "boxes.weight", "with_background.weight", "upwards.weight"}


def rows_of(state: dict[str, Tensor], name: str, place: int) -> Tensor:
    """The rows of one class, by a slow look of its own."""
    value = state[name].transpose(0, 1) if name == "upwards.weight" else state[name]
    each = 4 if name == "boxes.weight" else 1
    return torch.stack([value[place * each + i] for i in range(each)])


OLD = ("cat", "dog", "bird")


@pytest.mark.parametrize(
    "new",
    [
        *itertools.permutations(OLD),
        ("bird", "horse"),
        ("horse", "dog", "cow", "cat", "sheep"),
        ("horse", "cow", "bird"),
        ("dog",),
    ],
    ids=lambda names: "-".join(names),
)
def test_rows_go_where_the_names_are(new: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    theirs, model = Heads(OLD).state_dict(), Heads(new)
    model.first_class_row = 0
    start = {name: value.clone() for name, value in model.state_dict().items()}
    report = take_tensors(model, theirs, "theirs", classes=OLD, build=Heads)
    own = dict(model.state_dict())
    for name in own.keys() - HEADS:
        assert torch.equal(own[name], theirs[name])
    for name in HEADS:
        for place, label in enumerate(new):
            source, at = (theirs, OLD.index(label)) if label in OLD else (start, place)
            assert torch.equal(rows_of(own, name, place), rows_of(source, name, at)), (name, label)
    assert torch.equal(own["with_background.weight"][-1], theirs["with_background.weight"][-1])
    if new != OLD:
        assert set(report.by_class) == HEADS
        assert report.kept_classes == tuple(label for label in new if label in OLD)
        assert report.new_classes == tuple(label for label in new if label not in OLD)
        assert all(label in str(report) for label in new)
    else:
        assert set(report.loaded) == set(own)


def test_nothing_of_a_head_is_taken_for_classes_that_are_all_others() -> None:
    theirs, model = Heads(OLD).state_dict(), Heads(("x", "y", "z"))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    report = take_tensors(model, theirs, "theirs", classes=OLD, build=Heads)
    assert set(report.reinitialized) == HEADS
    assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items() if name in HEADS)
    assert "start from random values because the classes differ" in str(report)


def test_where_nobody_knows_which_rows_are_the_classes_the_head_starts_anew() -> None:
    """With a row for the background, that may stand first or last."""
    theirs, model = Heads(OLD).state_dict(), Heads(OLD[::-1])
    report = take_tensors(model, theirs, "theirs", classes=OLD, build=Heads)
    assert set(report.reinitialized) == {"with_background.weight"}
    model = Heads(OLD[::-1])
    model.first_class_row = 1
    take_tensors(model, theirs, "theirs", classes=OLD, build=Heads)
    own = model.state_dict()["with_background.weight"]
    assert torch.equal(own, theirs["with_background.weight"][[0, 3, 2, 1]])


def test_classes_that_are_not_known_are_taken_by_their_places() -> None:
    theirs, model = Heads(OLD).state_dict(), Heads(("x", "y", "z"))
    report = take_tensors(model, theirs, "theirs")
    assert set(report.loaded) == set(theirs)


@pytest.mark.parametrize("refuses", [(4,), (2,), (2, 4)])
def test_settings_that_allow_no_other_number_of_classes(refuses: tuple[int, ...]) -> None:
    """As class weights do, which are one for each: then the next is asked, and then the model itself."""

    def build(classes: Sequence[str]) -> Heads:
        return Heads(classes, width=7, refuses=refuses)

    model = Heads(OLD[::-1], width=7)
    axes = probed_axes(model, build)
    if refuses != (2, 4):
        assert axes is not None
        assert set(axes) == HEADS
        return
    assert axes is None
    theirs = Heads(OLD, width=7).state_dict()
    report = take_tensors(model, theirs, "theirs", classes=OLD, build=build)
    assert "score.weight" in report.reinitialized, "rather than with the rows of other classes"
    model.class_tensors = ("score.weight", "score.bias", "boxes.weight")
    report = take_tensors(model, theirs, "theirs", classes=OLD, build=build)
    assert set(report.by_class) == set(model.class_tensors)
    assert torch.equal(model.state_dict()["score.bias"], theirs["score.bias"].flip(0))


def test_probing_draws_no_random_number() -> None:
    model = Heads(OLD)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    probed_axes(model, Heads)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("shape", "classes", "other", "other_classes", "expected"),
    [
        ((3, 8), 3, (5, 8), 5, ClassAxis(0, 1, 0)),
        ((4, 8), 3, (6, 8), 5, ClassAxis(0, 1, 1)),
        ((12,), 3, (20,), 5, ClassAxis(0, 4, 0)),
        ((8, 3, 2, 2), 3, (8, 1, 2, 2), 1, ClassAxis(1, 1, 0)),
        ((3, 8), 3, (3, 8), 3, None),
        ((3, 8), 3, (3, 9), 3, None),
        ((9, 9), 3, (10, 10), 4, None),  # in two dimensions
        ((8,), 3, (7,), 4, None),  # fewer rows for more classes
        ((7,), 3, (10,), 5, None),  # one and a half rows a class
        ((3,), 3, (9,), 5, None),  # more than there are in all
        ((3, 8), 3, (5,), 5, None),
    ],
)
def test_two_shapes_tell_how_a_tensor_depends_on_the_classes(
    shape: tuple[int, ...],
    classes: int,
    other: tuple[int, ...],
    other_classes: int,
    expected: ClassAxis | None,
) -> None:
    assert axis_between(shape, classes, other, other_classes) == expected
    assert axis_between(other, other_classes, shape, classes) == expected


def test_a_head_of_another_make_is_not_moved() -> None:
    axis = ClassAxis(0, 1, 0)
    assert moved_rows(torch.zeros(3, 8), torch.zeros(2, 9), axis, OLD, OLD[:2], 0) is None


def test_declared_tensors_that_are_not_there_are_passed_over() -> None:
    model = Heads(OLD)
    model.class_tensors = ("score.weight", "gone.weight")
    assert declared_axes(model) == {"score.weight": ClassAxis(0, 1, 0)}


def test_too_little_that_fits_is_refused_as_ever() -> None:
    with pytest.raises(CheckpointError, match="is for another model"):
        take_tensors(Heads(OLD), {"other": torch.zeros(1)}, "theirs", classes=("x",), build=Heads)
