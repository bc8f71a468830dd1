"""Anchors, deltas, matching, drawing, levels: against loops that say the same in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toolkit.plugins.maskrcnn import matching
from toolkit.plugins.maskrcnn.anchors import cell_anchors, grid_anchors
from toolkit.plugins.maskrcnn.boxes import (
    MOST_GROWTH,
    are_larger,
    clip,
    decode,
    delta_loss,
    encode,
    pairwise_iou,
)
from toolkit.plugins.maskrcnn.pooling import assign_levels, pool_regions
from toolkit.plugins.maskrcnn.roi_heads import RoIHeads
from toolkit.plugins.maskrcnn.rpn import ProposalGenerator, RPNOutput
from toolkit.plugins.maskrcnn.settings import AnchorSettings, MaskRCNNSettings, RPNSettings
from torch import Tensor
from torchvision.ops import box_iou, nms


def random_boxes(count: int, seed: int = 0, size: float = 100, least: float = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * (size - least)
    extent = least + torch.rand(count, 2, generator=generator) * (size - least - corner)
    return torch.cat([corner, corner + extent], dim=1)


# Anchors


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_anchors_stand_on_every_cell(offset: float) -> None:
    settings = AnchorSettings(sizes=((32.0, 40.0),), aspect_ratios=((0.5, 1, 2),), offset=offset)
    shapes, strides = [(3, 5), (2, 3), (1, 2), (1, 1), (1, 1)], (4, 8, 16, 32, 64)
    cells = [cell_anchors(*level) for level in settings.by_level()]
    levels = grid_anchors(cells, [torch.zeros(2, 7, *shape) for shape in shapes], strides, offset)
    for (height, width), stride, anchors in zip(shapes, strides, levels, strict=True):
        expected = []
        for row in range(height):
            for column in range(width):
                x, y = (column + offset) * stride, (row + offset) * stride
                for size in (32.0, 40.0):
                    for ratio in (0.5, 1, 2):
                        w, h = size / math.sqrt(ratio), size * math.sqrt(ratio)
                        expected.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        torch.testing.assert_close(anchors, torch.tensor(expected))


def test_anchors_of_a_cell_have_the_area_and_ratio_asked_for() -> None:
    boxes = cell_anchors((8, 300), (0.25, 3))
    extent = boxes[:, 2:] - boxes[:, :2]
    torch.testing.assert_close(extent.prod(1), torch.tensor([64.0, 64, 90000, 90000]))
    torch.testing.assert_close(extent[:, 1] / extent[:, 0], torch.tensor([0.25, 3, 0.25, 3]))


def test_each_level_may_have_sizes_of_its_own() -> None:
    settings = AnchorSettings(sizes=((8,), (16,), (32,), (64,), (128,)), aspect_ratios=((1, 2),))
    cells = [cell_anchors(*level) for level in settings.by_level()]
    levels = grid_anchors(cells, [torch.zeros(1, 1, 1, 1)] * 5, (4, 8, 16, 32, 64), settings.offset)
    assert [float(level[0, 2] - level[0, 0]) for level in levels] == [8, 16, 32, 64, 128]
    assert settings.per_cell == 2


# Boxes


def naive_decode(box: Sequence[float], delta: Sequence[float], weights: Sequence[float]) -> list[float]:
    x0, y0, x1, y1 = box
    dx, dy, dw, dh = (d / w for d, w in zip(delta, weights, strict=True))
    width, height = x1 - x0, y1 - y0
    x, y = x0 + width / 2 + dx * width, y0 + height / 2 + dy * height
    width, height = width * math.exp(min(dw, math.log(62.5))), height * math.exp(min(dh, math.log(62.5)))
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


@pytest.mark.parametrize("classes", [1, 3])
def test_decoding_moves_boxes_class_by_class(classes: int) -> None:
    boxes, weights = random_boxes(20), (10.0, 10.0, 5.0, 5.0)
    deltas = (
        torch.randn(20, classes * 4, generator=torch.Generator().manual_seed(1)) * 10
    )  # far beyond what clamping allows
    decoded = decode(boxes, deltas, weights)
    for i in range(20):
        expected = [
            v
            for k in range(classes)
            for v in naive_decode(boxes[i].tolist(), deltas[i, 4 * k : 4 * k + 4].tolist(), weights)
        ]
        torch.testing.assert_close(decoded[i], torch.tensor(expected), rtol=1e-4, atol=1e-3)


@given(st.integers(0, 2**31), st.sampled_from([(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)]))
def test_decoding_undoes_encoding(seed: int, weights: tuple[float, float, float, float]) -> None:
    boxes, targets = random_boxes(8, seed, least=2), random_boxes(8, seed + 1, least=2)
    torch.testing.assert_close(
        decode(boxes, encode(boxes, targets, weights), weights), targets, rtol=1e-4, atol=1e-3
    )


def test_growth_is_bounded() -> None:
    decoded = decode(
        torch.tensor([[0.0, 0, 16, 16]]), torch.tensor([[0.0, 0, 1e6, MOST_GROWTH]]), (1.0, 1.0, 1.0, 1.0)
    )
    torch.testing.assert_close(decoded, torch.tensor([[-492.0, -492, 508, 508]]))


def test_no_boxes_at_all() -> None:
    none = torch.zeros(0, 4)
    assert (
        encode(none, none, (1, 1, 1, 1)).shape
        == decode(none, none, (1, 1, 1, 1)).shape
        == clip(none, (3, 3)).shape
        == (0, 4)
    )
    assert pairwise_iou(none, torch.ones(3, 4)).shape == (0, 3)
    assert float(delta_loss(none, none, 0.5)) == 0


def test_iou_is_that_of_torchvision_and_0_for_boxes_without_area() -> None:
    a, b = random_boxes(30), random_boxes(40, 1)
    torch.testing.assert_close(pairwise_iou(a, b), box_iou(a, b))
    flat = torch.tensor([[5.0, 5, 5, 9], [5, 5, 5, 9], [3, 3, 3, 3]])
    assert torch.equal(pairwise_iou(flat, flat), torch.zeros(3, 3))


def test_clipping_and_sizes() -> None:
    boxes = torch.tensor([[-5.0, 2, 30, 40], [25, 25, 28, 28]])
    assert clip(boxes, (10, 20)).tolist() == [[0, 2, 20, 10], [20, 10, 20, 10]]
    assert are_larger(torch.tensor([[0.0, 0, 2, 3], [0, 0, 2, 2]]), 2).tolist() == [False, False]
    assert are_larger(torch.tensor([[0.0, 0, 2.5, 3]]), 2).tolist() == [True]


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_loss_of_deltas(beta: float) -> None:
    given_, wanted = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(6, 4)
    total = sum(
        0.5 * d * d / beta if abs(d) < beta else abs(d) - 0.5 * beta for d in given_.flatten().tolist()
    )
    assert float(delta_loss(given_, wanted, beta)) == pytest.approx(total, rel=1e-5)


# Matching


def naive_match(
    objects: Tensor, boxes: Tensor, thresholds: Sequence[float], low_quality: bool
) -> tuple[list[int], list[int]]:
    iou = pairwise_iou(objects, boxes).tolist()
    indexes, labels = [], []
    for j in range(len(boxes)):
        column = [row[j] for row in iou]
        best = max(column, default=-1.0)
        indexes.append(column.index(best) if column else 0)
        labels.append(1 if best >= thresholds[-1] else 0 if best < thresholds[0] else -1)
        if low_quality and any(row[j] == max(row) > 0 for row in iou):
            labels[-1] = 1
    return indexes, labels


@pytest.mark.parametrize(
    ("thresholds", "low_quality"), [((0.3, 0.7), True), ((0.3, 0.7), False), ((0.5,), False)]
)
@pytest.mark.parametrize(("objects", "boxes"), [(6, 200), (1, 50), (0, 20), (5, 0), (40, 7)])
@pytest.mark.parametrize("pairs", [1, 300, 2**22])
def test_matching_is_what_the_loops_say(
    monkeypatch: pytest.MonkeyPatch,
    thresholds: tuple[float, ...],
    low_quality: bool,
    objects: int,
    boxes: int,
    pairs: int,
) -> None:
    monkeypatch.setattr(matching, "_PAIRS_AT_ONCE", pairs)
    some, others = random_boxes(objects), random_boxes(boxes, 1)
    others = torch.cat([others, others[:3], some[:2]])  # ties, and boxes that are the objects' own
    index, labels = matching.match(some, others, thresholds, allow_low_quality=low_quality)
    assert (index.tolist(), labels.tolist()) == naive_match(some, others, thresholds, low_quality)


def test_an_object_that_no_box_touches_makes_no_box_positive() -> None:
    index, labels = matching.match(
        torch.tensor([[500.0, 500, 510, 510]]), random_boxes(9), (0.3, 0.7), allow_low_quality=True
    )
    assert labels.tolist() == [0] * 9
    assert index.tolist() == [0] * 9


# Drawing


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [(100, 100, (8, 24)), (3, 100, (3, 29)), (100, 4, (8, 4)), (0, 100, (0, 32)), (0, 0, (0, 0))],
)
def test_drawing_fills_up_with_background(positives: int, negatives: int, expected: tuple[int, int]) -> None:
    labels = torch.tensor([2, 0] * (positives // 2) + [0] * (positives % 2) + [5] * negatives + [-1] * 50)
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    positive, negative = matching.subsample(labels, 32, 0.25, 5)
    assert (len(positive), len(negative)) == expected
    assert len(set(positive.tolist())) == len(positive)
    assert len(set(negative.tolist())) == len(negative)
    assert set(labels[positive].tolist()) <= {0, 2}
    assert set(labels[negative].tolist()) <= {5}


def test_drawing_follows_the_seed() -> None:
    labels = torch.tensor([1, 0, 0, 1, 0] * 40)
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append([part.tolist() for part in matching.subsample(labels, 32, 0.5, 0)])
    assert draws[0] == draws[1] != draws[2]


def test_each_box_is_as_likely_as_any_other() -> None:
    torch.manual_seed(0)
    counts = torch.zeros(40)
    for _ in range(1000):
        counts[matching.subsample(torch.zeros(40), 10, 0.5, 0)[1]] += 1
    assert counts.sum() == 10_000
    assert float((counts - 250).abs().max()) < 5 * math.sqrt(1000 * 0.25 * 0.75)


# Regions


@given(st.floats(0.01, 3000), st.floats(0.01, 3000))
def test_a_region_goes_to_the_level_of_its_size(width: float, height: float) -> None:
    box = torch.tensor([[7.0, 9.0, 7 + width, 9 + height]])
    size = math.sqrt(float(box[0, 2] - box[0, 0]) * float(box[0, 3] - box[0, 1]))
    exact = 4 + math.log2(size / 224 + 1e-8)
    if abs(exact - round(exact)) > 1e-4:  # at a border rounding decides
        assert int(assign_levels(box, (4, 8, 16, 32))) == min(max(math.floor(exact), 2), 5) - 2


def naive_roi_align(features: Tensor, box: list[float], side: int, stride: int) -> Tensor:
    """Means of bilinear samples, ceil(extent of a bin) of them each way, at positions that count from cell
    centers.
    """
    height, width = features.shape[1:]
    x0, y0, x1, y1 = (v / stride - 0.5 for v in box)
    bin_w, bin_h = (x1 - x0) / side, (y1 - y0) / side
    nx, ny = math.ceil(bin_w), math.ceil(bin_h)
    out = torch.zeros(len(features), side, side)
    for i in range(side):
        for j in range(side):
            for iy in range(ny):
                for ix in range(nx):
                    y, x = y0 + bin_h * (i + (iy + 0.5) / ny), x0 + bin_w * (j + (ix + 0.5) / nx)
                    if not (-1 <= y <= height and -1 <= x <= width):
                        continue
                    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                    top, left = min(int(y), height - 2), min(int(x), width - 2)
                    v, u = y - top, x - left
                    patch = features[:, top : top + 2, left : left + 2]
                    weights = torch.tensor([[(1 - v) * (1 - u), (1 - v) * u], [v * (1 - u), v * u]])
                    out[:, i, j] += (patch * weights).sum((1, 2)) / (nx * ny)
    return out


def test_pooling_is_what_the_loops_say() -> None:
    torch.manual_seed(0)
    strides = (4, 8, 16, 32)
    features = [torch.randn(2, 3, 512 // stride, 640 // stride) for stride in strides]
    boxes = [
        torch.tensor([[3.0, 5, 40, 61], [0, 0, 640, 512], [600, 400, 640, 512]]),
        torch.tensor([[100.0, 90, 300, 300], [7, 7, 7.5, 9]]),
    ]
    pooled = pool_regions(features, boxes, output_size=5, strides=strides)
    expected = []
    for image, some in enumerate(boxes):
        for box in some:
            level = int(assign_levels(box[None], strides))
            expected.append(naive_roi_align(features[level][image], box.tolist(), 5, strides[level]))
    torch.testing.assert_close(pooled, torch.stack(expected), rtol=1e-4, atol=1e-4)


def test_pooling_no_regions_keeps_shape_and_graph() -> None:
    features = [torch.zeros(2, 3, n, n, requires_grad=True) for n in (16, 8, 4, 2)]
    pooled = pool_regions(features, [torch.zeros(0, 4)] * 2, output_size=7, strides=(4, 8, 16, 32))
    assert pooled.shape == (0, 3, 7, 7)
    assert pooled.requires_grad


# Proposals and detections


def naive_nms(boxes: Tensor, scores: Tensor, groups: list[int], threshold: float) -> list[int]:
    kept: list[int] = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if all(
            groups[i] != groups[k] or float(pairwise_iou(boxes[i : i + 1], boxes[k : k + 1])) <= threshold
            for k in kept
        ):
            kept.append(i)
    return kept


@pytest.mark.parametrize("training", [True, False])
def test_proposals_are_the_best_of_each_level_without_duplicates(training: bool) -> None:
    torch.manual_seed(0)
    settings = RPNSettings(
        pre_nms_topk_train=20,
        pre_nms_topk_test=12,
        post_nms_topk_train=25,
        post_nms_topk_test=9,
        nms_thresh=0.5,
        min_size=3,
    )
    counts = (60, 15, 6, 2, 1)
    anchors = [random_boxes(count, i, size=130) - 15 for i, count in enumerate(counts)]
    logits = [torch.randn(2, count) for count in counts]
    deltas = [torch.randn(2, count, 4) * 0.3 for count in counts]
    logits[0][1, 3], deltas[1][0, 2, 1] = math.nan, math.inf
    generator = ProposalGenerator(4, AnchorSettings(), settings)
    found = generator.proposals(RPNOutput(anchors, logits, deltas), [(100, 90), (70, 100)], training=training)
    before, after = (20, 25) if training else (12, 9)
    for image, size in enumerate([(100, 90), (70, 100)]):
        boxes, scores, groups = [], [], []
        for level, count in enumerate(counts):
            order = logits[level][image].topk(min(before, count)).indices.tolist()
            for k in order:
                box = torch.tensor(
                    naive_decode(anchors[level][k].tolist(), deltas[level][image, k].tolist(), (1, 1, 1, 1))
                )
                if not bool(torch.isfinite(box).all()) or not math.isfinite(float(logits[level][image, k])):
                    continue
                box = clip(box, size)
                if min(box[2] - box[0], box[3] - box[1]) > 3:
                    boxes.append(box)
                    scores.append(float(logits[level][image, k]))
                    groups.append(level)
        kept = naive_nms(torch.stack(boxes), torch.tensor(scores), groups, 0.5)[:after]
        torch.testing.assert_close(found[image], torch.stack([boxes[k] for k in kept]), rtol=1e-4, atol=1e-3)
        assert len(found[image]) == min(after, len(kept))


@pytest.mark.parametrize("shared", [True, False])
def test_detections_are_kept_class_by_class(shared: bool) -> None:
    torch.manual_seed(0)
    options = {"score_thresh_test": 0.2, "nms_thresh_test": 0.4, "detections_per_image": 12}
    heads = RoIHeads(
        MaskRCNNSettings(roi=options, fpn={"out_channels": 4}, box_head={"fc_dim": 4}, masks=False), 3
    )
    boxes = torch.stack([random_boxes(40, seed=i, size=120) - 10 for i in range(1 if shared else 3)], dim=1)
    probabilities = (torch.randn(40, 4) * 2).softmax(1)
    found = heads._keep(boxes, probabilities, (100, 80))
    candidates = [(r, k) for r in range(40) for k in range(3) if probabilities[r, k] > 0.2]
    flat = torch.stack([clip(boxes[r, 0 if shared else k], (100, 80)) for r, k in candidates])
    scores = torch.stack([probabilities[r, k] for r, k in candidates])
    kept = naive_nms(flat, scores, [k for _, k in candidates], 0.4)[:12]
    assert torch.equal(found.boxes, flat[kept])
    assert torch.equal(found.scores, scores[kept])
    assert found.labels.tolist() == [candidates[i][1] for i in kept]
    assert len(nms(flat, scores, 0.4)) < len(
        naive_nms(flat, scores, [k for _, k in candidates], 0.4)
    )  # classes do matter here


def test_detections_that_are_not_finite_are_dropped() -> None:
    heads = RoIHeads(MaskRCNNSettings(fpn={"out_channels": 4}, box_head={"fc_dim": 4}, masks=False), 2)
    boxes = torch.tensor([[[0.0, 0, 9, 9]], [[0, 0, math.nan, 9]], [[20, 20, 30, 30]]])
    probabilities = torch.tensor([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [math.nan, 0.5, 0.5]])
    assert heads._keep(boxes, probabilities, (50, 50)).boxes.tolist() == [[0, 0, 9, 9]]
