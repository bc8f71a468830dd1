"""The network as a whole: its layers, what it learns and finds, its settings and recipes. Equality with
Detectron2 is tested beside this.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from toolkit.plugins.maskrcnn import matching
from toolkit.plugins.maskrcnn.boxes import encode, pairwise_iou
from toolkit.plugins.maskrcnn.inputs import resize
from toolkit.plugins.maskrcnn.layers import Conv2d, FrozenBatchNorm2d, group_count
from toolkit.plugins.maskrcnn.model import MaskRCNN, build
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings
from toolkit.plugins.maskrcnn.targets import mask_targets
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import registry
from toolkit.config import recipe_folder, resolve
from toolkit.data.generated import generate
from toolkit.errors import ConfigError, InvalidDataError
from toolkit.models.contract import total_loss
from toolkit.types import Instances, Sample

CLASSES = ("disc", "box")
TINY: dict[str, Any] = {
    "engine": "torchvision",
    "backbone": {"depth": 18, "norm": "BN", "freeze_at": 0, "stem_out_channels": 8, "res2_out_channels": 8},
    "fpn": {"out_channels": 16},
    "anchors": {"sizes": [[16], [32], [64], [128], [256]]},
    "rpn": {
        "batch_size_per_image": 32,
        "pre_nms_topk_train": 50,
        "pre_nms_topk_test": 50,
        "post_nms_topk_train": 30,
        "post_nms_topk_test": 30,
    },
    "roi": {"batch_size_per_image": 16, "detections_per_image": 10},
    "box_head": {"fc_dim": 32},
    "mask_head": {"num_conv": 1, "conv_dim": 16},
    "input": {"short_side_train": [], "short_side_test": 0, "pixel_std": [57.375, 57.12, 58.395]},
}


def tiny(seed: int = 0, classes: tuple[str, ...] = CLASSES, **changes: Any) -> MaskRCNN:
    torch.manual_seed(seed)
    merged = {
        key: {**TINY[key], **value} if isinstance(TINY.get(key), dict) else value
        for key, value in changes.items()
    }
    model = build(MaskRCNNSettings(**{**TINY, **merged}), classes)
    assert isinstance(model, MaskRCNN)
    return model


def samples(count: int = 2, size: int = 64, objects: int = 3, seed: int = 0) -> list[Sample]:
    return generate(CLASSES, [(size, size + 9)] * count, objects=objects, seed=seed)


def losses(model: MaskRCNN, batch: list[Sample], seed: int = 0) -> dict[str, float]:
    torch.manual_seed(seed)
    with torch.no_grad():
        return {name: value.item() for name, value in model.loss(batch).items()}


def with_keypoints(sample: Sample, count: int, visibility: float = 2) -> Sample:
    instances = sample.instances
    assert instances is not None
    boxes = instances.boxes_xyxy
    places = torch.rand(len(boxes), count, 2, generator=torch.Generator().manual_seed(0))
    xy = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
    points = torch.cat([xy, torch.full((len(boxes), count, 1), visibility)], 2)
    return sample.with_(
        instances=Instances(instances.size, boxes, instances.labels, instances.masks, keypoints=points)
    )


# Layers


def test_frozen_batch_norm_is_batch_norm_in_eval_mode() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5)
    norm(torch.randn(4, 5, 3, 3) * 7 + 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    frozen, x = FrozenBatchNorm2d.of(norm.eval()), torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(frozen(x), norm(x))
    torch.testing.assert_close(frozen(x.requires_grad_()), norm(x))
    assert not list(frozen.parameters())
    assert list(frozen.state_dict()) == list(norm.state_dict())


def test_a_new_frozen_batch_norm_changes_nothing() -> None:
    x = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(FrozenBatchNorm2d(5)(x), x)


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(256, 32), (64, 32), (32, 32), (48, 12), (24, 6), (16, 4), (8, 2), (7, 1), (1, 1)],
)
def test_groups_are_32_where_that_divides(channels: int, groups: int) -> None:
    assert group_count(channels) == groups


@pytest.mark.parametrize("norm", ["none", "FrozenBN", "BN", "SyncBN", "GN"])
def test_a_convolution_has_a_bias_or_a_norm(norm: str) -> None:
    conv = Conv2d(3, 8, 3, norm=norm, relu=True)
    assert (conv.bias is None, conv.norm is not None) == ((norm != "none"),) * 2
    out = conv(torch.randn(2, 3, 6, 6))
    assert out.shape == (2, 8, 6, 6)
    assert float(out.detach().min()) == 0


@pytest.mark.parametrize("freeze_at", range(6))
def test_frozen_stages_keep_weights_and_statistics(freeze_at: int) -> None:
    model = tiny(backbone={"freeze_at": freeze_at}).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameter_groups(0.01, 0.1), momentum=0.9)
    total_loss(model.loss(samples())).backward()
    optimizer.step()
    stages = ("stem", "res2", "res3", "res4", "res5")
    for i, stage in enumerate(stages):
        of_stage = [name for name in before if name.startswith(f"backbone.bottom_up.{stage}.")]
        same = [torch.equal(before[name], model.state_dict()[name]) for name in of_stage]
        assert all(same) if i < freeze_at else not any(same)


@pytest.mark.parametrize("norm", ["BN", "SyncBN", "GN"])
@pytest.mark.parametrize("freeze_at", range(6))
def test_frozen_stages_are_these_parameters_and_their_batch_norms(freeze_at: int, norm: str) -> None:
    model = tiny(backbone={"freeze_at": freeze_at, "norm": norm}).train()
    stages = ("stem", "res2", "res3", "res4", "res5")[:freeze_at]
    frozen = tuple(f"backbone.bottom_up.{stage}." for stage in stages)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen)), name
    constant = [name for name, module in model.named_modules() if isinstance(module, FrozenBatchNorm2d)]
    assert len(constant) == (0 if norm == "GN" else [0, 1, 5, 10, 15, 20][freeze_at])
    assert all(name.startswith(frozen) for name in constant)
    assert all(module.training for module in model.modules()), "constants need no eval mode"


def test_frozen_stages_keep_their_names() -> None:
    assert list(tiny(backbone={"freeze_at": 5}).state_dict()) == list(tiny().state_dict())


@pytest.mark.parametrize(("depth", "stride_in_1x1"), [(50, True), (50, False), (18, True)])
def test_where_the_resolution_is_halved(depth: int, stride_in_1x1: bool) -> None:
    backbone = tiny(
        backbone={"depth": depth, "stride_in_1x1": stride_in_1x1, "width_per_group": 4}
    ).backbone.bottom_up
    block = backbone.get_submodule("res3.0")
    strides = {
        name: layer.stride[0] for name, layer in block.named_children() if isinstance(layer, nn.Conv2d)
    }
    halved = {"conv1"} if depth == 18 or stride_in_1x1 else {"conv2"}
    assert {name for name, stride in strides.items() if stride == 2} == halved | {"shortcut"}


def test_pyramid_is_the_sum_from_above() -> None:
    """Written out: each level is its lateral convolution plus the level above, twice as large by nearest
    neighbors.
    """
    torch.manual_seed(0)
    fpn = tiny(backbone={"norm": "FrozenBN"}).backbone
    images = torch.randn(1, 3, 64, 96)
    features = fpn(images)
    merged = None
    for level in (5, 4, 3, 2):
        lateral = fpn.get_submodule(f"fpn_lateral{level}")(fpn.bottom_up(images)[level - 2])
        merged = (
            lateral if merged is None else lateral + merged.repeat_interleave(2, 2).repeat_interleave(2, 3)
        )
        torch.testing.assert_close(features[level - 2], fpn.get_submodule(f"fpn_output{level}")(merged))
    assert torch.equal(features[4], features[3][:, :, ::2, ::2])
    assert [tuple(level.shape[2:]) for level in features] == [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]


# Learning


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


# Finding


def test_images_are_resized_for_the_network_and_results_come_back() -> None:
    """What is found in a large photo is what is found in the photo at the network's size, brought to the
    large photo's pixels.
    """
    model = tiny(roi={"score_thresh_test": 0.0}, input={"short_side_test": 64}).eval()
    (large,) = samples(1, size=200)
    small = Sample("small", resize(large.image, (64, 67)))
    one, other = (model.predict([sample])[0].instances for sample in (small, large))
    assert one is not None
    assert other is not None
    assert len(one) == len(other) == 10
    assert other.size == (200, 209)
    scale = torch.tensor([209 / 67, 200 / 64]).repeat(2)
    torch.testing.assert_close(other.boxes_xyxy, one.boxes_xyxy * scale)
    assert torch.equal(one.scores, other.scores)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_channels_come_in_the_order_of_the_weights(order: str) -> None:
    model = tiny(input={"format": order, "pixel_mean": [1, 2, 3], "pixel_std": [1, 2, 4]})
    image = torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None].expand(3, 5, 7)
    batch = model.batch([Sample("a", image)], [(5, 7)])
    r, g, b = 10, 20, 30
    expected = (
        [(b - 1) / 1, (g - 2) / 2, (r - 3) / 4] if order == "BGR" else [(r - 1) / 1, (g - 2) / 2, (b - 3) / 4]
    )
    assert batch.shape == (1, 3, 32, 32)
    assert batch[0, :, 2, 3].tolist() == expected
    assert float(batch[:, :, 5:].abs().sum() + batch[:, :, :, 7:].abs().sum()) == 0


def test_scores_fall_and_detections_are_few() -> None:
    model = tiny(roi={"score_thresh_test": 0.0, "detections_per_image": 7})
    found = model.predict(samples(1))[0].instances
    assert found is not None
    assert found.scores is not None
    assert len(found) == 7
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_classes_beyond_those_of_the_model_are_named() -> None:
    sample = samples(1)[0]
    with pytest.raises(InvalidDataError, match=f"{sample.id}.*label 1, but there are 1 classes"):
        tiny(classes=("disc",)).loss([sample])


# Settings, manifest, recipes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": {"depth": 19}}, "depth"),
        ({"backbone": {"norm": "none"}}, "FrozenBN"),
        ({"backbone": {"freeze_at": 6}}, "less than or equal to 5"),
        ({"anchors": {"sizes": [[32], [64]]}}, "sizes must be 5 non-empty lists"),
        ({"anchors": {"sizes": [[]]}}, "5 non-empty lists"),
        ({"anchors": {"sizes": [[8], [16], [32, 40], [64], [128]]}}, "same number of anchors"),
        ({"anchors": {"aspect_ratios": [[0]]}}, "greater than 0"),
        ({"rpn": {"iou_thresholds": [0.7, 0.3]}}, "must be positive and non-decreasing"),
        ({"rpn": {"nms_thresh": 1.5}}, "less than or equal to 1"),
        ({"box_head": {"num_fc": 0}}, "must not both be 0"),
        ({"input": {"short_side_sampling": "range"}}, "minimum and the maximum"),
        ({"input": {"pixel_std": [1, 0, 1]}}, "greater than 0"),
        ({"input": {"pixel_mean": [1, math.nan, 1]}}, "finite"),
        ({"keypoint_count": -1}, "greater than or equal to 0"),
        ({"engine": "mmdet"}, "detectron2"),
        ({"fpnn": {}}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MaskRCNNSettings(**values)


def test_settings_survive_being_written_down() -> None:
    settings = MaskRCNNSettings(**TINY)
    assert MaskRCNNSettings(**json.loads(settings.model_dump_json())) == settings


def test_a_model_needs_a_class() -> None:
    with pytest.raises(ConfigError, match="at least one class"):
        tiny(classes=())


def test_manifest_names_things_that_exist() -> None:
    manifest = registry.plugins().get("maskrcnn")
    assert manifest.resolve(manifest.build) is build
    assert manifest.resolve(manifest.settings) is MaskRCNNSettings
    assert callable(manifest.resolve(manifest.load_weights))


@pytest.mark.parametrize("recipe", sorted(path.name for path in recipe_folder().glob("maskrcnn-*.yaml")))
def test_recipes_build_models_that_learn(recipe: str) -> None:
    settings = resolve(config=Path(recipe_folder()) / recipe, overrides={"model.engine": "torchvision"})
    assert isinstance(settings.model, MaskRCNNSettings)
    assert settings.weights in {
        "none",
        *(weights.name for weights in registry.plugins().get("maskrcnn").weights),
    }
    if settings.weights == "none":  # frozen at random values it would learn little
        model = MaskRCNN(settings.model, CLASSES)
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert all(math.isfinite(value) for value in losses(model, samples()).values())


def test_class_tensors_are_those_that_follow_from_the_classes() -> None:
    for changes in (
        {},
        {"box_head": {"class_agnostic": True}, "mask_head": {"class_agnostic": True}},
        {"masks": False},
    ):
        two, three = tiny(**changes), tiny(classes=("a", "b", "c"), **changes)
        shapes: dict[str, Tensor] = three.state_dict()
        differing = {name for name, value in two.state_dict().items() if shapes[name].shape != value.shape}
        assert set(two.class_tensors) == differing
