"""A trained model with everything that is needed to use it: device, precision, tiling, class names and
colors.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import torch

import toolkit
from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, RunLike, checkpoint_name, path_of_run
from toolkit.config.scale import Scale
from toolkit.data.label_values import LabelValues
from toolkit.errors import UsageError
from toolkit.inference.image_likes import ImageLike, as_sample
from toolkit.inference.image_prediction import ImagePrediction
from toolkit.models.building import load_model, manifest_of_run, scale_of_run
from toolkit.models.capabilities import Promptable, Tileable, Windowable
from toolkit.models.contract import Model
from toolkit.models.exported import prepare
from toolkit.models.graphs import device_for
from toolkit.models.prompted import FROM, prompted
from toolkit.models.simulated_prompts import AUTO
from toolkit.models.sliding_window import Tiling, windowed
from toolkit.runtime.devices import autocast
from toolkit.types import Prediction, Sample, Size
from toolkit.visualization.palettes import Palette, default_palette
from toolkit.wording import counted

Precision: TypeAlias = Literal["fp32", "bf16"]


class Predictor:
    """Predicts images of any size and kind with one model.

    Args:
        model: the model, which is put in eval mode and on the device.
        palette: one RGB color per class; the default colors when None.
        device: ``"auto"`` (CUDA, then Apple's MPS, then the CPU), or any device name of torch.
        precision: ``"bf16"`` computes the forward pass under autocast.
        tiling: when large images are predicted window by window.
        name: identifies the weights in manifests.
        about: further information about the model, for the result files.
        label_values: the values that the training data use for the classes; None if unknown.
        run: where it was loaded from.
        loading: the arguments of ``load`` that it was loaded with, so that other processes can do the same.
        scale: how the values of images become 8 bits, as in training; None for the usual rule.

    Raises:
        UsageError: when the device is not available, the precision is unknown, or a window is requested that
            the model cannot use.
    """

    def __init__(
        self,
        model: Model,
        *,
        palette: Palette | None = None,
        device: str | torch.device = "auto",
        precision: Precision = "fp32",
        tiling: Tiling | None = None,
        name: str = "",
        about: Mapping[str, Any] | None = None,
        label_values: LabelValues | None = None,
        run: Path | None = None,
        loading: Mapping[str, Any] | None = None,
        scale: Scale | None = None,
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise UsageError(f"precision must be fp32 or bf16, not {precision!r}")
        self.device = device_for([model], device)
        self._windowed = windowed(model, tiling or Tiling())
        self.model = model.to(self.device).eval()
        self.classes = model.classes
        self.palette = tuple(palette or default_palette(len(model.classes)))
        self.precision, self.tiling, self.name = precision, tiling or Tiling(), name
        self.about, self.label_values, self.run = dict(about or {}), label_values, run
        self.loading, self.scale = loading, scale

    def __repr__(self) -> str:
        classes = counted(len(self.classes), "class", "classes")
        return f"Predictor({self.name or type(self.model).__name__}, {classes}, {self.device})"

    @overload
    def predict(
        self, images: list[Any] | tuple[Any, ...], *, batch_size: int = ...
    ) -> list[ImagePrediction]: ...
    @overload
    def predict(self, images: ImageLike, *, batch_size: int = ...) -> ImagePrediction: ...
    def predict(
        self, images: ImageLike | list[Any] | tuple[Any, ...], *, batch_size: int = 4
    ) -> ImagePrediction | list[ImagePrediction]:
        """Predict one image, or a list of images of any type and size.

        Args:
            images: a path or a URL (``https://…``), RGB uint8 ``[H, W, 3]`` (NumPy) or ``[3, H, W]``
                (torch), a Pillow image, or a list of these.
            batch_size: number of images of a list that are read and predicted at a time.

        Returns:
            One prediction for one image, a list for a list, in order; in the grid of each image as displayed.
            ``sample_id`` is the path, or else the position in the list.

        Raises:
            ImageError: when a file is not a complete image.
            DownloadError: when an address cannot be fetched.
            InvalidDataError: when an array has the wrong shape or dtype.
        """
        if not isinstance(images, (list, tuple)):
            return self.predict_named([self.sample(images)])[0]
        samples = (self.sample(image, str(i)) for i, image in enumerate(images))
        predictions: list[ImagePrediction] = []
        while batch := list(islice(samples, max(1, batch_size))):
            predictions += self.predict_named(batch)
        return predictions

    def predict_named(self, samples: Sequence[Sample]) -> list[ImagePrediction]:
        """Predict samples like ``predict_samples``, with the names of the classes; see ``predict``."""
        return [
            ImagePrediction.of(
                prediction,
                sample,
                classes=self.classes,
                palette=self.palette,
                draw_above=self.model.draw_above,
                about={"toolkit": toolkit.__version__, "model": {"name": self.name, **self.about}},
                scale=self.scale,
            )
            for prediction, sample in zip(self.predict_samples(samples), samples, strict=True)
        ]

    def sample(self, image: ImageLike, name: str = "image") -> Sample:
        """An image as the model gets it, see ``as_sample``."""
        return as_sample(image, name, self.scale)

    def predict_samples(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Predict samples in one batch, except those that are predicted window by window, which come one by
        one.
        """
        with self.computing():
            return self._windowed.predict(samples)

    @property
    def options(self) -> dict[str, Any]:
        """What else than the model, its settings and the image determines a prediction, for the result
        files: the precision, and how images are tiled. The device does not count, since results are the same
        on all of them up to rounding.
        """
        return {"precision": self.precision, **asdict(self.tiling)}

    def window_for(self, sample: Sample) -> int | None:
        """The window with which a sample will be tiled, or None."""
        return self.window_for_size(sample.size)

    def window_for_size(self, size: Size) -> int | None:
        """The window with which an image of this height and width will be tiled, or None."""
        return self._windowed.window_for(size)

    @property
    def windows(self) -> Tileable | Windowable | None:
        """What of the model is used for windows; None if it only predicts whole images."""
        return self._windowed.windows

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """The context in which the network computes: without gradients, in the chosen precision."""
        with torch.no_grad(), autocast(self.device, self.precision):
            yield


def load(
    run: RunLike,
    *,
    device: str | torch.device = "auto",
    precision: Precision = "fp32",
    tiling: Tiling | None = None,
    prompts: str | None = None,
    prompts_above: float | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Predictor:
    """Load a trained model, ready to predict::

        toolkit.load("runs/unet-msrc").predict("photo.jpg").label_map

    Args:
        run: folder of a run (its best checkpoint is used), a checkpoint file, or what ``toolkit.train``
            returned.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ….
        precision: ``"fp32"`` or ``"bf16"``.
        tiling: when large images are predicted window by window.
        prompts: the source of a promptable model's prompts: ``"auto"`` (it finds everything in the image, the
            default), ``"from:RUN"`` (another run's detections) or the path of a file, see
            ``toolkit.formats.prompt_records``.
        prompts_above: minimum score for a detection to become a prompt; 0.05 when None.
        settings: settings of the model, nested, which override those of its training; its weights must still
            fit.

    Raises:
        CheckpointError: when there is no usable checkpoint.
        UnavailableError: when the plugin cannot be loaded here.
        UsageError: when the device is not available, the model takes no prompts, or it was not trained on
            such prompts.
    """
    path = path_of_run(run)
    loading = {
        "run": os.path.abspath(path),
        "device": str(device),
        "precision": precision,
        "tiling": tiling,
        "prompts": prompts,
        "prompts_above": prompts_above,
        "settings": settings,
    }
    model, manifest = load_model(path, settings)
    # Black is for backgrounds, which label maps have and objects do not.
    first = 0 if "label_map" in registry.tasks().get(manifest.task).predicts else 1
    palette = manifest.palette or default_palette(len(manifest.classes), first=first)
    name = checkpoint_name(path, manifest)
    about = about_model(manifest, settings)
    values = None if manifest.label_values is None else LabelValues.from_dict(manifest.label_values)
    if settings:
        name = f"{name} {json.dumps(settings, sort_keys=True)}"
    if prompts is not None or prompts_above is not None or model.capability(Promptable) is not None:
        model = prompted(
            model, prompts or AUTO, prompts_above=prompts_above, start_weights=manifest.start_weights
        )
        palette = default_palette(len(model.classes), first=1)
        name = f"{name} {model.source.name}" if model.source is not None else name
    predictor = Predictor(
        model,
        palette=palette,
        device=device,
        precision=precision,
        tiling=tiling,
        name=name,
        about=about,
        label_values=values,
        run=path,
        loading=loading,
        scale=same_scale((path, manifest), *_prompting_run(prompts)),
    )
    prepare(predictor.model)  # a damaged graph is found before anything is written
    return predictor


def _prompting_run(prompts: str | None) -> list[tuple[Path, CheckpointManifest]]:
    """The run whose detections are the prompts, if there is one."""
    if prompts is None or not prompts.startswith(FROM):
        return []
    path = path_of_run(prompts.removeprefix(FROM))
    return [(path, manifest_of_run(path))]


def same_scale(*runs: tuple[Path, CheckpointManifest]) -> Scale | None:
    """The scale of runs that get the same images.

    Raises:
        UsageError: when they were trained with different ones.
        CheckpointError: as ``scale_of_run``.
    """
    scales = [scale_of_run(manifest, path) for path, manifest in runs]
    for (path, _), scale in zip(runs, scales, strict=True):
        if scale != scales[0]:
            first, other = (each.in_words() if each else "none" for each in (scales[0], scale))
            raise UsageError(
                f"{runs[0][0]} and {path} were trained with different scales of pixels ({first}, and"
                f" {other}), so they cannot get the same images. Hint: train both with the same"
                " data.options.scale"
            )
    return scales[0]


def about_model(manifest: CheckpointManifest, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the result files say about the model that made them.

    Args:
        manifest: the manifest of its checkpoint.
        settings: the settings that differ from those of the training.
    """
    about: dict[str, Any] = {
        "plugin": manifest.plugin,
        "plugin_version": manifest.plugin_version,
        "task": manifest.task,
        "step": manifest.step,
        "trained_with_toolkit": manifest.toolkit,
        "trained_on": dict(manifest.dataset),
        "start_weights": dict(manifest.start_weights),
    }
    scale = ((manifest.config.get("data") or {}).get("options") or {}).get("scale")
    about |= {"scale": scale} if scale else {}
    return about | ({"settings": dict(settings)} if settings else {})
