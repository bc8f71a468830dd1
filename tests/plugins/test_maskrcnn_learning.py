"""What the network learns from a batch: its losses, what it learns from, its optimizer's groups."""

from __future__ import annotations

import math

import pytest
import torch
from maskrcnn_tiny import losses, samples, tiny, with_keypoints
from toolkit.plugins.maskrcnn import matching
from toolkit.plugins.maskrcnn.boxes import encode, pairwise_iou
from toolkit.plugins.maskrcnn.targets import mask_targets
from torch import nn
from torch.nn import functional as F

from toolkit.errors import InvalidDataError
from toolkit.models.contract import total_loss
from toolkit.types import Instances


def test_losses_are_what_the_loops_say() -> None:
    """All anchors and proposals are drawn, so nothing is left to chance; sums are written out in float64."""
    everything = {"batch_size_per_image": 100_000, "positive_fraction": 1.0}
    model = tiny(
        rpn=everything | {"bbox_reg_loss_weight": 2.0},
        roi={"batch_size_per_image": 10_000, "positive_fraction": 1.0},
    ).eval()
    for head in (
        model.proposal_generator.rpn_head.anchor_deltas,
        model.roi_heads.box_predictor.bbox_pred,
        model.roi_heads.mask_head.predictor,
    ):  # type: ignore[union-attr]
        nn.init.normal_(head.weight, std=0.3)
    batch = samples(2)
    found = losses(model, batch)
    sizes = [sample.size for sample in batch]
    with torch.no_grad():
        features = model.backbone(model.batch(batch, sizes))
        output = model.proposal_generator(features)
        proposals = model.proposal_generator.proposals(output, sizes, training=True)
    expected = dict.fromkeys(found, 0.0)
    anchors, regions, masked = torch.cat(output.anchors), 0, 0
    for i, sample in enumerate(batch):
        assert sample.instances is not None
        truth, labels = sample.instances.boxes_xyxy, sample.instances.labels
        objects, kinds = matching.match(truth, anchors, (0.3, 0.7), allow_low_quality=True)
        logits, deltas = torch.cat(output.logits, 1)[i].double(), torch.cat(output.deltas, 1)[i].double()
        wanted = encode(anchors, truth[objects], (1, 1, 1, 1)).double()
        for k in range(len(anchors)):
            if kinds[k] >= 0:
                p = 1 / (1 + math.exp(-float(logits[k])))
                expected["loss_rpn_cls"] -= math.log(p if kinds[k] else 1 - p) / (100_000 * 2)
            if kinds[k] == 1:
                expected["loss_rpn_loc"] += 2 * float((deltas[k] - wanted[k]).abs().sum()) / (100_000 * 2)
        boxes = torch.cat([proposals[i], truth])
        iou, objects = pairwise_iou(truth, boxes).max(0)
        single = [features_of[i : i + 1] for features_of in features]
        with torch.no_grad():
            scores, moves = model.roi_heads._predict_boxes(single, [boxes])
            mask_logits = model.roi_heads.mask_head(model.roi_heads._pool(single, [boxes], 14))  # type: ignore[misc]
        assert sample.instances.masks is not None
        targets = mask_targets(sample.instances.masks, objects, boxes, sample.size, 28)
        for r in range(len(boxes)):
            label = int(labels[objects[r]]) if iou[r] >= 0.5 else 2
            expected["loss_cls"] -= float(scores[r].double().log_softmax(0)[label])
            regions += 1
            if label < 2:
                delta = encode(boxes[r : r + 1], truth[objects[r]][None], (10, 10, 5, 5))[0]
                expected["loss_box_reg"] += float((moves[r, 4 * label : 4 * label + 4] - delta).abs().sum())
                expected["loss_mask"] += float(
                    F.binary_cross_entropy_with_logits(mask_logits[r, label], targets[r])
                )
                masked += 1
    for name, count in (("loss_cls", regions), ("loss_box_reg", regions), ("loss_mask", masked)):
        expected[name] /= count
    assert masked >= 6  # the objects' own boxes at least
    assert found == pytest.approx(expected, rel=1e-4)


def test_what_is_drawn_follows_the_seed() -> None:
    model, batch = tiny().eval(), samples()
    assert losses(model, batch, 1) == losses(model, batch, 1) != losses(model, batch, 2)


def test_crowds_are_not_learned_from() -> None:
    model, (sample,) = tiny().eval(), samples(1)
    instances = sample.instances
    assert instances is not None
    crowd = torch.zeros(len(instances), dtype=torch.bool)
    crowd[1] = True
    fields = (instances.size, instances.boxes_xyxy, instances.labels, instances.masks)
    marked = sample.with_(instances=Instances(*fields, is_crowd=crowd))
    without = sample.with_(instances=instances[~crowd])
    assert losses(model, [marked]) == losses(model, [without]) != losses(model, [sample])


