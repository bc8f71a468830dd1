"""SAM 2 as built, decoded and exported here, against the package it comes from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from sam2.build_sam import build_sam2
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2_cases import CLASSES, NO_CACHE, scene, toy
from toolkit.plugins.sam2 import upstream
from toolkit.plugins.sam2.answers import to_masks
from toolkit.plugins.sam2.decoder import ImageDecoder
from toolkit.plugins.sam2.features import from_trunk, network_input, network_points, trunk_features
from toolkit.plugins.sam2.model import Sam2Model, build
from toolkit.plugins.sam2.settings import Sam2Settings

from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.errors import UnavailableError
from toolkit.export.weights import export_model
from toolkit.types import Prompts, Sample

CONFIGS = {
    (version, size): f"configs/{folder}/{prefix}{letter}.yaml"
    for version, folder, prefix in (("2.0", "sam2", "sam2_hiera_"), ("2.1", "sam2.1", "sam2.1_hiera_"))
    for size, letter in (("tiny", "t"), ("small", "s"), ("base_plus", "b+"), ("large", "l"))
}
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated"
)  # by the package's transforms


@pytest.fixture
def _hydra() -> Iterator[None]:
    """What ``import sam2`` leaves behind for ``build_sam2``, and this plugin takes away."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("sam2", version_base="1.2"):
        yield


