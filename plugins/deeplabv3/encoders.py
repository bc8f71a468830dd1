"""Encoders whose strides are replaced by dilation, so that the deepest features are finer with the same
receptive field.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.encoders.mix_transformer import MixVisionTransformerEncoder
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large

from toolkit.errors import ConfigError
from toolkit.models.encoders import UNFIT_ENCODER, check_encoder_name

MOBILENET = "mobilenet_v3_large"
COARSEST = 32


@dataclass(frozen=True)
class Encoder:
    """An encoder and the properties of its features.

    Attributes:
        name: its name in the settings.
        output_stride: stride of the deepest features, in pixels.
        module: takes images ``[B, 3, H, W]`` and returns features, the deepest last.
        low_level: index of the stride-4 features, and their channels; None if there are none.
        auxiliary: the same for the features of the auxiliary head, from the second-to-last stage.
        channels: channels of the deepest features.
        divisor: image sides must be multiples of this many pixels; 1 for any size.
    """

    name: str
    output_stride: int
    module: nn.Module
    low_level: tuple[int, int] | None
    auxiliary: tuple[int, int]
    channels: int
    divisor: int


def build_encoder(name: str, output_stride: int) -> Encoder:
    """An encoder with random weights.

    Args:
        name: name in segmentation_models.pytorch, ``tu-`` followed by a timm model, or torchvision's
            ``mobilenet_v3_large``.
        output_stride: stride of the deepest features, in pixels; 32 leaves the encoder unchanged.

    Raises:
        ConfigError: when there is no such encoder, or it cannot be dilated.
    """
    check_encoder_name(name, also=[MOBILENET])
    try:
        module = _make(name, output_stride)
        return _describe(name, module, output_stride)
    except UNFIT_ENCODER as error:
        hint = (
            "another encoder"
            if output_stride == COARSEST
            else f"another encoder, or model.output_stride={COARSEST}"
        )
        raise ConfigError(
            f"the encoder {name!r} cannot be used with an output stride of {output_stride}:"
            f" {str(error) or 'it has no dilated form'}. Hint: use {hint}"
        ) from error


def _make(name: str, output_stride: int) -> nn.Module:
    if name == MOBILENET:
        return MobileNetV3Large(output_stride)
    is_timm = name.startswith("tu-") or smp.encoders.is_equivalent_to_timm_universal(name)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "`timm-` encoders are deprecated", DeprecationWarning
        )  # they work, and users rely on them
        # timm dilates by the same rule as here; segmentation_models.pytorch also dilates the convolution that
        # loses its stride
        encoder: nn.Module = smp.encoders.get_encoder(
            name, weights=None, output_stride=output_stride if is_timm else COARSEST
        )
    if output_stride < COARSEST and not is_timm:
        if isinstance(encoder, MixVisionTransformerEncoder):
            raise NotImplementedError("its attention works on strided features")
        stages: dict[int, list[nn.Module]] = encoder.get_stages()  # type: ignore[operator]
        for stride, modules in stages.items():
            if stride > output_stride:
                dilate(modules, max(1, stride // 2 // output_stride), stride // output_stride)
    return encoder


def dilate(modules: Iterable[nn.Module], before: int, after: int) -> None:
    """Replace the stride of an encoder stage with dilation (the algorithme à trous).

    At every position where the strided stage has a value, the dilated one then has the same value. For that,
    the convolution that loses its stride keeps its dilation, and those after it skip the values in between.

    Args:
        modules: the modules of the stage.
        before: factor by which the stage's input is finer than before; 1 for the first modified stage.
        after: the same factor for its output.

    Raises:
        NotImplementedError: when the stage pools, which has no dilated form.
    """
    for module in (inner for outer in modules for inner in outer.modules()):
        if isinstance(module, nn.Conv2d):
            rate = before if max(module.stride) > 1 else after
            module.stride = (1, 1)
            module.dilation = (module.dilation[0] * rate, module.dilation[1] * rate)
            if not isinstance(module.padding, str):
                module.padding = (module.padding[0] * rate, module.padding[1] * rate)
            _pad_same(module, rate)
        elif isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)) and module.stride not in (1, (1, 1)):
            raise NotImplementedError(f"it downsamples with {type(module).__name__}")


def _pad_same(convolution: nn.Conv2d, rate: int) -> None:
    """Widen the padding of EfficientNet's convolutions, which is a separate module and may be asymmetric."""
    padding = getattr(convolution, "static_padding", None)
    if isinstance(padding, nn.ZeroPad2d):
        left, _, top, _ = (n * rate for n in padding.padding)
        below, right = (
            (k - 1) * d for k, d in zip(convolution.kernel_size, convolution.dilation, strict=True)
        )
        convolution.static_padding = nn.ZeroPad2d((left, right - left, top, below - top))


class MobileNetV3Large(nn.Sequential):
    """torchvision's MobileNetV3-Large with the dilation of its DeepLabv3, which also dilates the convolution
    that loses its stride.

    Howard et al., Searching for MobileNetV3, ICCV 2019 (https://arxiv.org/abs/1905.02244).
    """

    LEVELS = (1, 3, 4, 12, 16)
    """Layers that end at strides of 2, 4, 8, 16 and 32; torchvision attaches its auxiliary head at stride 8.
    """

    auxiliary_level = -3

    def __init__(self, output_stride: int) -> None:
        super().__init__(*mobilenet_v3_large(weights=None, dilated=output_stride < COARSEST).features)
        if output_stride == 8:
            layers = list(self)
            dilate(layers[7:13], 1, 2)
            dilate(layers[13:], 2, 2)

    def forward(self, input: Tensor) -> list[Tensor]:
        """Features at five levels of images ``[B, 3, H, W]``."""
        features = []
        for index, layer in enumerate(self):
            input = layer(input)
            if index in self.LEVELS:
                features.append(input)
        return features


def _describe(name: str, module: nn.Module, output_stride: int) -> Encoder:
    """Determine the properties of an encoder's features by running it."""
    height, width = 2 * COARSEST, 3 * COARSEST
    shapes = _shapes(module, height, width)
    if shapes[-1][2:] != (height // output_stride, width // output_stride):
        raise ValueError(f"its deepest features have a stride of {height / shapes[-1][2]:g}")
    low_level = [i for i, shape in enumerate(shapes[:-1]) if shape[1] and shape[2] == height // 4]
    auxiliary = len(shapes) + int(getattr(module, "auxiliary_level", -2))
    return Encoder(
        name,
        output_stride,
        module,
        (low_level[0], shapes[low_level[0]][1]) if low_level else None,
        (auxiliary, shapes[auxiliary][1]),
        shapes[-1][1],
        1 if _takes_any_size(module, output_stride) else COARSEST,
    )


def _takes_any_size(module: nn.Module, output_stride: int) -> bool:
    """Whether features cover all of an image with odd sides, instead of losing its border or failing."""
    for height, width in ((1, 1), (COARSEST + 1, 2 * COARSEST - 1)):
        try:
            deepest = _shapes(module, height, width)[-1]
        except Exception:  # a network may raise anything
            return False
        if deepest[2:] != (-(-height // output_stride), -(-width // output_stride)):
            return False
    return True


def _shapes(module: nn.Module, height: int, width: int) -> list[tuple[int, ...]]:
    """The shapes of the features of an image."""
    module.eval()  # no random number is drawn, and no statistics change
    try:
        with torch.no_grad():
            return [tuple(feature.shape) for feature in module(torch.zeros(1, 3, height, width))]
    finally:
        module.train()
