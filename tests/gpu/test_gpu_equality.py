"""A model says the same on a GPU as on the CPU: predictions, losses, gradients and figures, in float32
without TF32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from support.gpu_runs import ON_BOTH, skip_without_packages
from support.small_settings import MODELS
from torch import Tensor, nn

from toolkit import registry
from toolkit.config import settings_class, validate
from toolkit.evaluation.protocols import PLAIN, plan_measurements, predict_protocols
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import TrainableModel, evaluating, total_loss
from toolkit.models.derived import derived
from toolkit.models.label_maps import logits_to_label_map
from toolkit.models.simulated_prompts import AUTO
from toolkit.runtime.seeding import seed_everything
from toolkit.testing import ModelCase
from toolkit.testing.closeness import BOX, PIXELS, SCORE, difference
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample

pytestmark = pytest.mark.usefixtures("plain_fp32")

LOSS = {"semantic": 1e-4, "classification": 1e-4, "instance": 0.02, "promptable": 0.01}
"""How far the loss on a GPU may be from that on the CPU, relative to it, by task. Where it rests on choices,
rounding can turn one: of two proposals that are as good, or of the pixel that a correction clicks on."""

GRADIENT = {"semantic": 3e-3, "classification": 3e-3, "instance": 0.1, "promptable": 0.1}
"""Likewise the norm of the difference of the gradients, relative to the norm of the gradient. Usually it is
below 1e-5, but when rounding turns a single choice, of a ReLU or of a pooling window, it is 7e-4 for U-Net:
on a GPU, and on a CPU with one thread instead of two."""

FIGURE = 0.01
"""How far a metric from 0 to 1 may be apart."""


def case_of(name: str) -> ModelCase:
    skip_without_packages(name)
    return MODELS[name]


def trained(case: ModelCase, device: str) -> TrainableModel:
    """A model with the weights of the case's short training, which is done on the CPU."""
    model = case.build_trainable(seed=1)  # another start, so that all that counts comes from the training
    model.load_state_dict(case.training.model.state_dict())
    return model.to(device).eval()


def apart(one: Prediction, other: Prediction) -> str:
    """How two predictions differ, in words; objects are compared whatever their order, because two of the
    same score may change places, and the last ones may drop out.
    """
    what = difference(one, other)
    if not what or one.instances is None or other.instances is None:
        return what
    rest = list(range(len(other.instances)))
    for i in range(len(one.instances)):
        found = next((j for j in rest if same_object(one.instances, i, other.instances, j)), None)
        if found is not None:
            rest.remove(found)
        elif not among_the_last(one.instances, i):
            return f"{what}; nothing is like object {i} of the first"
    return "" if all(among_the_last(other.instances, j) for j in rest) else what


def same_object(one: Instances, i: int, other: Instances, j: int) -> bool:
    near = one.labels[i] == other.labels[j] and (one.boxes_xyxy[i] - other.boxes_xyxy[j]).abs().max() <= BOX
    if not near or one.scores is None or other.scores is None or abs(one.scores[i] - other.scores[j]) > SCORE:
        return False
    if one.masks is None or other.masks is None:
        return one.masks is other.masks
    a, b = one.masks.to_coco()[i], other.masks.to_coco()[j]
    return bool(a == b or coco_mask.iou([a], [b], [0])[0, 0] >= 1 - PIXELS)


def among_the_last(found: Instances, i: int) -> bool:
    return found.scores is not None and bool(found.scores[i] <= found.scores.min() + SCORE)


def test_objects_are_compared_whatever_their_order() -> None:
    size = (20, 20)
    masks = np.zeros((3, *size), bool)
    for i, mask in enumerate(masks):
        mask[2 * i : 2 * i + 8, 3:9] = True
    codes = Masks.from_dense(masks)
    whole = Instances(size, codes.boxes_xyxy(), torch.tensor([0, 1, 0]), codes, torch.tensor([0.9, 0.9, 0.5]))
    swapped, fewer, other = (
        Prediction("a", size, instances=whole[order]) for order in ([1, 0, 2], [0, 1], [1, 2])
    )
    assert not apart(Prediction("a", size, instances=whole), swapped)
    assert not apart(Prediction("a", size, instances=whole), fewer), "the last may drop out"
    assert apart(Prediction("a", size, instances=whole), other), "but no other one"


@pytest.mark.parametrize("device", ON_BOTH)
@pytest.mark.parametrize("name", MODELS)
def test_predictions(name: str, device: str) -> None:
    case = case_of(name)
    samples = case.unlabeled(6)
    here, there = (case.predict(trained(case, kind), samples) for kind in ("cpu", device))
    for one, other in zip(here, there, strict=True):
        assert not apart(one, other), f"{one.sample_id}: {apart(one, other)}"


