from __future__ import annotations

import torch

from toolkit.inference.findings import Findings, Tally, counts_by_class, findings_of, shares
from toolkit.types import Instances, Prediction

CLASSES = ("balloon", "ring")


def objects(labels: list[int], scores: list[float] | None) -> Prediction:
    found = Instances(
        (4, 6),
        torch.zeros((len(labels), 4)),
        torch.tensor(labels, dtype=torch.int64),
        scores=None if scores is None else torch.tensor(scores),
    )
    return Prediction("a", (4, 6), instances=found)


def tally(*predictions: Prediction, threshold: float = 0.5) -> Tally:
    total = Tally()
    for prediction in predictions:
        total.add(findings_of(prediction, CLASSES, threshold), prediction.size)
    return total


def test_objects_are_counted_by_class_from_the_threshold_on() -> None:
    found = findings_of(objects([0, 1, 0, 1, 7], [0.5, 0.9, 0.75, 0.25, 0.625]), CLASSES, 0.5)
    assert found == Findings(5, {"balloon": 2, "7": 1, "ring": 1}, float(torch.tensor(0.9)), {})
    assert list(found.found) == ["balloon", "7", "ring"]
    assert found.below == 1


def test_objects_without_scores_all_count() -> None:
    assert findings_of(objects([0, 0], None), CLASSES, 0.5) == Findings(2, {"balloon": 2})
    assert findings_of(objects([], []), CLASSES, 0.5) == Findings(0)


def test_pixels_are_counted_by_class_and_void_is_left_out() -> None:
    label_map = torch.tensor([[0, 1, 1], [255, 1, 255]], dtype=torch.uint8)
    found = findings_of(Prediction("a", (2, 3), label_map), CLASSES, 0.5)
    assert found == Findings(pixels={"ring": 3, "balloon": 1}, has_label_map=True)
    assert found.objects is None


def test_lines_name_the_most_frequent_and_count_the_rest() -> None:
    assert counts_by_class({"balloon": 3, "ring": 1}) == "3 balloon, 1 ring"
    assert counts_by_class({"object": 4, "ring": 1}) == "4 objects, 1 ring"
    assert counts_by_class({}) == ""
    assert counts_by_class({str(i): 1000 for i in range(8)}).endswith("1,000 4 and 3 other classes")
    assert shares({"sky": 61, "road": 38, "car": 1}, 1000) == "6% sky, 4% road, < 1% car"


def test_a_tally_says_what_was_found_in_all_images() -> None:
    total = tally(objects([0, 1], [0.9, 0.2]), objects([0, 0], [0.6, 0.8]), objects([], []))
    assert total.line() == "3 balloon; 1 with lower scores are in the files, but not drawn"
    assert total.warnings(0.5) == []
    assert str(total) == total.line()
    assert repr(total) == f"Tally(3 images: {total.line()})"
    assert Tally().line() == ""
    assert Tally().warnings(0.5) == []


def test_nothing_that_is_good_enough_to_be_drawn_is_said_and_the_advice_helps() -> None:
    images = objects([0, 1], [0.31, 0.2]), objects([1], [0.1])
    (warning,) = tally(*images).warnings(0.5)
    assert (
        "the highest score in all 2 images is 0.31, and only objects with at least 0.5 are drawn" in warning
    )
    assert "--draw-above 0.3," in warning
    assert tally(*images, threshold=0.3).found == {"balloon": 1}
    for score in (0.009, 0.02, 0.499):
        low = objects([0], [score])
        advised = float(tally(low).warnings(0.5)[0].split("--draw-above ")[1].split(",")[0])
        assert tally(low, threshold=advised).found == {"balloon": 1}


def test_no_objects_anywhere_is_said() -> None:
    assert tally(objects([], [])).warnings(0.5)[0].startswith("no objects were found in the image. Hint:")
    assert tally(objects([], []), objects([], [])).line() == "no objects"


def test_one_class_everywhere_is_said() -> None:
    same = Prediction("a", (2, 2), torch.ones((2, 2), dtype=torch.uint8))
    void = Prediction("a", (2, 2), torch.full((2, 2), 255, dtype=torch.uint8))
    two = Prediction("a", (2, 2), torch.tensor([[0, 1], [1, 1]], dtype=torch.uint8))
    assert tally(same, same).warnings(0.5)[0].startswith("every pixel of all 2 images is 'ring'. Hint:")
    assert tally(same, two).warnings(0.5) == []
    assert tally(same, two).line() == "88% ring, 12% balloon"
    assert tally(void, void).warnings(0.5)[0].startswith("no pixel of all 2 images has a class. Hint:")


def test_what_a_tasks_plugin_predicts_is_not_judged() -> None:
    other = Prediction("a", (2, 2), extras={"depth": 1})
    assert tally(other).line() == ""
    assert tally(other).warnings(0.5) == []
