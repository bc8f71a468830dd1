"""A run goes on with the data that it has learned from, and with no others."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from toolkit.config import RunSettings, resolve
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError, UsageError
from toolkit.training import data_record
from toolkit.training.data_record import DataRecord, digest
from toolkit.training.loop import train
from toolkit.types import Instances, Sample


def photos(folder: Path, count: int = 8) -> Path:
    """A folder of photos with label images, in three classes."""
    rng = np.random.default_rng(3)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for i in range(count):
        cv2.imwrite(str(folder / "images" / f"p{i}.png"), rng.integers(0, 256, (16, 20, 3), dtype=np.uint8))
        cv2.imwrite(str(folder / "labels" / f"p{i}.png"), rng.integers(0, 3, (16, 20), dtype=np.uint8))
    names = [f"p{i}" for i in range(count)]
    (folder / "train.txt").write_text("\n".join(names[:-2]) + "\n")
    (folder / "val.txt").write_text("\n".join(names[-2:]) + "\n")
    (folder / "classes.txt").write_text("sky\ngrass\ncow\n")
    return folder


def settings(tiny: str, folder: Path, *words: str) -> RunSettings:
    fixed = ["train.device=cpu", "train.workers=0", "train.batch_size=2", "train.log_every=1"]
    return resolve(plugin=tiny, data="masks", overrides=[*fixed, f"data.dir={folder}", *words])


def image_changed(folder: Path) -> None:
    path = folder / "images" / "p2.png"
    image = cv2.imread(str(path))
    image[3, 4] ^= 1
    cv2.imwrite(str(path), image)


def labels_changed(folder: Path) -> None:
    cv2.imwrite(str(folder / "labels" / "p1.png"), np.zeros((16, 20), np.uint8))


def two_swapped(folder: Path) -> None:
    a, b = (folder / "images" / f"p{i}.png" for i in (0, 1))
    kept = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(kept)


def class_renamed(folder: Path) -> None:
    (folder / "classes.txt").write_text("sky\nmeadow\ncow\n")


def classes_in_another_order(folder: Path) -> None:
    (folder / "classes.txt").write_text("grass\nsky\ncow\n")


def one_less(folder: Path) -> None:
    (folder / "train.txt").write_text("p0\np1\np2\np3\np4\n")


CHANGES: dict[Callable[[Path], None], str] = {
    image_changed: "the image or the labels of '.*p2.*' are not what they were",
    labels_changed: "the image or the labels of '.*p1.*' are not what they were",
    two_swapped: "the image or the labels of",
    class_renamed: "the classes were sky, grass, cow and are now sky, meadow, cow",
    classes_in_another_order: "the classes were sky, grass, cow and are now grass, sky, cow",
    one_less: "the split, which now has 5 images, contains different images",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_run_is_not_resumed_with_other_data(
    tiny: str, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder, run = photos(tmp_path / "photos"), tmp_path / "run"
    train(settings(tiny, folder, "train.steps=2"), run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    change(folder)
    with pytest.raises(UsageError, match=CHANGES[change]) as caught:
        train(settings(tiny, folder, "train.steps=4"), run, resume=True)
    assert f"Hint: give it the data as they were, or start a new run from its weights: weights={run}" in str(
        caught.value
    )
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    advised = settings(tiny, folder, "train.steps=1", f"weights={run}")
    assert train(advised, tmp_path / "advised").finished


def test_the_same_data_in_another_folder_are_the_same(tiny: str, tmp_path: Path) -> None:
    folder, run = photos(tmp_path / "photos"), tmp_path / "run"
    train(settings(tiny, folder, "train.steps=2"), run)
    shutil.move(folder, tmp_path / "moved")
    in_memory = settings(tiny, tmp_path / "moved", "train.steps=3", "data.in_memory=true")
    assert train(in_memory, run, resume=True).steps == 3


def test_what_is_only_measured_on_may_change(tiny: str, tmp_path: Path) -> None:
    folder, run = photos(tmp_path / "photos"), tmp_path / "run"
    train(settings(tiny, folder, "train.steps=2"), run)
    (folder / "val.txt").write_text("p7\n")
    assert train(settings(tiny, folder, "train.steps=3"), run, resume=True).steps == 3


class Numbers(Dataset):
    """Images of one pixel, of which some cannot be read."""

    classes = ("x",)

    def __init__(self, count: int, damaged: int = -1) -> None:
        self.ids, self.damaged, self.read = [str(i) for i in range(count)], damaged, []

    def __getitem__(self, index: int) -> Sample:
        self.read.append(index)
        if index == self.damaged:
            raise DataError("damaged")
        return Sample(self.ids[index], torch.full((3, 1, 1), index % 251, dtype=torch.uint8))


def test_a_large_split_is_looked_at_in_places() -> None:
    dataset = Numbers(10_000)
    record = DataRecord.of(dataset)
    places = sorted(record.digests)
    assert len(places) == data_record.MOST_SAMPLES
    assert max(b - a for a, b in itertools.pairwise(places)) < 200, "from all over"
    record.check(Numbers(10_000), Path("run"))


def test_a_slow_one_in_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_record, "MOST_SECONDS", 0)
    record = DataRecord.of(Numbers(1000))
    assert len(record.digests) == 1
    again = DataRecord.from_state(record.state_dict())
    assert again == record
    again.check(Numbers(1000), Path("run"))


def test_what_cannot_be_read_stops_nothing_here() -> None:
    record = DataRecord.of(Numbers(5, damaged=2))
    assert sorted(record.digests) == [0, 1, 3, 4]


def test_digests_see_image_and_labels() -> None:
    base = Sample("a", torch.zeros((3, 4, 5), dtype=torch.uint8), torch.zeros((4, 5), dtype=torch.uint8))
    objects = Instances((4, 5), torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([0]))
    others = [
        base.with_(image=base.image + 1),
        base.with_(label_map=(base.label_map + 1) if base.label_map is not None else None),
        base.with_(label_map=None),
        base.with_(instances=objects),
        base.with_(instances=Instances((4, 5), objects.boxes_xyxy, torch.tensor([1]))),
        base.with_(instances=Instances((4, 5), objects.boxes_xyxy + 1, objects.labels)),
        Sample("a", torch.zeros((3, 5, 4), dtype=torch.uint8)),
    ]
    assert len({digest(each) for each in (base, *others)}) == len(others) + 1
    assert digest(base.with_(id="b")) == digest(base), "ids are compared by themselves"
