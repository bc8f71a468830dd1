"""Graphs in int8: quantized by NNCF, with the ranges of values that images of the data give."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from toolkit.checkpoints import ExportedFile, ExportedGraph, ExportManifest
from toolkit.data.dataset import Dataset
from toolkit.errors import UsageError
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model, evaluating
from toolkit.models.graphs import RuntimeGraph
from toolkit.runtime.engines import Target
from toolkit.runtime.extras import import_nncf, import_onnx, import_openvino
from toolkit.runtime.files import atomic_write
from toolkit.types import Sample

CALIBRATION_IMAGES = 64
"""How many images the ranges of values are taken from."""

CALIBRATION_ENCODED = 16
"""The same for encoders of promptable models: they are large, and each image has thousands of patches."""

logger = logging.getLogger("toolkit")

Inputs = dict[str, NDArray[Any]]


def quantize(
    manifest: ExportManifest,
    exported: Model,
    dataset: Dataset,
    folder: Path,
    names: Collection[str] | None = None,
    *,
    images: int | None = None,
) -> tuple[ExportedGraph, ...]:
    """Replace the graphs of a folder by ones in int8.

    Args:
        manifest: of the folder, in fp32.
        exported: the model of the folder.
        dataset: the images for calibration, best those of training.
        folder: the folder.
        names: the graphs to quantize; all when None.
        images: how many of the images to use, evenly spaced; ``CALIBRATION_IMAGES`` or
            ``CALIBRATION_ENCODED`` when None.

    Returns:
        The graphs with their new files.

    Raises:
        UsageError: when NNCF cannot quantize a graph.
        UnavailableError: when it is not installed.
    """
    if images is None:
        takes_prompts = exported.capability(Promptable) is not None
        images = CALIBRATION_ENCODED if takes_prompts else CALIBRATION_IMAGES
    calibration = record_inputs(exported, dataset, images)
    graphs = []
    for graph in manifest.graphs:
        if names is not None and graph.name not in names:
            graphs.append(graph)
            continue
        if not calibration[graph.name]:
            raise UsageError(
                f"the graph {graph.name!r} was not used for any of {len(dataset)} images, so that it cannot"
                " be quantized. Hint: use --precision fp32"
            )
        paths = [folder / file.name for file in graph.files]
        logger.info("Quantizing the graph %s with %d images", graph.name, min(images, len(dataset)))
        _quantize_file(manifest.target, paths, calibration[graph.name])
        graphs.append(replace(graph, files=tuple(ExportedFile.of(path) for path in paths)))
    return tuple(graphs)


def record_inputs(
    exported: Model, dataset: Dataset, images: int = CALIBRATION_IMAGES
) -> dict[str, list[Inputs]]:
    """The arrays that each graph of an exported model gets for so many images of a dataset, evenly spaced; of
    a promptable model, those that encode images.
    """
    count = min(len(dataset), images)
    promptable = exported.capability(Promptable)
    with recording(exported) as found, evaluating(exported):
        for i in range(count):
            sample = dataset[i * len(dataset) // count]
            image = Sample(sample.id, sample.image)
            if promptable is None:
                exported.predict([image])
            else:
                promptable.encode([image])
    return found


@contextmanager
def recording(exported: Model) -> Iterator[dict[str, list[Inputs]]]:
    """The arrays that each graph of an exported model gets inside the context, by the names of the graphs."""
    found: dict[str, list[Inputs]] = {}
    handles = []

    def record(module: nn.Module, tensors: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(module, RuntimeGraph)
        arrays = [tensor.detach().cpu().contiguous().numpy() for tensor in tensors]
        found[module.name].append(dict(zip(module.inputs, arrays, strict=True)))

    for module in exported.modules():
        if isinstance(module, RuntimeGraph):
            found[module.name] = []
            handles.append(module.register_forward_pre_hook(record))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _quantize_file(target: Target, paths: Sequence[Path], inputs: Sequence[Inputs]) -> None:
    with _without_telemetry():
        nncf = import_nncf("--precision int8")
        openvino = import_openvino("--precision int8") if target == "openvino" else None
        try:
            if openvino is not None:
                # in memory, because the files are replaced
                contents = [path.read_bytes() for path in paths]
                model = openvino.Core().read_model(model=contents[0], weights=contents[1])
                _fold_constants(model)
            else:
                model = import_onnx("--precision int8").load_from_string(paths[0].read_bytes())
            smaller = nncf.quantize(model, nncf.Dataset(inputs), subset_size=len(inputs))
        except Exception as error:  # of any kind: NNCF's own, the runtime's
            text = " ".join(str(error).split())
            raise UsageError(
                f"{paths[0].name} cannot be quantized: {type(error).__name__}: {text[:300]}. Hint: use"
                " --precision fp32 or bf16"
            ) from error
    if openvino is not None:
        openvino.save_model(smaller, paths[0], compress_to_fp16=False)
        return
    with atomic_write(paths[0]) as file:
        file.write(smaller.SerializeToString())


def _fold_constants(model: Any) -> None:
    """Replace what does not depend on the inputs of an OpenVINO model, in place: the arithmetic of sizes, and
    weights that are computed from others. NNCF would quantize that, too, and takes twice as long with it.
    """
    from openvino import passes

    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """NNCF reports its use to its authors; not for users who have not been asked. Its log is for its authors,
    too.
    """
    name, before = "NNCF_CI", os.environ.get("NNCF_CI")
    its_log = logging.getLogger("nncf")
    level = its_log.level
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
        its_log.setLevel(level)
