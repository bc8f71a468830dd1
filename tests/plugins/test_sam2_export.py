"""SAM 2 as graphs: the same answers to any prompts, also in NumPy alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sam2_cases import NO_CACHE, scene, toy
from toolkit.plugins.sam2 import graph as graphs_module
from toolkit.plugins.sam2.answers import choose
from toolkit.plugins.sam2.decoder import DecoderOutput
from toolkit.plugins.sam2.program import predict
from torch import Tensor, nn

from toolkit import Prompts, Sample, registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.errors import CheckpointError, ExportError, InvalidDataError, UsageError
from toolkit.evaluation.opening import OpenedRun, open_run
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.export.answers import compare_found, gate_answers, listed, prompt_cases
from toolkit.export.front import build_folder, check_folder, export_run
from toolkit.export.gate import Measured, gate_tensors
from toolkit.export.onnx_files import as_onnx
from toolkit.inference import Session
from toolkit.inference.predictor import Predictor
from toolkit.models.building import load_model
from toolkit.models.capabilities import Explainable, MaskPromptable, Promptable, Trackable
from toolkit.models.contract import evaluating
from toolkit.models.graphs import RuntimeGraph
from toolkit.runtime.engines import Engine, open_engine

CHOICES = [
    {"mask": "best", "preset": "sam2"},
    {"mask": "single", "preset": "sam2"},
    {"mask": "first"},
    {"mask": "only", "rough_masks": True},
]


def varied(**settings: Any) -> Any:
    """A toy model whose masks are neither empty nor full, and differ from prompt to prompt."""
    model = toy(**settings)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for mlp in model.network.sam_mask_decoder.output_hypernetworks_mlps:
            last = mlp.layers[-1]
            last.weight.copy_(torch.randn(last.weight.shape, generator=generator) * 0.3)
    return model.eval()


def on_onnx(model: Any, contents: dict[str, bytes]) -> Any:
    def opened(graph: Any) -> RuntimeGraph:
        def opening(device: str, threads: int) -> Engine:
            return open_engine("onnx", [contents[graph.name]], threads=1)

        return RuntimeGraph(graph.name, tuple(graph.inputs), tuple(graph.outputs), opening)

    return model.with_graphs({graph.name: opened(graph) for graph in model.graphs()})


@pytest.fixture(scope="module")
def model() -> Any:
    return varied(mask="best", preset="sam2", auto={"points_per_side": 4, "pred_iou_thresh": 0.0})


@pytest.fixture(scope="module")
def contents(model: Any) -> dict[str, bytes]:
    return {graph.name: as_onnx(graph) for graph in model.graphs()}


@pytest.fixture(scope="module")
def exported(model: Any, contents: dict[str, bytes]) -> Any:
    return on_onnx(model, contents)


def test_the_graphs_pass_the_gate_with_no_point_one_and_a_hundred_prompts(model: Any, exported: Any) -> None:
    measured = Measured()
    gate_tensors(model, exported, measured)
    assert max(measured.tensors.values()) < 1e-5
    assert any("decoder" in name and "100x2x" in name for name in measured.tensors)
    assert set(measured.ran_on) == {"encoder", "points", "decoder"}


@pytest.mark.parametrize("size", [(60, 84), (1, 1), (33, 7), (128, 200)])
def test_answers_are_those_of_torch_for_images_of_any_size(model: Any, exported: Any, size: Any) -> None:
    differences: dict[str, float] = {}
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    gate_answers(model, exported, [Sample("an image", image)], differences)
    assert differences["mask_iou"] > 0.999
    assert differences["scores"] < 1e-4


def test_masks_of_the_test_are_worth_comparing(model: Any) -> None:
    sample = scene()
    with evaluating(model):
        prompts = Prompts(boxes_xyxy=sample.instances.boxes_xyxy)
        (found,) = model.predict([sample.with_(prompts=prompts)])
    areas = found.instances.masks.areas()
    assert bool((areas > 50).all())
    assert bool((areas < 60 * 84 - 50).all())


@pytest.mark.parametrize("settings", CHOICES, ids=lambda settings: settings["mask"])
@pytest.mark.parametrize("size", [(60, 84), (31, 5)])
def test_the_program_gives_the_same_answers(settings: dict[str, Any], size: tuple[int, int]) -> None:
    model = varied(**settings)
    graphs = {graph.name: graph for graph in model.graphs()}

    def running(name: str) -> Callable[..., list[np.ndarray]]:
        def run(*arrays: np.ndarray) -> list[np.ndarray]:
            with evaluating(graphs[name].network):
                found = graphs[name].network(*map(torch.from_numpy, arrays))
            return [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]

        return run

    sample = scene(size=size)
    for name, prompts in prompt_cases(size, takes_masks=False, many=False):
        with evaluating(model):
            wanted = model.predict([sample.with_(prompts=prompts)])[0].instances
        found = predict(
            sample.image.permute(1, 2, 0).numpy(),
            {graph: running(graph) for graph in graphs},
            {"processing": model.processing},
            listed(prompts),
        )
        assert found["masks"].shape == (len(prompts), *size), name
        assert (found["masks"] != wanted.masks.dense().numpy()).mean() < 1e-3 if len(prompts) else True, name
        assert np.abs(found["scores"] - wanted.scores.numpy()).max(initial=0) < 1e-5, name
        assert np.abs(found["boxes_xyxy"] - wanted.boxes_xyxy.numpy()).max(initial=0) <= 1, name


def test_everything_is_found_as_in_torch(model: Any, exported: Any) -> None:
    cropping = {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    other = replace_auto(model, cropping | {"crop_n_layers": 1, "box_nms_thresh": 0.99})
    sample = scene(size=(90, 120))
    with evaluating(model):
        wanted = other.predict([sample.with_(instances=None)])[0].instances
    around = on_graphs_of(exported, other)
    found = around.predict([sample.with_(instances=None)])[0].instances
    assert len(wanted) > 3
    compare_found(wanted, found, "the scene")


def replace_auto(model: Any, auto: dict[str, Any]) -> Any:
    other = varied(mask="best", preset="sam2", auto=auto)
    other.network.load_state_dict(model.network.state_dict())
    return other


def on_graphs_of(exported: Any, model: Any) -> Any:
    graphs = {name: getattr(exported, name) for name in ("encoder", "points", "decoder")}
    return model.with_graphs(graphs)


def test_a_session_encodes_once_and_takes_everything_back(model: Any, exported: Any) -> None:
    encoded = []
    handle = exported.encoder.register_forward_hook(lambda *_: encoded.append(1))
    sample = scene()
    masks: list[list[Tensor]] = []
    for each in (model, exported):
        session = Session(Predictor(each, device="cpu"), sample.image)
        found = [session.point(30, 20), session.point(50, 40, positive=False)]
        assert session.undo()
        found += [session.box(10, 10, 50, 50)]
        session.new_object("cup")
        found += [session.mask(sample.instances.masks.dense()[0])]
        masks.append(found)
        assert len(session.instances) == 2
    handle.remove()
    assert len(encoded) == 1
    for a, b in zip(*masks, strict=True):
        assert int((a ^ b).sum()) <= 1


def test_it_can_do_what_its_graphs_do(exported: Any) -> None:
    assert exported.capability(Promptable) is exported
    assert exported.capability(MaskPromptable) is exported
    assert exported.capability(Trackable) is None
    assert exported.capability(Explainable) is None
    assert not list(exported.parameters())
    with pytest.raises(UsageError, match="an exported model cannot be trained. Hint: train the run"):
        exported.loss([scene()])
    drawn = varied(rough_masks=True)
    around = on_onnx(drawn, {})
    assert around.capability(MaskPromptable) is None


def test_a_prompt_outside_the_image_is_refused_as_in_torch(exported: Any) -> None:
    prompts = Prompts(points_xy=torch.tensor([[[400.0, 2.0]]]), point_labels=torch.ones(1, 1).long())
    with pytest.raises(InvalidDataError, match="60 pixels .* prompt 0 has a point outside the image"):
        exported.predict([scene().with_(prompts=prompts)])


@pytest.mark.parametrize("stable", [True, False])
def test_an_unstable_mask_is_replaced_as_in_the_package(model: Any, stable: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn((5, 4, 16, 16), generator=generator) * (100 if stable else 0.05)
    masks[0] = -9  # none inside either threshold
    output = DecoderOutput(masks, torch.rand((5, 4), generator=generator), torch.zeros(5, 1))
    wanted = model.network.sam_mask_decoder._dynamic_multimask_via_stability(masks, output.ious)
    found = choose(output, "single", is_ambiguous=False)
    assert torch.equal(found[0], wanted[0][:, 0])
    assert torch.equal(found[1], wanted[1][:, 0])


class Changed(nn.Module):
    """A graph whose results or inputs are changed."""

    def __init__(self, plain: nn.Module, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.plain, self.before, self.after = plain, before, after

    def forward(self, *tensors: Tensor) -> Any:
        found = self.plain(*(tensors if self.before is None else self.before(*tensors)))
        return found if self.after is None else self.after(found)


def first_mask_for_all(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return found[0][:1].expand_as(found[0]), found[1]


def lost_beyond_the_first(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return found[0][:1], found[1][:1]


def half_a_pixel(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    logits = found[0]
    moved = torch.cat([logits[..., :1], logits[..., :-1]], dim=-1)
    return (logits + moved) / 2, found[1]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param("decoder", None, lost_beyond_the_first, id="masks lost beyond the first"),
        pytest.param("decoder", None, first_mask_for_all, id="the first mask for all prompts"),
        pytest.param("decoder", None, half_a_pixel, id="half a pixel's shift"),
        pytest.param("encoder", lambda x: (x.flip(1),), None, id="BGR for RGB"),
        pytest.param("points", lambda p, k: (p + 0.5, k), None, id="points half a pixel off"),
        pytest.param("points", lambda p, k: (p, k.clamp(max=1)), None, id="boxes taken for points"),
        pytest.param("decoder", lambda *x: (*x[:5], x[5] * 0), None, id="masks ignored"),
    ],
)
def test_planted_faults_are_found(model: Any, exported: Any, name: str, before: Any, after: Any) -> None:
    graphs = {each: getattr(exported, each) for each in ("encoder", "points", "decoder")}
    faulty = model.with_graphs(graphs | {name: Changed(graphs[name], before, after)})
    with pytest.raises(ExportError, match=r"an image.*Hint"):
        gate_answers(model, faulty, [scene_alone()], {})


def scene_alone() -> Sample:
    return Sample("an image", scene().image)


def test_another_resize_is_found(model: Any, exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolkit.plugins.sam2 import exported as module

    plain = module.network_input

    def nearest(image: Tensor, size: int, device: torch.device) -> Tensor:
        rows, columns = (torch.arange(size) * side // size for side in image.shape[1:])
        return plain(image[:, rows][:, :, columns], size, device)

    monkeypatch.setattr(module, "network_input", nearest)
    with pytest.raises(ExportError, match="image 'an image' .* the answer to prompt 0 has"):
        gate_answers(model, exported, [scene_alone()], {})


def test_weights_of_another_checkpoint_are_found(model: Any, exported: Any) -> None:
    torch.manual_seed(1)
    other = varied(mask="best", preset="sam2")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.01
    with pytest.raises(ExportError, match="graph 'encoder' with 1x3x64x64"):
        gate_tensors(other, exported, Measured())


def test_points_stay_in_float32_and_only_the_encoder_is_quantized(model: Any) -> None:
    reduced = {graph.name: graph.reduced for graph in model.graphs()}
    assert reduced == {"encoder": ("bf16", "int8"), "points": (), "decoder": ("bf16",)}


def test_many_prompts_of_large_images_are_no_example() -> None:
    """A hundred prompts in an image of 1,024 pixels would take gigabytes."""
    assert graphs_module.SMALL < 1024


BOXES = str(Path(__file__).resolve().parents[1] / "support" / "bright_boxes.py")


def make_run(folder: Path, model: Any) -> Path:
    registry.add_path(BOXES)
    manifest = CheckpointManifest(
        plugin="sam2",
        task="promptable",
        classes=("box",),
        model={
            "size": "toy",
            "image_size": 64,
            "preset": "sam2",
            "mask": "best",
            "cache": NO_CACHE,
            "auto": {"points_per_side": 4},
        },
        config={"data": {"name": "bright"}, "evaluators": {"objects": {}}},
        step=5,
    )
    save_checkpoint(folder / "best.safetensors", model.state_dict(), manifest)
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, model: Any) -> Path:
    return make_run(tmp_path_factory.mktemp("sam2-run"), model)


@pytest.fixture(scope="module")
def folder(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, exported and compared, ``predict.py`` included."""
    registry.add_path(BOXES)
    return export_run(run_folder, tmp_path_factory.mktemp("exports") / "onnx", target="onnx", images=3).folder


