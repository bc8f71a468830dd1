"""The gain of each of Mask R-CNN's own operators on a CPU: all of them, against all but one.

``PYTHONPATH=. python benchmarks/maskrcnn_operators.py [--json]``. The peer of each line is the replacement
used with ``model.operators.<name>=false``, in one run with the same weights. The comparison uses the CPU time
of one thread, which other programs hardly affect.

R50-FPN on one image of 800 × 1066: from the image to boxes and run-length coded masks, and a training step
without the optimizer, the stem and res2 frozen. Weights are random, but scaled to behave like trained ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from _maskrcnn import CLASSES, sample
from _timing import Comparison, compare, report
from toolkit.plugins.maskrcnn.layers import FrozenBatchNorm2d
from toolkit.plugins.maskrcnn.model import MaskRCNN
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings, OperatorSettings
from torch import Tensor, nn

from toolkit.types import Sample

OPERATORS = tuple(OperatorSettings.model_fields)
PLAIN = OperatorSettings.model_validate(dict.fromkeys(OPERATORS, False))


def network(operators: OperatorSettings) -> MaskRCNN:
    return MaskRCNN(MaskRCNNSettings(engine="torchvision", operators=operators), CLASSES)


@torch.no_grad()
def calibrate(model: MaskRCNN, image: Sample) -> None:
    """Give a network of plain operators weights with which activations neither vanish nor explode, and which
    find many objects: norms get the statistics of the image, and the last layers are scaled until their
    outputs vary.
    """
    model.eval()

    def take_statistics(norm: FrozenBatchNorm2d, arguments: tuple[Tensor]) -> None:
        norm.running_mean.copy_(arguments[0].mean((0, 2, 3)))
        norm.running_var.copy_(arguments[0].var((0, 2, 3)))

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, FrozenBatchNorm2d):
            hooks.append(module.register_forward_pre_hook(take_statistics))
            if name.endswith("conv3.norm"):
                module.weight.fill_(0.3)  # residual branches of trained networks are weak too
    model.predict([image])
    for hook in hooks:
        hook.remove()
    rpn, box, mask = (
        model.proposal_generator.rpn_head,
        model.roi_heads.box_predictor,
        model.roi_heads.mask_head,
    )
    assert mask is not None
    for layer, output_std in (
        (rpn.objectness_logits, 2.0),
        (rpn.anchor_deltas, 0.3),
        (box.cls_score, 2.0),
        (box.bbox_pred, 1.0),
    ):
        scale(layer, layer, output_std, model, image)
    scale(mask.predictor, mask.deconv_relu, 3.0, model, image)  # type: ignore[arg-type]


def scale(layer: nn.Module, watched: nn.Module, output_std: float, model: MaskRCNN, image: Sample) -> None:
    """Scale a layer so that its outputs have a given standard deviation; ``watched`` is the layer itself, or
    the one whose output it reads.
    """
    outputs: list[Tensor] = []
    weight = layer.weight
    assert isinstance(weight, Tensor)

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        seen = output if watched is layer else output.reshape(-1, weight.shape[1]) @ weight.flatten(1).T
        outputs.append(seen.flatten())

    hook = watched.register_forward_hook(keep)
    model.predict([image])
    hook.remove()
    weight.mul_(output_std / torch.cat(outputs).std())


def predict(model: MaskRCNN, image: Sample, *, low_precision: bool) -> Callable[[], int]:
    def run() -> int:
        with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
            found = model.eval().predict([image])[0].instances
        assert found is not None
        return len(found)

    return run


def train(model: MaskRCNN, image: Sample, *, low_precision: bool) -> Callable[[], float]:
    def run() -> float:
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
            losses = model.train().losses([image], [image.size])
        model.zero_grad()
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        return float(total.detach())

    return run


def measure() -> list[Comparison]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    image = sample()
    plain = network(PLAIN)
    calibrate(plain, image)
    weights = plain.state_dict()
    full = network(OperatorSettings())
    full.load_state_dict(weights)
    comparisons = []
    for work, precisions, rounds in ((predict, ("fp32", "bf16"), 3), (train, ("fp32",), 2)):
        for precision in precisions:
            ours = work(full, image, low_precision=precision == "bf16")
            for name in (*OPERATORS, "all"):
                if (name == "paste" and work is train) or (name == "winograd" and precision == "bf16"):
                    continue  # not used
                without = PLAIN if name == "all" else OperatorSettings.model_validate({name: False})
                other = network(without)
                other.load_state_dict(weights)
                theirs = work(other, image, low_precision=precision == "bf16")
                comparisons.append(
                    compare(
                        f"{work.__name__}, {precision}",
                        ("all operators", ours),
                        (f"without {name}" if name != "all" else "plain operators", theirs),
                        rounds=rounds,
                        clock=time.process_time,
                    )
                )
    return comparisons


if __name__ == "__main__":
    raise SystemExit(report("Mask R-CNN R50-FPN's operators, 800 × 1066", measure()))