def loss_and_gradients(case: ModelCase, device: str, training: bool) -> tuple[float, dict[str, Tensor]]:
    """The loss of a batch, and each parameter's gradient on the CPU. Dropout, which draws on the device, is
    switched off.
    """
    model = trained(case, device).train(training)
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    seed_everything(0, "loss")
    loss = total_loss(model.loss(case.samples()))
    assert loss.device.type == device
    loss.backward()  # type: ignore[no-untyped-call]
    assert not torch.backends.cudnn.allow_tf32
    gradients = {name: p.grad.double().cpu() for name, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradients


@pytest.mark.parametrize("device", ON_BOTH)
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("name", MODELS)
def test_losses_and_gradients(name: str, training: bool, device: str) -> None:
    case = case_of(name)
    (here, ours), (there, theirs) = (loss_and_gradients(case, kind, training) for kind in ("cpu", device))
    assert there == pytest.approx(here, rel=LOSS[case.manifest.task])
    assert ours.keys() == theirs.keys()
    size = sum(float(value.square().sum()) for value in ours.values()) ** 0.5
    off = sum(float((ours[key] - theirs[key]).square().sum()) for key in ours) ** 0.5
    assert size > 0
    assert off <= GRADIENT[case.manifest.task] * size, f"the gradients differ by {off / size:.2g}"


def figures(case: ModelCase, device: str) -> dict[str, float]:
    """What the plugin's evaluators say of the trained model."""
    model, samples = trained(case, device), case.samples(6)
    with evaluating(model):
        by_protocol = (
            predict_protocols(model, samples)
            if isinstance(model, Promptable)
            else {PLAIN: model.predict(samples)}
        )
    evaluators: list[Any] = []
    for name in case.manifest.evaluators:
        manifest = registry.evaluators().get(name)
        settings = validate(settings_class(manifest), {}, source=name)
        evaluators.append(manifest.resolve(manifest.build)(settings, case.classes))
    found: dict[str, float] = {}
    for measurement in plan_measurements(model, evaluators):
        measurement.update(samples, by_protocol)
        found |= measurement.report().metrics
    return found


@pytest.mark.parametrize("device", ON_BOTH)
@pytest.mark.parametrize("name", MODELS)
def test_evaluators_report_the_same(name: str, device: str) -> None:
    case = case_of(name)
    here, there = figures(case, "cpu"), figures(case, device)
    assert here
    assert there == pytest.approx(here, abs=FIGURE, nan_ok=True)


@pytest.mark.parametrize("device", ON_BOTH)
@pytest.mark.parametrize("size", [(40, 50), (64, 96), (200, 300)], ids=str)
@pytest.mark.parametrize("classes", [2, 21, 255])
def test_label_maps_from_logits(classes: int, size: tuple[int, int], device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(classes, 40, 50, generator=generator)
    here, there = (logits_to_label_map(logits.to(kind), size) for kind in ("cpu", device))
    assert there.device.type == device
    assert there.dtype == torch.uint8
    assert float((here != there.cpu()).float().mean()) <= PIXELS


@pytest.mark.parametrize("device", ON_BOTH)
def test_what_is_derived_from_weights_is_made_without_autocast(device: str) -> None:
    """It is kept, and may be used outside of autocast next."""
    layer = nn.Linear(8, 8).to(device)
    with torch.autocast(device, torch.bfloat16):
        product = derived(layer, [layer.weight], "square", lambda: layer.weight @ layer.weight)
    assert product.dtype == torch.float32


def sam2(**settings: Any) -> Any:
    skip_without_packages("sam2")
    plugin = registry.plugins().get("sam2")
    options = {"size": "toy", "image_size": 64, **settings}
    torch.manual_seed(0)
    model = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(**options), ("thing",))
    with torch.no_grad():  # random weights find nothing: say that objects are there
        model.network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return model


@pytest.mark.parametrize("device", ON_BOTH)
def test_sam2_finds_everything(device: str) -> None:
    auto = {
        "points_per_side": 4,
        "pred_iou_thresh": 0.0,
        "stability_score_thresh": 0.0,
        "box_nms_thresh": 1.0,
    }
    model = sam2(auto=auto).to(device).eval()
    image = torch.randint(0, 256, (3, 60, 80), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert AUTO not in model.protocols
    (prediction,) = model.predict([Sample("a", image)])
    assert prediction.instances is not None
    assert len(prediction.instances) >= 2
    assert prediction.instances.boxes_xyxy.device.type == "cpu"


@pytest.mark.parametrize("device", ON_BOTH)
def test_sam2_tracks(device: str) -> None:
    model = sam2().to(device).eval()
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 60, 80), generator=generator, dtype=torch.uint8)
    frames = [Sample(str(i), image.roll(i, dims=2)) for i in range(4)]
    prompts = {0: [Prompts(boxes_xyxy=torch.tensor([[8.0, 13, 32, 37]]))]}
    predictions = list(model.track(frames, prompts))
    assert [each.sample_id for each in predictions] == ["0", "1", "2", "3"]
    for each in predictions:
        assert each.instances is not None
        assert each.instances.boxes_xyxy.device.type == "cpu"


@pytest.mark.parametrize("device", ON_BOTH)
@pytest.mark.parametrize("trainable", ["decoder", "decoder+neck", "lora"])
def test_sam2_learns_on_kept_features(trainable: str, device: str, tmp_path: Any) -> None:
    """Read from the disk, features give the loss that they gave when they were computed."""
    model = sam2(trainable=trainable, cache={"folder": str(tmp_path)}).to(device).train()
    samples = MODELS["sam2"].samples(2, sizes=[(64, 64)] * 2)
    losses = []
    for _ in range(2):
        seed_everything(0, "loss")
        losses.append(total_loss(model.loss(samples)))
    losses[1].backward()
    kept = list(tmp_path.rglob("*.features"))
    assert len(kept) == (0 if trainable == "lora" else 2)
    assert float(losses[0].detach()) == pytest.approx(float(losses[1].detach()), rel=1e-5)
    assert any(p.grad is not None and bool(p.grad.any()) for p in model.parameters())
