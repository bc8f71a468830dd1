"""``toolkit.load_panoptic``: a semantic and an instance run as one predictor of panoptic segments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from toolkit.checkpoints import RunLike, checkpoint_name, path_of_run
from toolkit.config import validate
from toolkit.inference.predictor import Precision, Predictor, about_model, same_scale
from toolkit.models.panoptic import PanopticSettings, pair_of_runs
from toolkit.models.sliding_window import Tiling, Windowed, windowed
from toolkit.types import Size
from toolkit.visualization.palettes import class_palette


class PairPredictor(Predictor):
    """Predicts with two models, each of which may predict window by window.

    Attributes:
        parts: the two models.
    """

    parts: tuple[Windowed, ...] = ()

    def window_for_size(self, size: Size) -> int | None:
        """The window of the first model that has one for this size."""
        sides = (each.window_for(size) for each in self.parts)
        return next((side for side in sides if side is not None), None)


def load_panoptic(
    stuff: RunLike,
    things: RunLike,
    *,
    settings: Mapping[str, Any] | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "fp32",
    tiling: Tiling | None = None,
) -> Predictor:
    """Load two trained models as one that predicts panoptic segments::

        pair = toolkit.load_panoptic("runs/unet-shapes", "runs/maskrcnn-shapes")
        pair.predict("photo.jpg").extras["panoptic"].segments

    Its predictions also have the label map of the first and the objects of the second.

    Args:
        stuff: a run of a semantic model, as for ``toolkit.load``.
        things: a run of a detector with masks.
        settings: settings of ``toolkit.models.panoptic.PanopticSettings``, such as ``{"stuff_area": 1000}``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ….
        precision: ``"fp32"`` or ``"bf16"``.
        tiling: when large images are predicted window by window, by both models.

    Raises:
        CheckpointError: when a checkpoint cannot be used.
        UsageError: when the runs do not form a pair, the device is not available, or a window is requested
            that one of the models cannot use.
        ConfigError: when a setting is wrong.
    """
    chosen = validate(PanopticSettings, settings or {}, source="settings of the pair")
    paths = path_of_run(stuff), path_of_run(things)
    pair, *manifests = pair_of_runs(*paths, chosen)
    parts = tuple(windowed(each, tiling or Tiling()) for each in (pair.semantic, pair.instance))
    pair.semantic, pair.instance = parts
    names = [checkpoint_name(path, manifest) for path, manifest in zip(paths, manifests, strict=True)]
    known = dict(zip(manifests[0].classes, manifests[0].palette or (), strict=False))
    palette = [
        known.get(name, color) for name, color in zip(pair.classes, class_palette(pair.classes), strict=True)
    ]
    about = {
        "task": "panoptic",
        "things": list(pair.things),
        "settings": chosen.model_dump(mode="json"),
        "stuff_model": {"name": names[0], **about_model(manifests[0])},
        "things_model": {"name": names[1], **about_model(manifests[1])},
    }
    predictor = PairPredictor(
        pair,
        palette=palette,
        device=device,
        precision=precision,
        name=f"panoptic of {names[0]} and {names[1]} {chosen.model_dump_json()}",
        about=about,
        scale=same_scale(*zip(paths, manifests, strict=True)),
    )
    # Not an argument, since the pair itself has no windows; its two models have them.
    predictor.tiling, predictor.parts = tiling or Tiling(), parts
    return predictor
