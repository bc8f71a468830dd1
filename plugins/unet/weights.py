"""The encoders' published weights, and files with such weights."""

from __future__ import annotations

from toolkit.checkpoints import LoadReport
from toolkit.errors import UsageError
from toolkit.models.contract import Model
from toolkit.models.encoder_weights import load_encoder_weights
from toolkit.models.semantic import SemanticModel

from .encoders import EncoderUNet


def load_weights(model: Model, name: str) -> LoadReport:
    """Load published weights into the encoder; the decoder and the head keep their random ones.

    Args:
        model: a U-Net on an encoder; the originals of 2015 have no published weights.
        name: ``imagenet`` or another name of published weights of the encoder, or the path of a weights file.

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
