"""The encoders' published weights, and files of such weights."""

from __future__ import annotations

from toolkit.checkpoints import LoadReport
from toolkit.errors import UsageError
from toolkit.models.contract import Model
from toolkit.models.encoder_weights import load_encoder_weights
from toolkit.models.semantic import SemanticModel

from .encoders import EncoderUNet


def load_weights(model: Model, name: str) -> LoadReport:
    """Give the encoder its published weights; the decoder and the head keep their random ones.

    Args:
        model: a U-Net on an encoder; the originals of 2015 have no published weights.
        name: ``imagenet`` or another name that the encoder has weights of, or the path of a file of weights.

    Raises:
        UsageError, DownloadError, CheckpointError: as
            ``toolkit.models.encoder_weights.load_encoder_weights``.
    """
    if not isinstance(model, SemanticModel) or not isinstance(model.network, EncoderUNet):
        raise UsageError(
            f"weights={name}: the original U-Net has no published weights. Hint: set weights=none, or choose"
            " another model.encoder"
        )
    return load_encoder_weights(
        model, model.network.encoder_name, name, plugin="unet", depth=model.network.depth
    )
