"""Exports a run to ONNX or OpenVINO: builds the folder beside its place, measures it, and publishes it."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import toolkit
from toolkit.checkpoints import (
    EXPORT_MANIFEST,
    CheckpointManifest,
    ExportedGraph,
    ExportManifest,
    RunLike,
    checkpoint_name,
    is_export,
    path_of_run,
    read_export,
)
from toolkit.checkpoints.finding import find_checkpoint
from toolkit.config.tree import merge
from toolkit.data.dataset import Dataset
from toolkit.errors import ToolkitError, UsageError
from toolkit.evaluation.alignment import alignment_for
from toolkit.evaluation.opening import OpenedRun, data_settings, open_run, open_split
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.evaluation.selection import build_evaluators
from toolkit.export.fixed_size import check_size, fixed_graphs, indexes_of_size
from toolkit.export.gate import (
    Measured,
    SomeImages,
    evenly_spaced,
    gate_data,
    gate_odd_images,
    gate_tensors,
    record_runtime,
)
from toolkit.export.onnx_files import write_graph
from toolkit.export.parity import LIMITS, METRIC_LIMITS, ROUGH_LIMITS
from toolkit.export.program import PROGRAM, program_text
from toolkit.export.program_gate import gate_program
from toolkit.export.quantizing import CALIBRATION_IMAGES, quantize
from toolkit.models.building import load_model
from toolkit.models.capabilities import Exportable
from toolkit.models.contract import Model, parameter_count
from toolkit.models.graphs import Graph
from toolkit.runtime.engines import ComputePrecision, Target, check_target
from toolkit.runtime.extras import import_nncf
from toolkit.runtime.files import atomic_write
from toolkit.runtime.locks import locked_file
from toolkit.runtime.staging import staged
from toolkit.types import Size

logger = logging.getLogger("toolkit")

PARITY = "parity.json"
IMAGES = 100
"""How many images are compared unless another number is given."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        folder: the exported folder.
        manifest: its manifest.
        measured: what the gate measured.
    """

    folder: Path
    manifest: ExportManifest
    measured: Measured

    @property
    def run(self) -> Path:
        """The folder, which stands wherever a run does."""
        return self.folder


def export_run(
    run: RunLike,
    out: Path,
    *,
    target: Target = "onnx",
    precision: ComputePrecision = "fp32",
    choice: DataChoice | None = None,
    size: Size | None = None,
    images: int = IMAGES,
    show_progress: bool = False,
) -> Exported:
    """Export a run, and compare the result with it; ``out`` appears only if both give the same answers.

    Args:
        run: a run's folder, a checkpoint file, or what training returned.
        out: the folder to write, which must not exist or be empty.
        target: the runtime to export for.
        precision: in which the networks are computed.
        choice: the data to compare on, and settings of the model that override those of its training; the
            run's validation split when None.
        size: height and width of the only images that the export is to take, in pixels, for runtimes that
            need fixed sizes; None for images of any size.
        images: how many images to compare on.
        show_progress: whether to show progress on standard error.

    Raises:
        ExportError: when the answers differ; says for which graph, image or metric, with both values.
        UsageError: when the model cannot be exported, the target does not have one of its operators, or
            ``out`` is not empty.
        UnavailableError: when a library is missing; names the extra.
        OutputError: when a file cannot be written.
    """
    check_target(target)
    _check_precision(target, precision)
    if is_export(find_checkpoint(path_of_run(run))):
        raise UsageError(
            f"{path_of_run(run)} is an exported model already. Hint: export the run that it was made from"
        )
    found = open_run(run, choice or DataChoice(), Prompting())
    if found.model.capability(Exportable) is None:
        raise UsageError(
            f"the plugin {found.manifest.plugin!r} does not declare the capability Exportable, so its model"
            " cannot be exported to other runtimes. Hint: toolkit export RUN writes its weights"
        )
    if precision == "int8":
        _check_quantizable(found)
    if size is not None:
        check_size(found.model, size)
        indexes_of_size(found.opened.dataset, size, 1)  # before anything is computed
    with locked_file(out), staged(out) as folder:
        manifest = build_folder(found, folder, target, size, precision)
        measured = check_folder(found, folder, images=images, show_progress=show_progress)
        if precision != "fp32":
            # the graphs are right; what remains is what the precision costs
            small = _reducible(found, precision)
            if precision == "int8":
                exported, dataset = load_model(folder)[0], calibration_data(found)
                if size is not None:
                    dataset = SomeImages(dataset, indexes_of_size(dataset, size, CALIBRATION_IMAGES))
                manifest = replace(manifest, graphs=quantize(manifest, exported, dataset, folder, small))
            manifest = in_precision(manifest, precision, small)
            write_manifest(manifest, folder)
            reduced = check_folder(
                found, folder, precision=precision, images=images, show_progress=show_progress
            )
            measured = replace(reduced, tensors=measured.tensors, predictions=measured.predictions)
        with atomic_write(folder / PARITY, "w") as file:
            file.write(_parity(measured, precision))
    return Exported(out, manifest, measured)


def _check_precision(target: Target, precision: ComputePrecision) -> None:
    if precision == "bf16" and target == "onnx":
        raise UsageError(
            "ONNX Runtime has no bf16 on CPUs. Hint: use --to openvino, or --precision fp32 or int8"
        )


def _check_quantizable(found: OpenedRun) -> None:
    """Before anything is computed, which takes minutes."""
    import_nncf("--precision int8")
    exportable = found.model.capability(Exportable)
    assert exportable is not None
    if any(graph.ranked for graph in exportable.graphs()) or not _reducible(found, "int8"):
        raise UsageError(
            f"the plugin {found.manifest.plugin!r} has its suppression of boxes inside of its graph,"
            " which is not quantized. Hint: use --precision fp32, or bf16 with --to openvino"
        )


def _reducible(found: OpenedRun, precision: ComputePrecision) -> frozenset[str]:
    """The names of the graphs that may be computed in a precision."""
    exportable = found.model.capability(Exportable)
    assert exportable is not None
    return frozenset(graph.name for graph in exportable.graphs() if precision in graph.reduced)


def in_precision(
    manifest: ExportManifest, precision: ComputePrecision, names: Collection[str]
) -> ExportManifest:
    """The manifest of a folder in which the graphs of these names are computed in a precision, and the others
    in fp32.
    """
    graphs = (graph if graph.name in names else replace(graph, precision="fp32") for graph in manifest.graphs)
    return replace(manifest, precision=precision, graphs=tuple(graphs))


def calibration_data(found: OpenedRun) -> Dataset:
    """The training images of the data that a run is compared on; the images that it is compared on if there
    are none.
    """
    opened = found.opened
    if isinstance(opened.data, Dataset):
        return opened.dataset
    split = str(data_settings(found.manifest).get("train_split") or "train")
    try:
        return open_split(opened.data, opened.folder, split, opened.options, need_images=True)[0]
    except ToolkitError as error:
        logger.warning("int8 is calibrated on the images it is compared on, since %s", error)
        return opened.dataset


def build_folder(
    found: OpenedRun,
    folder: Path,
    target: Target,
    size: Size | None = None,
    precision: ComputePrecision = "fp32",
) -> ExportManifest:
    """Write graphs, manifest and program of a model in fp32 into an existing folder, for images of any size
    or of one; ``precision`` is that which the graphs will be computed in.

    Raises:
        UsageError, UnavailableError, OutputError: as ``export_run``.
    """
    exportable = found.model.capability(Exportable)
    assert exportable is not None
    graphs = _write_graphs(exportable.graphs(), target, folder, precision)
    model_settings = merge(dict(found.manifest.model), found.wanted_model)
    checkpoint = replace(found.manifest, model=model_settings)
    manifest = ExportManifest(
        target=target,
        graphs=graphs,
        checkpoint=asdict(checkpoint),
        processing=dict(exportable.processing),
        thresholds={"draw_above": found.model.draw_above},
        versions=_versions(target),
        source=_source(found.path, checkpoint),
        parameters=parameter_count(found.model),
    )
    write_manifest(manifest, folder)
    if size is not None:
        fixed = fixed_graphs(found.model, load_model(folder)[0], size)
        manifest = replace(manifest, graphs=_write_graphs(fixed, target, folder, precision), size=size)
        write_manifest(manifest, folder)
    if exportable.program:
        with atomic_write(folder / PROGRAM, "w") as file:
            file.write(program_text(exportable.program))
    return manifest


def _write_graphs(
    graphs: Sequence[Graph], target: Target, folder: Path, precision: ComputePrecision
) -> tuple[ExportedGraph, ...]:
    written = []
    for graph in graphs:
        logger.info("Exporting the graph %s", graph.name)
        written.append(write_graph(graph, target, folder, precision))
    return tuple(written)


def write_manifest(manifest: ExportManifest, folder: Path) -> None:
    """Write the manifest of an exported folder, or replace it."""
    with atomic_write(folder / EXPORT_MANIFEST, "w") as file:
        file.write(manifest.to_json())


def check_folder(
    found: OpenedRun,
    folder: Path,
    *,
    precision: ComputePrecision = "fp32",
    images: int = IMAGES,
    show_progress: bool = False,
) -> Measured:
    """Compare an exported folder with the model: tensors, predictions and metrics in fp32, metrics alone in
    other precisions; and ``predict.py`` with the folder, in other precisions within ``ROUGH_LIMITS``.

    Raises:
        ExportError: when they differ.
        CheckpointError: when the folder is damaged.
    """
    exported = load_model(folder)[0]
    measured, size = Measured(), read_export(folder).size
    exact = precision == "fp32"
    if exact:
        graphs = None if size is None else fixed_graphs(found.model, exported, size)
        gate_tensors(found.model, exported, measured, graphs)
    else:
        record_runtime(exported, measured)
    everything = found.opened.dataset
    chosen = (
        evenly_spaced(len(everything), images) if size is None else indexes_of_size(everything, size, images)
    )
    dataset = everything if len(chosen) == len(everything) else SomeImages(everything, chosen)
    odd = gate_odd_images(found.model, exported, dataset, measured, size) if exact else []
    evaluators = [
        build_evaluators(found.evaluators, dataset.classes, task=found.task, owner=str(found.path))
        for _ in range(2)
    ]
    models: tuple[Model, Model] = (found.model, exported)
    first, second = (
        plan_measurements(model, own, found.manifest.start_weights)
        for model, own in zip(models, evaluators, strict=True)
    )
    gate_data(
        found.model,
        exported,
        dataset,
        (first, second),
        measured,
        alignment=alignment_for(found.model, dataset, f"the model in {found.path}"),
        metric_limit=METRIC_LIMITS[precision],
        compares=exact,
        show=show_progress,
    )
    limits = LIMITS if exact else ROUGH_LIMITS
    gate_program(exported, folder, dataset, odd, measured, limits)
    return measured


def _versions(target: Target) -> dict[str, str]:
    library = {"onnx": "onnxruntime", "openvino": "openvino"}[target]
    return {"toolkit": toolkit.__version__, "torch": torch.__version__, library: metadata.version(library)}


def _source(path: Path, manifest: CheckpointManifest) -> str:
    return checkpoint_name(path, manifest)


def _parity(measured: Measured, precision: ComputePrecision) -> str:
    limits = {**asdict(LIMITS), "metric": METRIC_LIMITS[precision]}
    found: dict[str, Any] = {"precision": precision, "limits": limits}
    if precision != "fp32":
        found["program_limits"] = asdict(replace(ROUGH_LIMITS, metric=METRIC_LIMITS[precision]))
    return json.dumps(found | asdict(measured), indent=1)
