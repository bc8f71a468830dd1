"""What the reader of the LGG set promises, on small copies of its layout; most of all that no patient is in
two splits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toolkit.datasets.brain_mri.reader import patient_of
from toolkit.datasets.brain_mri.sample import write_sample

from toolkit import registry
from toolkit.data.checks import check_split
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import ConfigError, DataError, MissingSplitError, OutputError

SPLITS = ("train", "val", "test")


def brain_mri(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("brain-mri"), folder, split, options)


def pixels_of(name: str) -> np.ndarray:
    """Three channels that differ, as pre-contrast, FLAIR and post-contrast do."""
    values = np.random.default_rng(list(name.encode())).integers(0, 60, (5, 6, 3), dtype=np.uint8)
    return values + np.array([0, 80, 160], np.uint8)


def write(root: Path, patients: list[str], slices: int = 12, **options: Any) -> None:
    mask = np.zeros((5, 6), np.uint8)
    mask[2:, 3:] = 255
    for patient in patients:
        (root / patient).mkdir(parents=True)
        for index in range(1, slices + 1):
            name = f"{patient}_{index}"
            Image.fromarray(pixels_of(name)).save(root / patient / f"{name}.tif", **options)
            Image.fromarray(mask if index % 2 else np.zeros_like(mask)).save(
                root / patient / f"{name}_mask.tif", **options
            )


def patients(count: int) -> list[str]:
    return [f"TCGA_CS_{1000 + n}_2000{n % 10}101" for n in range(count)]


@pytest.mark.parametrize("where", ["", "kaggle_3m", "lgg-mri-segmentation/kaggle_3m"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_slices_of_three_channels_and_their_masks(
    tmp_path: Path, where: str, compression: str | None
) -> None:
    write(tmp_path / where, patients(2), slices=11, compression=compression)
    dataset = brain_mri(tmp_path, val_fraction=0, test_fraction=0)
    assert dataset.classes == ("background", "tumor")
    assert [name.rsplit("_", 1)[1] for name in dataset.ids] == [str(n) for n in range(1, 12)] * 2, (
        "in the order of the scan"
    )
    for index in (0, 1, 21):
        sample = dataset[index]
        folder, file = sample.id.split("/")
        assert file.startswith(folder)
        assert np.array_equal(sample.image.permute(1, 2, 0).numpy(), pixels_of(file)), (
            "channels are in the order of the file"
        )
        assert sample.label_map.sum() == (9 if int(file.rsplit("_", 1)[1]) % 2 else 0)
        assert sample.label_map[2:, 3:].float().mean() in (0, 1)


def test_no_patient_is_in_two_splits(tmp_path: Path) -> None:
    """Not even one who was scanned twice; and every slice is in some split."""
    names = patients(40)
    twice = [name[:-8] + "20091231" for name in names[:15]]
    write(tmp_path, names + twice, slices=2)
    splits = {split: brain_mri(tmp_path, split, val_fraction=0.25, test_fraction=0.25) for split in SPLITS}
    owners = {
        split: {name.split("/")[0][: len("TCGA_CS_1000")] for name in dataset.ids}
        for split, dataset in splits.items()
    }
    assert all(owners.values())
    assert not owners["train"] & owners["val"]
    assert not owners["train"] & owners["test"]
    assert not owners["val"] & owners["test"]
    everything = [name for dataset in splits.values() for name in dataset.ids]
    assert len(everything) == len(set(everything)) == 2 * (40 + 15)


def test_a_patient_stays_where_it_is_when_others_come(tmp_path: Path) -> None:
    names = patients(30)
    write(tmp_path / "few", names[:15], slices=1)
    write(tmp_path / "many", names, slices=1)
    for split in SPLITS:
        few, many = (
            set(brain_mri(tmp_path / which, split, val_fraction=0.3, test_fraction=0.3).ids)
            for which in ("few", "many")
        )
        assert few == {name for name in many if name.split("/")[0] in names[:15]}


def test_the_ratios_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, patients(40), slices=1)
    sizes = [
        len(brain_mri(tmp_path, "val", val_fraction=fraction, test_fraction=0.1))
        for fraction in (0.1, 0.4, 0.8)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < 10 < 25 < sizes[2]
    with pytest.raises(ConfigError, match="leave no training images"):
        brain_mri(tmp_path, val_fraction=0.5, test_fraction=0.5)
    with pytest.raises(
        MissingSplitError,
        match=r"none of the 40 patients .* falls into the split 'test' .*data\.options\.test_fraction",
    ):
        brain_mri(tmp_path, "test", test_fraction=0)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("TCGA_CS_4941_19960909/x_1", "TCGA_CS_4941"),
        ("TCGA_CS_4941/x_1", "TCGA_CS_4941"),
        ("anna/scan_12345678", "anna"),
    ],
)
def test_a_patient_is_the_folder_without_the_date(name: str, patient: str) -> None:
    assert patient_of(name) == patient


def test_what_does_not_match_is_counted_and_named(tmp_path: Path) -> None:
    name = patients(1)[0]
    write(tmp_path, [name], slices=9)
    for index in range(1, 8):
        (tmp_path / name / f"{name}_{index}_mask.tif").unlink()
    (tmp_path / name / f"{name}_9.tif").unlink()
    with pytest.raises(DataError) as caught:
        brain_mri(tmp_path)
    first, second, hint = str(caught.value).splitlines()
    assert (
        first == f"images without a label image in {tmp_path}: 7"
        f" ({', '.join(f'{name}/{name}_{n}' for n in range(1, 6))} and 2 more)"
    )
    assert second == f"label images without an image in {tmp_path}: 1 ({name}/{name}_9)"
    assert hint == "Hint: unpack the whole archive; the mask of NAME.tif is called NAME_mask.tif"


def test_faults_are_named(tmp_path: Path) -> None:
    name = patients(1)[0]
    write(tmp_path, [name], slices=1)
    mask = tmp_path / name / f"{name}_1_mask.tif"
    everything = {"val_fraction": 0, "test_fraction": 0}
    Image.fromarray(np.full((5, 6), 7, np.uint8)).save(mask)
    with pytest.raises(DataError, match=r"_mask\.tif has the value 7 in 30 pixels.*expected 0…1, 255"):
        brain_mri(tmp_path, **everything)[0]
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(mask)
    with pytest.raises(DataError, match="has 5 x 6 pixels, but its image .* has 6 x 5"):
        brain_mri(tmp_path, **everything)[0]
    mask.write_bytes(b"II*\0")
    with pytest.raises(DataError, match="_mask"):
        brain_mri(tmp_path, **everything)[0]


def test_a_folder_without_patients(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "loose.tif")
    with pytest.raises(
        DataError,
        match=r"has no folders of patients with \.tif files\. Hint: .*TCGA_CS_4941_19960909_1\.tif exists",
    ):
        brain_mri(tmp_path)


def test_the_stand_in_is_the_dataset(tmp_path: Path) -> None:
    assert write_sample(tmp_path, patients=24, slices=2) == 48
    reports = [check_split(brain_mri(tmp_path, split)) for split in SPLITS]
    assert sum(report.samples for report in reports) == 48
    for report in reports:
        assert not report.faults
        assert (report.pixels > 0).all()
    with pytest.raises(OutputError, match="kaggle_3m already exists"):
        write_sample(tmp_path)
