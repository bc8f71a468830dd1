"""The model of an exported folder: the plugin's own code around graphs that another runtime computes.

A ``SemanticModel`` is put together from the manifest alone, without building its network first: importing the
libraries that published encoders are in takes seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from toolkit.checkpoints import (
    EXPORT_MANIFEST,
    CheckpointManifest,
    ExportedGraph,
    ExportManifest,
    read_graph,
)
from toolkit.errors import CheckpointError
from toolkit.models.capabilities import Exportable
from toolkit.models.contract import Model
from toolkit.models.graphs import SIDES, Axes, RuntimeGraph
from toolkit.models.semantic import SemanticModel
from toolkit.models.semantic_graph import INPUTS, KIND, outputs_of, read_processing
from toolkit.runtime.engines import Engine, open_engine, runs_on

logger = logging.getLogger("toolkit")


def run_on_graphs(model: Model, export: ExportManifest, folder: Path) -> Model:
    """A model like the given one, with the graphs of an exported folder in the place of its networks.

    The graphs are prepared when they are first used, or by ``prepare``.

    Raises:
        CheckpointError: when the plugin cannot be exported, its graphs are others, or a file is damaged.
    """
    exportable = model.capability(Exportable)
    if exportable is None:
        raise CheckpointError(
            f"the plugin {export.checkpoint.get('plugin')!r} that is installed here cannot run the graphs in"
            f" {folder}. Hint: install the version that exported them ({_versions(export)})"
        )
    graphs = {
        graph.name: _around(graph.name, graph.inputs, graph.outputs, export, folder)
        for graph in exportable.graphs()
    }
    return _finished(exportable.with_graphs(graphs), export)


def needs_plugin_code(export: ExportManifest) -> bool:
    """Whether the model can only be built by its plugin."""
    return export.processing.get("kind") != KIND


def semantic_on_graph(export: ExportManifest, manifest: CheckpointManifest, folder: Path) -> Model:
    """The ``SemanticModel`` that a manifest describes, around its graph; see ``run_on_graphs``.

    Raises:
        CheckpointError: as ``run_on_graphs``.
    """
    given = read_processing(export.processing, str(folder / EXPORT_MANIFEST))
    network = _around("network", INPUTS, outputs_of(len(manifest.classes)), export, folder)
    model = SemanticModel(
        network,
        manifest.classes,
        mean=given.mean,
        std=given.std,
        divisor=given.divisor,
        padding=given.padding,
        long_side=given.long_side,
    )
    return _finished(model, export)


def _around(
    name: str,
    inputs: Mapping[str, Axes],
    outputs: Mapping[str, Axes],
    export: ExportManifest,
    folder: Path,
) -> RuntimeGraph:
    """The graph of a name, which must have these inputs and outputs."""
    given = export.graph(name, folder)
    if not _same_inputs(given.inputs, inputs) or list(given.outputs) != list(outputs):
        raise CheckpointError(
            f"the graph {name!r} in {folder} takes {dict(given.inputs)} and returns"
            f" {', '.join(given.outputs)}, but the plugin that is installed here gives it"
            f" {dict(inputs)} and expects {', '.join(outputs)}. Hint: export the run again"
        )
    # read here, so that a damaged file is found before the first image, and kept until it is first used
    read = [read_graph(given, folder)]
    opening = partial(_open, given, export, folder, read)
    return RuntimeGraph(
        name,
        tuple(inputs),
        tuple(outputs),
        opening,
        partial(runs_on, export.target),
        tuple(given.inputs.values()),
    )


def _same_inputs(given: Mapping[str, Axes], wanted: Mapping[str, Axes]) -> bool:
    """Whether a graph has the inputs that a plugin gives it; height and width may be fixed."""
    pairs = [zip(given[name], wanted[name], strict=False) for name in given if name in wanted]
    return (
        [(name, len(axes)) for name, axes in given.items()]
        == [(name, len(axes)) for name, axes in wanted.items()]
    ) and all(a == b or (b in SIDES and isinstance(a, int)) for pair in pairs for a, b in pair)


def _finished(model: Model, export: ExportManifest) -> Model:
    model.graph_parameters = export.parameters
    model.draw_above = export.thresholds.get("draw_above", model.draw_above)
    return model.eval()


def bytes_of_graphs(export: ExportManifest) -> int:
    """The size of all graphs, as the manifest states it."""
    return sum(file.bytes for graph in export.graphs for file in graph.files)


def prepare(model: Model) -> dict[str, tuple[str, ...]]:
    """Read all graphs of an exported model, and make them ready on its device.

    Returns:
        For each graph, what it runs on, as the runtime reports it.

    Raises:
        CheckpointError: when a graph is damaged.
        ConfigError: when the runtime cannot use the device.
    """
    graphs = [each for each in model.modules() if isinstance(each, RuntimeGraph)]
    return {each.name: each.prepared().ran_on for each in graphs}


def _open(
    graph: ExportedGraph,
    export: ExportManifest,
    folder: Path,
    read: list[list[bytes]],
    device: str,
    threads: int,
) -> Engine:
    source = str(folder / graph.files[0].name)
    precision = graph.precision or export.precision
    engine = open_engine(
        export.target,
        read.pop() if read else read_graph(graph, folder),
        device=device,
        precision=precision,
        threads=threads,
        outputs=tuple(graph.outputs),
        source=source,
    )
    if set(engine.outputs) != set(graph.outputs):
        raise CheckpointError(
            f"{source} returns {', '.join(engine.outputs)}, but its manifest says {', '.join(graph.outputs)}."
            " Hint: copy or export the folder again"
        )
    # Without the folder, which is a temporary one while the model is exported.
    name = graph.files[0].name
    logger.info("%s runs in %s on %s (%s)", name, precision, ", ".join(engine.ran_on), engine.runtime)
    return engine


def _versions(export: ExportManifest) -> str:
    return ", ".join(f"{name} {version}" for name, version in export.versions.items())
