"""What ``toolkit data`` promises its users and their scripts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.cli import main
from toolkit.config import settings_class
from toolkit.data.dataset import open_dataset


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder: the default data folder is relative."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shapes_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shapes"
    assert (
        main(["data", "export", "shapes", "--out", str(folder), "size=40", "train=6", "val=3", "test=2"]) == 0
    )
    return folder


def test_list_names_every_dataset(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "600")
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for manifest in registry.datasets():
        line = next(line for line in lines if line.startswith(manifest.name))
        assert all(part in line for part in (*manifest.tasks, manifest.license, manifest.size))


@pytest.mark.parametrize("name", registry.datasets().names())
def test_info_says_all_that_is_known(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", name]) == 0
    out = capsys.readouterr().out
    manifest = registry.datasets().get(name)
    for fact in (
        manifest.summary,
        manifest.license,
        manifest.layout,
        manifest.origin_url,
        manifest.size,
        *manifest.splits,
    ):
        assert fact in out
    for setting, field in settings_class(manifest).model_fields.items():
        assert f"data.options.{setting}=" in out
        assert field.description is not None
        assert field.description in out


def test_unknown_names_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", "shape"]) == 2
    assert "Did you mean 'shapes'" in capsys.readouterr().err
    assert main(["data", "check", "shapes", "--split", "dev"]) == 2
    assert "no split 'dev'" in capsys.readouterr().err
    assert main(["data", "check", "shapes", "nois=1"]) == 2
    assert "did you mean 'data.options.noise'" in capsys.readouterr().err
    assert main(["data", "export", "shapes", "--out", "x", "--limit", "0"]) == 2
    assert "--limit must be 1 or more" in capsys.readouterr().err


def test_check_counts_what_is_there(shapes_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["data", "check", "masks", "--data-dir", str(shapes_folder)]) == 0
    out = capsys.readouterr().out
    assert "\nno errors\nNext:\n" in out
    dataset = open_dataset(registry.datasets().get("shapes"), None, "train", {"size": 40, "train": 6})
    samples = [dataset[i] for i in range(6)]
    total = sum(len(s.instances) for s in samples)
    assert f"train: 6 samples, 40…40 pixels wide and 40…40 high, {total} instances" in out
    rows = {
        line.split()[0]: line.split()[1:]
        for line in out.split("val:")[0].splitlines()
        if line.split()[0] in dataset.classes
    }
    for label, name in enumerate(dataset.classes):
        pixels = sum(int((s.label_map == label).sum()) for s in samples)
        images = sum(bool((s.label_map == label).any()) for s in samples)
        instances = sum(int((s.instances.labels == label).sum()) for s in samples)
        assert rows[name] == [f"{pixels / 9600:.2%}", str(images), str(instances)]


def test_check_goes_on_past_faults(shapes_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = shapes_folder / "labels"
    (labels / "train-00001.png").write_bytes(b"")
    cv2.imwrite(str(labels / "train-00003.png"), np.full((40, 40), 9, np.uint8))
    (shapes_folder / "images" / "train-00004.png").write_bytes(
        (shapes_folder / "images" / "train-00004.png").read_bytes()[:200]
    )
    cv2.imwrite(str(labels / "val-00000.png"), np.zeros((40, 41), np.uint8))
    capsys.readouterr()
    assert main(["data", "check", "masks", "--data-dir", str(shapes_folder)]) == 1
    out = capsys.readouterr().out
    faults = [line for line in out.splitlines() if ": error: " in line]
    assert len(faults) == 4
    for fault, part in zip(
        faults,
        (
            "train-00001.png is empty",
            "train-00003.png has the value 9 in 1600 pixels",
            "train-00004.png is cut off",
            "val-00000.png has 41 x 40",
        ),
        strict=True,
    ):
        assert part in fault
    assert "train: 6 samples" in out
    assert "test: 2 samples" in out
    assert out.endswith("4 errors\n")


def test_check_of_a_folder_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "msrc", "--data-dir", "nowhere"]) == 1
    assert "nowhere does not exist" in capsys.readouterr().out


def test_export_takes_part_of_a_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "some"
    assert (
        main(
            [
                "data",
                "export",
                "shapes",
                "--split",
                "test",
                "--out",
                str(out),
                "--limit",
                "3",
                "data.options.size=40",
            ]
        )
        == 0
    )
    assert f"test: 3 samples written to {out}" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "classes.txt",
        "images",
        "instances",
        "labels",
        "test.txt",
    ]
    assert len(list((out / "images").iterdir())) == 3
    assert cv2.imread(str(out / "images" / "test-00000.png")).shape == (40, 40, 3)


def test_export_to_where_nothing_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["data", "export", "shapes", "--out", str(tmp_path / "file" / "x")]) == 1
    assert "cannot be written" in capsys.readouterr().err
