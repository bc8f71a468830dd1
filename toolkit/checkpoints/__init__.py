"""Checkpoints: safetensors files with a JSON manifest in their header. Opening one never runs code."""

from toolkit.checkpoints.exported import (
    ExportedFile,
    ExportedGraph,
    ExportManifest,
    checkpoint_of_export,
    read_export,
    read_graph,
)
from toolkit.checkpoints.files import (
    checkpoint_name,
    exported_manifest,
    own,
    read_checkpoint,
    read_foreign,
    read_manifest,
    read_own,
    read_weights,
    save_checkpoint,
)
from toolkit.checkpoints.finding import (
    BEST,
    CONFIG,
    EXPORT_MANIFEST,
    LAST,
    HasRun,
    RunLike,
    describe_foreign,
    find_checkpoint,
    is_export,
    path_of_run,
    runs_beside,
)
from toolkit.checkpoints.loading_report import LoadReport
from toolkit.checkpoints.manifest import CheckpointManifest, license_of
from toolkit.checkpoints.torch_weights import STATE_DICTS

__all__ = [
    "BEST",
    "CONFIG",
    "EXPORT_MANIFEST",
    "LAST",
    "STATE_DICTS",
    "CheckpointManifest",
    "ExportManifest",
    "ExportedFile",
    "ExportedGraph",
    "HasRun",
    "LoadReport",
    "RunLike",
    "checkpoint_name",
    "checkpoint_of_export",
    "describe_foreign",
    "exported_manifest",
    "find_checkpoint",
    "is_export",
    "license_of",
    "own",
    "path_of_run",
    "read_checkpoint",
    "read_export",
    "read_foreign",
    "read_graph",
    "read_manifest",
    "read_own",
    "read_weights",
    "runs_beside",
    "save_checkpoint",
]
