"""Norms by name, and replacing one with another."""

from __future__ import annotations

from typing import Literal, TypeAlias, assert_never

from torch import nn

Norm: TypeAlias = Literal["batch", "group", "none"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Batch norm, group norm (which works with small batches), or none."""
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(group_count(channels), channels)
        case "none":
            return nn.Identity()
        case _:
            assert_never(norm)


def group_count(channels: int) -> int:
    """At most 32 groups, as in Wu and He, Group Normalization, ECCV 2018, but of 4 channels or more.

    With one channel per group, the single pixel that remains of a small image at the bottom of a U-Net would
    become a constant.
    """
    return next(
        (groups for groups in (32, 16, 8, 4, 2) if channels % groups == 0 and channels // groups >= 4), 1
    )


def replace_batch_norms(network: nn.Module, norm: Norm) -> None:
    """Replace every batch norm inside ``network`` with another norm; its learned scale and shift start from
    the old values.
    """
    if norm == "batch":
        return
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, _replacement(child, norm))


def uses_batch_statistics(network: nn.Module) -> bool:
    """Whether a network, in its current mode, normalizes by the statistics of the batch that it is
    given, so that the images of a batch belong together.
    """
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm)
        and (module.training or module.running_mean is None)
        for module in network.modules()
    )


def _replacement(batch: nn.BatchNorm2d, norm: Norm) -> nn.Module:
    new = norm_layer(norm, batch.num_features)
    if isinstance(new, nn.GroupNorm) and batch.affine:
        new.weight, new.bias = batch.weight, batch.bias  # some networks start the last norm of a block at 0
    # timm's batch norms include dropout and activation
    extras = [
        extra for extra in (getattr(batch, "drop", None), getattr(batch, "act", None)) if extra is not None
    ]
    return nn.Sequential(new, *extras) if extras else new
