"""Panoptic quality against a reference on sets of pixels, and against hotcoco's on files."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hotcoco.panoptic import pq_compute
from panoptic_cases import SIZE, Case, make_case, reference

from toolkit.config import Settings
from toolkit.errors import InvalidDataError
from toolkit.evaluation.bootstrap import draws, resampled_metrics
from toolkit.evaluation.pq import PanopticQuality
from toolkit.evaluation.report import Report
from toolkit.formats.coco_panoptic import panoptic_categories, segment_records, write_panoptic_png
from toolkit.types import PanopticMap, Prediction, Sample, Segment
from toolkit.visualization.palettes import default_palette


def measured(case: Case) -> Report:
    evaluator = PanopticQuality(Settings(), case.classes)
    evaluator.update(case.samples, case.predictions)
    return evaluator.report()


def pair(
    truth: list[list[int]], found: list[list[int]], *, true: list[Segment], guess: list[Segment]
) -> tuple[Sample, Prediction]:
    maps = [
        PanopticMap(torch.tensor(numbers, dtype=torch.int32), tuple(segments))
        for numbers, segments in ((truth, true), (found, guess))
    ]
    image = torch.zeros((3, *maps[0].size), dtype=torch.uint8)
    return (
        Sample("a", image, extras={"panoptic": maps[0]}),
        Prediction("a", maps[0].size, extras={"panoptic": maps[1]}),
    )


def test_500_generated_cases_equal_the_reference() -> None:
    seen = dict.fromkeys(("crowd", "empty truth", "empty prediction", "one class", "nan", "match"), 0)
    for seed in range(500):
        case = make_case(seed)
        found, expected = measured(case).metrics, reference(case)
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True), seed
        truths = [sample.extras["panoptic"] for sample in case.samples]
        seen["crowd"] += any(segment.is_crowd for each in truths for segment in each.segments)
        seen["empty truth"] += any(not each.segments for each in truths)
        seen["empty prediction"] += any(not each.extras["panoptic"].segments for each in case.predictions)
        seen["one class"] += len(case.classes) == 1
        seen["nan"] += any(map(math.isnan, expected.values()))
        seen["match"] += expected["sq"] > 0
    assert min(seen.values()) >= 30, seen


def test_files_of_the_cases_give_the_same_figures_in_hotcoco(tmp_path: Path) -> None:
    """An implementation of others, which reads COCO's files, and so tries the writer as well."""
    compared = 0
    for seed in range(60):
        case = make_case(seed)
        palette = default_palette(len(case.classes), first=1)
        categories = panoptic_categories(case.classes, [case.classes[label] for label in case.things])
        paths = {}
        for name, owners in (("truth", case.samples), ("found", case.predictions)):
            images, annotations = [], []
            for number, owner in enumerate(owners, start=1):
                panoptic = owner.extras["panoptic"]
                ids = write_panoptic_png(tmp_path / name / f"{seed}-{number}.png", panoptic, palette)
                records = segment_records(panoptic, ids)
                file_name = f"{seed}-{number}.png"
                images.append({"id": number, "file_name": file_name, "width": SIZE[1], "height": SIZE[0]})
                annotations.append({"image_id": number, "file_name": file_name, "segments_info": records})
            document = {"images": images, "annotations": annotations, "categories": categories}
            paths[name] = tmp_path / f"{name}.json"
            paths[name].write_text(json.dumps(document))
        found = measured(case).metrics
        if math.isnan(found["pq"]):
            continue
        theirs = pq_compute(paths["truth"], paths["found"])
        for kind, key in (("", "All"), ("_things", "Things"), ("_stuff", "Stuff")):
            for figure in ("pq", "sq", "rq"):
                value = found[figure + kind]
                if not math.isnan(value):
                    assert theirs[key][figure] == pytest.approx(value, abs=1e-9), (seed, figure + kind)
                    compared += 1
    assert compared > 300


def test_the_worked_example() -> None:
    """Of two true squares of 4 pixels one is found with 3 of its pixels, one missed, and one is invented."""
    thing = Segment(0, True)
    truth = [[1, 1, 0, 2, 2, 3], [1, 1, 3, 2, 2, 3]]
    found = [[1, 1, 2, 2, 2, 2], [1, 0, 0, 0, 0, 2]]
    sample, prediction = pair(truth, found, true=[thing, thing, Segment(1, False)], guess=[thing, thing])
    evaluator = PanopticQuality(Settings(), ("square", "sky"))
    evaluator.update([sample], [prediction])
    report = evaluator.report()
    assert report.per_class["sq"][0] == 0.75
    assert report.per_class["rq"] == [0.5, 0.0]
    assert report.metrics["pq"] == pytest.approx((0.375 + 0) / 2)
    assert (report.metrics["pq_things"], report.metrics["pq_stuff"]) == (0.375, 0.0)