def predictor_of(model: Sam2Model) -> SAM2ImagePredictor:
    predictor = SAM2ImagePredictor(model.network.eval())
    side = model.image_size
    predictor._bb_feat_sizes = [
        (side // 4, side // 4),
        (side // 8, side // 8),
        (side // 16, side // 16),
    ]  # they are those of 1024 pixels
    return predictor


def as_array(sample: Sample) -> np.ndarray[Any, Any]:
    return sample.image.permute(1, 2, 0).contiguous().numpy()


# The network


@pytest.mark.usefixtures("_hydra")
@pytest.mark.parametrize(("version", "size"), list(CONFIGS))
def test_networks_are_described_as_build_sam2_describes_them(version: str, size: str) -> None:
    extra = [
        f"++model.sam_mask_decoder_extra_args.{key}={value}"
        for key, value in upstream.IMAGE_PREDICTION.items()
    ]
    theirs = hydra.compose(config_name=CONFIGS[version, size], overrides=extra)
    assert upstream.network_config(version, size, 1024) == OmegaConf.to_container(theirs.model, resolve=True)


@pytest.mark.usefixtures("_hydra")
def test_a_run_exports_to_what_build_sam2_opens(tmp_path: Path) -> None:
    torch.manual_seed(3)
    settings = Sam2Settings(size="tiny", version="2.0", cache=NO_CACHE)
    model = build(settings, CLASSES)
    manifest = CheckpointManifest("sam2", "promptable", CLASSES, model=settings.model_dump(mode="json"))
    save_checkpoint(tmp_path / "best.safetensors", model.state_dict(), manifest)
    export_model(tmp_path / "best.safetensors", tmp_path / "weights.pth")
    theirs = build_sam2(CONFIGS["2.0", "tiny"], str(tmp_path / "weights.pth"), device="cpu")
    ours = model.network.state_dict()
    assert set(theirs.state_dict()) == set(ours)
    assert all(torch.equal(value, ours[name]) for name, value in theirs.state_dict().items())


def test_a_toy_is_of_the_same_make() -> None:
    """The same tensors as in SAM 2.1 tiny but for the number of blocks and the stem, so that all that works
    on one works on the other.
    """
    names = [
        {name for name in upstream.build_network("2.1", size, 64).state_dict() if ".blocks." not in name}
        for size in ("toy", "tiny")
    ]
    assert {name for name in names[1] - names[0] if not name.startswith("memory_attention.layers.")} == set()
    assert {
        name for name in names[0] - names[1] if not name.startswith("image_encoder.trunk.patch_embed.layers.")
    } == set()


@pytest.mark.slow
def test_hydra_is_left_alone_and_any_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "sam2").mkdir()  # a folder without code, as people have them
    code = """
import hydra
from hydra.core.global_hydra import GlobalHydra
with hydra.initialize(version_base=None, config_path=None, job_name="mine"):
    before = GlobalHydra.instance().hydra
    from toolkit.plugins.sam2.upstream import build_network
    build_network("2.1", "toy", 64)
    assert GlobalHydra.instance().hydra is before, "another user's Hydra was replaced"
assert not GlobalHydra.instance().is_initialized()
import sys
ours = ("sam2.", "toolkit.plugins.sam2")
for name in [name for name in sys.modules if name == "sam2" or name.startswith(ours)]:
    del sys.modules[name]
from toolkit.plugins.sam2.upstream import build_network
assert not GlobalHydra.instance().is_initialized(), "import sam2 initialized Hydra, and it stayed so"
with hydra.initialize(version_base=None, config_path=None, job_name="mine"):
    pass
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_clone_in_the_way_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(upstream.sam2, "__path__", [str(tmp_path)])
    with pytest.raises(UnavailableError, match=r"sam2.1_hiera_t.yaml: .* Hint: run from another folder"):
        upstream.network_config("2.1", "tiny", 1024)


# Features and masks


@pytest.mark.parametrize("size", [(50, 70), (70, 50), (64, 64), (200, 31), (3, 2), (300, 400)])
def test_features_are_those_of_the_image_predictor(size: tuple[int, int]) -> None:
    model, sample = toy(), scene(size=size)
    predictor = predictor_of(model)
    predictor.set_image(as_array(sample))
    (encoded,) = model.encode([sample])
    assert torch.allclose(encoded.features.embedding, predictor.get_image_embedding()[0], atol=1e-5)
    fine, middle = predictor._features["high_res_feats"]
    assert torch.allclose(encoded.features.stride4, fine[0], atol=1e-5)
    assert torch.allclose(encoded.features.stride8, middle[0], atol=1e-5)


def prompts_of_all_kinds(size: tuple[int, int], seed: int) -> list[Prompts]:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([size[1], size[0]])

    def points(count: int, each: int) -> Tensor:
        return torch.rand(count, each, 2, generator=generator) * scale

    def boxes(count: int) -> Tensor:
        corners = points(count, 2)
        return torch.cat([corners.amin(1), corners.amax(1)], dim=1)

    def labels(count: int, each: int) -> Tensor:
        return torch.randint(0, 2, (count, each), generator=generator)

    padded = labels(7, 4)
    padded[0, 1:], padded[1, 2], padded[2, :3], padded[3, [0, 2, 3]] = -1, -1, -1, -1
    return [
        Prompts(points(6, 1), labels(6, 1)),
        Prompts(points(5, 3), labels(5, 3)),
        Prompts(boxes_xyxy=boxes(9)),
        Prompts(points(3, 2), labels(3, 2), boxes(3)),
        Prompts(points(7, 4), padded),
    ]


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("mask", ["best", "single", "first"])
def test_answers_are_those_of_the_image_predictor(kind: int, mask: str) -> None:
    """One prompt after the other, as the package's own predictor is asked; ours come in chunks."""
    model, sample = toy(mask=mask), scene(size=(50, 70), seed=kind)
    predictor = predictor_of(model)
    predictor.set_image(as_array(sample))
    prompts = prompts_of_all_kinds(sample.size, kind)[kind]
    (encoded,) = model.encode([sample])
    with torch.no_grad():
        logits, scores = model.mask_logits(encoded, prompts)
    found = model.answer(encoded, prompts)
    assert found.masks is not None
    assert found.scores is not None
    for row in range(len(prompts)):
        asked = question(prompts, row)
        is_ambiguous = asked["box"] is None and len(asked["point_labels"]) == 1
        several = mask == "first" or (mask == "best" and is_ambiguous)
        full, ious, low = predictor.predict(**asked, multimask_output=several, return_logits=True)
        best = 0 if mask == "first" else int(ious.argmax())
        assert np.abs(logits[row].numpy() - low[best]).max() < 1e-5
        assert scores[row].item() == pytest.approx(ious[best], abs=1e-5)
        assert found.scores[row].item() == scores[row].item()
        differing = found.masks[[row]].dense()[0].numpy() != (full[best] > 0)
        assert not differing.any() or np.abs(full[best][differing]).max() < 1e-5


def question(prompts: Prompts, row: int) -> dict[str, Any]:
    """One prompt as ``SAM2ImagePredictor.predict`` takes it."""
    asked: dict[str, Any] = {"point_coords": None, "point_labels": None, "box": None}
    if prompts.points_xy is not None and prompts.point_labels is not None:
        given = prompts.point_labels[row] >= 0
        asked["point_coords"], asked["point_labels"] = (
            prompts.points_xy[row][given].numpy(),
            prompts.point_labels[row][given].numpy(),
        )
    if prompts.boxes_xyxy is not None:
        asked["box"] = prompts.boxes_xyxy[row].numpy()
    return asked


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize("tokens", [1, 2, 9])
def test_the_decoder_gives_what_the_packages_own_gives(tokens: int, with_masks: bool) -> None:
    """All four masks, scores and object scores, with many points and with earlier masks, and the gradients of
    all weights.
    """
    model, sample = toy(image_size=96), scene()
    network = model.network
    generator = torch.Generator().manual_seed(tokens)
    points = torch.rand(5, tokens, 2, generator=generator) * 96
    labels = torch.randint(-1, 4, (5, tokens), generator=generator)
    masks = torch.randn(5, 1, 24, 24, generator=generator) * 5 if with_masks else None
    gradients = []
    for ours in (True, False):
        network.zero_grad()
        features = from_trunk(
            network, trunk_features(network, network_input(sample.image, 96, torch.device("cpu"))[None])
        )[0]
        if ours:
            output = ImageDecoder(network, [features])(points, labels, masks)
            results = output.masks, output.ious, output.object_logits
        else:
            sparse, dense = network.sam_prompt_encoder(points=(points, labels), boxes=None, masks=masks)
            decoder, fine = network.sam_mask_decoder, [features.stride4[None], features.stride8[None]]
            position = network.sam_prompt_encoder.get_dense_pe()
            logits, ious, _, exists = decoder.predict_masks(
                features.embedding[None], position, sparse, dense, True, fine
            )
            for mine, theirs in zip(results, (logits, ious, exists), strict=True):
                assert mine.shape == theirs.shape
                assert torch.allclose(mine, theirs, atol=1e-5)
            results = logits, ious, exists
        weights = torch.Generator().manual_seed(9)
        sum((each * torch.rand(each.shape, generator=weights)).sum() for each in results).backward()
        gradients.append(
            {
                name: p.grad.clone()
                for name, p in network.named_parameters()
                if p.requires_grad and p.grad is not None
            }
        )
    assert gradients[0].keys() == gradients[1].keys()
    largest = max(float(gradient.abs().max()) for gradient in gradients[1].values())
    for name, gradient in gradients[0].items():
        # that of self-attention's biases of keys is 0, and what is computed of it is rounding
        atol = 1e-3 * float(gradients[1][name].abs().max()) + 1e-6 * largest
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-3, atol=atol), name


@pytest.mark.slow
def test_tiny_at_full_size_answers_as_the_image_predictor() -> None:
    torch.manual_seed(5)
    model = build(Sam2Settings(size="tiny", mask="best", cache=NO_CACHE), CLASSES).eval()
    sample = scene(3, size=(150, 220))
    assert sample.instances is not None
    predictor = predictor_of(model)
    predictor.set_image(as_array(sample))
    (encoded,) = model.encode([sample])
    assert torch.allclose(encoded.features.embedding, predictor.get_image_embedding()[0], atol=1e-5)
    with torch.no_grad():
        logits, scores = model.mask_logits(encoded, Prompts(boxes_xyxy=sample.instances.boxes_xyxy))
    _, ious, low = predictor.predict(box=sample.instances.boxes_xyxy.numpy(), multimask_output=False)
    assert np.abs(logits.numpy() - low[:, 0]).max() < 1e-5
    assert np.abs(scores.numpy() - ious[:, 0]).max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (40, 3), (97, 203), (16, 16)])
