"""``toolkit export --to onnx`` and ``--to openvino``: an exported folder stands wherever a run does."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import toolkit
from toolkit import Sample
from toolkit.checkpoints import ExportedFile
from toolkit.cli import main
from toolkit.errors import ExportError, OutputError, UnavailableError, UsageError
from toolkit.evaluation.opening import OpenedRun
from toolkit.export import front
from toolkit.export.front import export_run
from toolkit.models.building import load_model
from toolkit.models.contract import evaluating
from toolkit.models.exported import prepare

NET, DATA = (
    str(Path(__file__).resolve().parents[1] / "support" / name) for name in ("strided_net.py", "tiny.py")
)


def random_image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def test_the_folder_has_everything_that_an_engineer_needs(export: Path) -> None:
    files = {"onnx": {"network.onnx"}, "openvino": {"network.xml", "network.bin"}}[export.name]
    assert {path.name for path in export.iterdir()} == files | {"manifest.json", "parity.json", "predict.py"}
    manifest = json.loads((export / "manifest.json").read_text())
    assert manifest["checkpoint"]["classes"] == ["ground", "square"]
    assert manifest["processing"]["input"]["padding"] == "reflect"
    assert manifest["graphs"][0]["inputs"] == {"images": ["batch", 3, "height", "width"]}
    assert manifest["versions"]["torch"] == torch.__version__
    parity = json.loads((export / "parity.json").read_text())
    assert len(parity["tensors"]) >= 3
    assert parity["predictions"] == {"pixels": 0.0}
    assert parity["program"] == {"pixels": 0.0}
    assert parity["metrics"]["mean_iou"]["torch"] == pytest.approx(parity["metrics"]["mean_iou"]["export"])


def test_what_it_ran_on_is_recorded(export: Path) -> None:
    parity = json.loads((export / "parity.json").read_text())
    expected = {"onnx": ["CPUExecutionProvider"], "openvino": ["CPU"]}[export.name]
    assert parity["ran_on"] == {"network": expected}
    assert parity["runtime"].startswith({"onnx": "onnxruntime", "openvino": "openvino"}[export.name])
    assert prepare(load_model(export)[0]) == {"network": tuple(expected)}


def test_it_predicts_any_image_like_the_run(export: Path, run_folder: Path) -> None:
    one, other = toolkit.load(run_folder, device="cpu"), toolkit.load(export, device="cpu")
    samples = [
        Sample(str(i), random_image(*size)) for i, size in enumerate([(1, 1), (37, 50), (37, 50), (8, 200)])
    ]
    for a, b in zip(one.predict_samples(samples), other.predict_samples(samples), strict=True):
        assert a == b
    assert not list(other.model.parameters()), "it has no weights of its own"
    assert other.classes == one.classes


def test_windows_and_confidence_work_as_with_a_run(export: Path, run_folder: Path) -> None:
    from toolkit.models.sliding_window import Tiling

    image = random_image(90, 70)
    predictors = [toolkit.load(path, device="cpu", tiling=Tiling(window=32)) for path in (run_folder, export)]
    a, b = (each.predict(image).label_map for each in predictors)
    assert torch.equal(a, b)
    sample = Sample("one", image)
    found = []
    for each in predictors:
        with evaluating(each.model):
            found.append(each.model.predict_with_confidence([sample])[0])
    torch.testing.assert_close(*(each.extras[toolkit.CONFIDENCE].values for each in found), atol=1e-5, rtol=0)


def test_eval_and_compare_take_it(export: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--plugin", NET, "--data", DATA]
    assert main(["eval", str(export), *words, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert main(["eval", str(run_folder), *words, "--json"]) == 0
    assert metrics == pytest.approx(json.loads(capsys.readouterr().out)["metrics"])
    found = toolkit.compare([run_folder, export], memory=False, resamples=10, progress=False)
    assert "mean_iou" in str(found)


def test_infer_takes_it(export: Path, tmp_path: Path) -> None:
    from PIL import Image

    photo = tmp_path / "photo.png"
    Image.fromarray(random_image(20, 30).permute(1, 2, 0).numpy()).save(photo)
    words = ["infer", str(export), str(photo), "--plugin", NET, "--out", str(tmp_path / "found")]
    assert main(words) == 0
    assert list((tmp_path / "found").rglob("photo.png"))


def test_a_graph_that_is_none_is_found_before_anything_is_written(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, photo = export / "manifest.json", tmp_path / "photo.png"
    manifest = json.loads(path.read_text())
    for entry in manifest["graphs"][0]["files"]:
        (export / entry["name"]).write_bytes(b"no graph")
        entry |= asdict(ExportedFile.of(export / entry["name"]))
    path.write_text(json.dumps(manifest))
    cv2.imwrite(str(photo), np.zeros((16, 16, 3), np.uint8))
    words = ["infer", str(export), str(photo), "--out", str(tmp_path / "out"), "--plugin", NET]
    assert main([*words, "--device", "cpu"]) == 1
    assert "cannot be read as a graph" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_says_how_well_it_agrees(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "exported"
    words = ["export", str(run_folder), "--to", "onnx", "--out", str(out), "--plugin", NET, "--data", DATA]
    assert main([*words, "--images", "3"]) == 0
    said = capsys.readouterr().out
    assert "CPUExecutionProvider" in said
    assert re.search(r"^  predict\.py +gives the same answers without torch$", said, re.MULTILINE)
    assert re.search(r"^  metrics +the main one of each evaluator may differ by 0\.001$", said, re.MULTILINE)
    assert ".toolkit-" not in said
    assert f"To use it: toolkit infer {out} IMAGES --plugin {NET}\n" in said
    assert main(words) == 2, "a folder that is not empty is left alone"
    assert "exists and is not empty. Hint: choose another folder with --out" in capsys.readouterr().err


def test_an_answer_that_differs_leaves_nothing(
    run_folder: Path,
    opened: OpenedRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = front.build_folder

    def with_other_weights(found: OpenedRun, folder: Path, target: str, *more: object) -> object:
        for parameter in found.model.parameters():
            parameter.data.neg_()
        manifest = plain(found, folder, target)  # type: ignore[arg-type]
        for parameter in found.model.parameters():
            parameter.data.neg_()
        return manifest

    monkeypatch.setattr(front, "build_folder", with_other_weights)
    out = tmp_path / "exported"
    words = ["export", str(run_folder), "--to", "onnx", "--out", str(out), "--plugin", NET, "--data", DATA]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "graph 'network' with 2x3x48x64: logits[" in error
    assert "in torch, but" in error
    assert "Hint: " in error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: OpenedRun
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(front, "write_graph", full)
    with pytest.raises(OutputError, match=r"the disk is full. Hint: free some space"):
        export_run(run_folder, tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_runtime_names_the_extra(
    run_folder: Path, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: OpenedRun
) -> None:
    import sys

    module = {"onnx": "onnxruntime", "openvino": "openvino"}[export.name]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UnavailableError, match=f"needs the extra {export.name}.* Hint: pip install '{module}>="
    ):
        export_run(run_folder, tmp_path / "exported", target=export.name)  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match=f"needs the extra {export.name}"):
        toolkit.load(export, device="cpu").predict(random_image(8, 8))


def test_an_export_is_not_exported_trained_or_changed(export: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is an exported model already. Hint: export the run"):
        export_run(export, tmp_path / "again")
    with pytest.raises(UsageError, match="settings are fixed: width cannot be changed. Hint: use the run"):
        toolkit.load(export, settings={"width": 3})
    with pytest.raises(
        toolkit.errors.ConfigError, match="precision of an exported model is that of its export"
    ):
        toolkit.load(export, device="cpu", precision="bf16").predict(random_image(8, 8))
    with pytest.raises(
        toolkit.errors.CheckpointError, match="an exported model, whose graphs cannot be trained"
    ):
        toolkit.train(
            {"weights": str(export), "train.steps": 1},
            plugin=NET,
            data=DATA,
            out=tmp_path / "run",
            progress=False,
        )


def test_a_model_that_cannot_be_exported_is_refused(tiny: str, tmp_path: Path, opened: OpenedRun) -> None:
    run = toolkit.train(
        {"train.steps": 1, "train.eval_every": 1},
        plugin=tiny,
        data=tiny,
        out=tmp_path / "run",
        progress=False,
    )
    with pytest.raises(
        UsageError, match="does not declare the capability Exportable.*Hint: toolkit export RUN writes"
    ):
        export_run(run, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_bf16_is_refused_where_there_is_none(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ONNX Runtime has no bf16 on CPUs. Hint: use --to openvino"):
        export_run(run_folder, tmp_path / "exported", precision="bf16")


def test_bf16_is_measured_by_the_metrics(run_folder: Path, tmp_path: Path, opened: OpenedRun) -> None:
    exported = export_run(run_folder, tmp_path / "exported", target="openvino", precision="bf16")
    parity = json.loads((exported.folder / "parity.json").read_text())
    assert parity["precision"] == "bf16"
    assert parity["limits"]["metric"] == 0.005
    assert max(parity["tensors"].values()) < 1e-4, "the graphs themselves agree in fp32"
    image = random_image(64, 64)
    logits = [
        toolkit.load(path, device="cpu").model.logits(image[None]).detach()
        for path in (run_folder, exported.folder)
    ]
    apart = float((logits[0] - logits[1]).abs().max() / logits[0].abs().max())
    assert 1e-4 < apart < 0.05, "it does compute in bf16"


def test_weights_take_nothing_that_is_for_graphs(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run_folder), "--precision", "bf16"]) == 2
    assert "Hint: leave out --data, --data-dir, --split, --size" in capsys.readouterr().err


def test_the_error_of_a_difference_is_one_of_the_toolkit() -> None:
    assert issubclass(ExportError, toolkit.errors.ToolkitError)
    assert ExportError.exit_code == 1
