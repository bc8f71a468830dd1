"""Access to the package ``sam2``: its classes, and networks built from its own YAML, without Hydra's global
state.

``import sam2`` initializes global Hydra if it is not initialized yet, after which ``@hydra.main`` and
``hydra.initialize`` in the same process fail. This module undoes that. A process that also needs
``sam2.build_sam`` must import ``sam2`` before this plugin, or call ``hydra.initialize_config_module("sam2",
version_base="1.2")``.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from toolkit.errors import UnavailableError

from .toy import CHANGES, TRANSFORMER, ConvStem


@contextmanager
def _hydra_as_it_was() -> Iterator[None]:
    before = GlobalHydra.instance().is_initialized()
    yield
    if not before:
        GlobalHydra.instance().clear()


with _hydra_as_it_was():
    import sam2
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
    from sam2.modeling.sam.mask_decoder import MaskDecoder
    from sam2.modeling.sam.transformer import Attention, TwoWayTransformer
    from sam2.modeling.sam2_base import NO_OBJ_SCORE, SAM2Base
    from sam2.utils import amg

__all__ = [
    "NO_OBJ_SCORE",
    "Attention",
    "MaskDecoder",
    "SAM2AutomaticMaskGenerator",
    "SAM2Base",
    "amg",
    "build_network",
]

CONFIGS = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
IMAGE_PREDICTION = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
"""The options that ``build_sam2`` adds to the mask decoder: an unstable single mask is replaced by the best
of three.
"""


def network_config(version: str, size: str, image_size: int) -> dict[str, Any]:
    """The nested arguments of a network from the package's YAML, with ``_target_`` naming the classes.

    Raises:
        UnavailableError: when the first package found has no such files, for example a clone of the
            repository in the working folder.
    """
    folder, prefix = ("sam2.1", "sam2.1_hiera_") if version == "2.1" else ("sam2", "sam2_hiera_")
    path = Path(sam2.__path__[0]) / "configs" / folder / f"{prefix}{CONFIGS.get(size, 't')}.yaml"
    if not path.is_file():
        raise UnavailableError(
            f"the package sam2 at {sam2.__path__[0]} has no {path.name}: a folder named sam2 may shadow the"
            " installed package. Hint: run from another folder, or reinstall sam2"
        )
    # Not with PyYAML, which reads 1e-6 as a string.
    published = OmegaConf.select(OmegaConf.load(path), "model")
    changes = CHANGES if size == "toy" else {}
    extra = {"image_size": image_size, "sam_mask_decoder_extra_args": IMAGE_PREDICTION}
    merged = OmegaConf.to_container(OmegaConf.merge(published, changes, extra), resolve=True)
    assert isinstance(merged, dict)
    return {str(key): value for key, value in merged.items()}


def build_network(
    version: str, size: str, image_size: int, changes: Mapping[str, Any] | None = None
) -> SAM2Base:
    """The whole network with random weights, as built by ``sam2.build_sam.build_sam2``.

    Args:
        version: ``"2.0"`` or ``"2.1"``.
        size: ``tiny``, ``small``, ``base_plus``, ``large`` or ``toy``.
        image_size: height and width of its input, in pixels, a multiple of 32.
        changes: entries of the configuration to replace.
    """
    network: SAM2Base = instantiate(network_config(version, size, image_size) | dict(changes or {}))
    if size == "toy":
        trunk: Any = network.image_encoder.trunk
        trunk.patch_embed = ConvStem(trunk.patch_embed.proj.out_channels)
        network.sam_mask_decoder.transformer = TwoWayTransformer(**TRANSFORMER)
    return network


def new_generator(kind: Any, network: SAM2Base, **settings: Any) -> Any:
    """The package's mask generator for everything in an image, or a class derived from it."""
    with warnings.catch_warnings():
        # By its resizing.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        generator: Any = kind(network, **settings)
    # The package has those for 1024 pixels hard-coded.
    generator.predictor._bb_feat_sizes = [(network.image_size // stride,) * 2 for stride in (4, 8, 16)]
    return generator


def instantiate(config: Any) -> Any:
    """Instantiate nested ``_target_`` entries, innermost first. Only classes of the package are allowed."""
    if isinstance(config, Mapping):
        arguments = {key: instantiate(value) for key, value in config.items() if key != "_target_"}
        if "_target_" not in config:
            return arguments
        module, _, name = config["_target_"].rpartition(".")
        if not module.startswith("sam2."):
            raise UnavailableError(
                f"the sam2 configuration refers to {config['_target_']}, which is not in that package"
            )
        return getattr(importlib.import_module(module), name)(**arguments)
    return [instantiate(value) for value in config] if isinstance(config, list) else config
