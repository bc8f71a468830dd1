"""Detectron2's Mask R-CNN R50-FPN and ours with the same weights, and an image in which they find about as
many objects as trained models do.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch
from toolkit.plugins.maskrcnn.model import MaskRCNN
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.types import Instances, Masks, Sample

SIZE = (800, 1066)
CLASSES = tuple(f"class {i}" for i in range(80))


def require_detectron2() -> None:
    """Exit with a message if there is no peer to compare with."""
    try:
        import detectron2  # noqa: F401
    except ImportError:
        print(
            "skipped: the peer is Detectron2, which is not installed here"
            " (https://detectron2.readthedocs.io/en/latest/tutorials/install.html)"
        )
        sys.exit(0)


def image(size: tuple[int, int] = SIZE) -> Tensor:
    """Noise at all scales, as in photos, uint8 ``[3, H, W]``."""
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(1, 3, *size)
    for octave in range(1, 9):
        cells = torch.randn(1, 3, 2**octave, 2**octave, generator=generator)
        total += F.interpolate(cells, size=size, mode="bicubic") * 0.75**octave
    return ((total[0] / total.std() * 60 + 118).clamp(0, 255)).to(torch.uint8)


def sample(objects: int = 12, size: tuple[int, int] = SIZE) -> Sample:
    """The image with ellipses as objects, for training."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    dense = []
    for height, width, cy, cx in torch.rand(objects, 4, generator=generator).tolist():
        half_height, half_width = size[0] * (0.03 + 0.2 * height), size[1] * (0.03 + 0.2 * width)
        dense.append(((y - size[0] * cy) / half_height) ** 2 + ((x - size[1] * cx) / half_width) ** 2 < 1)
    masks = Masks.from_dense(torch.stack(dense))
    return Sample(
        "generated",
        image(size),
        instances=Instances(size, masks.boxes_xyxy(), torch.arange(objects) % len(CLASSES), masks),
    )


def peer(device: str = "cpu", **options: Any) -> nn.Module:
    """Detectron2's model as its configuration file builds it, with random weights that behave like trained
    ones. They are the same on every device, because they are made on the CPU.

    Its frozen norms get the statistics of the image, so that activations neither vanish nor explode; the last
    layers are scaled until objectness, classes and masks vary. Without that there would be one proposal and
    no detection to work on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from detectron2 import model_zoo
        from detectron2.config import get_cfg
        from detectron2.modeling import build_model

        config = get_cfg()
        config.merge_from_file(
            model_zoo.get_config_file("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml")
        )
        config.MODEL.DEVICE = "cpu"
        config.merge_from_list([part for pair in options.items() for part in pair])
        torch.manual_seed(0)
        model: nn.Module = build_model(config)
    _calibrate(model)
    return model.to(device)


def ours(peer: nn.Module) -> MaskRCNN:
    """Our model with the same weights."""
    model = MaskRCNN(MaskRCNNSettings(engine="torchvision"), CLASSES)
    model.load_state_dict(peer.state_dict(), strict=False)
    return model.to(next(peer.parameters()).device)


def inputs(sample: Sample) -> list[dict[str, Any]]:
    """The input of Detectron2's model for inference."""
    return [{"image": sample.image.flip(0), "height": sample.size[0], "width": sample.size[1]}]


@torch.no_grad()
def _calibrate(model: nn.Module) -> None:
    from detectron2.layers import FrozenBatchNorm2d

    def take_statistics(norm: nn.Module, arguments: tuple[Tensor]) -> None:
        norm.running_mean.copy_(arguments[0].mean((0, 2, 3)))  # type: ignore[operator, union-attr]
        norm.running_var.copy_(arguments[0].var((0, 2, 3)))  # type: ignore[operator, union-attr]

    norms = [module for module in model.modules() if isinstance(module, FrozenBatchNorm2d)]
    for name, module in model.named_modules():
        if name.endswith("conv3.norm"):
            module.weight.fill_(0.3)  # type: ignore[operator, union-attr]  # residual branches of trained networks are weak too
    hooks = [norm.register_forward_pre_hook(take_statistics) for norm in norms]
    model.eval()(inputs(sample()))
    for hook in hooks:
        hook.remove()
    head, box, mask = (
        model.proposal_generator.rpn_head,
        model.roi_heads.box_predictor,
        model.roi_heads.mask_head,
    )
    for layer, output_std in (
        (head.objectness_logits, 2.0),
        (head.anchor_deltas, 0.3),
        (box.cls_score, 2.0),
        (box.bbox_pred, 1.0),
        (mask.predictor, 3.0),
    ):
        outputs: list[Tensor] = []
        hook = layer.register_forward_hook(lambda _, __, output, kept=outputs: kept.append(output.flatten()))
        model(inputs(sample()))
        hook.remove()
        layer.weight.mul_(output_std / torch.cat(outputs).std())