def opened(run_folder: Path) -> OpenedRun:
    registry.add_path(BOXES)
    return open_run(run_folder, DataChoice(), Prompting())


def test_a_run_is_exported_and_stands_where_the_run_does(folder: Path, run_folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    graphs = ["decoder.onnx", "encoder.onnx", "points.onnx"]
    assert names == sorted([*graphs, "manifest.json", "parity.json", "predict.py"])
    sample = scene()
    prompts = Prompts(boxes_xyxy=sample.instances.boxes_xyxy)
    a, b = (load_model(each)[0] for each in (run_folder, folder))
    with evaluating(a), evaluating(b):
        wanted, found = (each.predict([sample.with_(prompts=prompts)])[0].instances for each in (a, b))
    assert len(found) == 2
    assert int((wanted.masks.dense() ^ found.masks.dense()).sum()) <= 2


@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_a_decoder_that_is_missing_or_truncated_is_named(folder: Path, tmp_path: Path, fault: str) -> None:
    registry.add_path(BOXES)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    decoder = copy / "decoder.onnx"
    if fault == "missing":
        decoder.unlink()
    else:
        decoder.write_bytes(decoder.read_bytes()[:-9])
    with pytest.raises(
        CheckpointError, match="decoder.onnx.*" + ("truncated" if fault == "truncated" else "")
    ):
        load_model(copy)


def test_a_faulty_program_is_found(folder: Path, run_folder: Path, tmp_path: Path) -> None:
    """Its masks are enlarged without half a pixel."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    program = copy / "predict.py"
    text = program.read_text()
    assert "masks[row], scores[row] = large" in text
    program.write_text(
        text.replace("masks[row], scores[row] = large", "masks[row], scores[row] = large[::-1]")
    )
    with pytest.raises(ExportError, match=r"predict.py \(as the export\).* prompt 0 has a mask of"):
        check_folder(opened(run_folder), copy, images=1)


@pytest.mark.slow
def test_openvino_computes_in_bf16_with_points_in_float32(run_folder: Path, tmp_path: Path) -> None:
    manifest = build_folder(opened(run_folder), tmp_path, "openvino")
    from toolkit.export.front import in_precision, write_manifest

    write_manifest(in_precision(manifest, "bf16", {"encoder", "decoder"}), tmp_path)
    exported = load_model(tmp_path)[0]
    measured = {name: exported.get_submodule(name).prepared() for name in ("encoder", "points", "decoder")}
    precisions = {
        name: str(engine._model.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        for name, engine in measured.items()
    }
    assert precisions == {"encoder": "bf16", "points": "f32", "decoder": "bf16"}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_encoder_is_quantized(run_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    from toolkit.export.front import calibration_data
    from toolkit.export.quantizing import quantize

    found = opened(run_folder)
    manifest = build_folder(found, tmp_path, "openvino")
    before = {graph.name: graph.files for graph in manifest.graphs}
    smaller = quantize(manifest, load_model(tmp_path)[0], calibration_data(found), tmp_path, {"encoder"})
    changed = {graph.name for graph in smaller if graph.files != before[graph.name]}
    assert changed == {"encoder"}
    assert b"FakeQuantize" in (tmp_path / "encoder.xml").read_bytes()
