"""The networks: images ``[B, 3, H, W]`` to logits ``[B, classes]``."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from typing import Any

from torch import nn

from toolkit.errors import ConfigError
from toolkit.models.norms import Norm, norm_layer, replace_batch_norms
from toolkit.types import Size

from .settings import ClassifierSettings, SimpleSettings

SIMPLE, VGG16 = "simple", "vgg16"
OWN_SIZES: dict[str, Size] = {SIMPLE: (64, 64), VGG16: (224, 224)}


def build_network(settings: ClassifierSettings, classes: int) -> tuple[nn.Module, Size]:
    """A network with random weights, and the height and width of the images that it gets.

    Raises:
        ConfigError: when there is no such architecture, or it does not go together with the other settings.
    """
    name, norm = settings.architecture, settings.norm
    if name in OWN_SIZES:
        size = settings.size or OWN_SIZES[name]
        if name == SIMPLE:
            return simple_network(
                settings.simple, classes, size, norm=norm or "none", dropout=settings.dropout
            ), size
        return vgg16_network(classes, size, norm=norm or "none", dropout=settings.dropout), size
    return timm_network(name, classes, settings.size, norm=norm, dropout=settings.dropout)


def simple_network(
    settings: SimpleSettings, classes: int, size: Size, *, norm: Norm = "none", dropout: float = 0.0
) -> nn.Sequential:
    """Convolution, ReLU and pooling several times, then a hidden layer and the classes.

    Args:
        settings: the layers.
        classes: how many logits.
        size: height and width of the images.
        norm: between each convolution and its ReLU.
        dropout: before the classes.

    Raises:
        ConfigError: when nothing is left of images of this size.
    """
    layers: list[tuple[str, nn.Module]] = []
    padding = settings.kernel // 2 if settings.padding is None else settings.padding
    pool_stride = settings.pool_stride or settings.pool
    before, left = 3, size
    for number, channels in enumerate(settings.channels, start=1):
        layers.append(
            (f"conv{number}", nn.Conv2d(before, channels, settings.kernel, settings.stride, padding))
        )
        if norm != "none":
            layers.append((f"norm{number}", norm_layer(norm, channels)))
        layers += [
            (f"relu{number}", nn.ReLU()),
            (f"pool{number}", nn.MaxPool2d(settings.pool, pool_stride)),
        ]
        left = _steps(left, settings.kernel, settings.stride, padding)
        left = _steps(left, settings.pool, pool_stride, 0)
        if min(left) < 1:
            raise ConfigError(
                f"model.size: nothing is left of images of {size[0]} × {size[1]} pixels after"
                f" {number} of {len(settings.channels)} convolutions with pooling. Hint: set a larger"
                " model.size, or fewer model.simple.channels"
            )
        before = channels
    layers += [
        ("flatten", nn.Flatten()),
        ("hidden", nn.Linear(before * left[0] * left[1], settings.hidden)),
        (f"relu{len(settings.channels) + 1}", nn.ReLU()),
    ]
    if dropout:
        layers.append(("dropout", nn.Dropout(dropout)))
    return nn.Sequential(OrderedDict([*layers, ("classes", nn.Linear(settings.hidden, classes))]))


def last_layers(network: nn.Module) -> tuple[str, ...]:
    """The names of the layers that give the logits, in any of these networks; some of timm's have two, for
    distillation.
    """
    named: Any = getattr(network, "default_cfg", {}).get("classifier")
    if named:
        return (named,) if isinstance(named, str) else tuple(named)
    return tuple(name for name, module in network.named_modules() if isinstance(module, nn.Linear))[-1:]


def _steps(size: Size, window: int, stride: int, padding: int) -> Size:
    """Height and width after a window that moves over an image; 0 or less when it does not fit."""
    height, width = ((side + 2 * padding - window) // stride + 1 for side in size)
    return height, width


def vgg16_network(classes: int, size: Size, *, norm: Norm = "none", dropout: float = 0.0) -> nn.Module:
    """Configuration D of Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image
    Recognition, ICLR 2015 (https://arxiv.org/abs/1409.1556), as torchvision builds it.

    Args:
        classes: how many logits.
        size: height and width of the images, at least 32; for other sizes than 224, the last features are
            averaged to 7 × 7.
        norm: after each convolution; the paper has none.
        dropout: after each hidden layer.

    Raises:
        ConfigError: when images of this size are too small.
    """
    from torchvision.models import vgg16, vgg16_bn

    if min(size) < 32:
        raise ConfigError(
            f"model.size: vgg16 halves images five times, so {size[0]} × {size[1]} pixels are too few. Hint:"
            " set model.size to 32 × 32 or more, such as 'model.size=[32,32]'"
        )
    network: nn.Module = (vgg16 if norm == "none" else vgg16_bn)(num_classes=classes, dropout=dropout)
    replace_batch_norms(network, norm)
    return network


def timm_network(
    name: str, classes: int, size: Size | None, *, norm: Norm | None, dropout: float
) -> tuple[nn.Module, Size]:
    """A model of timm, and the height and width of the images that it gets.

    Args:
        name: of the model; a name of published weights after a dot, such as ``resnet18.a1_in1k``, is allowed.
        classes: how many logits.
        size: height and width of the images; None for those of the published weights.
        norm: replaces its batch norms; None leaves them.
        dropout: before the classes.

    Raises:
        ConfigError: when there is no such model, or it does not support the settings.
    """
    import timm

    from toolkit.models.encoders import UNFIT_ENCODER

    if not timm.is_model(name.partition(".")[0]):
        near = difflib.get_close_matches(name, [SIMPLE, VGG16, *timm.list_models()], n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "timm.list_models() lists them"
        raise ConfigError(
            f"model.architecture: unknown architecture {name!r}; expected {SIMPLE}, {VGG16}, or the name of a"
            f" model of timm. Hint: {hint}"
        )
    config: Any = timm.get_pretrained_cfg(name)
    published = (config.input_size[1], config.input_size[2]) if config else (224, 224)
    size = size or published
    options: dict[str, Any] = {"drop_rate": dropout} if dropout else {}
    if config and config.fixed_input_size and size != published:
        options["img_size"] = size
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, **options)
        if norm is not None:
            replace_batch_norms(network, norm)
    except UNFIT_ENCODER as error:
        raise ConfigError(
            f"the model {name!r} of timm cannot be used with these settings: {error}. Hint: leave"
            " model.size, model.dropout and model.norm as they are, or use another model.architecture"
        ) from error
    return network, size
