"""The network of Ronneberger, Fischer and Brox, U-Net: Convolutional Networks for Biomedical Image
Segmentation, MICCAI 2015.

https://arxiv.org/abs/1505.04597. At its usual depth of 4: 23 convolutions; 572 × 572 pixels in, 388 × 388
out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.models.norms import Norm, norm_layer
from toolkit.models.resizing import pad
from toolkit.types import Size

from .settings import Upsampling


class OriginalUNet(nn.Module):
    """A contracting path, an expansive path, and skips that are cropped to fit.

    Args:
        in_channels: channels of the image.
        classes: channels of the logits.
        depth: number of times the resolution is halved.
        width: channels at full resolution, doubled at each halving.
        padded: pad the 3 × 3 convolutions with zeros, so that the output has the size of the input, which
            must then be a multiple of ``2 ** depth``. Unpadded, the input must have a size that
            ``input_length`` returns.
        upsampling: transposed is the paper's "up-convolution" of 2 × 2; nearest and bilinear halve the
            channels with a 1 × 1 convolution.
        norm: after each 3 × 3 convolution; the paper has none.
        dropout: at the end of the contracting path.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        depth: int = 4,
        width: int = 64,
        padded: bool = False,
        upsampling: Upsampling = "transposed",
        norm: Norm = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.depth = depth
        widths = [width * 2**level for level in range(depth + 1)]
        inputs = [in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList(
            _two_convolutions(i, o, padded, norm) for i, o in zip(inputs, widths, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.upsamplings = nn.ModuleList(_upsampling(width, upsampling) for width in reversed(widths[1:]))
        self.decoder = nn.ModuleList(
            _two_convolutions(2 * width, width, padded, norm) for width in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(width, classes, 1)
        _initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, classes, h, w]`` of images ``[B, in_channels, H, W]``; unpadded, of their center."""
        x = self.encoder[0](images)
        skips = []
        for block in list(self.encoder)[1:]:
            skips.append(x)
            x = block(F.max_pool2d(x, 2))
        x = self.dropout(x)
        for upsampling, block, skip in zip(self.upsamplings, self.decoder, reversed(skips), strict=True):
            x = upsampling(x)
            x = block(torch.cat([_center(skip, x), x], dim=1))
        logits: Tensor = self.head(x)
        return logits

    def input_length(self, length: int) -> int:
        """The smallest height or width whose unpadded output covers ``length`` pixels.

        The deepest level sees ``n`` pixels, and each block of convolutions takes 4. So the input has
        ``2^depth n + 4 (2^depth - 1)`` pixels and the output ``margin`` fewer on either side.
        """
        scale = 2**self.depth
        # Rounded up; at least 7, and two convolutions need 5. In positive whole numbers alone, which ONNX
        # divides as Python does, so that a traced network takes images of any size.
        deepest = (length + 2 * self.margin - 4 * (scale - 1) + scale - 1) // scale
        covering: int = scale * deepest + 4 * (scale - 1)
        return covering

    @property
    def margin(self) -> int:
        """Pixels that the unpadded convolutions take from each side: 92 at a depth of 4."""
        return int(6 * 2**self.depth - 4)


class Mirrored(nn.Module):
    """Gives an unpadded network the missing context at the border by mirroring the image there, as in the
    paper.

    Its logits have the size of the images, which can be any.
    """

    def __init__(self, network: OriginalUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, classes, H, W]`` of images ``[B, C, H, W]``."""
        height, width = images.shape[2:]
        margin = self.network.margin
        below = self.network.input_length(height) - height - margin
        right = self.network.input_length(width) - width - margin
        logits: Tensor = self.network(pad(images, (margin, below), (margin, right), "reflect"))
        return logits[:, :, :height, :width]

    def unpadded(self, maps: Tensor, size: Size) -> Tensor:
        """Maps ``[B, h, w]`` of any layer in the pixels of the images, ``[B, H, W]``, without the context.

        The unpadded convolutions take as much from each side, so a map lies in the middle of the network's
        input; its stride is the power of two that fits.
        """
        inputs = [self.network.input_length(length) for length in size]
        cells = (maps.shape[1], maps.shape[2])
        covered = [n * 2 ** round(math.log2(i / n)) for i, n in zip(inputs, cells, strict=True)]
        fine = F.interpolate(maps[:, None], covered, mode="bilinear", align_corners=False)[:, 0]
        top, left = (self.network.margin - (i - c) // 2 for i, c in zip(inputs, covered, strict=True))
        return fine[:, top : top + size[0], left : left + size[1]]


def _two_convolutions(in_channels: int, out_channels: int, padded: bool, norm: Norm) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1 if padded else 0, bias=norm == "none"),
            norm_layer(norm, out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))


def _upsampling(in_channels: int, upsampling: Upsampling) -> nn.Module:
    """Twice the resolution with half the channels."""
    if upsampling == "transposed":
        return nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
    # a 1 x 1 convolution and an interpolation commute, and this order takes a quarter of the operations
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels // 2, 1), nn.Upsample(scale_factor=2, mode=upsampling)
    )


def _center(features: Tensor, like: Tensor) -> Tensor:
    """The center of ``features``, with the height and width of ``like``."""
    height, width = like.shape[2:]
    top, left = (features.shape[2] - height) // 2, (features.shape[3] - width) // 2
    return features[:, :, top : top + height, left : left + width]


def _initialize(network: nn.Module) -> None:
    """A standard deviation of sqrt(2 / N), where N values come into one neuron (section 3 of the paper; He et
    al. 2015).
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            area = module.kernel_size[0] * module.kernel_size[1]
            overlap = module.stride[0] * module.stride[1] if isinstance(module, nn.ConvTranspose2d) else 1
            nn.init.normal_(module.weight, std=math.sqrt(2 * overlap / (module.in_channels * area)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
