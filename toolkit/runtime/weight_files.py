"""Identifies files that were mistaken for usable weights, from their first bytes, the names in an archive,
and the strings in a pickle, none of which runs anything.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic_core import from_json

from toolkit.runtime.pickle_words import Words, pickle_words

MOST_PICKLE = 200_000_000
"""Number of bytes of the pickle in an archive that are unpacked; the tensors are stored next to it."""

HEAD_BYTES = 4096
MOST_HEADER = 100_000_000


@dataclass(frozen=True)
class Recognized:
    """What a file is, and what can be done with it.

    Attributes:
        what: a noun with its article, to be used after "is".
        hint: what to do, as in an error's "Hint: ".
        family: the family of networks that its tensors belong to, as in ``PluginManifest.reads``; empty when
            it is not known, or no plugin could read it.
    """

    what: str
    hint: str
    family: str = ""


_OTHER = "start from weights that the plugin knows (toolkit plugins info NAME lists them), or weights=none"


def recognize(path: Path, *, by_names: bool = True) -> Recognized | None:
    """What a file or folder is that the toolkit cannot use as it is; None when nothing is known about it, as
    for a plain file of tensors.

    Args:
        path: the file or folder.
        by_names: also identify the network by the names of tensors; otherwise only report what keeps a file
            from being read.
    """
    try:
        found = _folder(path) if path.is_dir() else _file(path, by_names)
    # An archive may be damaged, encrypted, or packed by a method that is not known here.
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, ValueError, EOFError):
        return None
    # in the commands that hints give
    return found and replace(found, hint=found.hint.replace("{path}", str(path)))


def _file(path: Path, by_names: bool) -> Recognized | None:
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
        if not head:
            return None
        if head.startswith(b"PK\x03\x04"):
            return _archive(path, by_names)
        for fits, what, hint in _FORMATS:
            if fits(head):
                return Recognized(what, hint)
        if head.startswith(b"\x80"):
            file.seek(0)
            return _by_words(pickle_words(file), by_names)
    words = _header_words(path)
    if words is not None:
        return _by_words(words, by_names)
    return _onnx(path, head) or _text(head)


def recognize_names(names: Collection[str]) -> Recognized | None:
    """The network that tensors of these names belong to."""
    for family, what, marks in _FAMILIES:
        if all(any(re.search(mark, name) for name in names) for mark in marks):
            return Recognized(what, _OTHER, family)
    return None


_OF_TORCHVISION = "a detector of torchvision, which numbers classes and aligns boxes in its own way"
_FAMILIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("sam2", "a checkpoint of SAM 2", (r"(^|\.)image_encoder\.trunk\.", r"(^|\.)sam_mask_decoder\.")),
    (
        "sam",
        "a checkpoint of SAM 1 (Segment Anything of 2023)",
        (r"(^|\.)image_encoder\.(blocks|patch_embed|pos_embed)", r"(^|\.)mask_decoder\."),
    ),
    ("detectron2", "a checkpoint of Detectron2", (r"^(model\.)?backbone\.bottom_up\.",)),
    (
        "detectron2",
        "a file of Detectron2's or Detectron's model zoo",
        (r"^res2[._]0[._]", r"^(stem\.)?conv1"),
    ),
    ("", _OF_TORCHVISION, (r"^backbone\.body\.", r"^roi_heads\.|^head\.")),
    (
        "torchvision-deeplabv3",
        "torchvision's DeepLabv3",
        (r"^backbone\.layer4\.", r"^classifier\.0\.convs\."),
    ),
    ("", "a checkpoint of Ultralytics YOLO", (r"^(model\.)*0\.conv\.weight$", r"^(model\.)*\d+\.(cv\d|m)\.")),
    ("", "a checkpoint of Stable Diffusion", (r"^model\.diffusion_model\.",)),
    ("", "weights of diffusers", (r"^down_blocks\.\d", r"^(mid_block|conv_in|conv_norm_out)\b")),
    ("", "weights of a language model", (r"(^|\.)(embed_tokens|wte)\.weight$",)),
    (
        "",
        "weights of Hugging Face transformers",
        (r"^(segformer|mask2former|maskformer|detr|vision_encoder|vit|dinov2)\.",),
    ),
    (
        "",
        "a checkpoint of segmentation_models.pytorch",
        (r"(^|\.)segmentation_head\.0\.", r"(^|\.)encoder\."),
    ),
)
"""Families of networks by patterns, all of which must match a name of a tensor."""


def _pickle_of(makers: str) -> tuple[str, str]:
    return (
        f"a checkpoint of {makers}",
        "no plugin has its networks, so its weights cannot be used; train one of the models here (toolkit"
        " plugins list), or evaluate its predictions: toolkit eval --predictions results.json --data D",
    )


_ULTRALYTICS = _pickle_of("Ultralytics YOLO, which pickles whole models with their code")
_LIGHTNING = (
    "a checkpoint of PyTorch Lightning",
    'if you trust it, save its state dict alone and use that file: python -c "import torch;'
    " torch.save(torch.load('{path}', weights_only=False, map_location='cpu')['state_dict'],"
    " 'weights.pth')\"",
)
_WHOLE_MODEL = (
    "a whole pickled model ({example}), which runs code when it is opened",
    "if you trust it, save its state dict alone and use that file: torch.save(model.state_dict(),"
    " 'weights.pth'), in the program that made it",
)


def _by_words(words: Words, by_names: bool) -> Recognized | None:
    """Identify by the classes that a pickle would instantiate, then by words that only one program writes,
    then by names.
    """
    if any(one.startswith(("ultralytics.", "models.yolo.", "models.common.")) for one in words.classes):
        return Recognized(*_ULTRALYTICS)
    for mark, makers in _MAKERS.items():
        if mark in words.texts:
            return Recognized(*_pickle_of(makers))
    if any(one.startswith("sklearn.") for one in words.classes):
        return Recognized("a model of scikit-learn", _OTHER)
    if "pytorch-lightning_version" in words.texts:
        return Recognized(*_LIGHTNING)
    if "Detectron2 Model Zoo" in words.texts or "matching_heuristics" in words.texts:
        return Recognized("a file of Detectron2's model zoo", _OTHER, "detectron2")
    modules = sorted(one for one in words.classes if ".nn.modules." in one and "Parameter" not in one)
    own = sorted(one for one in words.classes if not one.startswith(_HARMLESS))
    if modules:
        example = next((one for one in own if one not in modules), modules[0])
        return Recognized(_WHOLE_MODEL[0].format(example=example), _WHOLE_MODEL[1])
    return recognize_names(words.texts) if by_names else None


_MAKERS = {
    "mmdet_version": "MMDetection",
    "mmseg_version": "MMSegmentation",
    "mmengine_version": "OpenMMLab's MMEngine",
    "mmcv_version": "OpenMMLab's MMCV",
}
_HARMLESS = ("torch.", "collections.", "numpy.", "builtins.", "__builtin__.", "_codecs.", "argparse.")


def _archive(path: Path, by_names: bool) -> Recognized | None:
    """A zip file: what ``torch.save`` writes, TorchScript, Keras, NumPy, or something else altogether."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl") or name == "data.pkl"]
        if pickles and any("/code/" in name or name.endswith("constants.pkl") for name in names):
            return Recognized(
                "a TorchScript program, which can be run, but not trained",
                'if you trust it, save its state dict and use that file: python -c "import torch;'
                " torch.save(torch.jit.load('{path}', map_location='cpu').state_dict(), 'weights.pth')\"",
            )
        if pickles:
            with archive.open(pickles[0]) as program:
                return _by_words(pickle_words(io.BytesIO(program.read(MOST_PICKLE))), by_names)
        if "model.weights.h5" in names:
            return Recognized("a model of Keras", f"its layers belong to another framework; {_OTHER}")
        if names and all(name.endswith(".npy") for name in names):
            return Recognized("an archive of NumPy arrays (.npz)", _OTHER)
    return Recognized("a zip archive", "unpack it, and give the weights file in it")


