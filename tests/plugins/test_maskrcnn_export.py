"""Mask R-CNN as one graph: what it finds in any image, with the suppressions inside, and what surrounds it in
NumPy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from support.small_settings import MODELS
from toolkit.plugins.maskrcnn.inputs import network_size, resize
from toolkit.plugins.maskrcnn.program import _network_size, predict
from torch import Tensor

from toolkit import Sample
from toolkit.errors import ExportError, UsageError
from toolkit.export.gate import Measured, gate_odd_images, gate_tensors, odd_images, runtime_graphs
from toolkit.export.onnx_files import as_onnx, write_graph
from toolkit.export.parity import compare_predictions
from toolkit.models.contract import Model, evaluating
from toolkit.models.graphs import RuntimeGraph
from toolkit.models.resizing_program import shrunk
from toolkit.runtime.engines import ComputePrecision, Engine, open_engine


def build(**settings: Any) -> Any:
    """A small model that finds many objects, of different scores and classes."""
    case = MODELS["maskrcnn"]
    merged = {**case.settings, "rpn": {}, "roi": {"detections_per_image": 40}, **settings}
    model: Any = type(case)("maskrcnn", merged).build()
    generator = torch.Generator().manual_seed(0)
    heads = model.roi_heads
    scales = [(heads.box_predictor.cls_score, 0.07), (heads.box_predictor.bbox_pred, 0.02)]
    scales += [(heads.mask_head.predictor, 0.5)] if heads.mask_head is not None else []
    scales += [(model.proposal_generator.rpn_head.objectness_logits, 1.0)]
    with torch.no_grad():
        for layer, scale in scales:
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * scale)
    return model


def on_onnx(model: Any, content: bytes) -> Model:
    (graph,) = model.graphs()

    def opening(device: str, threads: int) -> Engine:
        return open_engine("onnx", [content], threads=1)

    found: Model = model.with_graphs(
        {graph.name: RuntimeGraph(graph.name, tuple(graph.inputs), tuple(graph.outputs), opening)}
    )
    return found


@pytest.fixture(scope="module")
def model() -> Any:
    return build()


@pytest.fixture(scope="module")
def exported(model: Any) -> Model:
    return on_onnx(model, as_onnx(model.graphs()[0]))


def photo(height: int = 90, width: int = 120, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, height // 8 + 1, width // 8 + 1), generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]
    return smooth.to(torch.uint8)


def test_objects_are_the_same_in_images_of_any_size(model: Any, exported: Model) -> None:
    samples = [Sample(str(i), photo(*size, i)) for i, size in enumerate([(90, 120), (33, 200), (128, 128)])]
    samples += odd_images(photo())
    with evaluating(model):
        wanted, found = model.predict(samples), exported.predict(samples)
    counts = [len(each.instances) for each in wanted]
    assert max(counts) == 40
    for a, b in zip(wanted, found, strict=True):
        compare_predictions(a, b)


def test_the_graph_passes_the_gate(model: Any, exported: Model) -> None:
    measured = Measured()
    gate_tensors(model, exported, measured)
    assert len(measured.tensors) == 4
    assert max(measured.tensors.values()) < 1e-3
    assert measured.ran_on == {"detector": ["CPUExecutionProvider"]}


def on_openvino(model: Any, folder: Path, precision: ComputePrecision) -> tuple[Model, int]:
    """The model around its graph for a precision, and how many convolutions that has."""
    (graph,) = model.graphs()
    files = [folder / file.name for file in write_graph(graph, "openvino", folder, precision).files]
    contents = [path.read_bytes() for path in files]

    def opening(device: str, threads: int) -> Engine:
        return open_engine("openvino", contents, threads=1, outputs=tuple(graph.outputs))

    around = RuntimeGraph("detector", tuple(graph.inputs), tuple(graph.outputs), opening)
    return model.with_graphs({"detector": around}), contents[0].count(b'type="Convolution"')


def test_openvino_finds_the_same(model: Any, tmp_path: Path) -> None:
    exported, _ = on_openvino(model, tmp_path, "fp32")
    with evaluating(model):
        (wanted,), (found,) = (each.predict([Sample("a", photo())]) for each in (model, exported))
    assert len(wanted.instances) == 40
    compare_predictions(wanted, found)


def test_on_openvino_wide_layers_are_computed_by_winograd_in_fp32_alone(tmp_path: Path) -> None:
    wide = build(fpn={"out_channels": 96})
    exported, few = on_openvino(wide, tmp_path, "fp32")
    _, all_of_them = on_openvino(wide, tmp_path, "bf16")
    assert few == all_of_them - 4, "two outputs of the pyramid, and the head of proposals on these"
    gate_tensors(wide, exported, Measured())


def test_no_object_is_a_result(model: Any) -> None:
    """With a threshold that nothing reaches, also in the graph: no rows, but no error."""
    strict = build(roi={"score_thresh_test": 1.0})
    content = as_onnx(strict.graphs()[0])
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    image = torch.zeros((1, 3, 64, 96)).numpy()
    boxes, scores, labels, masks = session.run(None, {"image": image, "size": np.array([60, 90])})
    assert (boxes.shape, scores.shape, labels.shape, masks.shape) == ((0, 4), (0,), (0,), (0, 28, 28))


@pytest.mark.parametrize(
    "settings",
    [
        {
            "box_head": {"fc_dim": 32, "class_agnostic": True},
            "mask_head": {"num_conv": 1, "class_agnostic": True},
        },
        {"keypoint_count": 2, "keypoint_head": {"conv_dims": [8]}, "masks": False},
    ],
    ids=["class-agnostic", "keypoints without masks"],
)
@pytest.mark.slow
def test_other_heads(settings: dict[str, Any]) -> None:
    model = build(**settings)
    exported = on_onnx(model, as_onnx(model.graphs()[0]))
    samples = [Sample("a", photo())]
    with evaluating(model):
        (wanted,), (found,) = model.predict(samples), exported.predict(samples)
    assert len(wanted.instances) > 5
    compare_predictions(wanted, found)


@pytest.mark.parametrize("fault", ["threshold", "first mask", "suppression"])
def test_planted_faults_are_found(model: Any, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    from toolkit.plugins.maskrcnn import graph

    other = model
    if fault == "threshold":
        other = build(roi={"detections_per_image": 40, "score_thresh_test": 0.5})
    elif fault == "first mask":
        plain = graph._masks
        monkeypatch.setattr(graph, "_masks", lambda *args: plain(*args)[:1].expand(len(args[2]), -1, -1))
    else:
        suppressed = graph._suppressed
        monkeypatch.setattr(graph, "_suppressed", lambda *args: suppressed(*args[:4], 0.95))
    content = as_onnx(other.graphs()[0])
    monkeypatch.undo()
    faulty = on_onnx(model, content)
    with pytest.raises(ExportError, match="graph 'detector' with 1x3x.* in the export"):
        gate_tensors(model, faulty, Measured())
    assert runtime_graphs(faulty)
    with pytest.raises(ExportError):
        gate_odd_images(model, faulty, [Sample("a", photo())], Measured())  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(90, 120), (33, 200), (1, 40)])
@pytest.mark.parametrize("short_side", [0, 64])
def test_the_program_finds_the_same(size: tuple[int, int], short_side: int) -> None:
    model = build(input={"short_side_test": short_side, "long_side_test": 150, "short_side_train": []})
    (graph,) = model.graphs()
    sample = Sample("a", photo(*size))

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        with evaluating(graph.network):
            return [each.numpy() for each in graph.network(*map(torch.from_numpy, arrays))]

    with evaluating(model):
        wanted = model.predict([sample])[0].instances
    manifest = {"processing": model.processing}
    found = predict(sample.image.permute(1, 2, 0).numpy(), {"detector": run}, manifest)
    assert len(wanted) == len(found["boxes_xyxy"])
    assert np.abs(found["boxes_xyxy"] - wanted.boxes_xyxy.numpy()).max(initial=0) < 1e-3
    assert found["labels"].tolist() == wanted.labels.tolist()
    dense = wanted.masks.dense().numpy()
    assert (dense != found["masks"]).mean() < 1e-4


def test_the_program_finds_the_same_keypoints() -> None:
    model = build(keypoint_count=2, keypoint_head={"conv_dims": [8]}, masks=False)
    (graph,) = model.graphs()
    sample = Sample("a", photo(70, 110))

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        with evaluating(graph.network):
            return [each.numpy() for each in graph.network(*map(torch.from_numpy, arrays))]

    with evaluating(model):
        wanted = model.predict([sample])[0].instances
    found = predict(
        sample.image.permute(1, 2, 0).numpy(), {"detector": run}, {"processing": model.processing}
    )
    assert "masks" not in found
    assert found["keypoints"].shape == (len(wanted), 2, 3)
    assert len(wanted) > 5
    assert wanted.keypoints[..., 2].std() > 1e-5, "heat maps have hills"
    far = np.abs(found["keypoints"] - wanted.keypoints.numpy())
    assert (far[..., :2].max(axis=-1) < 1e-2).mean() > 0.95, "all but where two cells are almost equal"
    assert far[..., 2].max() < 1e-4


@pytest.mark.parametrize("size", [(480, 640), (31, 33), (100, 7), (1, 1)])
def test_the_program_resizes_as_pillow_does(size: tuple[int, int]) -> None:
    other = network_size(size, 80, 133)
    assert _network_size(size, 80, 133) == other
    image = photo(*size)
    assert np.array_equal(
        shrunk(image.permute(1, 2, 0).numpy(), other, bits=22), resize(image, other).permute(1, 2, 0).numpy()
    )


def test_it_cannot_be_trained(exported: Model) -> None:
    with pytest.raises(UsageError, match="an exported model cannot be trained. Hint: train the run"):
        exported.loss(MODELS["maskrcnn"].samples(1))  # type: ignore[operator]


def test_the_program_is_a_file() -> None:
    assert all(Path(each).is_file() for each in build().program)
