"""Atrous spatial pyramid pooling and its layers.

Sections 3.3 of Chen, Papandreou, Schroff and Adam, Rethinking Atrous Convolution for Semantic Image
Segmentation, 2017 (https://arxiv.org/abs/1706.05587), and 3.1 of Chen et al., DeepLabv3+, ECCV 2018
(https://arxiv.org/abs/1802.02611). The modules are nested and named as torchvision's, so that its weights
fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def convolution(
    inputs: int, outputs: int, kernel: int = 1, *, dilation: int = 1, separable: bool = False
) -> list[nn.Module]:
    """A convolution that keeps the resolution, with batch norm and ReLU; or a depthwise and a pointwise one,
    each with both of them.
    """
    if separable and kernel > 1:
        depthwise = nn.Conv2d(
            inputs,
            inputs,
            kernel,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=inputs,
            bias=False,
        )
        return [depthwise, nn.BatchNorm2d(inputs), nn.ReLU(), *convolution(inputs, outputs)]
    plain = nn.Conv2d(
        inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False
    )
    return [plain, nn.BatchNorm2d(outputs), nn.ReLU()]


class PatientBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that also trains on one value per channel, which is all that image pooling produces for a
    batch of one.

    One value has no variance, so it is normalized by the running statistics, as in eval mode, and does not
    update them.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Features ``[B, C, H, W]`` of the same shape."""
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class ImagePooling(nn.Sequential):
    """The mean over the image, after a 1 × 1 convolution, at every position."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            PatientBatchNorm2d(outputs),
            nn.ReLU(),
        )

    def forward(self, input: Tensor) -> Tensor:
        """Features ``[B, outputs, h, w]`` of features ``[B, inputs, h, w]``."""
        pooled = input
        for layer in self:
            pooled = layer(pooled)
        return pooled.expand(-1, -1, *input.shape[2:])


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1 × 1 convolution, dilated 3 × 3 ones and image pooling in parallel,
    then a joint projection.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rates: Sequence[int],
        *,
        separable: bool = False,
        image_pooling: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        levels: list[nn.Module] = [nn.Sequential(*convolution(inputs, outputs))]
        levels += [
            nn.Sequential(*convolution(inputs, outputs, 3, dilation=rate, separable=separable))
            for rate in rates
        ]
        if image_pooling:
            levels.append(ImagePooling(inputs, outputs))
        self.convs = nn.ModuleList(levels)
        self.project = nn.Sequential(*convolution(len(levels) * outputs, outputs), nn.Dropout(dropout))

    def forward(self, features: Tensor) -> Tensor:
        """Features ``[B, outputs, h, w]`` of features ``[B, inputs, h, w]``."""
        projected: Tensor = self.project(torch.cat([level(features) for level in self.convs], dim=1))
        return projected