def test_half_is_no_match_and_half_in_void_no_excuse() -> None:
    thing = Segment(0, True)
    sample, prediction = pair([[1, 1, 0, 0]], [[1, 0, 0, 0]], true=[thing], guess=[thing])
    evaluator = PanopticQuality(Settings(), ("a",))
    evaluator.update([sample], [prediction])
    assert evaluator.report().metrics["rq"] == 0, "an IoU of exactly one half"
    sample, prediction = pair([[1, 2, 2, 0, 0, 0]], [[1, 0, 2, 2, 3, 3]], true=[thing] * 2, guess=[thing] * 3)
    evaluator.reset()
    evaluator.update([sample], [prediction])
    # matched: 1; missed: the second; invented: the one that is half in void, not the one that is all in void
    assert evaluator.report().metrics["rq"] == pytest.approx(1 / (1 + 0.5 + 0.5))


def test_parts_merge_and_draws_are_repeated_images() -> None:
    case = make_case(17)
    cases = [make_case(seed) for seed in range(200) if make_case(seed).classes == case.classes][:8]
    samples = [each for one in cases for each in one.samples]
    predictions = [each for one in cases for each in one.predictions]
    evaluator = PanopticQuality(Settings(), case.classes)
    states = []
    for sample, prediction in zip(samples, predictions, strict=True):
        evaluator.reset()
        evaluator.update([sample], [prediction])
        states.append(pickle.loads(pickle.dumps(evaluator.state())))
    evaluator.merge(states)
    together = evaluator.report().metrics
    evaluator.reset()
    evaluator.update(samples, predictions)
    assert together == pytest.approx(evaluator.report().metrics, abs=1e-12, nan_ok=True)
    counts = draws(len(states), 5, seed=0)
    drawn = resampled_metrics(evaluator, states, counts)
    for row, times in enumerate(counts.tolist()):
        evaluator.merge([state for state, count in zip(states, times, strict=True) for _ in range(count)])
        naive = evaluator.report().metrics
        values = {name: values[row] for name, values in drawn.items()}
        assert values == pytest.approx(naive, abs=1e-12, nan_ok=True)
    assert np.ptp(drawn["pq"]) > 0


def test_each_image_has_its_own_quality() -> None:
    for seed in range(20):
        case = make_case(seed)
        report = measured(case)
        names = [sample.id for sample in case.samples]
        assert list(report.images) == sorted(set(names))
        values = dict(zip(report.images, report.per_image["pq"], strict=True))
        for sample, prediction in zip(case.samples, case.predictions, strict=True):
            alone = PanopticQuality(Settings(), case.classes)
            alone.update([sample], [prediction])
            assert values[sample.id] == pytest.approx(alone.report().metrics["pq"], nan_ok=True)


def test_nothing_is_undefined_and_what_is_absent_is_said() -> None:
    evaluator = PanopticQuality(Settings(), ("a", "b"))
    assert all(map(math.isnan, evaluator.report().metrics.values()))
    thing = Segment(0, True)
    evaluator.update(*[[each] for each in pair([[1]], [[1]], true=[thing], guess=[thing])])
    report = evaluator.report()
    assert report.metrics["pq"] == report.metrics["pq_things"] == 1
    assert math.isnan(report.metrics["pq_stuff"])
    assert math.isnan(report.per_class["pq"][1])
    assert "1 of 2 classes (b) is absent" in report.notes[0]


def test_the_truth_says_what_a_thing_is() -> None:
    """Results without categories do not."""
    true, guess = Segment(0, True), Segment(0, False)
    evaluator = PanopticQuality(Settings(), ("a",))
    for _ in range(3):
        evaluator.update(*[[each] for each in pair([[1]], [[1]], true=[true], guess=[guess])])
    assert evaluator.report().metrics["pq_things"] == 1


def test_what_does_not_fit_is_refused() -> None:
    thing = Segment(3, True)
    sample, prediction = pair([[1]], [[1]], true=[thing], guess=[thing])
    evaluator = PanopticQuality(Settings(), ("a", "b"))
    with pytest.raises(InvalidDataError, match="sample 'a': it has a segment of class 3, but there are 2 cl"):
        evaluator.update([sample], [prediction])
    bare = Prediction("a", (1, 1), torch.zeros((1, 1), dtype=torch.uint8))
    with pytest.raises(InvalidDataError, match="its prediction has no segments to compare. Hint"):
        evaluator.update([pair([[0]], [[0]], true=[], guess=[])[0]], [bare])
