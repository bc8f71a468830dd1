"""What the masks layout promises: lists of classes are read as written, and a written split reads back
equal.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError, OutputError
from toolkit.formats.mask_folder import ClassLine, read_classes, write_classes, write_sample, write_split
from toolkit.types import Instances, Sample


def shapes(split: str = "train", **options: object) -> Dataset:
    return open_dataset(
        registry.datasets().get("shapes"), None, split, {"size": 48, "train": 5, "val": 2} | options
    )


def classes_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "classes.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_with_and_without_colors(tmp_path: Path) -> None:
    text = "sky\n\n  traffic light  \ngrass 0 128 0\nroad, wet\t1, 2, 3\nlane 4\nvoid 0 0 0\n"
    assert read_classes(classes_file(tmp_path, text)) == (
        ClassLine("sky"),
        ClassLine("traffic light"),
        ClassLine("grass", (0, 128, 0)),
        ClassLine("road, wet", (1, 2, 3)),
        ClassLine("lane 4"),
        ClassLine("void", (0, 0, 0)),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a\nb\na\n", "has the class a twice"),
        ("a 1 2 3\nb 1 2 3\n", r"has the color \(1, 2, 3\) twice"),
        ("a 1 2 300\n", r"color \(1, 2, 300\); each component must be 0…255"),
        ("\n".join(f"c{i}" for i in range(300)), "lists 300 classes"),
    ],
)
def test_faulty_lists_of_classes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_classes(classes_file(tmp_path, text))


def test_unreadable_list_of_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\x00caf\xe9")
    with pytest.raises(DataError, match="UTF-16, not UTF-8; it should contain one class name per line"):
        read_classes(tmp_path / "classes.txt")


@pytest.mark.parametrize("palette", [None, ((1, 2, 3), (4, 5, 6))])
def test_classes_there_and_back(tmp_path: Path, palette: tuple[tuple[int, int, int], ...] | None) -> None:
    write_classes(tmp_path / "c.txt", ("traffic light", "café"), palette)
    colors = palette or (None, None)
    assert read_classes(tmp_path / "c.txt") == (
        ClassLine("traffic light", colors[0]),
        ClassLine("café", colors[1]),
    )


def test_a_written_split_reads_back_equal(tmp_path: Path) -> None:
    for split in ("train", "val"):
        assert list(write_split(shapes(split), split, tmp_path)) == list(shapes(split).ids)
    for split in ("train", "val"):
        original, copy = shapes(split), open_dataset(registry.datasets().get("masks"), tmp_path, split)
        assert copy.classes == original.classes
        assert copy.palette == original.palette
        assert tuple(copy.ids) == tuple(original.ids)
        for index in range(len(original)):
            a, b = original[index], copy[index]
            assert torch.equal(a.image, b.image)
            assert torch.equal(a.label_map, b.label_map)
            assert len(a.instances) == len(b.instances)
            if len(a.instances):
                assert torch.equal(a.instances.labels, b.instances.labels)
                assert a.instances.masks == b.instances.masks


def test_limit(tmp_path: Path) -> None:
    assert len(list(write_split(shapes(), "train", tmp_path, limit=2))) == 2
    assert len(list((tmp_path / "images").iterdir())) == 2
    assert (tmp_path / "train.txt").read_text().split() == ["train-00000", "train-00001"]


def test_other_classes_do_not_mix(tmp_path: Path) -> None:
    write_classes(tmp_path / "classes.txt", ("cat", "dog"), None)
    with pytest.raises(OutputError, match="other classes"):
        list(write_split(shapes(), "train", tmp_path))


def test_a_sample_without_labels_is_refused(tmp_path: Path) -> None:
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    with pytest.raises(DataError, match="neither a label map nor masks"):
        write_sample(Sample("x", image, instances=Instances.empty((4, 5))), tmp_path, ())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "names",
    [
        ("lot 1 2 3", "house"),
        ("1 2 3", "4 5 6"),
        ("row 7,8,9", "x 1 2 300"),
        ("a  b", "naïve", "#", "grass 0 128"),
    ],
)
@pytest.mark.parametrize("colored", [False, True])
def test_names_come_back_whatever_they_look_like(
    tmp_path: Path, names: tuple[str, ...], colored: bool
) -> None:
    palette = [(10 * index, 20, 30) for index in range(len(names))] if colored else None
    write_classes(tmp_path / "classes.txt", names, palette)
    assert tuple(line.name for line in read_classes(tmp_path / "classes.txt")) == names


@pytest.mark.parametrize("name", ["void", "", " cup", "cup\t", "two\nlines", "a\u2028b"])
def test_names_that_a_list_cannot_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be written to classes.txt"):
        write_classes(tmp_path / "classes.txt", ["grass", name], None)
    assert not (tmp_path / "classes.txt").exists()
