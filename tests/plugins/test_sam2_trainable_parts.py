"""SAM 2: which parts learn, and which stay as they are."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

from sam2_cases import scene, toy
from toolkit.plugins.sam2.lora import LowRankLinear
from toolkit.plugins.sam2.model import Sam2Model, build
from toolkit.plugins.sam2.settings import Sam2Settings

from toolkit.config import resolve
from toolkit.config.tree import merge
from toolkit.models.contract import total_loss
from toolkit.models.freezing import Freezing, count_frozen
from toolkit.models.parts import untrained_parameters
from toolkit.runtime.seeding import seed_everything
from toolkit.training.loop import train
from toolkit.types import Prompts

HEADS = {"sam_mask_decoder", "sam_prompt_encoder"}


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
