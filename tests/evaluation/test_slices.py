"""Metrics of groups of images, by a table about them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from coco_cases import Case, document, make_case, measure, results

from toolkit.errors import DataError, InvalidDataError
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.iou import IoU, IoUSettings
from toolkit.evaluation.slices import Slices, SliceSettings
from toolkit.types import Prediction, Sample


def table(folder: Path, text: str) -> str:
    path = folder / "about.csv"
    path.write_text(text)
    return str(path)


def test_groups_of_an_image(tmp_path: Path) -> None:
    text = "image,weather,camera\nday/a.jpg,rain,x\nb, sun ,\nnight/a.jpg,,y\n"
    slices = Slices(SliceSettings(slices=table(tmp_path, text)))
    assert slices.of("day/a") == ["weather=rain", "camera=x"]
    assert slices.of("b.png") == ["weather=sun"]
    assert slices.of("some/where/b") == ["weather=sun"]
    assert slices.of("night/a") == ["camera=y"]
    with pytest.raises(InvalidDataError, match=r"has 2 rows that could be of the image 'a'\. Hint: "):
        slices.of("a")
    with pytest.raises(InvalidDataError, match=r"has no row for the image 'c'\. Hint: "):
        slices.of("c")
    chosen = Slices(SliceSettings(slices=table(tmp_path, text), slice_by=("camera",)))
    assert chosen.positions(["day/a", "b", "night/a"]) == {"camera=x": [0], "camera=y": [2]}
    assert Slices(SliceSettings()).of("anything") == []


def test_many_numbers_are_divided_into_quarters(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i}\n" for i in range(101)) + "empty,\n"
    slices = Slices(SliceSettings(slices=table(tmp_path, "image,lux\n" + rows)))
    assert [slices.of(name) for name in ("0", "25", "26", "100", "empty")] == [
        ["lux=0…25"],
        ["lux=0…25"],
        ["lux=25…50"],
        ["lux=75…100"],
        [],
    ]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("", (), "it is empty; expected the column image"),
        ("file,weather\na,rain\n", (), "its columns are file, weather; expected the column image"),
        ("image,weather\na,rain\n", ("camera",), "has no column camera; it has weather"),
        ("image,weather\na,rain\na.jpg,sun\n", (), "has two rows for the image 'a.jpg'"),
        ("image,weather\na,rain,1\n", (), "line 2: 3 cells for 2 columns"),
        ("image,city\n" + "".join(f"{i},c{i}\n" for i in range(13)), (), "has 13 different values"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, text: str, columns: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=f"{message}.*Hint: "):
        Slices(SliceSettings(slices=table(tmp_path, text), slice_by=columns))


def part_of(case: Case, chosen: set[str]) -> Case:
    pairs = [pair for pair in zip(case.samples, case.predictions, strict=True) if pair[0].id in chosen]
    return dataclasses.replace(case, samples=[s for s, _ in pairs], predictions=[p for _, p in pairs])


def test_coco_measures_each_group_as_if_alone(tmp_path: Path) -> None:
    compared = 0
    for seed in range(8):
        case = make_case(seed, with_masks=seed % 2 == 0)
        names = sorted(sample.id for sample in case.samples)
        groups = {"even": set(names[::2]), "odd": set(names[1::2])}
        rows = "".join(f"{name}.jpg,{group}\n" for group, each in groups.items() for name in each)
        path = table(tmp_path, "image,row\n" + rows)
        report = measure(case, slices=path)
        shown = set(report.metrics) - set(report.details)
        numbers = range(1, len(case.classes) + 1)
        from_files = Coco(CocoSettings(slices=path), case.classes).report_document(
            document(case), results(case), numbers
        )
        for group, chosen in groups.items():
            if not chosen:
                continue
            alone = measure(part_of(case, chosen))
            for name in ("AP", "AP50", "AR100", "APs"):
                expected = pytest.approx(alone.metrics[f"bbox/{name}"], abs=1e-12, nan_ok=True)
                assert report.metrics[f"bbox/{name}[row={group}]"] == expected
                assert from_files.metrics[f"bbox/{name}[row={group}]"] == pytest.approx(
                    alone.metrics[f"bbox/{name}"], abs=1e-6, nan_ok=True
                )
            assert report.groups[f"row={group}"] == from_files.groups[f"row={group}"] == len(chosen)
            assert f"bbox/AP[row={group}]" in shown
            assert f"bbox/AP50[row={group}]" not in shown
            assert any(f"row={group} ({len(chosen)})" in note for note in report.notes)
            compared += 1
    assert compared > 8


def test_iou_measures_each_group_as_if_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = table(tmp_path, "image,weather\n0,rain\n1,sun\n2,rain\n3,\n")
    evaluators = [IoU(IoUSettings(slices=path), ["a", "b"]) for _ in range(2)]
    alone = IoU(IoUSettings(), ["a", "b"])
    for i in range(4):
        truth, guess = (torch.from_numpy(rng.integers(0, 2, (4, 4)).astype(np.uint8)) for _ in range(2))
        sample = Sample(str(i), torch.zeros((3, 4, 4), dtype=torch.uint8), truth)
        prediction = Prediction(str(i), (4, 4), guess)
        evaluators[i // 2].update([sample], [prediction])
        if i in (0, 2):
            alone.update([sample], [prediction])
    merged = IoU(IoUSettings(slices=path), ["a", "b"])
    merged.merge([evaluator.state() for evaluator in evaluators])
    report = merged.report()
    assert report.metrics["mean_iou[weather=rain]"] == alone.report().metrics["mean_iou"]
    assert "mean_iou[weather=sun]" in report.metrics
    assert report.groups == report.to_dict()["groups"] == {"weather=rain": 2, "weather=sun": 1}
    assert "Groups of images: weather=rain (2), weather=sun (1)." in report.notes
    with pytest.raises(InvalidDataError, match="no row for the image 'x'"):
        merged.update(
            [Sample("x", torch.zeros((3, 1, 1), dtype=torch.uint8), torch.zeros((1, 1), dtype=torch.uint8))],
            [Prediction("x", (1, 1), torch.zeros((1, 1), dtype=torch.uint8))],
        )
