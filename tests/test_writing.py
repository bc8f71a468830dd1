"""Whatever data call their images, nothing is written outside of the folder that the user has named, and
every file is written in one way.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.source_tree import FILES, tree_of

from toolkit import registry
from toolkit.cli import main
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError
from toolkit.formats.convert import WRITERS, Losses, convert_split
from toolkit.formats.mask_folder import write_sample, write_split
from toolkit.inference.inputs import InputImage
from toolkit.inference.results import ResultFolder
from toolkit.types import Instances, Masks, PixelMap, Prediction, Sample

SIZE = (12, 16)
NAMES = ["../evil", "good/../../evil", "{elsewhere}/evil", "deep/../../../evil"]
TARGETS = [*WRITERS, "masks"]


class Given(Dataset):
    """Two samples with an object and a label map: one called as a test likes, one harmless."""

    def __init__(self, name: str) -> None:
        self.classes, self.ids = ("background", "dog"), [name, "good"]

    def __getitem__(self, index: int) -> Sample:
        mask = np.zeros((1, *SIZE), bool)
        mask[0, 2:6, 3:9] = True
        masks = Masks.from_dense(mask)
        found = Instances(SIZE, masks.boxes_xyxy(), torch.tensor([1]), masks)
        image = torch.full((3, *SIZE), 90, dtype=torch.uint8)
        return Sample(self.ids[index], image, torch.from_numpy(mask[0].astype(np.uint8)), found)


class WithoutLabelMap(Given):
    """Objects alone, as most formats hold."""

    def __getitem__(self, index: int) -> Sample:
        return super().__getitem__(index).with_(label_map=None)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "a" / "b" / "out"


def outside(out: Path) -> list[str]:
    """Every file that lies outside of the folder."""
    top = out.parents[2]
    return [str(path) for path in top.rglob("*") if path.is_file() and not path.is_relative_to(out)]


def hostile(out: Path, name: str) -> str:
    return name.format(elsewhere=out.parents[2] / "elsewhere")


def write(target: str, name: str, out: Path) -> None:
    if target == "export":
        list(write_split(Given(name), "train", out))
    else:
        list(convert_split(WithoutLabelMap(name), "train", out, target, Losses()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", [*TARGETS, "export"])
def test_a_dataset_cannot_lead_a_writer_out(out: Path, target: str, name: str) -> None:
    with pytest.raises(DataError, match="leads out of"):
        write(target, hostile(out, name), out)
    assert outside(out) == []
    assert not list(out.rglob("*.png")), "nothing is written before all names are known to be good"


@pytest.mark.parametrize("target", [*TARGETS, "export"])
def test_neither_can_a_link(out: Path, target: str) -> None:
    plain = out.with_name("plain")
    write(target, "sub/one", plain)
    elsewhere = out.parents[2] / "elsewhere"
    folders = [path.relative_to(plain) for path in plain.rglob("*") if path.is_dir()]
    assert folders
    before = outside(out)
    for number, folder in enumerate(folders):
        place = out / f"case-{number}"
        (place / folder).parent.mkdir(parents=True)
        (place / folder).symlink_to(elsewhere, target_is_directory=True)
        with pytest.raises(DataError, match="through a symbolic link"):
            write(target, "sub/one", place)
    assert outside(out) == before


def test_one_sample_by_itself(out: Path) -> None:
    with pytest.raises(DataError, match="leads out"):
        write_sample(Given("../../evil")[0], out, ())
    assert outside(out) == []


def everything(image: InputImage) -> Prediction:
    """A prediction that every task of the registry writes something of."""
    sample = Given(image.name)[0]
    return Prediction(
        image.name,
        SIZE,
        sample.label_map,
        sample.instances,
        extras={"depth": PixelMap(torch.ones(SIZE))},
    )


@pytest.fixture
def all_tasks(root: Path) -> None:
    """Those that are built in, and one that a plugin brings, whose writer does as it likes."""
    registry.add_path(root / "tests" / "support" / "depth.py")


@pytest.mark.usefixtures("all_tasks")
@pytest.mark.parametrize("stem", NAMES)
def test_results_stay_in_their_folder(out: Path, stem: str) -> None:
    image = InputImage(Path("p.jpg"), "p.jpg", hostile(out, stem))
    with ResultFolder(out, ("background", "dog"), ((0, 0, 0), (9, 9, 9))) as results:
        record = results.write(image, Given("p")[0], everything(image), None)
        results.append(record)
        results.finish(["p.jpg"])
    assert record.status == "failed"
    assert "leads out of" in str(record.error)
    assert outside(out) == []
    assert json.loads((out / "predictions.json").read_text())["images"] == []


@pytest.mark.usefixtures("all_tasks")
def test_results_do_not_follow_links(out: Path) -> None:
    image = InputImage(Path("p.jpg"), "p.jpg", "p")
    with ResultFolder(out, ("background", "dog"), ((0, 0, 0), (9, 9, 9))) as results:
        good = results.write(image, Given("p")[0], everything(image), None)
    assert set(good.outputs) == {"label_map", "instances", "depth", "overlay"}
    assert good.sizes == {kind: (out / path).stat().st_size for kind, path in good.outputs.items()}
    for kind in ("labels", "instances", "overlays"):
        place = out.with_name(kind)
        place.mkdir()
        (place / kind).symlink_to(out.parents[2] / "elsewhere", target_is_directory=True)
        before = outside(out)
        with ResultFolder(place, ("background", "dog"), ((0, 0, 0), (9, 9, 9))) as results:
            record = results.write(image, Given("p")[0], everything(image), None)
        assert "through a symbolic link" in str(record.error), kind
        assert [path for path in outside(out) if path not in before and "elsewhere" in path] == []


def coco(folder: Path, file_name: str) -> None:
    """A COCO set whose first image is called so, and is there."""
    folder.mkdir(parents=True)
    for name in (file_name, "good.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((*SIZE, 3), 90, np.uint8))
    part = [[2, 2, 9, 2, 9, 8, 2, 8]]
    document = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate((file_name, "good.png"))],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "segmentation": part} for i in (0, 1)],
    }
    (folder / "train.json").write_text(json.dumps(document))


@pytest.mark.parametrize("words", [["export"], *(["convert", "--to", target] for target in TARGETS)], ids=str)
@pytest.mark.parametrize("absolute", [False, True])
def test_the_commands(
    tmp_path: Path, words: list[str], absolute: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    file_name = str(tmp_path / "photos" / "evil.png") if absolute else "../photos/evil.png"
    coco(tmp_path / "set", file_name)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    line = ["data", words[0], "coco", "--data-dir", str(tmp_path / "set"), "--split", "train", *words[1:]]
    code = main([*line, "--out", str(tmp_path / "new" / "out")])
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    # the end of the path is the name: an absolute path may be another machine's, and images stand beside the
    # folder of labels
    assert code == 0, capsys.readouterr().err
    assert written
    assert all(path.is_relative_to(tmp_path / "new" / "out") for path in written)


WRITES_ITSELF = {
    "toolkit.runtime.files": "the one way",
    "toolkit.runtime.archives": "members of archives, at what inside() gives",
    "toolkit.runtime.staging": "a folder as a whole",
    "toolkit.export.program_frame": "a program of its own, which does not have the toolkit",
    "toolkit.evaluation.memory": "resets a counter of the kernel's",
    "toolkit.demo": "touches its own mark",
}
"""Modules that open files for writing by other means than those of ``toolkit.runtime.files``, and why."""

CALLS = {
    *("write_text", "write_bytes", "touch", "symlink_to", "hardlink_to", "imwrite", "savez", "tofile"),
    *("copyfile", "copytree", "copy2", "move", "extractall", "imsave", "save_file", "savetxt"),
}


def writes(tree: ast.AST) -> Iterator[int]:
    """The lines of a module that open or make files by name."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        modes = [arg.value for arg in [*call.args, *(k.value for k in call.keywords)] if is_mode(arg)]
        if (
            name in CALLS
            or (name in ("open", "FileIO") and modes)
            or (name == "rename" and isinstance(call.func, ast.Attribute) and not is_of_tensors(call.func))
            or ast.unparse(call.func) in ("os.replace", "os.rename", "np.save", "shutil.copy")
        ):
            yield call.lineno


