"""What the reader of CamVid promises, on small copies of both layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from toolkit.datasets.camvid.labels import COLORS, GROUPS, split_of
from toolkit.datasets.camvid.sample import write_sample

from toolkit import registry
from toolkit.data.checks import check_split
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import ConfigError, DataError, MissingSplitError, OutputError
from toolkit.types import VOID

NAMES = list(COLORS)
FRAMES = {
    "train": ["0001TP_008520", "0006R0_f00930"],
    "val": ["0016E5_07959"],
    "test": ["0001TP_008550", "Seq05VD_f05100"],
}


def camvid(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("camvid"), folder, split, options)


def values_of(frame: str, count: int) -> np.ndarray:
    return np.random.default_rng(int(frame[-5:])).integers(0, count, (6, 8), dtype=np.uint8)


def image_of(frame: str) -> np.ndarray:
    image = np.zeros((6, 8, 3), np.uint8)
    image[..., 2], image[..., 0] = 200, int(frame[-3:]) % 256  # red and blue, in OpenCV's order
    return image


@pytest.fixture
def original(tmp_path: Path) -> Path:
    lookup = np.array(list(COLORS.values()), np.uint8)
    for folder in ("701_StillsRaw_full", "LabeledApproved_full"):
        (tmp_path / folder).mkdir()
    for frame in (frame for frames in FRAMES.values() for frame in frames):
        cv2.imwrite(str(tmp_path / "701_StillsRaw_full" / f"{frame}.png"), image_of(frame))
        cv2.imwrite(
            str(tmp_path / "LabeledApproved_full" / f"{frame}_L.png"), lookup[values_of(frame, 32)][..., ::-1]
        )
    return tmp_path


@pytest.fixture(params=["", "CamVid"])
def segnet(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for split, frames in FRAMES.items():
        for folder in (split, f"{split}annot"):
            (tmp_path / request.param / folder).mkdir(parents=True)
        for frame in frames:
            cv2.imwrite(str(tmp_path / request.param / split / f"{frame}.png"), image_of(frame))
            cv2.imwrite(
                str(tmp_path / request.param / f"{split}annot" / f"{frame}.png"), values_of(frame, 12)
            )
    return tmp_path


def every_frame() -> list[str]:
    """The 701 frames of the archive: one in thirty of four drives (with one that is late), and one in two
    where it was labeled densely.
    """
    frames = [f"0001TP_{n:06d}" for n in range(6690, 10381, 30)] + [
        f"0006R0_f{n:05d}" for n in range(930, 3931, 30)
    ]
    numbers = [901 if n == 900 else n for n in range(390, 2401, 30)]
    numbers += [*range(4350, 7921, 30), *range(7959, 8160, 2), *range(8190, 8641, 30)]
    return frames + [f"0016E5_{n:05d}" for n in numbers] + [f"Seq05VD_f{n:05d}" for n in range(0, 5101, 30)]


def test_the_published_split() -> None:
    frames = every_frame()
    assert len(frames) == 701
    splits = [split_of(frame) for frame in frames]
    assert {split: splits.count(split) for split in set(splits)} == {"train": 367, "val": 101, "test": 233}


def test_labels_are_grouped_once_each() -> None:
    assert len(COLORS) == len(set(COLORS.values())) == 32
    grouped = [label for labels in GROUPS.values() for label in labels]
    assert sorted([*grouped, "Void"]) == sorted(COLORS)


@pytest.mark.parametrize("split", FRAMES)
def test_the_original_in_all_its_labels(original: Path, split: str) -> None:
    dataset = camvid(original, split, num_classes=32)
    assert list(dataset.ids) == FRAMES[split]
    assert dataset.classes == tuple(name for name in NAMES if name != "Void")
    assert dataset.palette == tuple(COLORS[name] for name in dataset.classes)
    for sample in (dataset[i] for i in range(len(dataset))):
        assert (sample.image[0] == 200).all()
        assert sample.image[2, 0, 0] == int(sample.id[-3:]) % 256
        for value, label in zip(
            values_of(sample.id, 32).flatten().tolist(), sample.label_map.flatten().tolist(), strict=True
        ):
            assert label == VOID if NAMES[value] == "Void" else dataset.classes[label] == NAMES[value]


def test_the_original_in_eleven_classes(original: Path) -> None:
    sample = camvid(original, "val")[0]
    for value, label in zip(
        values_of(sample.id, 32).flatten().tolist(), sample.label_map.flatten().tolist(), strict=True
    ):
        groups = [i for i, labels in enumerate(GROUPS.values()) if NAMES[value] in labels]
        assert [label] == (groups or [VOID])


@pytest.mark.parametrize("split", FRAMES)
def test_the_layout_of_segnet(segnet: Path, split: str) -> None:
    dataset = camvid(segnet, split)
    assert list(dataset.ids) == FRAMES[split]
    assert dataset.classes == tuple(GROUPS)
    assert len(dataset.classes) == len(dataset.palette) == 11
    for sample in (dataset[i] for i in range(len(dataset))):
        expected = values_of(sample.id, 12).astype(int)
        expected[expected == 11] = VOID
        assert np.array_equal(sample.label_map.numpy(), expected)


def test_faults_of_the_original_are_named(original: Path) -> None:
    label = original / "LabeledApproved_full" / "0016E5_07959_L.png"
    cv2.imwrite(str(label), np.full((6, 8, 3), 9, np.uint8))
    with pytest.raises(DataError, match=r"0016E5_07959_L\.png has the color \(9, 9, 9\) in 48 pixels"):
        camvid(original, "val")[0]
    cv2.imwrite(str(label), np.zeros((5, 8, 3), np.uint8))
    with pytest.raises(DataError, match="has 8 x 5 pixels, but its image .* has 8 x 6"):
        camvid(original, "val")[0]
    label.unlink()
    with pytest.raises(
        DataError, match=r"images without a label image in .*LabeledApproved_full: 1 \(0016E5_07959\)"
    ):
        camvid(original, "train")
    (original / "701_StillsRaw_full" / "0016E5_07959.png").unlink()
    with pytest.raises(MissingSplitError, match="no frame of the split 'val' among 4"):
        camvid(original, "val")
    cv2.imwrite(str(original / "701_StillsRaw_full" / "holiday.png"), image_of("000"))
    cv2.imwrite(str(original / "LabeledApproved_full" / "holiday_L.png"), image_of("000"))
    with pytest.raises(DataError, match="'holiday' is not the name of a CamVid frame"):
        camvid(original)


def test_faults_of_segnets_layout_are_named(segnet: Path) -> None:
    with pytest.raises(DataError, match=r"in 11 classes\. Hint: set data\.options\.num_classes=11"):
        camvid(segnet, num_classes=32)
    with pytest.raises(ConfigError, match="num_classes"):
        camvid(segnet, num_classes=12)
    label = next(segnet.rglob("valannot/*.png"))
    cv2.imwrite(str(label), np.full((6, 8), 12, np.uint8))
    with pytest.raises(
        DataError, match=r"has the value 12 in 48 pixels, which is not a class; expected 0…11"
    ):
        camvid(segnet, "val")[0]
    label.rename(label.with_name("other.png"))
    with pytest.raises(
        DataError,
        match=(
            r"without a label image in .*valannot: 1 \(0016E5_07959\)\n.*without an image in .*: 1 \(other\)"
        ),
    ):
        camvid(segnet, "val")
    for folder in ("val", "valannot"):
        for path in (label.parents[1] / folder).iterdir():
            path.unlink()
        (label.parents[1] / folder).rmdir()
    with pytest.raises(MissingSplitError, match="no folder val/"):
        camvid(segnet, "val")


def test_a_folder_without_camvid(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match="neither LabeledApproved_full/ next to 701_StillsRaw_full/ nor trainannot/ next to train/",
    ):
        camvid(tmp_path)
    with pytest.raises(DataError, match=r"It must contain: either 701_StillsRaw_full/0001TP_006690\.png"):
        camvid(tmp_path / "nowhere")


def test_the_stand_in_is_camvid(tmp_path: Path) -> None:
    assert write_sample(tmp_path, counts={"train": 3, "val": 2, "test": 1}) == 6
    for split, count in {"train": 3, "val": 2, "test": 1}.items():
        report = check_split(camvid(tmp_path, split))
        assert report.samples == count
        assert not report.faults
    with pytest.raises(OutputError, match="already contains frames"):
        write_sample(tmp_path)