@pytest.mark.parametrize("norm", ["none", "BN", "SyncBN", "GN"])
def test_images_without_objects_train(norm: str) -> None:
    model = tiny(
        mask_head={"norm": norm}, fpn={"norm": norm}, keypoint_count=3, keypoint_head={"conv_dims": [8]}
    ).train()
    batch = samples(2, objects=0)
    values = model.loss(batch)
    total_loss(values).backward()
    assert all(math.isfinite(value.item()) for value in values.values())
    assert (
        values["loss_mask"]
        == values["loss_keypoint"]
        == values["loss_box_reg"]
        == values["loss_rpn_loc"]
        == 0
    )
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_objects_and_none_in_one_batch() -> None:
    values = losses(tiny().train(), [*samples(1), *samples(1, objects=0)])
    assert values["loss_mask"] > 0


def test_no_proposals_at_all() -> None:
    model = tiny(rpn={"min_size": 10_000}, roi={"proposal_append_gt": False})
    assert all(math.isfinite(value) for value in losses(model, samples()).values())
    prediction = model.predict(samples(1))[0]
    assert prediction.instances is not None
    assert len(prediction.instances) == 0


def test_it_learns_to_outline_one_image() -> None:
    model, (sample,) = tiny().train(), samples(1)
    optimizer = torch.optim.AdamW(model.parameter_groups(3e-3, 1e-4))
    for step in range(90):
        torch.manual_seed(step)
        optimizer.zero_grad()
        total_loss(model.loss([sample])).backward()
        optimizer.step()
    model.eval()
    found, truth = model.predict([sample])[0].instances, sample.instances
    assert found is not None
    assert found.masks is not None
    assert truth is not None
    assert truth.masks is not None
    best = found[: len(truth)]
    iou = pairwise_iou(truth.boxes_xyxy, best.boxes_xyxy)
    assert bool((iou.max(1).values > 0.6).all())
    assert torch.equal(best.labels[iou.argmax(1)], truth.labels)
    outlines = truth.masks.dense().flatten(1).float() @ found.masks[: len(truth)].dense().flatten(1).float().T
    assert bool((outlines.max(1).values / truth.masks.areas() > 0.6).all())


def test_validation_draws_the_same_each_time_and_leaves_no_trace() -> None:
    model, batch = tiny().train(), samples()
    state = torch.get_rng_state()
    first, second = model.validate(batch), model.validate(batch)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert {k: v.item() for k, v in first[1].items()} == {k: v.item() for k, v in second[1].items()}
    alone = [model.validate([sample])[1]["loss_cls"].item() for sample in batch]
    assert first[1]["loss_cls"].item() == pytest.approx(sum(alone) / 2)


def test_boxes_alone() -> None:
    model = tiny(masks=False)
    assert not any("mask" in name for name in model.state_dict())
    (sample,) = samples(1)
    assert sample.instances is not None
    no_masks = sample.with_(
        instances=Instances(sample.size, sample.instances.boxes_xyxy, sample.instances.labels)
    )
    assert set(losses(model, [no_masks])) == {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg"}
    prediction = model.predict([sample])[0].instances
    assert prediction is not None
    assert prediction.masks is None
    with pytest.raises(InvalidDataError, match=f"{sample.id}.*no masks"):
        tiny().loss([no_masks])


@pytest.mark.parametrize("by_visible", [True, False])
def test_keypoints_are_learned_and_found(by_visible: bool) -> None:
    head = {"conv_dims": [8, 8], "normalize_by_visible": by_visible, "loss_weight": 4.0}
    model = tiny(
        keypoint_count=3, keypoint_head=head, roi={"score_thresh_test": 0.0}, rpn={"post_nms_topk_train": 1}
    )
    batch = [with_keypoints(sample, 3) for sample in samples()]
    assert model.roi_heads.keypoint_head is not None
    nn.init.zeros_(model.roi_heads.keypoint_head.score_lowres.weight)  # flat heat maps
    count = (
        sum(len(sample.instances) for sample in batch if sample.instances) * 3
    )  # no proposal but the objects' own is good enough
    normalizer = count if by_visible else 2 * 3 * 16 * 0.25
    assert losses(model, batch)["loss_keypoint"] == pytest.approx(4 * math.log(56**2) * count / normalizer)
    assert (
        losses(model, [with_keypoints(sample, 3, visibility=0) for sample in samples()])["loss_keypoint"] == 0
    )
    prediction = model.predict(batch[:1])[0].instances
    assert prediction is not None
    assert prediction.keypoints is not None
    assert len(prediction) > 0
    assert prediction.keypoints.shape == (len(prediction), 3, 3)
    inside = (prediction.keypoints[..., :2] >= prediction.boxes_xyxy[:, None, :2] - 1) & (
        prediction.keypoints[..., :2] <= prediction.boxes_xyxy[:, None, 2:] + 1
    )
    assert bool(inside.all())


@pytest.mark.parametrize("weight_decay_norm", [0.0, 0.3])
def test_norms_have_a_decay_of_their_own(weight_decay_norm: float) -> None:
    model = tiny(
        weight_decay_norm=weight_decay_norm, backbone={"freeze_at": 2, "norm": "BN"}, fpn={"norm": "GN"}
    )
    groups = {group["name"]: group for group in model.parameter_groups(0.1, 0.01)}
    decays = {id(p): group["weight_decay"] for group in groups.values() for p in group["params"]}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in decays
        else:
            assert decays.pop(id(parameter)) == (weight_decay_norm if ".norm." in name else 0.01), name
    assert not decays
