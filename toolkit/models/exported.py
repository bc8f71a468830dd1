"""The model of an exported folder: the plugin's own code around graphs that another runtime computes."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from toolkit.checkpoints import ExportedGraph, ExportManifest, read_graph
from toolkit.errors import CheckpointError
from toolkit.models.capabilities import Exportable
from toolkit.models.contract import Model
from toolkit.models.graphs import RuntimeGraph
from toolkit.runtime.engines import Engine, open_engine

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
    graphs = {}
    for graph in exportable.graphs():
        given = export.graph(graph.name, folder)
        if dict(given.inputs) != dict(graph.inputs) or list(given.outputs) != list(graph.outputs):
            raise CheckpointError(
                f"the graph {graph.name!r} in {folder} takes {dict(given.inputs)} and returns"
                f" {', '.join(given.outputs)}, but the plugin that is installed here gives it"
                f" {dict(graph.inputs)} and expects {', '.join(graph.outputs)}. Hint: export the run again"
            )
        read_graph(given, folder)  # a damaged file is found here rather than at the first image
        opening = partial(_open, given, export, folder)
        graphs[graph.name] = RuntimeGraph(graph.name, tuple(graph.inputs), tuple(graph.outputs), opening)
    found = exportable.with_graphs(graphs)
    found.draw_above = export.thresholds.get("draw_above", found.draw_above)
    return found.eval()


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


def _open(graph: ExportedGraph, export: ExportManifest, folder: Path, device: str, threads: int) -> Engine:
    source = str(folder / graph.files[0].name)
    precision = graph.precision or export.precision
    engine = open_engine(
        export.target,
        read_graph(graph, folder),
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
    logger.info("%s runs in %s on %s (%s)", source, precision, ", ".join(engine.ran_on), engine.runtime)
    return engine


def _versions(export: ExportManifest) -> str:
    return ", ".join(f"{name} {version}" for name, version in export.versions.items())
