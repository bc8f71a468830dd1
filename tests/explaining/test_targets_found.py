"""What is explained, from what was asked and what the model predicts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.explained import CLASSES, Fixed, Pooled, sample
from support.small_settings import MODELS

from toolkit import Instances, Masks, Prediction, Target
from toolkit.errors import UsageError
from toolkit.explaining.targets import NothingToExplainError, Question, class_index, find_target

SIZE = (24, 36)
PHOTO = sample()


def label_map() -> torch.Tensor:
    """Background, two cows, one sheep, and void."""
    found = torch.zeros(SIZE, dtype=torch.uint8)
    found[2:6, 2:6], found[10:20, 4:14], found[2:8, 20:30], found[20:, 30:] = 1, 1, 2, 255
    return found


def semantic_target(**asked: Any) -> Target:
    return find_target(
        Question(**asked), Fixed(OBJECTS), PHOTO, Prediction(PHOTO.id, SIZE, label_map=label_map())
    )


def objects(with_masks: bool = True) -> Instances:
    """A cow at the left, a sheep, and a cow inside the sheep; not in the order of their scores."""
    dense = torch.zeros(3, *SIZE, dtype=torch.bool)
    dense[0, 2:10, 2:10], dense[1, 5:20, 15:30], dense[2, 8:12, 18:24] = True, True, True
    dense[1, 5:8, 15:18] = False
    masks = Masks.from_dense(dense.numpy())
    return Instances(
        SIZE,
        masks.boxes_xyxy(),
        torch.tensor([1, 2, 1]),
        masks if with_masks else None,
        torch.tensor([0.6, 0.9, 0.7]),
    )


OBJECTS = objects()


def object_target(found: Instances = OBJECTS, **asked: Any) -> Target:
    prediction = Prediction(PHOTO.id, SIZE, instances=found)
    return find_target(Question(**asked), Fixed(found), PHOTO, prediction)


# --- classes of pixels ---


def test_the_class_with_the_most_pixels_besides_the_background_is_explained() -> None:
    target = semantic_target()
    assert (target.kind, target.label) == ("class", 1)
    assert target.mask is not None
    assert torch.equal(target.mask, label_map() == 1)


def test_the_background_is_explained_where_there_is_nothing_else() -> None:
    prediction = Prediction(PHOTO.id, SIZE, label_map=torch.zeros(SIZE, dtype=torch.uint8))
    assert find_target(Question(), Fixed(OBJECTS), PHOTO, prediction).label == 0


def test_void_everywhere_is_nothing_to_explain() -> None:
    prediction = Prediction(PHOTO.id, SIZE, label_map=torch.full(SIZE, 255, dtype=torch.uint8))
    with pytest.raises(NothingToExplainError, match="predicts no class here. Hint: name a class"):
        find_target(Question(), Fixed(OBJECTS), PHOTO, prediction)


def test_a_class_that_is_nowhere_is_explained_over_the_whole_image() -> None:
    prediction = Prediction(PHOTO.id, SIZE, label_map=torch.zeros(SIZE, dtype=torch.uint8))
    target = find_target(Question("sheep"), Fixed(OBJECTS), PHOTO, prediction)
    assert (target.kind, target.label, target.mask) == ("class", 2, None)


def test_a_point_stands_for_the_region_there() -> None:
    target = semantic_target(point=(5.5, 12.0))
    assert (target.kind, target.label) == ("region", 1)
    assert target.mask is not None
    assert int(target.mask.sum()) == 100
    assert semantic_target(point=(5.5, 12.0), class_name="sheep").label == 2


def test_a_box_stands_for_its_pixels_and_their_class() -> None:
    target = semantic_target(box=(18.0, 0.0, 60.0, 9.0))
    assert (target.kind, target.label) == ("region", 2)
    assert target.mask is not None
    assert torch.equal(target.mask.nonzero().amin(0), torch.tensor([0, 18]))
    assert int(target.mask.sum()) == 9 * 18
    tiny = semantic_target(box=(35.6, 23.7, 36.0, 24.0), class_name="cow").mask
    assert tiny is not None
    assert int(tiny.sum()) == 1


def test_void_at_a_point_is_nothing_to_explain() -> None:
    with pytest.raises(NothingToExplainError, match="no class at the point 33,22"):
        semantic_target(point=(33.0, 22.0))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"object": 0}, "predicts classes of pixels, not objects. Hint: leave out --object"),
        ({"part": "mask"}, "Hint: leave out --part"),
        ({"class_name": "cwo"}, "no class 'cwo'; expected one of: background, cow, sheep. Hint: .*'cow'"),
        ({"class_name": "Cow"}, "did you mean 'cow'"),
        ({"class_name": "xyzzy"}, "choose one of these"),
    ],
)
def test_what_pixels_do_not_have_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        semantic_target(**asked)


@pytest.mark.parametrize("find", [semantic_target, object_target])
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"point": (36.0, 5.0)}, "the point 36,5 is outside the image, which is 36 × 24 pixels"),
        ({"point": (-1.0, 5.0)}, "outside"),
        ({"box": (40.0, 0.0, 50.0, 9.0)}, "the box 40,0,50,9 is outside the image"),
        ({"box": (-9.0, 0.0, 0.0, 9.0)}, "outside"),
    ],
)
def test_a_place_outside_the_image_is_named(find: Any, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(NothingToExplainError, match=message):
        find(**asked)


# --- objects ---


def test_the_most_certain_object_is_explained() -> None:
    target = object_target()
    assert (target.kind, target.label, target.number, target.part) == ("object", 2, 1, "class")
    assert target.mask is not None
    assert target.box_xyxy is not None
    assert target.box_xyxy.tolist() == [15, 5, 30, 20]
    assert object_target(class_name="cow").number == 2
    assert object_target(object=0, part="mask").part == "mask"


def test_a_point_stands_for_the_most_certain_object_that_contains_it() -> None:
    assert object_target(point=(20.0, 9.0)).number == 1
    assert object_target(point=(20.0, 9.0), class_name="cow").number == 2
    with pytest.raises(NothingToExplainError, match=r"no objects at the point 16,6. Hint: .* one of 3 by"):
        object_target(point=(16.0, 6.0))
    assert object_target(objects(with_masks=False), point=(16.0, 6.0)).number == 1


def test_a_box_stands_for_the_object_that_fits_it_best() -> None:
    assert object_target(box=(17.0, 7.0, 25.0, 13.0)).number == 2
    assert object_target(box=(0.0, 0.0, 36.0, 24.0)).number == 1
    with pytest.raises(NothingToExplainError, match="no objects in the box 31,0,36,3"):
        object_target(box=(31.0, 0.0, 36.0, 3.0))


def test_a_number_too_high_lists_those_there_are() -> None:
    with pytest.raises(NothingToExplainError, match="no object 3: the model finds 3 objects .* 0, 1, 2"):
        object_target(object=3)
    with pytest.raises(NothingToExplainError, match="finds 2 objects of class 'cow' here, .* 0, 2"):
        object_target(object=1, class_name="cow")


def test_an_image_without_objects_has_nothing_to_explain() -> None:
    empty = Instances.empty(SIZE, with_masks=True, with_scores=True)
    for asked in ({}, {"object": 0}, {"point": (1.0, 1.0)}, {"class_name": "cow"}):
        with pytest.raises(NothingToExplainError, match="finds no objects .*so there is nothing to explain"):
            object_target(empty, **asked)  # type: ignore[arg-type]


def test_an_object_without_a_mask_has_none_to_explain() -> None:
    with pytest.raises(NothingToExplainError, match="object 1 has no mask. Hint: explain its class"):
        object_target(objects(with_masks=False), part="mask")


# --- classes of images ---


def test_the_predicted_class_of_an_image_is_explained() -> None:
    model = Pooled()
    (prediction,) = model.predict([PHOTO])
    wanted = int(prediction.extras["scores"].argmax())
    assert find_target(Question(), model, PHOTO, prediction) == Target("class", wanted)
    assert find_target(Question("sheep"), model, PHOTO, prediction) == Target("class", 2)
    for asked in ({"object": 0}, {"point": (1.0, 1.0)}, {"box": (1.0, 1.0, 3.0, 3.0)}):
        with pytest.raises(UsageError, match="the class of a whole image. Hint: leave out"):
            find_target(Question(**asked), model, PHOTO, prediction)  # type: ignore[arg-type]


def test_a_prediction_without_scores_needs_a_class() -> None:
    prediction = Prediction(PHOTO.id, SIZE, extras={"depth": torch.zeros(7)})
    with pytest.raises(UsageError, match="predicts no scores of classes. Hint: name a class"):
        find_target(Question(), Pooled(), PHOTO, prediction)
    assert find_target(Question("cow"), Pooled(), PHOTO, prediction).label == 1


# --- prompts ---


def test_a_promptable_model_needs_a_prompt() -> None:
    model = MODELS["sam2"].build()
    for asked, message in (
        ({}, "needs a prompt, whose answer is explained. Hint: give --point X,Y or --box"),
        ({"object": 0}, "Hint: leave out --object; give --point or --box"),
        ({"class_name": "cow", "point": (3.0, 3.0)}, "has no classes. Hint: leave out --class"),
    ):
        with pytest.raises(UsageError, match=message):
            find_target(Question(**asked), model, PHOTO, None)  # type: ignore[arg-type]


def test_prompts_that_were_never_trained_are_refused() -> None:
    model = MODELS["sam2"].build()
    model.untrained_prompts = ("box",)
    with pytest.raises(UsageError, match=r"never with prompts of the kind box.* Hint: prompt it as"):
        find_target(Question(box=(2.0, 2.0, 9.0, 9.0)), model, PHOTO, None, start_weights={"name": "none"})


# --- questions ---


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"object": 1, "point": (1.0, 2.0)}, "object and point were both given"),
        ({"object": -1}, "object must be 0 or more"),
        ({"box": (5.0, 5.0, 5.0, 9.0)}, "box 5,5,5,9 has no area"),
    ],
)
def test_questions_that_make_no_sense(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Question(**asked)


def test_classes_have_indexes() -> None:
    assert [class_index(name, CLASSES) for name in CLASSES] == [0, 1, 2]
