"""The layers that process one region: classes and boxes, masks, keypoints (He et al.,
https://arxiv.org/abs/1703.06870).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Conv2d, fill_he, fill_uniform
from .settings import BoxHeadSettings, KeypointHeadSettings, MaskHeadSettings


def _add_convolutions(
    head: nn.Sequential, name: str, channels: int, settings: BoxHeadSettings | MaskHeadSettings
) -> int:
    """Add the convolutions of a head, numbered from 1; the channels of its features."""
    for i in range(1, settings.num_conv + 1):
        conv = Conv2d(channels, settings.conv_dim, 3, norm=settings.norm, relu=True)
        fill_he(conv)
        head.add_module(f"{name}{i}", conv)
        channels = settings.conv_dim
    return channels


class BoxHead(nn.Sequential):
    """Convolutions, then fully connected layers: features of regions ``[R, C, s, s]`` to
    ``[R, out_features]``.
    """

    def __init__(self, channels: int, settings: BoxHeadSettings) -> None:
        super().__init__()
        channels = _add_convolutions(self, "conv", channels, settings)
        self.out_features = channels * settings.pooler_resolution**2
        for i in range(1, settings.num_fc + 1):
            layer = nn.Linear(self.out_features, settings.fc_dim)
            fill_uniform(layer)
            self.add_module(f"fc{i}", layer)
            self.add_module(f"fc_relu{i}", nn.ReLU(inplace=True))
            self.out_features = settings.fc_dim

    def forward(self, x: Tensor) -> Tensor:
        """``[R, C, s, s]`` to ``[R, out_features]``."""
        for layer in self:
            x = layer(x.flatten(1) if isinstance(layer, nn.Linear) else x)
        return x.flatten(1)


class BoxPredictor(nn.Module):
    """Scores ``[R, classes + 1]``, the background last, and deltas ``[R, 4 * classes]`` (or ``[R, 4]`` when
    classes share them).
    """

    def __init__(self, in_features: int, class_count: int, *, class_agnostic: bool) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_features, class_count + 1)
        self.bbox_pred = nn.Linear(in_features, 4 if class_agnostic else 4 * class_count)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        nn.init.zeros_(self.cls_score.bias)
        nn.init.zeros_(self.bbox_pred.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and deltas of regions ``[R, in_features]``."""
        return self.cls_score(x), self.bbox_pred(x)


class MaskHead(nn.Sequential):
    """Features of regions ``[R, C, s, s]`` to logits of masks ``[R, classes, 2s, 2s]`` (one channel when
    classes share it).
    """

    def __init__(self, channels: int, class_count: int, settings: MaskHeadSettings) -> None:
        super().__init__()
        channels = _add_convolutions(self, "mask_fcn", channels, settings)
        self.deconv = nn.ConvTranspose2d(channels, settings.conv_dim, 2, stride=2)
        fill_he(self.deconv)
        self.add_module("deconv_relu", nn.ReLU(inplace=True))
        self.predictor = nn.Conv2d(settings.conv_dim, 1 if settings.class_agnostic else class_count, 1)
        nn.init.normal_(self.predictor.weight, std=0.001)
        assert self.predictor.bias is not None
        nn.init.zeros_(self.predictor.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of all classes."""
        logits = F.linear(self._hidden(x), self.predictor.weight.flatten(1), self.predictor.bias)
        return _interleave(logits).contiguous()

    def of_classes(self, x: Tensor, labels: Tensor) -> Tensor:
        """Logits ``[R, 2s, 2s]`` of one class per region, ``labels`` int64 ``[R]``, or of the only channel;
        the others are not computed.
        """
        channels = labels if self.predictor.out_channels > 1 else torch.zeros_like(labels)
        weight, bias = self.predictor.weight.flatten(1)[channels], self.predictor.bias
        assert bias is not None
        hidden = self._hidden(x)
        logits = torch.bmm(hidden.flatten(1, 4), weight[..., None]) + bias[channels, None, None]
        return _interleave(logits.view(*hidden.shape[:-1], 1))[:, 0]

    def _hidden(self, x: Tensor) -> Tensor:
        """The predictor's input, ``[R, s, s, 2, 2, conv_dim]``: the 2×2 output pixels of a cell stay
        together, so that the deconvolution is a matrix product."""
        *convs, deconv, relu, _ = self
        for conv in convs:
            x = conv(x)
        assert isinstance(deconv, nn.ConvTranspose2d)
        assert deconv.bias is not None
        weight = deconv.weight.permute(2, 3, 1, 0).flatten(0, 2)
        hidden = relu(F.linear(x.permute(0, 2, 3, 1), weight, deconv.bias.repeat(4)))
        return hidden.unflatten(-1, (2, 2, -1))  # type: ignore[no-any-return]


def _interleave(pixels: Tensor) -> Tensor:
    """``[R, s, s, 2, 2, K]`` to ``[R, K, 2s, 2s]``."""
    return pixels.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


class KeypointHead(nn.Sequential):
    """Features of regions ``[R, C, s, s]`` to logits of heat maps ``[R, K, 4s, 4s]``."""

    def __init__(self, channels: int, keypoint_count: int, settings: KeypointHeadSettings) -> None:
        super().__init__()
        for i, width in enumerate(settings.conv_dims, start=1):
            self.add_module(f"conv_fcn{i}", Conv2d(channels, width, 3, relu=True))
            channels = width
        self.score_lowres = nn.ConvTranspose2d(channels, keypoint_count, 4, stride=2, padding=1)
        for layer in self.children():
            fill_he(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Heat maps of regions; the last doubling of the resolution has no weights."""
        for layer in self:
            x = layer(x)
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
