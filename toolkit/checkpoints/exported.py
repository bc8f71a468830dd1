"""Exported folders: their ``manifest.json``, which says how the graphs are used, and the graphs themselves.

A folder may come from anywhere, so the manifest is checked field by field, its names stay in the folder, and
each file must have the size and hash that it states.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from toolkit.checkpoints.finding import EXPORT_KEY, EXPORT_MANIFEST
from toolkit.checkpoints.manifest import CheckpointManifest
from toolkit.errors import CheckpointError
from toolkit.reading.fields import Count, Name, Number, Text, shown
from toolkit.reading.files import check_file
from toolkit.reading.json_text import load_json
from toolkit.reading.records import MOST_FAULTS, judge

FORMAT = 1
COPY_AGAIN = "copy or export the folder again"
MOST_BYTES = 1 << 34
"""Of one file of a graph, which is read into memory."""

FileName = Annotated[str, Field(pattern=r"^[_A-Za-z0-9][-_.A-Za-z0-9]*$", max_length=100)]
"""A plain name, which cannot lead out of the folder."""


@dataclass(frozen=True)
class ExportedFile:
    """A file of a graph.

    Attributes:
        name: in the folder.
        bytes: its size.
        sha256: its hash, in hexadecimal.
    """

    name: FileName
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @classmethod
    def of(cls, path: Path) -> ExportedFile:
        """The entry for a file."""
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.name, path.stat().st_size, digest)


@dataclass(frozen=True)
class ExportedGraph:
    """A graph in an exported folder.

    Attributes:
        name: as the model names it.
        files: one for ONNX; the XML and the BIN file for OpenVINO.
        inputs, outputs: their names with the size of each dimension, a number or the name of a dynamic axis.
        precision: in which it is computed; None for that of the folder.
    """

    name: Name
    files: Annotated[tuple[ExportedFile, ...], Field(min_length=1, max_length=2)]
    inputs: Mapping[str, tuple[int | str, ...]]
    outputs: Mapping[str, tuple[int | str, ...]]
    precision: Literal["fp32", "bf16", "int8"] | None = None


@dataclass(frozen=True)
class ExportManifest:
    """What an exported folder says about itself.

    Attributes:
        target: the runtime that the graphs are for.
        graphs: the networks.
        checkpoint: the manifest of the checkpoint that was exported.
        precision: in which the graphs are computed that do not state another.
        processing: what happens before and after the graphs.
        thresholds: scores that objects need; ``draw_above`` to be shown.
        versions: of the software that exported.
        source: the hash of the exported checkpoint.
        parameters: their number in the exported model; 0 if unknown.
        size: height and width of the only images that the graphs take, in pixels; None for any size.
        export_format: version of this file.
    """

    target: Literal["onnx", "openvino"]
    graphs: Annotated[tuple[ExportedGraph, ...], Field(min_length=1)]
    checkpoint: Mapping[str, Any]
    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    processing: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, Number] = field(default_factory=dict)
    versions: Mapping[str, Text] = field(default_factory=dict)
    source: Text = ""
    parameters: Count = 0
    size: tuple[Count, Count] | None = None
    export_format: Annotated[Count, Field(ge=1)] = FORMAT

    def to_json(self) -> str:
        """The manifest as JSON."""
        values = dataclasses.asdict(self)
        return json.dumps({EXPORT_KEY: values.pop(EXPORT_KEY), **values}, allow_nan=False, indent=1)

    def graph(self, name: str, folder: Path) -> ExportedGraph:
        """The graph of a name.

        Raises:
            CheckpointError: when there is none.
        """
        for graph in self.graphs:
            if graph.name == name:
                return graph
        raise CheckpointError(
            f"{folder / EXPORT_MANIFEST} has no graph {name!r}; it has"
            f" {', '.join(graph.name for graph in self.graphs)}. Hint: export the run again"
        )


def read_export(folder: Path) -> ExportManifest:
    """The manifest of an exported folder; no graph is read.

    Raises:
        CheckpointError: when it is missing, damaged, or of a newer version.
    """
    path = folder / EXPORT_MANIFEST
    values = load_json(path, "the manifest of an exported model", CheckpointError)
    version = values.get(EXPORT_KEY) if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(
            f"{path} was written by a newer version of the toolkit (format {shown(version)}; this version"
            f" reads {FORMAT}). Hint: upgrade the toolkit, or export the run again"
        )
    manifest: ExportManifest | None
    manifest, faults = judge(values, ExportManifest)
    if manifest is None or faults:
        raise CheckpointError(f"{path} is damaged: {'; '.join(faults[:MOST_FAULTS])}. Hint: {COPY_AGAIN}")
    names = [graph.name for graph in manifest.graphs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise CheckpointError(f"{path} is damaged: two graphs are named {twice!r}. Hint: {COPY_AGAIN}")
    expected = {"onnx": 1, "openvino": 2}[manifest.target]
    for graph in manifest.graphs:
        if len(graph.files) != expected:
            raise CheckpointError(
                f"{path} is damaged: the graph {graph.name!r} has {len(graph.files)} files, but"
                f" {manifest.target} needs {expected}. Hint: {COPY_AGAIN}"
            )
    return manifest


def checkpoint_of_export(manifest: ExportManifest, folder: Path) -> CheckpointManifest:
    """The manifest of the checkpoint that was exported.

    Raises:
        CheckpointError: when it is damaged.
    """
    return CheckpointManifest.from_json(json.dumps(manifest.checkpoint), folder / EXPORT_MANIFEST)


def read_graph(graph: ExportedGraph, folder: Path) -> list[bytes]:
    """The contents of a graph's files.

    Raises:
        CheckpointError: when one is missing, or differs from what the manifest says.
    """
    contents = []
    for entry in graph.files:
        path = folder / entry.name
        check_file(path, "a graph", CheckpointError, most=MOST_BYTES)
        content = path.read_bytes()
        if len(content) != entry.bytes:
            raise CheckpointError(
                f"{path} has {len(content):,} bytes, but {EXPORT_MANIFEST} says {entry.bytes:,}: it is"
                f" truncated, or of another export. Hint: {COPY_AGAIN}"
            )
        found = hashlib.sha256(content).hexdigest()
        if found != entry.sha256:
            raise CheckpointError(
                f"{path} was changed after the export: its SHA-256 is {found}, but {EXPORT_MANIFEST} says"
                f" {entry.sha256}. Hint: {COPY_AGAIN}"
            )
        contents.append(content)
    return contents
