"""What ``open_dataset`` promises: settings are validated, folders looked for, and faults explained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from toolkit.config import Settings
from toolkit.data.dataset import Dataset, default_folder, open_dataset
from toolkit.errors import ConfigError, DataError, UsageError
from toolkit.registry.manifests import DatasetManifest
from toolkit.types import Sample


class CountSettings(Settings):
    """For the test."""

    count: int = 3
    """How many."""


class Counted(Dataset):
    classes = ("a",)

    def __init__(self, folder: Path | None, split: str, settings: CountSettings) -> None:
        self.folder, self.split = folder, split
        self.ids = [str(i) for i in range(settings.count)]

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], torch.zeros(3, 1, 1, dtype=torch.uint8))


def build_wrong(folder: Path | None, split: str, settings: CountSettings) -> list[int]:
    return [1]


def manifest(
    build: str = "Counted", settings: str = f"{__name__}:CountSettings", needs_folder: bool = True
) -> DatasetManifest:
    return DatasetManifest(
        name="counted",
        summary="for tests",
        build=f"{__name__}:{build}",
        settings=settings,
        tasks=("semantic",),
        splits=("train", "val"),
        needs_folder=needs_folder,
        layout="nothing special",
        origin_url="https://example.org",
    )


def test_options_as_mapping_or_settings(tmp_path: Path) -> None:
    for options in ({"count": 5}, {"count": "5"}, CountSettings(count=5)):
        dataset = open_dataset(manifest(), tmp_path, "val", options)
        assert len(dataset) == 5
        assert (dataset.folder, dataset.split) == (tmp_path, "val")
    assert len(open_dataset(manifest(), str(tmp_path), "train")) == 3


def test_the_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        open_dataset(manifest(), None, "train")
    assert str(caught.value).splitlines() == [
        "dataset 'counted' needs a folder of files, but data/counted does not exist.",
        "It must contain: nothing special",
        "The data come from https://example.org",
        "Hint: put them at data/counted, or give the folder that contains the files with --data-dir",
    ]
    default_folder("counted").mkdir(parents=True)
    assert open_dataset(manifest(), None, "train").folder == Path("data/counted")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is not a folder"):
        open_dataset(manifest(), tmp_path / "file", "train")


def test_generated_datasets_get_no_folder(tmp_path: Path) -> None:
    assert open_dataset(manifest(needs_folder=False), tmp_path / "nowhere", "train").folder is None


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no split 'test'. Expected one of: train, val"):
        open_dataset(manifest(), tmp_path, "test")
    with pytest.raises(ConfigError, match="2 errors"):
        open_dataset(manifest(), tmp_path, "train", {"count": "many", "color": 1})
    with pytest.raises(ConfigError, match="unknown key"):
        open_dataset(manifest(settings=""), tmp_path, "train", {"color": 1})
    with pytest.raises(UsageError, match="must return a toolkit Dataset, not list"):
        open_dataset(manifest("build_wrong"), tmp_path, "train")


def test_fingerprints_tell_data_apart(tmp_path: Path) -> None:
    three, four = (open_dataset(manifest(), tmp_path, "train", {"count": n}) for n in (3, 4))
    assert (
        three.fingerprint() == open_dataset(manifest(), tmp_path, "val").fingerprint() != four.fingerprint()
    )
