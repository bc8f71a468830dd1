"""What conversion promises: masks come back pixel by pixel, polygons as they were, and what a format cannot
hold is counted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError, OutputError
from toolkit.formats.convert import WRITERS, Losses, convert_split, opening, require_empty
from toolkit.types import VOID, Instances, Masks, Sample

SIZE = (24, 30)
TARGETS = [*WRITERS, "masks"]


class Given(Dataset):
    """Samples that a test makes up."""

    def __init__(self, samples: list[Sample], classes: tuple[str, ...] = ("cat", "dog", "yes")) -> None:
        self.classes = classes
        self.ids = [sample.id for sample in samples]
        self.samples = samples

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def sample(name: str, masks: np.ndarray | None, labels: list[int], **fields: Any) -> Sample:
    rng = np.random.default_rng(len(name))
    image = torch.from_numpy(rng.integers(0, 256, (3, *SIZE), dtype=np.uint8))
    if masks is None:
        fields.setdefault("boxes_xyxy", torch.zeros((0, 4)))
        return Sample(
            name, image, instances=Instances(SIZE, labels=torch.tensor(labels, dtype=torch.int64), **fields)
        )
    encoded = Masks.from_dense(masks) if len(masks) else Masks(SIZE)
    fields.setdefault("boxes_xyxy", encoded.boxes_xyxy())
    return Sample(
        name,
        image,
        instances=Instances(SIZE, labels=torch.tensor(labels, dtype=torch.int64), masks=encoded, **fields),
    )


def blobs(rng: np.random.Generator, count: int) -> np.ndarray:
    """Masks with parts, holes and overlaps."""
    noise = np.stack([cv2.GaussianBlur(rng.random(SIZE), (0, 0), 1.5) for _ in range(count)])
    return noise > np.quantile(noise, 0.6, axis=(1, 2), keepdims=True)


def convert(
    dataset: Dataset, target: str, folder: Path, limit: int | None = None
) -> tuple[Dataset, dict[str, int]]:
    """What the written files read as, and what was lost."""
    losses = Losses()
    assert list(convert_split(dataset, "train", folder, target, losses, limit)) == list(dataset.ids)[:limit]
    return reopened(target, folder, dataset.classes), {
        text.split(":")[0]: count for text, count in losses.items() if count
    }


def reopened(target: str, folder: Path, classes: tuple[str, ...]) -> Dataset:
    name, *settings = opening(target, classes)
    options = {"attribute": "class", "classes": classes} if settings else {}
    return open_dataset(registry.datasets().get(name), folder, "train", options)


def objects(dataset: Dataset, one: Sample) -> list[tuple[str, bytes]]:
    """Class and mask of each object."""
    assert one.instances is not None
    assert one.instances.masks is not None
    return [
        (dataset.classes[i], code)
        for i, code in zip(one.instances.labels.tolist(), one.instances.masks.counts, strict=True)
    ]


@pytest.mark.parametrize("target", list(WRITERS))
def test_masks_come_back_pixel_by_pixel(tmp_path: Path, target: str) -> None:
    rng = np.random.default_rng(3)
    samples = [
        sample("a", blobs(rng, 4), [0, 2, 1, 0]),
        sample("sub/b.c", blobs(rng, 2), [1, 1]),
        sample("empty", np.zeros((0, *SIZE), bool), []),
        sample("full", np.ones((1, *SIZE), bool), [2]),
    ]
    dataset = Given(samples)
    back, lost = convert(dataset, target, tmp_path)
    assert lost == {}
    assert back.classes == dataset.classes
    assert sorted(back.ids) == sorted(dataset.ids)
    for one in samples:
        again = back[list(back.ids).index(one.id)]
        assert torch.equal(again.image, one.image)
        assert objects(back, again) == objects(dataset, one)
        assert torch.equal(again.instances.boxes_xyxy, one.instances.boxes_xyxy)


def test_masks_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    apart = np.zeros((2, *SIZE), bool)
    apart[0, 2:9, 3:12], apart[0, 4:6, 5:8], apart[1, 12:20, 3:25] = True, False, True
    nested = np.ones((3, *SIZE), bool)
    nested[1, 5:] = False
    nested[2, :, 10:] = False
    many = np.zeros((300, *SIZE), bool)
    many.reshape(300, -1)[np.arange(300), np.arange(300)] = True
    samples = [
        sample("apart", apart, [1, 0]),
        sample("empty", np.zeros((0, *SIZE), bool), []),
        sample("many", many, [1] * 300),
        sample("nested", nested, [0, 1, 2]),
        sample("under", nested[[1, 0]], [0, 1]),
        sample("crowd", blobs(rng, 1), [0], is_crowd=torch.tensor([True])),
    ]
    dataset = Given(samples)
    back, lost = convert(dataset, "masks", tmp_path)
    assert back.classes == ("background", *dataset.classes)
    found = {name: back[i] for i, name in enumerate(back.ids)}
    assert objects(back, found["apart"]) == objects(dataset, samples[0])
    assert found["apart"].label_map.unique().tolist() == [0, 1, 2]
    assert len(found["empty"].instances) == 0
    assert objects(back, found["many"]) == objects(dataset, samples[2])
    assert objects(back, found["nested"])[2] == objects(dataset, samples[3])[2]
    assert len(found["nested"].instances) == 3
    crowd = samples[5].instances.masks.dense()[0]
    assert torch.equal(found["crowd"].label_map == VOID, crowd)
    assert lost == {
        "objects partly hidden by others": 2,
        "objects without a visible pixel": 1,
        "crowds": 1,
    }


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_lost_is_counted(tmp_path: Path, target: str) -> None:
    one = np.zeros((4, *SIZE), bool)
    one[0, 2:6, 3:9], one[1, 10:14, 3:9], one[3, 16:20, 2:20] = True, True, True  # the third is empty
    keypoints = torch.zeros((4, 2, 3))
    keypoints[0] = torch.tensor([[3, 4, 2], [5.5, 6, 1]])
    boxes = Masks.from_dense(one).boxes_xyxy()
    boxes[0, 3] += 1.5
    boxes[2] = torch.tensor([1.0, 1, 2, 2])
    crowds = torch.tensor([False, False, False, True])
    areas = torch.tensor([20.5, 24, 0.5, 70], dtype=torch.float64)
    given = sample(
        "a", one, [0, 1, 1, 2], boxes_xyxy=boxes, keypoints=keypoints, is_crowd=crowds, areas=areas
    )
    dataset = Given([given])
    back, lost = convert(dataset, target, tmp_path)
    again = back[0].instances
    if target == "coco":
        assert lost == {}
        for name in ("boxes_xyxy", "labels", "masks", "keypoints", "is_crowd", "areas"):
            want, got = getattr(given.instances, name), getattr(again, name)
            assert torch.equal(want, got) if isinstance(want, torch.Tensor) else want == got
        return
    assert objects(back, back[0]) == objects(dataset, given)[:2]
    empty = "objects without a visible pixel" if target == "masks" else "objects whose mask covers no pixels"
    stated = 3 if target == "masks" else 2
    boxes_lost = 2 if target == "masks" else 1
    assert lost == {
        "crowds": 1,
        empty: 1,
        "objects with keypoints": 1,
        "objects whose box differs from their mask's": boxes_lost,
        "objects with a stored area": stated,
    }


@pytest.mark.parametrize("target", TARGETS)
def test_boxes_without_masks(tmp_path: Path, target: str) -> None:
    boxes = torch.tensor([[2.0, 3, 9, 8], [1, 1, 5, 20]])
    back, lost = convert(Given([sample("a", None, [2, 0], boxes_xyxy=boxes)]), target, tmp_path)
    again = back[0].instances
    assert sum(lost.values()) == (0 if target in ("coco", "yolo") else 2)
    if target == "masks":
        assert len(again) == 0
        return
    np.testing.assert_allclose(again.boxes_xyxy.numpy(), boxes.numpy(), rtol=1e-6)
    assert (again.masks is None) == (target in ("coco", "yolo"))


def coco_source(folder: Path) -> Dataset:
    """Two JPEG files with polygons of fractional corners, one in two parts, one partly outside the image."""
    folder.mkdir()
    for name in ("p", "q"):
        cv2.imwrite(str(folder / f"{name}.jpg"), np.full((*SIZE, 3), 90, np.uint8))
    parts = [
        [[2.5, 3.25, 12.1, 3.3, 9.7, 14.9]],
        [[1, 1, 5, 1, 5, 5, 1, 5], [10.5, 10, 20.5, 10.2, 14, 19]],
        [[20, -3.5, 36, 4, 22, 12.3]],
    ]
    records = [
        {"id": i + 1, "image_id": 40, "category_id": 9, "segmentation": part} for i, part in enumerate(parts)
    ]
    document = {
        "images": [{"id": 40, "file_name": "p.jpg"}, {"id": 7, "file_name": "q.jpg"}],
        "categories": [{"id": 9, "name": "dog"}, {"id": 200, "name": "cat"}],
        "annotations": records,
    }
    (folder / "train.json").write_text(json.dumps(document))
    return open_dataset(registry.datasets().get("coco"), folder, "train")


@pytest.mark.parametrize("target", list(WRITERS))
def test_polygons_and_files_stay_as_they_were(tmp_path: Path, target: str) -> None:
    source = coco_source(tmp_path / "in")
    back, lost = convert(source, target, tmp_path / "out")
    keeps = target in ("coco", "cvat", "labelme")
    assert lost == ({} if keeps else {"objects with several polygons": 1})
    for index in range(2):
        assert back.image_path(index).name == source.image_path(index).name  # type: ignore[attr-defined]
        assert back.image_path(index).read_bytes() == source.image_path(index).read_bytes()  # type: ignore[attr-defined]
        assert objects(back, back[index]) == objects(source, source[index])
    want, got = ([region.polygons for region in one.regions(0, SIZE)] for one in (source, back))  # type: ignore[attr-defined]
    assert len(got[0]) == 1
    assert got[0][0] == pytest.approx(want[0][0], abs=1e-6)
    if keeps:
        assert got == want
    if target == "coco":
        assert back.coco_image_ids == {"p": 40, "q": 7}
        assert back.coco_category_ids == (9, 200)


@pytest.mark.parametrize("target", TARGETS)
def test_generated_data_go_there_and_back(tmp_path: Path, target: str) -> None:
    source = open_dataset(registry.datasets().get("shapes"), None, "train", {"size": 48, "train": 5})
    back, lost = convert(source, target, tmp_path)
    assert set(lost) == (set() if target == "masks" else {"images with a label map"})
    assert back.classes == source.classes
    for i in range(5):
        assert back.ids[i] == source.ids[i]
        assert torch.equal(back[i].image, source[i].image)
        assert objects(back, back[i]) == objects(source, source[i])
        if target == "masks":
            assert torch.equal(back[i].label_map, source[i].label_map)


def test_a_limit(tmp_path: Path) -> None:
    back, _ = convert(coco_source(tmp_path / "in"), "yolo", tmp_path / "out", limit=1)
    assert back.ids == ("p",)


def test_what_has_no_place(tmp_path: Path) -> None:
    outside = Given([sample("../a", np.zeros((0, *SIZE), bool), [])])
    with pytest.raises(DataError, match=r"the name '../a' leads out of"):
        convert(outside, "coco", tmp_path)
    semantic = Given(
        [Sample("a", torch.zeros((3, *SIZE), dtype=torch.uint8), torch.zeros(SIZE, dtype=torch.uint8))]
    )
    with pytest.raises(DataError, match="'a' has a label map but no objects. Hint: use --to masks"):
        convert(semantic, "coco", tmp_path)
    assert torch.equal(convert(semantic, "masks", tmp_path / "m")[0][0].label_map, semantic[0].label_map)
    of_another_task = Given([Sample("a", semantic[0].image, extras={"count": 3})])
    with pytest.raises(DataError, match="'a' has neither objects nor a label map, which are all that these"):
        convert(of_another_task, "coco", tmp_path)
    classes = tuple(f"c{i}" for i in range(255))
    with pytest.raises(DataError, match="can hold 255 classes, including the background, not 256"):
        convert(
            Given([sample("a", blobs(np.random.default_rng(0), 1), [0])], classes), "masks", tmp_path / "n"
        )


def test_only_into_an_empty_folder(tmp_path: Path) -> None:
    require_empty(tmp_path)
    require_empty(tmp_path / "new")
    (tmp_path / "x").touch()
    for path in (tmp_path, tmp_path / "x"):
        with pytest.raises(OutputError, match="is not empty"):
            require_empty(path)


@pytest.mark.data
@pytest.mark.parametrize("target", list(WRITERS))
def test_real_photos_go_there_and_back(shared_data: Path, tmp_path: Path, target: str) -> None:
    source = open_dataset(registry.datasets().get("balloon"), shared_data / "balloon", "train")
    back, lost = convert(source, target, tmp_path, limit=3)
    assert lost == {}
    order = list(back.ids)
    for index in range(3):
        place = order.index(source.ids[index])
        size = source.image_size(index)  # type: ignore[attr-defined]
        want, got = source.regions(index, size), back.regions(place, size)  # type: ignore[attr-defined]
        assert [region.counts(size) for region in got] == [region.counts(size) for region in want]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("masks", "void"),
        ("labelme", "__ignore__"),
        ("labelme", "_background_"),
        ("yolo", " cat"),
        ("coco", ""),
    ],
)
def test_names_that_would_be_read_as_something_else(tmp_path: Path, target: str, name: str) -> None:
    given = Given([sample("a", blobs(np.random.default_rng(0), 1), [0])], (name, "dog"))
    with pytest.raises(DataError, match=r"cannot be written .* Hint: rename the class"):
        convert(given, target, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_odd_names_come_back(tmp_path: Path, target: str) -> None:
    classes = ("no", "lot 1 2 3", "null", "1e3", "2024-01-01", "[x] {y}: #z", "käse, alt")
    masks = np.zeros((len(classes), *SIZE), bool)
    for index in range(len(classes)):
        masks[index, 2 * index : 2 * index + 2, 3:9] = True
    given = Given([sample("a", masks, [*range(len(classes))])], classes)
    back, _ = convert(given, target, tmp_path)
    assert objects(back, back[0]) == objects(given, given[0])