def is_of_tensors(function: ast.Attribute) -> bool:
    return ast.unparse(function) == "torchvision_names.rename"


def is_mode(node: Any) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and set(node.value) <= set("rwaxbt+")
        and bool(set(node.value) & set("wax+"))
    )


def test_there_is_one_way_to_write_a_file() -> None:
    """Names that come from data are confined there, and so is what a full disk, or a power cut, does."""
    found = {
        module: lines
        for module, file in FILES.items()
        if not module.startswith("toolkit.testing.templates") and (lines := list(writes(tree_of(file))))
    }
    wrong = {module: lines for module, lines in found.items() if module not in WRITES_ITSELF}
    # Pillow reads headers through file objects, and SAM 2 wants a folder of frames, in a temporary folder
    assert wrong == {}, "use atomic_write or open_to_append of toolkit.runtime.files"
    assert set(found) == set(WRITES_ITSELF), "an exception that is no longer needed"


@pytest.mark.parametrize(
    "line",
    [
        "open(path, 'w')",
        "path.open('ab')",
        "path.open(mode='x')",
        "path.write_text('a')",
        "cv2.imwrite(str(path), image)",
        "os.replace(a, b)",
        "np.save(path, array)",
        "shutil.move(a, b)",
    ],
)
def test_other_ways_are_noticed(line: str) -> None:
    assert list(writes(ast.parse(line))) == [1]


def test_reading_is_no_writing() -> None:
    assert list(writes(ast.parse("open(path); path.open('rb'); text.replace('a', 'w')"))) == []