def test_masks_in_the_images_pixels_are_those_of_torchs_interpolation(size: tuple[int, int]) -> None:
    logits = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(0))
    full = torch.nn.functional.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
    for threshold in (0.0, 0.7):
        differing = to_masks(logits, size, threshold).dense() != (full > threshold)
        assert not differing.any() or (full[differing] - threshold).abs().max() < 1e-5


def test_points_are_moved_as_the_package_moves_them() -> None:
    model = toy()
    points = torch.rand(4, 3, 2) * torch.tensor([70, 50])
    theirs = predictor_of(model)._transforms.transform_coords(points, normalize=True, orig_hw=(50, 70))
    assert torch.allclose(network_points(points, (50, 70), 64), theirs)


# Losses


@pytest.fixture
def upstream_losses(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package's own ``training/loss_fns.py``, without its trainer, whose requirements are many and of
    which it uses one word.
    """
    monkeypatch.setitem(sys.modules, "training.trainer", SimpleNamespace(CORE_LOSS_KEY="core_loss"))
    return pytest.importorskip(
        "training.loss_fns", reason="this build of the package sam2 brings no training code"
    )


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_losses_of_the_preset_are_those_of_sam2s_authors(upstream_losses: Any, seed: int, count: int) -> None:
    from toolkit.plugins.sam2.losses import sam2_loss

    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(6, count, 20, 24, generator=generator) * 4).requires_grad_()
    truth = torch.rand(6, 20, 24, generator=generator) < 0.3
    truth[2] = False  # an object that is not there
    truth[3] = True
    ious = torch.rand(6, count, generator=generator).requires_grad_()
    exists = torch.randn(6, 1, generator=generator).requires_grad_()
    criterion = upstream_losses.MultiStepMultiMasksAndIous(
        {"loss_mask": 20, "loss_dice": 1, "loss_iou": 1, "loss_class": 1},
        supervise_all_iou=True,
        iou_use_l1_loss=True,
        pred_obj_scores=True,
    )
    outputs = {
        "multistep_pred_multimasks_high_res": [logits],
        "multistep_pred_ious": [ious],
        "multistep_object_score_logits": [exists],
    }
    theirs = criterion([outputs], truth[None])
    ours = sam2_loss(logits, truth, ious, exists[:, 0])
    names = {
        "mask": ("loss_mask", 20),
        "dice": ("loss_dice", 1),
        "iou": ("loss_iou", 1),
        "object_score": ("loss_class", 1),
    }
    for name, (key, weight) in names.items():
        assert ours[name].mean().item() == pytest.approx(weight * theirs[key].item(), abs=1e-5), name
    total = sum(term.mean() for term in ours.values())
    assert total.item() == pytest.approx(theirs["core_loss"].item(), abs=1e-5)
    mine = torch.autograd.grad(total, [logits, ious, exists])
    for one, other in zip(
        mine, torch.autograd.grad(theirs["core_loss"], [logits, ious, exists]), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)
