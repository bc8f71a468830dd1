"""Graphs as files: ONNX, and OpenVINO's XML and BIN."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from toolkit.checkpoints import ExportedFile, ExportedGraph
from toolkit.errors import OutputError, UsageError
from toolkit.models.contract import evaluating
from toolkit.models.graphs import Graph
from toolkit.runtime.engines import ComputePrecision, Target
from toolkit.runtime.extras import import_onnx, import_openvino
from toolkit.runtime.files import atomic_write

OPSET = 18
"""Version of ONNX's operators: the first whose Resize and reductions are as torch's."""


def write_graph(
    graph: Graph, target: Target, folder: Path, precision: ComputePrecision = "fp32"
) -> ExportedGraph:
    """Write the files of a graph, in fp32; ``precision`` is in which it is to be computed.

    Raises:
        UsageError: when the network has an operator that the target does not have; names it and the part of
            the model.
        UnavailableError: when a library is missing.
        OutputError: when a file cannot be written.
    """
    if target == "openvino" and precision == "fp32" and graph.for_cpu is not None:
        graph = replace(graph, network=graph.for_cpu)
    onnx_file = folder / f"{graph.name}.onnx"
    content = as_onnx(graph)
    with atomic_write(onnx_file) as file:
        file.write(content)
    files = [onnx_file]
    if target == "openvino":
        files = _to_openvino(onnx_file, graph)
        onnx_file.unlink()
    return ExportedGraph(
        graph.name,
        tuple(ExportedFile.of(path) for path in files),
        {name: tuple(axes) for name, axes in graph.inputs.items()},
        {name: tuple(axes) for name, axes in graph.outputs.items()},
    )


def as_onnx(graph: Graph) -> bytes:
    """The graph in the format ONNX.

    It is traced with its first example by torch's older exporter. That one follows the shapes of tensors
    through the arithmetic that networks do with them and gives data-dependent sizes, such as the number of
    objects, an axis of their own; ``torch.export`` stops at both, and takes about ten times as long. Whether
    the result is right is measured, not assumed.

    Raises:
        UsageError: as ``write_graph``.
    """
    axes = {
        name: {i: str(axis) for i, axis in enumerate(sizes) if isinstance(axis, str)}
        for name, sizes in [*graph.inputs.items(), *graph.outputs.items()]
    }
    buffer = io.BytesIO()
    import_onnx("exporting a graph")  # torch writes with it
    with evaluating(graph.network), _quiet():
        try:
            torch.onnx.export(
                graph.network,
                graph.examples[0],
                buffer,  # type: ignore[arg-type]  # the older exporter takes files that are open
                dynamo=False,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_axes=axes,
                opset_version=OPSET,
            )
        except Exception as error:  # many kinds, of torch and of the network itself
            raise UsageError(_why(graph, error)) from error
    return buffer.getvalue()


def _why(graph: Graph, error: Exception) -> str:
    """Why a graph cannot be traced, with the operator and the parts of the model that have it."""
    text = " ".join(str(error).split())
    found = re.search(r"operator '(?:aten|prims?)::(\w+)'", text) or re.search(r"(?:aten|prim)::(\w+)", text)
    found = found or re.search(r"export of operator (\w+)", text)
    if found is None:
        return (
            f"the graph {graph.name!r} ({type(graph.network).__name__}) cannot be exported:"
            f" {type(error).__name__}: {text[:300]}. Hint: compute with tensors alone in it, or leave the"
            " model in torch"
        )
    operator = found.group(1).lower()
    parts = sorted(set(_parts_with(graph, operator)))
    where = f" in {', '.join(parts[:3])}" if parts else ""
    return (
        f"the graph {graph.name!r} cannot be exported: ONNX (version {OPSET} of its operators) has no"
        f" {operator}, which the model uses{where}. Hint: use other operators there, or leave the model in"
        " torch"
    )


def _parts_with(graph: Graph, operator: str) -> Iterator[str]:
    """The names of the modules that use an operator, as in the network's ``named_modules``."""
    try:
        with evaluating(graph.network), _quiet():
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                graph.network, graph.examples[0], check_trace=False
            )
    except Exception:  # it is only for a message
        return
    for node in traced.inlined_graph.nodes():
        if node.kind().rpartition("::")[2] == operator:
            name = node.scopeName().rpartition("/")[2].removeprefix("__module.")
            yield name or type(graph.network).__name__


def _to_openvino(onnx_file: Path, graph: Graph) -> list[Path]:
    openvino = import_openvino("--to openvino")
    xml = onnx_file.with_suffix(".xml")
    try:
        model = openvino.Core().read_model(onnx_file)
    except Exception as error:
        text = " ".join(str(error).split())
        raise UsageError(
            f"OpenVINO cannot read the graph {graph.name!r}: {text[-300:]}. Hint: use --to onnx"
        ) from error
    try:
        # in float32: by default, weights are rounded to half precision
        openvino.save_model(model, xml, compress_to_fp16=False)
    except Exception as error:
        raise OutputError(
            f"{xml} cannot be written: {error}. Hint: free some space, or write to another disk"
        ) from error
    return [xml, xml.with_suffix(".bin")]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the tracer: about values that become constants, which the comparison with torch
    finds if they matter, and about its age.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    # torch prints the whole graph where an operator is missing, whatever `verbose` says
    printing = mock.patch.object(torch._C, "_jit_onnx_log", create=True)
    try:
        with warnings.catch_warnings(), printing:
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
