"""The manifest of an exported folder: every field is checked, and nothing leads out of the folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.checkpoints import (
    CheckpointManifest,
    ExportedFile,
    ExportedGraph,
    ExportManifest,
    checkpoint_of_export,
    find_checkpoint,
    is_export,
    read_export,
    read_graph,
    read_manifest,
)
from toolkit.errors import CheckpointError

CHECKPOINT = CheckpointManifest(plugin="unet", task="semantic", classes=("a", "b"), step=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "network.onnx").write_bytes(b"graph")
    graph = ExportedGraph(
        "network",
        (ExportedFile.of(tmp_path / "network.onnx"),),
        {"images": ("batch", 3, "height", "width")},
        {"logits": ("batch", 2, "rows", "columns")},
    )
    manifest = ExportManifest(
        "onnx", (graph,), dataclasses.asdict(CHECKPOINT), thresholds={"draw_above": 0.5}
    )
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    return tmp_path


def changed(folder: Path, change: dict[str, Any]) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return folder


def test_it_is_read_as_it_was_written(folder: Path) -> None:
    manifest = read_export(folder)
    assert manifest.target == "onnx"
    assert checkpoint_of_export(manifest, folder) == CHECKPOINT
    assert read_manifest(folder) == CHECKPOINT
    assert find_checkpoint(folder) == folder / "manifest.json"
    assert read_graph(manifest.graph("network", folder), folder) == [b"graph"]
    with pytest.raises(CheckpointError, match="has no graph 'decoder'; it has network"):
        manifest.graph("decoder", folder)


def test_another_manifest_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"images": []}')
    assert not is_export(tmp_path / "manifest.json")
    assert not is_export(tmp_path / "nothing" / "manifest.json")
    with pytest.raises(CheckpointError, match="is not a run"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"export_format": 2},
            "newer version of the toolkit .format 2; this version reads 1.* Hint: upgrade",
        ),
        ({"export_format": 0}, "is damaged: export_format: should be greater than or equal to 1, not 0"),
        ({"target": "tensorrt"}, "is damaged: target"),
        ({"graphs": []}, "is damaged: graphs"),
        ({"graphs": None}, "is damaged: graphs"),
        ({"graphs": [{"name": "network"}]}, "is damaged: .*files"),
        ({"target": "openvino"}, "'network' has 1 files, but openvino needs 2"),
        ({"precision": "fp64"}, "is damaged: precision"),
        ({"thresholds": {"draw_above": "high"}}, "is damaged: thresholds"),
        ({"thresholds": {"draw_above": float("nan")}}, "is damaged: thresholds.draw_above: .* finite"),
        ({"size": [-1, 4]}, r"is damaged: size\[0\]"),
        ({"parameters": 10**400}, "is damaged: parameters"),
        ({"checkpoint": {"plugin": "unet"}}, "is damaged: .*task"),
        ({"checkpoint": 3}, "is damaged: checkpoint"),
    ],
)
def test_what_is_wrong_in_it_is_named(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_manifest(changed(folder, change))


@pytest.mark.parametrize("name", ["../secret.onnx", "/etc/passwd", "a/b.onnx", "", ".hidden", "x\n"])
def test_names_stay_in_the_folder(folder: Path, name: str) -> None:
    graph = json.loads((folder / "manifest.json").read_text())["graphs"][0]
    graph["files"][0]["name"] = name
    with pytest.raises(CheckpointError, match=r"is damaged: graphs\[0\].files\[0\].name: [^;]*Hint"):
        read_export(changed(folder, {"graphs": [graph]}))


def test_names_of_graphs_occur_once(folder: Path) -> None:
    graphs = json.loads((folder / "manifest.json").read_text())["graphs"]
    with pytest.raises(CheckpointError, match="is damaged: two graphs are named 'network'. Hint: copy"):
        read_export(changed(folder, {"graphs": graphs * 2}))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"hello", b"\xff\xfe", b"[" * 100_000])
def test_an_export_without_a_usable_manifest_is_known_by_its_other_files(
    folder: Path, content: bytes | None
) -> None:
    (folder / "predict.py").touch()
    if content is None:
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_bytes(content)
    with pytest.raises(
        CheckpointError, match="its manifest.json is missing or damaged. Hint: copy or export"
    ):
        find_checkpoint(folder)


@pytest.mark.parametrize("keep", [1, 20, 200, 500])
def test_a_truncated_manifest_is_damaged(folder: Path, keep: int) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:keep])
    with pytest.raises(CheckpointError, match="Hint"):
        read_manifest(folder)


def test_files_are_compared_with_the_manifest(folder: Path) -> None:
    graph = read_export(folder).graph("network", folder)
    (folder / "network.onnx").write_bytes(b"gra")
    with pytest.raises(
        CheckpointError, match="network.onnx has 3 bytes, but manifest.json says 5: it is truncated"
    ):
        read_graph(graph, folder)
    (folder / "network.onnx").write_bytes(b"GRAPH")
    found = hashlib.sha256(b"GRAPH").hexdigest()
    with pytest.raises(CheckpointError, match=f"was changed after the export: its SHA-256 is {found}"):
        read_graph(graph, folder)
    (folder / "network.onnx").unlink()
    with pytest.raises(CheckpointError, match="network.onnx"):
        read_graph(graph, folder)
    (folder / "network.onnx").mkdir()
    with pytest.raises(CheckpointError, match="folder"):
        read_graph(graph, folder)
