"""SAM 2 as a model of the toolkit: what learns, from which prompts, and what odd input comes to."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

from sam2_cases import scene, toy
from toolkit.plugins.sam2 import clicks
from toolkit.plugins.sam2.decoder import DecoderOutput, ImageDecoder
from toolkit.plugins.sam2.learning import _in_grid
from toolkit.plugins.sam2.lora import LowRankLinear
from toolkit.plugins.sam2.losses import lab_loss, sam2_loss
from toolkit.plugins.sam2.model import Sam2Model, build
from toolkit.plugins.sam2.settings import Sam2Settings

from toolkit.config import resolve
from toolkit.config.tree import merge
from toolkit.errors import InvalidDataError
from toolkit.evaluation.protocols import predict_protocols
from toolkit.models.contract import total_loss
from toolkit.models.freezing import Freezing, count_frozen
from toolkit.models.parts import untrained_parameters
from toolkit.runtime.seeding import seed_everything
from toolkit.training.loop import train
from toolkit.types import Instances, Masks, Prompts, Sample

HEADS = {"sam_mask_decoder", "sam_prompt_encoder"}


def objects(masks: np.ndarray[Any, Any], is_crowd: list[bool] | None = None) -> Sample:
    """A sample of these masks ``[N, H, W]`` on a gray image."""
    found = Masks.from_dense(masks)
    crowd = None if is_crowd is None else torch.tensor(is_crowd)
    size = found.size
    instances = Instances(
        size, found.boxes_xyxy(), torch.zeros(len(masks), dtype=torch.int64), found, is_crowd=crowd
    )
    return Sample("a-sample", torch.full((3, *size), 90, dtype=torch.uint8), instances=instances)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """Points, labels and earlier masks of every call of the decoder."""
    calls: list[tuple[Tensor, Tensor, Tensor | None]] = []
    original = ImageDecoder.__call__

    def record(
        self: ImageDecoder,
        points: Tensor,
        labels: Tensor,
        masks: Tensor | None = None,
        images: Tensor | None = None,
    ) -> DecoderOutput:
        calls.append((points, labels, masks))
        return original(self, points, labels, masks, images)

    monkeypatch.setattr(ImageDecoder, "__call__", record)
    return calls


# What learns


VIDEO = (
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
    "mask_downsample",
    "memory_attention",
    "memory_encoder",
    "obj_ptr_proj",
    "obj_ptr_tpos_proj",
)
BIASES = tuple(
    f"sam_mask_decoder.transformer.{attention}.k_proj.bias"
    for attention in (
        "layers.0.cross_attn_token_to_image",
        "layers.1.cross_attn_token_to_image",
        "final_attn_token_to_image",
    )
)
FROZEN = {
    "decoder": ("image_encoder", "no_mem_embed", "sam_mask_decoder.conv_s0", "sam_mask_decoder.conv_s1"),
    "decoder+neck": ("image_encoder.trunk", "no_mem_embed"),
    "full": (),
    "lora": ("image_encoder", "no_mem_embed"),
}
"""What each choice freezes beside these two, adapters excepted."""
BESIDE_ATTENTION = ("norm1", "norm2", "mlp", "proj")
IN_EVAL_WITH_ADAPTERS = (
    "image_encoder.neck",
    "image_encoder.trunk.patch_embed",
    *(f"image_encoder.trunk.blocks.{i}.{part}" for i in range(5) for part in BESIDE_ATTENTION),
)
"""Parts of the encoder in which there is no adapter."""


def inside(names: Iterable[str], parts: Sequence[str]) -> set[str]:
    """Those of the names that are called as one of the parts, or lie in it."""
    return {name for name in names if f"{name}.".startswith(tuple(f"{part}." for part in parts))}


def frozen_names(model: Sam2Model) -> set[str]:
    return {name for name, parameter in model.network.named_parameters() if not parameter.requires_grad}


def names_in_eval(model: Sam2Model) -> set[str]:
    return {name for name, module in model.network.named_modules() if not module.training}


@pytest.mark.parametrize("trainable", FROZEN)
def test_each_choice_freezes_these_parameters_and_keeps_these_modules_in_eval_mode(trainable: str) -> None:
    model = toy(trainable=trainable).train()
    names = [name for name, _ in model.network.named_parameters()]
    adapters = {name for name in names if name.endswith((".lora_down", ".lora_up"))}
    assert frozen_names(model) == inside(names, (*VIDEO, *BIASES, *FROZEN[trainable])) - adapters
    in_eval = IN_EVAL_WITH_ADAPTERS if trainable == "lora" else FROZEN[trainable]
    modules = [name for name, _ in model.network.named_modules()]
    assert names_in_eval(model) == inside(modules, (*VIDEO, *in_eval))


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_what_training_does_not_use_is_declared_in_every_version(version: str) -> None:
    model = build(Sam2Settings(size="tiny", version=version, image_size=64, trainable="full"), ("a",))
    untrained = untrained_parameters(model)
    declared = {name for name, parameter in model.network.named_parameters() if id(parameter) in untrained}
    assert declared == inside(dict(model.network.named_parameters()), (*VIDEO, *BIASES))
    assert declared == frozen_names(model)
    assert count_frozen(model) == 0


def test_training_uses_nothing_of_what_is_declared() -> None:
    model = toy(trainable="full", preset="sam2", corrections=1).requires_grad_(True).train()
    total_loss(model.loss([scene(3), scene(0)])).backward()
    untrained = untrained_parameters(model)
    without = {name for name, p in model.network.named_parameters() if p.grad is None}
    declared = {name for name, p in model.network.named_parameters() if id(p) in untrained}
    assert declared <= without
    assert not inside(without - declared, ["image_encoder", "no_mem_embed"])


# Freezing on top of it


def test_train_freeze_takes_parts_out_of_what_is_chosen_and_adds_none() -> None:
    model = toy(trainable="decoder").train()
    names = [name for name, _ in model.network.named_parameters()]
    frozen, in_eval = frozen_names(model), names_in_eval(model)
    freezing = Freezing(model, ["image_encoder", "sam_prompt_encoder"])
    for _ in range(2):
        freezing.freeze()
        assert frozen_names(model) == frozen | inside(names, ["sam_prompt_encoder"])
        assert names_in_eval(model) == in_eval | inside(
            dict(model.network.named_modules()), ["sam_prompt_encoder"]
        )
        model.train()
    freezing.unfreeze()
    assert frozen_names(model) == frozen, "the encoder is not of the choice, so nothing unfreezes it"
    assert names_in_eval(model) == in_eval


def test_batch_statistics_stay_until_train_freeze_ends() -> None:
    model = toy(trainable="full").train()
    norms = [m for m in model.network.image_encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    freezing = Freezing(model, ["image_encoder"])
    freezing.freeze()
    model.loss([scene()])
    assert norms
    assert [int(norm.num_batches_tracked) for norm in norms] == [0] * len(norms)
    freezing.unfreeze()
    model.loss([scene()])
    assert [int(norm.num_batches_tracked) for norm in norms] == [1] * len(norms)


def test_a_run_unfreezes_what_is_chosen_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree = {
        "model": {"size": "toy", "image_size": 64, "trainable": "decoder", "cache": {"enabled": False}},
        "weights": "none",
        "data": {"options": {"size": 64, "train": 4, "val": 1}},
        "train": {"batch_size": 2, "workers": 0, "device": "cpu"},
    }
    moved = []
    for steps, more in ((1, {}), (2, {"unfreeze_at": 1})):
        options = {"steps": steps, "freeze": ["image_encoder", "sam_prompt_encoder"], **more}
        settings = resolve(plugin="sam2", data="shapes", overrides=merge(tree, {"train": options}))
        with caplog.at_level("INFO", logger="toolkit"):
            train(settings, tmp_path / str(steps))
        seed_everything(settings.train.seed, "model")
        start = build(Sam2Settings(**tree["model"]), ("a", "b", "c")).state_dict()
        after = load_file(tmp_path / str(steps) / "last.safetensors")
        moved.append({name.split(".")[1] for name in after if not torch.equal(after[name], start[name])})
    assert moved == [{"sam_mask_decoder"}, {"sam_mask_decoder", "sam_prompt_encoder"}]
    said = [line.split()[0] for line in caplog.messages if "frozen at random values" in line]
    chosen = toy(trainable="decoder")
    prompts = sum(p.numel() for p in chosen.network.sam_prompt_encoder.parameters())
    assert said == [f"{count_frozen(chosen) + prompts:,}"] * 2


def parts_that_learn(model: Sam2Model) -> dict[str, int]:
    """How many parameters learn in each part of the network."""
    counts: Counter[str] = Counter()
    for name, parameter in model.network.named_parameters():
        part = ".".join(name.split(".")[:2]) if name.startswith("image_encoder.") else name.split(".")[0]
        counts[part] += parameter.numel() * parameter.requires_grad
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize(
    ("trainable", "learning_parts"),
    [
        ("decoder", HEADS),
        ("decoder+neck", HEADS | {"image_encoder.neck"}),
        ("full", HEADS | {"image_encoder.neck", "image_encoder.trunk", "no_mem_embed"}),
        ("lora", HEADS | {"image_encoder.trunk"}),
    ],
)
def test_what_is_named_learns_and_the_rest_stays_bit_for_bit(
    trainable: str, learning_parts: set[str]
) -> None:
    model = toy(trainable=trainable, preset="sam2", corrections=1).train()
    assert set(parts_that_learn(model)) == learning_parts
    frozen = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
    before = copy.deepcopy(model.state_dict())
    groups = model.parameter_groups(1e-2, 0.1)
    assert {id(p) for group in groups for p in group["params"]} == {
        id(p) for p in model.parameters() if p.requires_grad
    }
    optimizer = torch.optim.AdamW(groups)
    for step in range(2):
        torch.manual_seed(step)
        total_loss(model.loss([scene(3, seed=step), scene(0)])).backward()
        optimizer.step()
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in frozen.items())
    changed = {name.split(".")[1] for name in after if not torch.equal(after[name], before[name])}
    assert changed == {name.split(".")[0] for name in learning_parts}


def test_all_that_learns_is_reached_but_for_masks_that_were_never_best() -> None:
    model = toy(preset="sam2", corrections=2).train()
    reached: set[str] = set()
    for seed in range(3):
        model.zero_grad()
        torch.manual_seed(seed)
        total_loss(model.loss([scene(3, seed=seed), scene(0)])).backward()
        reached |= {
            name
            for name, p in model.network.named_parameters()
            if p.grad is not None and p.grad.abs().sum() > 0
        }
    idle = {name for name, p in model.network.named_parameters() if p.requires_grad} - reached
    assert not {name for name in idle if not name.startswith("sam_mask_decoder.output_hypernetworks_mlps")}


def test_frozen_parts_stay_in_eval_mode() -> None:
    model = toy(trainable="decoder").train()
    assert model.training
    assert model.network.sam_mask_decoder.training
    assert not any(part.training for part in model.network.image_encoder.modules() if list(part.parameters()))
    assert not any(
        part.training for part in model.network.memory_attention.modules() if list(part.parameters())
    )
    assert not any(part.training for part in model.eval().modules())
    assert toy(trainable="full").train().network.image_encoder.trunk.training


def test_adapters_begin_without_effect_and_end_as_plain_weights() -> None:
    plain, adapted = toy(trainable="full").eval(), toy(trainable="lora", lora={"rank": 3, "alpha": 5}).eval()
    adapters = [layer for layer in adapted.modules() if isinstance(layer, LowRankLinear)]
    assert len(adapters) == 2 * len(adapted.network.image_encoder.trunk.blocks)
    assert all(layer.lora_down.shape[0] == 3 and layer.scale == 5 / 3 for layer in adapters)
    sample = scene()
    assert sample.instances is not None
    adapted.network.load_state_dict(plain.network.state_dict(), strict=False)
    prompts = Prompts(boxes_xyxy=sample.instances.boxes_xyxy)

    def logits(model: Sam2Model) -> Tensor:
        with torch.no_grad():
            return model.mask_logits(model.encode([sample])[0], prompts)[0]

    assert torch.equal(logits(plain), logits(adapted))
    for layer in adapters:
        torch.nn.init.normal_(layer.lora_up, std=0.3)
    assert not torch.allclose(logits(plain), logits(adapted), atol=1e-3)
    exported = adapted.export_state()
    assert set(exported) == set(plain.network.state_dict())
    plain.network.load_state_dict(exported)
    assert torch.allclose(logits(plain), logits(adapted), atol=1e-5)


# The loss


@pytest.mark.parametrize("seed", range(3))
def test_the_preset_lab_is_the_short_recipe(seed: int, asked: list[Any]) -> None:
    """The recipe written out: one random point an object, the first of three masks, logarithms, and 0.05 ×
    the error of the score.
    """
    model, sample = toy(), scene(3, seed=seed)
    torch.manual_seed(seed)
    losses = model.train().loss([sample])
    ((points, labels, earlier),) = asked
    assert labels.tolist() == [[1]] * 3
    assert earlier is None
    network = model.network
    (encoded,) = model.encode([sample])
    features = encoded.features
    with torch.no_grad():
        sparse, dense = network.sam_prompt_encoder(points=(points, labels), boxes=None, masks=None)
        position = network.sam_prompt_encoder.get_dense_pe()
        fine = [features.stride4[None], features.stride8[None]]
        low, scores, _, _ = network.sam_mask_decoder(
            features.embedding[None], position, sparse, dense, True, True, fine
        )
    assert sample.instances is not None
    assert sample.instances.masks is not None
    # objects come in random order, but a point is on its own, unless they overlap
    grid = _in_grid(sample.instances.masks, 64).float()
    x, y = points[:, 0].long().T
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        truth = grid[order]
        if not all(truth[i, y[i], x[i]] for i in range(3)):
            continue
        found = torch.sigmoid(F.interpolate(low[:, :1], (64, 64), mode="bilinear")[:, 0])
        pixels = (-truth * torch.log(found) - (1 - truth) * torch.log(1 - found)).mean()
        both = (truth * (found > 0.5)).sum((1, 2))
        ious = both / (truth.sum((1, 2)) + (found > 0.5).sum((1, 2)) - both)
        expected = pixels + 0.05 * (scores[:, 0] - ious).abs().mean()
        if abs(losses["mask"].item() + losses["iou"].item() - expected.item()) < 1e-5:
            return
    raise AssertionError("the loss is that of no order of the objects whose points lie on them")


@pytest.mark.parametrize("criterion", [lab_loss, sam2_loss])
def test_an_object_that_is_not_there_has_an_object_score_only(criterion: Any) -> None:
    logits, truth = torch.randn(2, 8, 8, requires_grad=True), torch.zeros(2, 8, 8, dtype=torch.bool)
    truth[1, 2:5, 2:6] = True
    several, ious = (logits[:, None], torch.rand(2, 1)) if criterion is sam2_loss else (logits, torch.rand(2))
    exists = torch.tensor([2.0, 2.0], requires_grad=True)
    terms = criterion(several, truth, ious, exists)
    for name, values in terms.items():
        assert (values[0].item() != 0) == (name == "object_score"), name
        assert values[1].item() != 0
    sum(values.sum() for values in terms.values()).backward()
    assert logits.grad is not None
    assert not logits.grad[0].any()
    assert exists.grad is not None
    assert exists.grad[0] > 0 > exists.grad[1], "learned to be absent, and present"


@pytest.mark.parametrize("criterion", [lab_loss, sam2_loss])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_are_computed_in_full_precision(criterion: Any, dtype: torch.dtype) -> None:
    logits = (torch.randn(3, 1, 9, 9) * 40).to(dtype)
    truth = torch.rand(3, 9, 9) < 0.4
    ious = torch.rand(3, 1)
    logits, ious = (logits, ious) if criterion is sam2_loss else (logits[:, 0], ious[:, 0])
    exists = torch.randn(3)
    with torch.autocast("cpu", torch.bfloat16):
        found = criterion(logits, truth, ious, exists)
    wide = criterion(logits.float(), truth, ious, exists)
    assert all(
        torch.equal(value, wide[name]) and value.dtype == torch.float32 for name, value in found.items()
    )


def test_samples_count_the_same_however_many_objects_they_have() -> None:
    model = toy(preset="sam2", corrections=0).eval()  # where chance has no part in it
    samples = [scene(1), scene(4, seed=2), scene(0, seed=3)]
    singles = [model.loss([sample]) for sample in samples]
    together = model.loss(samples)
    for name, value in together.items():
        assert value.item() == pytest.approx(sum(each[name].item() for each in singles) / 3, rel=1e-4)


def test_300_objects_cost_no_more_than_the_most_that_are_asked_for(asked: list[Any]) -> None:
    masks = np.zeros((300, 40, 60), dtype=bool)
    for i, mask in enumerate(masks):
        mask[i // 30 * 4 : i // 30 * 4 + 3, i % 30 * 2] = True
    model = toy(max_objects=5, chunk=2).train()
    torch.manual_seed(0)
    model.loss([objects(masks), scene(2)])
    assert [len(points) for points, _, _ in asked] == [2, 2, 2, 1]
    first, asked[:] = torch.cat([points for points, _, _ in asked])[:5], []
    torch.manual_seed(1)
    model.loss([objects(masks), scene(2)])
    assert not torch.equal(first, torch.cat([points for points, _, _ in asked])[:5]), (
        "others are drawn each time"
    )


def test_crowds_and_empty_masks_are_not_learned_from(asked: list[Any]) -> None:
    masks = np.zeros((4, 20, 20), dtype=bool)
    masks[0, :9], masks[1, 12:, 3:9], masks[3, 12:, 12:] = True, True, True
    model = toy().train()
    model.loss([objects(masks, [True, False, False, False])])
    assert len(asked[0][0]) == 2, "neither the crowd nor the mask without a pixel"
    asked.clear()
    losses = model.loss([objects(masks[:1], [True])])
    assert [len(points) for points, _, _ in asked] == [1]
    assert losses["mask"] == losses["iou"] == 0 < losses["object_score"]


def test_a_sample_without_masks_is_named() -> None:
    sample = scene()
    boxes_only = Instances(sample.size, torch.tensor([[1.0, 1, 5, 5]]), torch.tensor([0]))
    for each in (
        sample.with_(instances=None),
        sample.with_(instances=boxes_only),
        sample.with_(instances=None, path="photos/a.jpg"),
    ):
        with pytest.raises(InvalidDataError, match=f"'{each.path or sample.id}' has no object masks"):
            toy().loss([each])
    with pytest.raises(InvalidDataError, match="an empty batch"):
        toy().loss([])


def test_masks_too_fine_for_the_grid_keep_a_pixel() -> None:
    masks = np.zeros((3, 200, 400), dtype=bool)
    masks[0, 101, 203], masks[1, 50:90, 60:200], masks[2, 199, 399] = True, True, True
    grid = _in_grid(Masks.from_dense(masks), 16)
    assert grid.shape == (3, 16, 16)
    assert grid[0].nonzero().tolist() == [[8, 8]]
    assert grid[2].nonzero().tolist() == [[15, 15]]
    assert grid[1].sum() == pytest.approx(40 * 140 / (200 * 400) * 256, rel=0.2)


# Prompts to learn from


def kinds(asked: list[tuple[Tensor, Tensor, Tensor | None]]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(row) for _, labels, _ in asked for row in labels.tolist())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"preset": "lab"}, {(1,)}),
        ({"preset": "lab", "prompts": "box"}, {(2, 3)}),
        ({"preset": "sam2", "corrections": 0}, {(1,), (2, 3)}),
        ({"preset": "sam2", "corrections": 0, "prompts": "point"}, {(1,)}),
    ],
)
def test_prompts_are_of_the_kinds_that_are_asked_for(
    asked: list[Any], settings: dict[str, Any], expected: set[tuple[int, ...]]
) -> None:
    model = toy(**settings).train()
    for seed in range(12):
        torch.manual_seed(seed)
        model.loss([scene(2, seed=seed)])
    counts = kinds(asked)
    assert set(counts) == expected
    assert min(counts.values()) > 24 / len(expected) / 2, "half and half"


def test_corrections_follow_the_errors_and_see_the_mask_before(asked: list[Any]) -> None:
    model = toy(preset="sam2").train()
    assert model.settings.filled().corrections == 7
    torch.manual_seed(4)
    sample = objects(np.pad(np.ones((1, 20, 20), dtype=bool), ((0, 0), (20, 24), (20, 24))))
    model.loss([sample])
    assert [labels.shape[1] - asked[0][1].shape[1] for _, labels, _ in asked] == list(range(8))
    assert asked[0][2] is None
    for before, after in itertools.pairwise(asked):
        assert torch.equal(after[0][:, :-1], before[0]), "earlier points stay"
        assert after[2] is not None
        assert after[2].shape == (1, 1, 16, 16)


@pytest.mark.parametrize("is_random", [True, False])
def test_corrections_lie_on_errors(is_random: bool) -> None:
    torch.manual_seed(0)
    truth, found = torch.rand(30, 12, 15) < 0.5, torch.rand(30, 12, 15) < 0.5
    truth[0] = found[0]
    points, labels = clicks.corrections(truth, found, is_random=is_random)
    for row in range(30):
        x, y = points[row, 0].long().tolist()
        if row:
            assert truth[row, y, x] != found[row, y, x]
            assert labels[row, 0] == truth[row, y, x]
        elif is_random:
            assert not truth[row, y, x]
            assert labels[row, 0] == 0
        else:
            assert labels[row, 0] == -1


def test_first_clicks_are_on_the_object_and_every_pixel_is_as_likely() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(1, 6, 9, dtype=torch.bool)
    mask[0, 1:3, 2:8], mask[0, 5, 8] = True, True
    points, labels = clicks.first_clicks(mask.expand(6500, -1, -1), is_random=True)
    assert (labels == 1).all()
    x, y = points[:, 0].long().T
    counts = torch.zeros(6, 9).index_put((y, x), torch.ones(6500), accumulate=True)
    assert torch.equal(counts > 0, mask[0])
    assert ((counts[mask[0]] - 500).abs() < 5 * 500**0.5).all()
    nowhere, labels = clicks.first_clicks(torch.zeros(2, 6, 9, dtype=torch.bool), is_random=True)
    assert labels.tolist() == [[1], [1]]
    assert (nowhere >= 0).all()
    assert torch.equal(
        clicks.first_clicks(mask, is_random=False)[0], clicks.first_clicks(mask, is_random=False)[0]
    )


def test_boxes_surround_the_object_give_or_take() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(200, 100, 1024, dtype=torch.bool)
    mask[:, 10:41, 20:271] = True
    corners, labels = clicks.boxes(mask)
    assert corners[0].tolist() == [[20, 10], [270, 40]]
    assert labels[0].tolist() == [2, 3]
    moved = clicks.boxes(mask, noise=0.1)[0] - corners
    assert moved[..., 0].abs().max() <= 20, "never more than 20 of 1024 pixels"
    assert moved[..., 0].abs().max() > 18
    assert 2.5 < moved[..., 1].abs().max() <= 3, "and never more than a tenth of its side"
    small = mask[..., :128]
    assert (clicks.boxes(small, noise=0.1)[0] - clicks.boxes(small)[0]).abs().max() <= 20 / 8, (
        "and as much less in a smaller image"
    )
    everything, _ = clicks.boxes(torch.ones(50, 8, 9, dtype=torch.bool), noise=0.1)
    assert (everything >= 0).all()
    assert (everything <= torch.tensor([8, 7])).all()


def test_held_out_losses_are_the_same_each_time() -> None:
    model = toy(preset="sam2", corrections=2).eval()
    samples = [scene(3), scene(0, seed=1)]
    values = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        values.append(total_loss(model.loss(samples)).item())
    assert values[0] == values[1]


# Answers


def test_no_prompts_have_no_answers_and_labels_come_back() -> None:
    model = toy()
    (encoded,) = model.encode([scene()])
    none = model.answer(encoded, Prompts(boxes_xyxy=torch.zeros(0, 4)))
    assert len(none) == 0
    assert none.masks is not None
    box = torch.tensor([[2.0, 2, 30, 40], [5, 5, 60, 50]])
    assert model.answer(encoded, Prompts(boxes_xyxy=box, labels=torch.tensor([1, 0]))).labels.tolist() == [
        1,
        0,
    ]
    assert model.answer(encoded, Prompts(boxes_xyxy=box)).labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (
            Prompts(torch.tensor([[[3.0, 3]], [[85, 3]]]), torch.tensor([[1], [1]])),
            r"prompt 1 has a point outside the image: \[85\.0, 3\.0\]",
        ),
        (Prompts(torch.tensor([[[3.0, -1]]]), torch.tensor([[0]])), "prompt 0 has a point outside"),
        (
            Prompts(torch.tensor([[[3.0, 3]], [[9, 9]]]), torch.tensor([[1], [-1]])),
            "prompt 1 has neither a point nor a box",
        ),
        (
            Prompts(boxes_xyxy=torch.tensor([[90.0, 3, 95, 9]])),
            "prompt 0 has a box \\(x0, y0, x1, y1\\) outside the image",
        ),
    ],
)
def test_prompts_that_are_not_in_the_image_are_named(prompts: Prompts, message: str) -> None:
    model = toy()
    (encoded,) = model.encode([scene().with_(path="bench/a.jpg")])
    with pytest.raises(InvalidDataError, match=r"^bench/a\.jpg, of 84 × 60 pixels.*" + message):
        model.answer(encoded, prompts)


def test_padding_far_outside_is_no_prompt() -> None:
    model = toy()
    (encoded,) = model.encode([scene()])
    padded = Prompts(torch.tensor([[[9.0, 9], [-99, 1e9]]]), torch.tensor([[1, -1]]))
    plain = Prompts(torch.tensor([[[9.0, 9]]]), torch.tensor([[1]]))
    assert model.answer(encoded, padded).masks == model.answer(encoded, plain).masks


def test_chunks_do_not_change_answers() -> None:
    sample = scene(7)
    assert sample.instances is not None
    prompts = Prompts(boxes_xyxy=sample.instances.boxes_xyxy)
    results = []
    for chunk in (1, 3, 100):
        model = toy(chunk=chunk)
        with torch.no_grad():
            results.append(model.mask_logits(model.encode([sample])[0], prompts))
    for logits, scores in results[1:]:
        assert torch.allclose(logits, results[0][0], atol=1e-5)
        assert torch.allclose(scores, results[0][1], atol=1e-5)


def test_protocols_encode_once_and_answer_one_to_one() -> None:
    model = toy().eval()
    empty = np.zeros((2, 30, 30), dtype=bool)
    empty[1, 3:9, 4:8] = True
    samples = [scene(3), scene(0), objects(empty)]
    found = predict_protocols(model, samples)
    assert set(found) == {"box", "point", "point+2"}
    for predictions in found.values():
        for sample, prediction in zip(samples, predictions, strict=True):
            assert sample.instances is not None
            assert prediction.instances is not None
            assert prediction.instances.labels.tolist() == sample.instances.labels.tolist()


def test_settings_have_the_defaults_of_their_preset_and_size() -> None:
    lab, sam2, small = (
        Sam2Settings(**options).filled() for options in ({}, {"preset": "sam2"}, {"size": "toy"})
    )
    assert (lab.image_size, lab.trainable, lab.prompts, lab.corrections, lab.mask) == (
        1024,
        "decoder",
        "point",
        0,
        "first",
    )
    assert (sam2.prompts, sam2.corrections, sam2.mask) == ("mix", 7, "best")
    assert (small.image_size, small.trainable) == (128, "full")
    assert Sam2Settings(version=2.0).version == "2.0", "as YAML reads it"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_size": 100}, "multiple of 32"),
        ({"image_size": 32}, "greater than or equal to 64"),
        ({"size": "huge"}, "base_plus"),
        ({"version": 2.2}, "'2.0' or '2.1'"),
        ({"size": "toy", "version": "2.0"}, "toy exists only in version 2.1"),
        ({"trainable": "encoder"}, "decoder"),
        ({"lora": {"rank": 0}}, "greater than or equal to 1"),
        ({"cache": {"max_gb": 0}}, "greater than 0"),
        ({"cache": {"maxgb": 1}}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sam2Settings(**values)


def test_models_can_be_copied_and_sent_to_other_processes() -> None:
    model, sample = toy().eval(), scene()
    (mine,) = model.encode([sample])
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        (theirs,) = other.encode([sample])
        assert torch.equal(theirs.features.embedding, mine.features.embedding)
        with torch.no_grad():
            other.network.no_mem_embed.add_(1)
        assert torch.allclose(
            other.encode([sample])[0].features.embedding, mine.features.embedding + 1, atol=1e-5
        ), "it uses its own network"
        assert torch.equal(model.encode([sample])[0].features.embedding, mine.features.embedding)
