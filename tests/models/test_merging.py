"""Objects of windows become those of the image: the same as without windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from merging_cases import Oracle, as_runs, at, blob, horseshoe, scene, separate_blobs, snake
from numpy.typing import NDArray

from toolkit.errors import InvalidDataError
from toolkit.models.merging import ObjectMerger, merge_windows
from toolkit.models.window_grid import grid
from toolkit.types import Instances, Masks, Size
from toolkit.types.pixel_runs import area_of, overlap_of, runs_of_code

OVERLAPS = [0.0, 0.1, 0.25, 0.5]


def merged(oracle: Oracle, window: int, overlap: float) -> Instances:
    windows = [each for row in grid(oracle.size, window, overlap) for each in row]
    return merge_windows([(window, oracle.show(window)) for window in windows])


def codes(found: Instances) -> list[tuple[int, bytes]]:
    assert found.masks is not None
    return sorted(zip(found.labels.tolist(), found.masks.counts, strict=True))


def truth(masks: list[NDArray[np.bool_]], labels: list[int]) -> list[tuple[int, bytes]]:
    return sorted(zip(labels, Masks.from_dense(np.stack(masks)).counts, strict=True))


@pytest.fixture(scope="module")
def large_scene() -> tuple[Size, list[NDArray[np.bool_]], list[int]]:
    size = (1100, 1300)
    return size, *scene(size, seed=0, count=60)


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("window", [256, 512, 1024])
def test_the_same_objects_as_without_windows_to_the_pixel(
    window: int, overlap: float, large_scene: tuple[Size, list[NDArray[np.bool_]], list[int]]
) -> None:
    """Touching objects, a U, objects that are larger than a window, and very small ones."""
    size, masks, labels = large_scene
    assert codes(merged(Oracle(size, masks, labels), window, overlap)) == truth(masks, labels)


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("window", [48, 80, 150])
def test_pieces_that_a_window_shows_apart_become_one_object(window: int, overlap: float) -> None:
    size = (240, 200)
    masks, labels = scene(size, seed=1, count=12)
    assert codes(merged(Oracle(size, masks, labels, split=True), window, overlap)) == truth(masks, labels)


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_boxes_alone_are_merged(overlap: float) -> None:
    size = (400, 500)
    masks = separate_blobs(size, seed=0)
    labels = [i % 2 for i in range(len(masks))]
    found = merged(Oracle(size, masks, labels, boxes_only=True), 128, overlap)
    assert found.masks is None
    expected = torch.cat([Masks.from_dense(np.stack(masks)).boxes_xyxy(), torch.tensor(labels)[:, None]], 1)
    assert sorted(torch.cat([found.boxes_xyxy, found.labels[:, None]], 1).tolist()) == sorted(
        expected.tolist()
    )


@pytest.mark.parametrize("boxes_only", [False, True])
@pytest.mark.parametrize("overlap", OVERLAPS)
def test_outlines_that_differ_between_windows_do_not_multiply_objects(
    overlap: float, boxes_only: bool
) -> None:
    """The stated tolerance: where the outlines of windows differ by up to a pixel in each direction, and
    pieces of less than 9 pixels are not seen, the number of objects is right to 2 %, and every object is
    found.
    """
    size = (600, 600)
    masks = separate_blobs(size, seed=0)
    oracle = Oracle(size, masks, [0] * len(masks), shake=1, least=9, boxes_only=boxes_only)
    found = merged(oracle, 256, overlap)
    assert abs(len(found) - len(masks)) <= 0.02 * len(masks)
    if found.masks is not None:
        runs = [runs_of_code(code, size) for code in found.masks.counts]
        for each in as_runs(masks):
            shared = [(overlap_of(each, other), area_of(other)) for other in runs]
            assert max(both / (area_of(each) + area - both) for both, area in shared) > 0.7


def test_every_order_of_windows_gives_the_same(
    large_scene: tuple[Size, list[NDArray[np.bool_]], list[int]],
) -> None:
    size, masks, labels = large_scene
    oracle = Oracle(size, masks, labels)
    windows = [each for row in grid(size, 256, 0.25) for each in row]
    np.random.default_rng(0).shuffle(windows)
    assert codes(merge_windows([(each, oracle.show(each)) for each in windows])) == truth(masks, labels)


def test_objects_that_touch_are_not_merged_where_windows_overlap() -> None:
    """Two halves of one disc, of one class, that meet exactly where a window ends."""
    size = (64, 192)
    disc = blob(size, (32, 96), (20, 30))
    for line in range(60, 130, 3):
        left = disc & (np.indices(size)[1] < line)
        halves = [half for half in (left, disc & ~left) if half.any()]
        assert codes(merged(Oracle(size, halves, [0] * len(halves)), 96, 0.25)) == truth(
            halves, [0] * len(halves)
        )


def test_where_windows_only_touch_facing_pixels_are_the_evidence() -> None:
    size = (64, 128)
    rows, columns = np.indices(size)
    large = (columns >= 30) & (columns < 64) & (rows >= 4) & (rows < 60)
    small = (columns >= 64) & (columns < 90) & (rows >= 20) & (rows < 30)
    assert len(merged(Oracle(size, [large, small], [0, 0]), 64, 0)) == 2  # one sixth of the seam
    same = (columns >= 64) & (columns < 90) & (rows >= 4) & (rows < 60)
    assert len(merged(Oracle(size, [large, same], [0, 0]), 64, 0)) == 1  # nobody could tell
    assert len(merged(Oracle(size, [large, same], [0, 1]), 64, 0)) == 2
    apart = np.roll(same, 1, axis=1) & (columns > 64)
    assert len(merged(Oracle(size, [large, apart], [0, 0]), 64, 0)) == 2


def test_small_objects_on_a_large_one_of_their_class_stay() -> None:
    size = (200, 300)
    large, small = blob(size, (100, 150), (80, 130)), blob(size, (100, 150), (6, 9))
    for overlap in OVERLAPS:
        found = merged(Oracle(size, [large, small], [0, 0]), 128, overlap)
        assert codes(found) == truth([large, small], [0, 0])


def test_a_u_and_a_snake_through_many_windows() -> None:
    size = (300, 400)
    masks = [horseshoe(size, 20, 30, 100, 150, 9), snake(size, 7)]
    masks[1] &= ~masks[0]
    for overlap in OVERLAPS:
        found = merged(Oracle(size, [masks[0]], [0], split=True), 64, overlap)
        assert codes(found) == truth(masks[:1], [0])
        found = merged(Oracle(size, [snake(size, 7)], [1]), 64, overlap)
        assert codes(found) == truth([snake(size, 7)], [1])


def test_an_object_seen_whole_is_that_of_its_window() -> None:
    """Not the union with what other windows saw of it, nor their score."""
    size = (40, 100)
    mask = blob(size, (20, 50), (10, 10))
    one, other = at(0, 0, (40, 55), size), at(0, 30, (40, 70), size)
    oracle = Oracle(size, [mask], [0])
    cut, whole = oracle.show(one), oracle.show(other)
    thick = np.zeros((40, 55), bool)
    thick[8:32, 38:55] = True  # what the network made of the cut disc
    cut = replace(cut, masks=Masks.from_dense(thick[None]), scores=torch.tensor([0.99]))
    found = merge_windows([(one, cut), (other, replace(whole, scores=torch.tensor([0.6])))])
    assert codes(found) == truth([mask], [0])
    assert found.scores is not None
    assert found.scores.tolist() == pytest.approx([0.6])


def test_an_object_put_together_has_the_best_score_and_the_box_around_all() -> None:
    size = (20, 100)
    bar = np.zeros(size, bool)
    bar[5:15, 10:90] = True
    one, other = at(0, 0, (20, 60), size), at(0, 40, (20, 60), size)
    oracle = Oracle(size, [bar], [1])
    pair = [
        (window, replace(oracle.show(window), scores=torch.tensor([score])))
        for window, score in ((one, 0.25), (other, 0.75))
    ]
    found = merge_windows(pair)
    assert (found.labels.tolist(), found.boxes_xyxy.tolist()) == ([1], [[10, 5, 90, 15]])
    assert found.scores is not None
    assert found.scores.tolist() == [0.75]


def test_two_objects_of_a_window_stay_two_if_one_is_whole() -> None:
    """The other window shows them as one, cut by its edge."""
    size = (40, 120)
    first, second = np.zeros(size, bool), np.zeros(size, bool)
    first[10:20, 60:80] = True
    second[20:30, 60:110] = True
    one, other = at(0, 0, (40, 90), size), at(0, 40, (40, 80), size)
    fused = Oracle(size, [first | second], [0]).show(one)
    found = merge_windows([(one, fused), (other, Oracle(size, [first, second], [0, 0]).show(other))])
    assert len(found) == 2
    assert truth([first], [0])[0] in codes(found)


def test_keypoints_move_with_their_objects() -> None:
    size = (40, 100)
    window = at(0, 30, (40, 70), size)
    shown = Oracle(size, [blob(size, (20, 60), (5, 5))], [0]).show(window)
    shown = replace(shown, keypoints=torch.tensor([[[10.5, 3.5, 1.0]]]))
    found = merge_windows([(window, shown)])
    assert found.keypoints is not None
    assert found.keypoints.tolist() == [[[40.5, 3.5, 1.0]]]


def test_without_objects_and_without_scores() -> None:
    size = (30, 50)
    for with_masks in (False, True):
        windows = [each for row in grid(size, 20, 0.2) for each in row]
        nothing = [
            (each, Instances.empty(each.size, with_masks=with_masks, with_scores=True)) for each in windows
        ]
        found = merge_windows(nothing)
        assert (len(found), found.size, found.masks is not None) == (0, size, with_masks)
    shown = [
        (each, replace(Oracle(size, [blob(size, (15, 20), (9, 9))], [0]).show(each), scores=None))
        for each in windows
    ]
    found = merge_windows(shown)
    assert (len(found), found.scores) == (1, None)


def test_an_empty_mask_stays_an_object() -> None:
    """What a model says is not lost, even if it has no pixels."""
    size = (30, 50)
    window = at(0, 0, size, size)
    empty = Instances(
        size,
        torch.tensor([[1.0, 2.0, 3.0, 4.0]]),
        torch.tensor([0]),
        Masks.from_dense(np.zeros((1, *size), bool)),
    )
    assert len(merge_windows([(window, empty)])) == 1


def test_objects_of_another_size_than_their_window_are_an_error() -> None:
    window = at(0, 0, (20, 20), (30, 30))
    with pytest.raises(InvalidDataError, match="expected the window's own size"):
        ObjectMerger((30, 30)).add(window, Instances.empty((20, 21)))
    with pytest.raises(InvalidDataError, match="no windows"):
        merge_windows([])
