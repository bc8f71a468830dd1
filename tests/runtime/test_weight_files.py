"""What files are that somebody took for weights: each kind is named, and nothing in them is carried out."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from toolkit.runtime.weight_files import recognize, recognize_names

ULTRALYTICS = b"\x80\x02}X\x05\x00\x00\x00modelcultralytics.nn.tasks\nDetectionModel\n)\x81s."
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:"
YOLO_LABELS = b"0 0.5 0.5 0.2 0.2\n1 0.1 0.2 0.3 0.1\n"


class Danger:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path


def _folder(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    return path


def _tensors(path: Path, *names: str) -> Path:
    save_file({name: torch.zeros(1) for name in names}, path)
    return path


def _saved(content: object, path: Path, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def make(kind: str, folder: Path) -> Path:
    """A file (or folder) of a kind, as small as can be."""
    path = folder / "weights.pt"
    raw = {
        "onnx": ONNX,
        "keras h5": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "gguf": b"GGUF\x03\x00\x00\x00",
        "tflite": b"\x1c\x00\x00\x00TFL3" + bytes(50),
        "web page": b"\n<!DOCTYPE html><html>sign in</html>",
        "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "gzip": b"\x1f\x8b\x08\x00" + bytes(20),
        "jpeg": b"\xff\xd8\xff\xe0" + bytes(20),
        "yolo labels": YOLO_LABELS,
        "recipe": b"plugin: unet\ntrain: {steps: 3}\n",
        "json": b'{"images": []}',
        "prose": "Gewichte für später\n".encode(),
        "yolov5 legacy": b"\x80\x02cmodels.yolo\nModel\n)\x81.",
    }
    if kind in raw:
        path.write_bytes(raw[kind])
        return path
    if kind == "ultralytics":
        return zipped(path, best__data_dot_pkl=ULTRALYTICS)
    if kind == "whole model":
        return _saved(nn.Sequential(nn.Conv2d(3, 3, 1)), path)
    if kind == "whole model, legacy":
        return _saved(nn.Sequential(nn.Conv2d(3, 3, 1)), path, legacy=True)
    if kind == "lightning":
        return _saved({"pytorch-lightning_version": "2.0", "state_dict": {}, "hyper_parameters": path}, path)
    if kind == "mmdetection":
        return _saved({"meta": {"mmdet_version": "3"}, "state_dict": {"backbone.a": torch.zeros(1)}}, path)
    if kind == "detectron2 pickle":
        content = {"model": {"a": np.zeros(2)}, "__author__": "Detectron2 Model Zoo"}
        path.write_bytes(pickle.dumps(content, protocol=4))
        return path
    if kind == "torchscript":
        return zipped(path, m__data_dot_pkl=b"\x80\x02}.", m__code__net_dot_py=b"", m__constants_dot_pkl=b"")
    if kind == "keras":
        return zipped(path, config_dot_json=b"{}", model_dot_weights_dot_h5=b"")
    if kind == "npz":
        np.savez(folder / "a.npz", a=np.zeros(2))
        return folder / "a.npz"
    if kind == "zip":
        return zipped(path, readme_dot_txt=b"")
    if kind == "sam 1":
        names = ("image_encoder.blocks.0.norm1.weight", "mask_decoder.iou_token.weight")
        return _saved({name: torch.zeros(1) for name in names}, path)
    if kind == "diffusers":
        return _tensors(folder / "a.safetensors", "conv_in.weight", "down_blocks.0.resnets.0.conv1.weight")
    if kind == "transformers folder":
        return _folder(folder / "hf", "config.json", "model.safetensors")
    if kind == "ultralytics folder":
        return _folder(folder / "train", "args.yaml", "weights/best.pt")
    assert kind == "saved model"
    return _folder(folder / "saved", "saved_model.pb")


KINDS = {
    "onnx": "ONNX",
    "keras h5": "HDF5",
    "keras": "Keras",
    "gguf": "GGUF",
    "tflite": "TensorFlow Lite",
    "web page": "a web page",
    "git lfs": "Git LFS",
    "gzip": "a compressed archive",
    "zip": "a zip archive",
    "npz": "NumPy",
    "jpeg": "a picture",
    "yolo labels": "a label file of YOLO",
    "recipe": "a file of settings",
    "json": "a JSON file",
    "prose": "a text file",
    "ultralytics": "Ultralytics YOLO",
    "yolov5 legacy": "Ultralytics YOLO",
    "whole model": "a whole pickled model (torch.nn.modules.",
    "whole model, legacy": "a whole pickled model (torch.nn.modules.",
    "lightning": "PyTorch Lightning",
    "mmdetection": "MMDetection",
    "detectron2 pickle": "Detectron2's model zoo",
    "torchscript": "TorchScript",
    "sam 1": "SAM 1",
    "diffusers": "diffusers",
    "transformers folder": "Hugging Face transformers",
    "ultralytics folder": "a run of Ultralytics YOLO",
    "saved model": "a SavedModel of TensorFlow",
}


@pytest.mark.parametrize(("kind", "named"), KINDS.items(), ids=KINDS)
def test_each_kind_is_named_with_what_to_do(kind: str, named: str, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    found = recognize(path)
    assert found is not None
    assert named in found.what
    assert found.hint
    assert "{" not in found.hint, "nothing is left to fill in"


def test_a_file_that_can_be_used_is_nothing_known(tmp_path: Path) -> None:
    assert recognize(_saved({"a.weight": torch.zeros(2)}, tmp_path / "a.pth")) is None
    assert recognize(_saved({"a.weight": torch.zeros(2)}, tmp_path / "b.pth", legacy=True)) is None
    assert recognize(_tensors(tmp_path / "a.safetensors", "network.a.weight")) is None
    assert recognize(tmp_path) is None, "an empty folder, or one of anything else"


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"PK\x03\x04", b"\x80", b"\x80\x02", bytes(range(256)), b"\xc3"]
)
def test_damaged_files_are_nothing_known(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    assert recognize(path) is None
    assert recognize(tmp_path / "absent.pt") is None


def test_looking_at_a_file_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Danger(mark)))
    torch.save(Danger(mark), tmp_path / "a.pt")
    recognize(tmp_path / "a.pkl")
    recognize(tmp_path / "a.pt")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("names", "family"),
    [
        (("image_encoder.trunk.blocks.0.a", "sam_mask_decoder.a"), "sam2"),
        (("image_encoder.blocks.0.a", "mask_decoder.a"), "sam"),
        (("backbone.bottom_up.stem.conv1.weight",), "detectron2"),
        (("backbone.layer4.0.conv1.weight", "classifier.0.convs.0.0.weight"), "torchvision-deeplabv3"),
    ],
)
def test_families_by_the_names_of_their_tensors(names: tuple[str, ...], family: str) -> None:
    found = recognize_names(names)
    assert found is not None
    assert found.family == family
    assert recognize_names(names[:1] if len(names) > 1 else ()) is None, "one mark alone is not enough"
