"""The dataset coco-panoptic, on files as COCO publishes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from panoptic_cases import write_shapes, write_split

from toolkit import registry
from toolkit.cli import main
from toolkit.data.dataset import open_dataset
from toolkit.data.segments import AsPanoptic, thing_classes_of
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.coco_numbers import coco_numbers

SHAPES = ["circle", "triangle", "square", "ring", "star"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coco_panoptic")
    write_shapes(path)
    return path


def test_it_reads_what_was_drawn(folder: Path) -> None:
    dataset = open_dataset("coco-panoptic", folder, "val")
    drawn = AsPanoptic(
        open_dataset("shapes", None, "val", {"size": 48, "val": 4, "train": 6, "max_shapes": 3})
    )
    assert dataset.classes == ("background", *SHAPES)
    assert thing_classes_of(dataset) == set(SHAPES)
    assert dataset.ids == drawn.ids
    for index in range(len(dataset)):
        found, given = dataset[index], drawn[index]
        assert torch.equal(found.image, given.image)
        assert found.extras["panoptic"].segments == given.extras["panoptic"].segments
        assert torch.equal(found.extras["panoptic"].numbers, given.extras["panoptic"].numbers)
        assert found.label_map is not None
        assert torch.equal(found.label_map, given.label_map)
        assert found.instances is not None
        assert len(found.instances) == len(given.extras["panoptic"].things())
    assert coco_numbers(dataset).image_ids == {name: i for i, name in enumerate(dataset.ids, 1)}
    assert coco_numbers(dataset).category_ids == [1, 2, 3, 4, 5, 6]


def test_things_alone_train_a_detector(folder: Path) -> None:
    dataset = open_dataset("coco-panoptic", folder, "val", {"only": "things"})
    assert dataset.classes == tuple(SHAPES)
    whole = open_dataset("coco-panoptic", folder, "val")
    for index in range(len(dataset)):
        one, other = dataset[index], whole[index]
        assert one.label_map is None
        assert not one.extras
        assert one.instances is not None
        assert other.instances is not None
        assert (one.instances.labels + 1).tolist() == other.instances.labels.tolist()
    assert coco_numbers(dataset).category_ids == [2, 3, 4, 5, 6]


def test_one_file_and_other_folders_will_do(folder: Path, tmp_path: Path) -> None:
    file = folder / "annotations" / "panoptic_val.json"
    assert len(open_dataset("coco-panoptic", file, "val")) == 4
    moved = tmp_path / "labels.json"
    moved.write_bytes(file.read_bytes())
    (tmp_path / "masks").symlink_to(folder / "annotations" / "panoptic_val")
    (tmp_path / "photos").symlink_to(folder / "val")
    options = {"val": "labels.json", "images": "photos", "segments": "masks"}
    assert len(open_dataset("coco-panoptic", tmp_path, "val", options)[0].extras) == 1
    with pytest.raises(DataError, match=r"there is no folder .*labels. Hint: .*data.options.segments=FOLDER"):
        open_dataset("coco-panoptic", tmp_path, "val", {"val": "labels.json"})
    with pytest.raises(MissingSplitError, match="no annotations of the split 'test'"):
        open_dataset("coco-panoptic", folder, "test")


def test_without_things_there_is_no_detector_to_train(tmp_path: Path) -> None:
    dataset = AsPanoptic(open_dataset("shapes", None, "val", {"size": 48, "val": 1, "train": 1}))
    write_split(tmp_path, "val", dataset, [])
    assert thing_classes_of(open_dataset("coco-panoptic", tmp_path, "val")) == set()
    with pytest.raises(DataError, match=r"no category of things \(isthing: 1\). Hint"):
        open_dataset("coco-panoptic", tmp_path, "val", {"only": "things"})


def test_checking_tells_all_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shapes(tmp_path)
    words = ["data", "check", "coco-panoptic", "--data-dir", str(tmp_path)]
    assert main(words) == 0
    assert "test: not in this folder" in capsys.readouterr().out
    path = tmp_path / "annotations" / "panoptic_val.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segments_info"][0]["category_id"] = 77
    content["annotations"][1]["segments_info"][0]["id"] = 1
    content["images"].append({"id": 9, "file_name": "more.png"})
    path.write_text(json.dumps(content))
    (tmp_path / "val" / content["images"][2]["file_name"]).unlink()
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert "of category_id 77, which does not exist" in printed
    assert "the segment 1 has no pixel in" in printed
    assert "that do not exist" in printed
    assert "val: note: images without an annotation are left out: 1" in printed


def test_a_preview_draws_the_segments(folder: Path, tmp_path: Path) -> None:
    words = ["data", "preview", "coco-panoptic", "--data-dir", str(folder), "--augment", "flip"]
    assert main([*words, "--count", "2", "--out", str(tmp_path / "sheet.png")]) == 0
    assert "panoptic" in registry.datasets().get("coco-panoptic").tasks