def _header_words(path: Path) -> Words | None:
    """The names of tensors in the header of a safetensors file; None if it is not one."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MOST_HEADER, path.stat().st_size):
            return None
        try:
            header = from_json(file.read(length))
        except ValueError:
            return None
    return Words(frozenset(), frozenset(header)) if isinstance(header, dict) else None


def _onnx(path: Path, head: bytes) -> Recognized | None:
    """A protobuf that begins with ONNX's version and the name of its producer, or whose name says so."""
    begins = head[0] == 0x08 and len(head) > 2 and head[1] < 32 and head[2] in (0x12, 0x1A, 0x22, 0x2A, 0x3A)
    if not begins and path.suffix != ".onnx":
        return None
    return Recognized(
        "a network in ONNX, which can be run, but not trained",
        "use the PyTorch file that it was exported from, as a state dict",
    )


def _text(head: bytes) -> Recognized | None:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < HEAD_BYTES - 4:  # a character may be cut at the end
            return None
        text = head[: error.start].decode("utf-8")
    if "\x00" in text:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and re.fullmatch(r"\d+(\s+-?\d[\d.eE+-]*){4,}", lines[0].strip()):
        return Recognized(
            "a label file of YOLO (a class and coordinates on each line)",
            "it belongs to the data; give their folder with --data-dir; for random weights, use weights=none",
        )
    if re.search(r"^(plugin|train|model|data):", text, re.MULTILINE):
        return Recognized("a file of settings", "toolkit train --config {path}")
    if text.lstrip().startswith("{"):
        return Recognized("a JSON file", "weights are another file; annotations are named by --data-dir")
    return Recognized("a text file", f"give a weights file instead; {_OTHER}")


def _folder(path: Path) -> Recognized | None:
    names = {each.name for each in path.iterdir()}
    if "saved_model.pb" in names:
        return Recognized("a SavedModel of TensorFlow", f"its layers belong to another framework; {_OTHER}")
    if "args.yaml" in names and (path / "weights" / "best.pt").is_file():
        return Recognized("a run of Ultralytics YOLO", _ULTRALYTICS[1])
    if "model_index.json" in names:
        return Recognized("a pipeline of diffusers", _OTHER)
    if "config.json" in names and any(name.startswith(("model.", "pytorch_model.")) for name in names):
        return Recognized("a model of Hugging Face transformers", _OTHER)
    return None


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(beginnings)


_FORMATS: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (
        _starts(b"\x89HDF\r\n\x1a\n"),
        "an HDF5 file, as Keras writes them (.h5)",
        f"its layers belong to another framework; {_OTHER}",
    ),
    (_starts(b"GGUF"), "a GGUF file of a language model", _OTHER),
    (
        lambda head: head[4:8] == b"TFL3",
        "a network of TensorFlow Lite, which can be run, but not trained",
        _OTHER,
    ),
    (
        lambda head: head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")),
        "a web page that was saved instead of the file that it links to",
        "download the file itself, with the link of its download button",
    ),
    (
        _starts(b"version https://git-lfs"),
        "a Git LFS pointer instead of the file",
        "download the file with: git lfs pull",
    ),
    (
        _starts(b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf"),
        "a compressed archive",
        "unpack it, and give the weights file in it",
    ),
    (
        _starts(b"\xff\xd8\xff", b"\x89PNG", b"BM", b"RIFF"),
        "a picture",
        f"give a weights file instead; {_OTHER}",
    ),
)
