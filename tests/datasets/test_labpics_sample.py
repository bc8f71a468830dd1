"""What the generated LabPics promises: the layout of V1 Simple, objects worth learning from, and the same
files from the same seed.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from toolkit import registry
from toolkit.cli import main
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import OutputError, UsageError
from toolkit.registry.manifests import DatasetManifest
from toolkit.types import VOID

SIZE = 96


def write_sample(folder: Path, **options: int) -> int:
    manifest = registry.datasets().get("labpics")
    return manifest.resolve(manifest.sample)(folder, **({"train": 24, "test": 6, "size": SIZE} | options))


def opened(folder: Path, split: str = "train", **options: object) -> Dataset:
    return open_dataset(registry.datasets().get("labpics"), folder, split, {"val_fraction": 0} | options)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labpics")
    assert write_sample(folder) == 30
    return folder


def test_it_reads_as_labpics(drawn: Path) -> None:
    train, test = opened(drawn), opened(drawn, "test")
    assert (len(train), len(test)) == (24, 6)
    assert not set(train.ids) & set(test.ids)
    samples = [train[i] for i in range(24)]
    assert {sample.size for sample in samples} == {(SIZE, SIZE)}
    labels = torch.cat([sample.instances.labels for sample in samples])
    assert (labels == 1).sum() >= 24
    assert (labels == 2).sum() >= 24
    fine = opened(drawn, classes="fine")
    kinds = {fine.classes[i] for index in range(24) for i in fine[index].instances.labels.tolist()}
    assert {"Vessel", "Liquid", "Suspension", "Powder", "Foam"} <= kinds
    assert "Other Material" not in kinds


def test_materials_lie_in_their_vessels(drawn: Path) -> None:
    """Every material is within one vessel, and leaves much of it empty: the point farthest from a vessel's
    outline shows the vessel.
    """
    dataset = opened(drawn, whole_vessels=True)
    for index in range(len(dataset)):
        instances = dataset[index].instances
        vessels, materials = (instances.masks[instances.labels == label].dense() for label in (1, 2))
        assert all(sum(int(bool((one & vessel).any())) for vessel in vessels) == 1 for one in materials)
        assert all(bool((one & ~vessels.any(dim=0)).sum() == 0) for one in materials)
        for vessel in vessels:
            filled = (vessel & materials.any(dim=0)).sum() / vessel.sum() if len(materials) else 0
            assert filled < 0.75


def test_objects_stand_out(drawn: Path) -> None:
    """A material differs in color from the glass above it, far beyond the camera's noise."""
    dataset = opened(drawn)
    differences = []
    for index in range(len(dataset)):
        sample = dataset[index]
        for mask in sample.instances.masks[sample.instances.labels == 2].dense().numpy():
            around = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & (
                sample.label_map.numpy() == 1
            )
            pixels = sample.image.permute(1, 2, 0).numpy().astype(float)
            differences.append(np.abs(pixels[mask].mean(axis=0) - pixels[around].mean(axis=0)).max())
    assert np.median(differences) > 40


def test_the_label_map_is_that_of_the_objects(drawn: Path) -> None:
    dataset = opened(drawn)
    for index in range(len(dataset)):
        sample = dataset[index]
        painted = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
        for label, mask in zip(sample.instances.labels.tolist(), sample.instances.masks.dense(), strict=True):
            painted[mask] = label
        known = sample.label_map != VOID
        assert torch.equal(painted[known], sample.label_map[known])
        assert not painted[~known].any()


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_seed_decides(drawn: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "again", train=3, test=1)
    write_sample(tmp_path / "other", train=3, test=1, seed=1)
    again, other, first = files(tmp_path / "again"), files(tmp_path / "other"), files(drawn)
    assert again == {name: first[name] for name in again}
    image = "Simple/Train/Image/bench-train-00000.jpg"
    assert again[image] != other[image]
    assert again[image] != again[image.replace("00000", "00001")]


def test_what_is_there_is_kept(drawn: Path, tmp_path: Path) -> None:
    before = files(drawn)
    with pytest.raises(OutputError, match=r"Simple already exists. Hint: choose another folder"):
        write_sample(drawn)
    assert files(drawn) == before
    for wrong in ({"train": 0}, {"test": 0}, {"size": 8}, {"seed": -1}):
        with pytest.raises(UsageError, match="a sample needs"):
            write_sample(tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


def test_a_manifest_names_a_function() -> None:
    with pytest.raises(UsageError, match="sample must read 'module:object', not 'draw'"):
        DatasetManifest(name="x", summary="x", build=":b", tasks=("semantic",), sample="draw")


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.datasets.labpics import sample

    monkeypatch.setitem(sample.write_sample.__kwdefaults__, "train", 20)
    monkeypatch.setitem(sample.write_sample.__kwdefaults__, "test", 2)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", "labpics", "--split", "train"]) == 1
    assert "toolkit data sample labpics generates a small synthetic version" in capsys.readouterr().out
    assert main(["data", "sample", "labpics"]) == 0
    assert (
        "22 synthetic images in the layout of labpics (not real labpics data) are in data/labpics"
        in capsys.readouterr().out
    )
    assert main(["data", "check", "labpics", "val_fraction=0.3"]) == 0
    assert "no errors" in capsys.readouterr().out.splitlines()
    assert main(["data", "sample", "labpics", "--data-dir", "data/labpics"]) == 1
    assert "already exists" in capsys.readouterr().err
    assert main(["data", "sample", "msrc"]) == 2
    assert "msrc has no synthetic sample. Hint: these have one: " in capsys.readouterr().err
    assert main(["data", "get", "labpics"]) == 2
    assert "zenodo.org/records/3697452" in capsys.readouterr().out
