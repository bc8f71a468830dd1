"""The model of an exported folder, where the plugin that is installed is another one, or the folder lies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import toolkit
from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.errors import CheckpointError, UnknownNameError
from toolkit.evaluation.opening import open_run
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.export.front import build_folder
from toolkit.models.building import load_model
from toolkit.models.exported import bytes_of_graphs, prepare

SUPPORT = Path(__file__).resolve().parents[1] / "support"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("strided_net.py", "tiny.py"):
        registry.add_path(str(SUPPORT / name))
    plugin = registry.plugins().get("strided-net")
    model = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(), ("ground", "square"))
    manifest = CheckpointManifest(
        plugin="strided-net",
        task="semantic",
        classes=("ground", "square"),
        config={"data": {"name": "squares"}},
    )
    run, folder = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("exported")
    save_checkpoint(run / "best.safetensors", model.state_dict(), manifest)
    build_folder(open_run(run, DataChoice(), Prompting()), folder, "onnx")
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    registry.add_path(str(SUPPORT / "strided_net.py"))
    return Path(shutil.copytree(exported, tmp_path / "exported"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def by_plugin(folder: Path) -> None:
    """As for a model that is no ``SemanticModel``: its plugin has to build it."""
    edit(folder, lambda values: values["processing"].update(kind="of its plugin"))


def test_a_semantic_model_is_put_together_without_its_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.randint(0, 256, (3, 37, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sample = toolkit.Sample("one", image)
    by_manifest = load_model(folder)[0].predict([sample])
    by_plugin(folder)
    assert load_model(folder)[0].predict([sample]) == by_manifest
    plugin = registry.plugins().get("strided-net")
    monkeypatch.setattr(type(plugin), "resolve", lambda *_: pytest.fail("the plugin's code was imported"))
    edit(folder, lambda values: values["processing"].update(kind="semantic"))
    assert load_model(folder)[0].predict([sample]) == by_manifest


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mean", [0.5, 0.5], "mean"),
        ("mean", "abc", "mean"),
        ("std", [0.2, 0.0, 0.2], "std"),
        ("std", None, "std"),
        ("divisor", 0, "divisor"),
        ("divisor", 10**9, "divisor"),
        ("padding", "other", "padding"),
        ("long_side", -1, "long_side"),
    ],
)
def test_damaged_preprocessing_is_found(folder: Path, key: str, value: object, said: str) -> None:
    edit(folder, lambda values: values["processing"]["input"].update({key: value}))
    with pytest.raises(
        CheckpointError, match=rf"is damaged, in processing.input: {said}.*Hint: copy or export"
    ):
        load_model(folder)


@pytest.mark.parametrize("value", [None, [], "text", {}])
def test_preprocessing_that_is_none_is_found(folder: Path, value: object) -> None:
    edit(folder, lambda values: values["processing"].update(input=value))
    with pytest.raises(CheckpointError, match="is damaged, in processing.input"):
        load_model(folder)


def test_it_runs_on_the_graph_alone(folder: Path) -> None:
    model, manifest = load_model(folder)
    assert manifest.classes == model.classes == ("ground", "square")
    assert not model.training
    assert sum(p.numel() for p in model.parameters()) == 0
    assert model.device == torch.device("cpu")
    assert prepare(model) == {"network": ("CPUExecutionProvider",)}


def test_the_threshold_for_drawing_is_that_of_the_export(folder: Path) -> None:
    edit(folder, lambda values: values["thresholds"].update(draw_above=0.25))
    assert load_model(folder)[0].draw_above == 0.25


def test_the_plugin_must_be_there(folder: Path) -> None:
    edit(folder, lambda values: values["checkpoint"].update(plugin="other-net"))
    with pytest.raises(UnknownNameError, match="needs a plugin that is not installed.* Hint: add --plugin"):
        toolkit.load(folder)


def test_a_plugin_that_cannot_run_graphs_is_named(folder: Path, tiny: str) -> None:
    registry.add_path(tiny)
    by_plugin(folder)
    edit(folder, lambda values: values["checkpoint"].update(plugin="tiny", model={}))
    with pytest.raises(
        CheckpointError, match="the plugin 'tiny' that is installed here cannot run the graphs"
    ):
        load_model(folder)


@pytest.mark.parametrize("builds", [True, False])
def test_a_graph_of_another_plugin_is_found(folder: Path, builds: bool) -> None:
    if builds:
        by_plugin(folder)
    edit(folder, lambda values: values["graphs"][0]["inputs"].update(images=["batch", 4, "height", "width"]))
    with pytest.raises(CheckpointError, match="'network' in .* takes .*4.*, but the plugin .* gives it"):
        load_model(folder)
    edit(folder, lambda values: values["graphs"][0].update(name="encoder"))
    with pytest.raises(CheckpointError, match="has no graph 'network'; it has encoder. Hint: export the run"):
        load_model(folder)


def test_outputs_that_the_graph_does_not_have_are_found(folder: Path) -> None:
    """The manifest agrees with the plugin, but the file is another graph."""
    from torch import nn

    from toolkit import Graph
    from toolkit.checkpoints import ExportedFile
    from toolkit.export.onnx_files import as_onnx

    graph = Graph(
        "network", nn.Conv2d(3, 2, 1), {"images": (1,)}, {"other": (1,)}, ((torch.ones(1, 3, 4, 4),),)
    )
    (folder / "network.onnx").write_bytes(as_onnx(graph))
    entry = ExportedFile.of(folder / "network.onnx")
    edit(folder, lambda values: values["graphs"][0].update(files=[vars(entry)]))
    with pytest.raises(CheckpointError, match="returns other, but its manifest says logits"):
        prepare(load_model(folder)[0])


def test_a_manifest_of_a_network_that_is_far_too_large_is_refused(folder: Path) -> None:
    by_plugin(folder)
    edit(folder, lambda values: values["checkpoint"]["model"].update(width=9000))
    with pytest.raises(CheckpointError, match="more than the file contains"):
        load_model(folder)
    from toolkit.checkpoints import read_export

    assert bytes_of_graphs(read_export(folder)) == (folder / "network.onnx").stat().st_size


def test_a_graph_that_is_no_graph_is_refused_when_it_is_prepared(folder: Path) -> None:
    from toolkit.checkpoints import ExportedFile

    (folder / "network.onnx").write_bytes(b"\x08\x07" * 50)
    entry = ExportedFile.of(folder / "network.onnx")
    edit(folder, lambda values: values["graphs"][0].update(files=[vars(entry)]))
    model, _ = load_model(folder)
    with pytest.raises(CheckpointError, match="cannot be read as a graph"):
        prepare(model)


def test_each_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again only if the model moves to another device."""
    from toolkit.models import exported as module

    plain, read = module.read_graph, []
    monkeypatch.setattr(module, "read_graph", lambda *args: read.append(args) or plain(*args))
    model = load_model(folder)[0]
    prepare(model)
    assert len(read) == 1
    model.network._engine = None
    prepare(model)
    assert len(read) == 2


def test_it_knows_how_many_parameters_are_in_its_graphs(folder: Path, exported: Path) -> None:
    from toolkit.models.contract import parameter_count

    plugin = registry.plugins().get("strided-net")
    plain = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(), ("ground", "square"))
    wanted = sum(parameter.numel() for parameter in plain.parameters())
    found = load_model(folder)[0]
    assert parameter_count(found) == parameter_count(plain) == wanted > 100
    assert not list(found.parameters())
