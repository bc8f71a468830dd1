"""Draws of the evaluator ``coco`` are measured as hotcoco measures the drawn images, to the last digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coco_cases import make_case

from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.coco_tables import repeated_rows


@pytest.mark.parametrize("with_masks", [False, True])
def test_a_draw_has_the_metrics_of_its_images(with_masks: bool, tmp_path: Path) -> None:
    """With crowds, ties, objects of all sizes, more detections than count, groups, and boundaries."""
    for seed in range(12):
        case, rng = make_case(seed, with_masks=with_masks), np.random.default_rng(seed)
        table = tmp_path / f"{seed}.csv"
        rows = [f"{sample.id},{'sun' if i % 2 else 'rain'}\n" for i, sample in enumerate(case.samples)]
        table.write_text("image,weather\n" + "".join(rows))
        settings = CocoSettings(boundary=with_masks, max_detections=(1, 3), slices=str(table))
        states = []
        for sample, prediction in zip(case.samples, case.predictions, strict=True):
            one = Coco(settings, case.classes)
            one.update([sample], [prediction])
            states.append(one.state())
        drawn = Coco(settings, case.classes)
        for _ in range(3):
            times = rng.multinomial(len(states), np.full(len(states), 1 / len(states))).tolist()
            drawn.merge_repeated(states, times)
            found = drawn.report().metrics
            whole = Coco(settings, case.classes)
            whole.merge([drawn.state()])
            expected = whole.report().metrics
            assert len(expected) > 20
            # what only images have that were not drawn
            others = found.keys() - expected.keys()
            assert all("[" in name or name.startswith(("segm/", "boundary/")) for name in others)
            for name, value in expected.items():
                np.testing.assert_equal(found[name], value, err_msg=f"seed {seed}: {name}")


def test_images_that_are_added_to_a_draw_count_once() -> None:
    case = make_case(3, with_masks=False)
    states = []
    for sample, prediction in zip(case.samples, case.predictions, strict=True):
        one = Coco(CocoSettings(), case.classes)
        one.update([sample], [prediction])
        states.append(one.state())
    drawn = Coco(CocoSettings(), case.classes)
    drawn.merge_repeated(states[1:], [1] * len(states[1:]))
    drawn.update(case.samples[:1], case.predictions[:1])
    whole = Coco(CocoSettings(), case.classes)
    whole.update(case.samples, case.predictions)
    assert drawn.report().metrics == pytest.approx(dict(whole.report().metrics), nan_ok=True)
    drawn.reset()
    assert not drawn.state()


def test_rows_are_repeated_image_by_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        images = int(rng.integers(0, 6))
        counts, times = rng.integers(0, 4, images), rng.integers(0, 4, images)
        starts = np.concatenate([[0], np.cumsum(counts)])
        naive = [
            row
            for image in range(images)
            for _ in range(times[image])
            for row in range(starts[image], starts[image + 1])
        ]
        assert repeated_rows(counts, times).tolist() == naive
