"""What a run says when it begins and when it ends."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PIL import Image

import toolkit
from toolkit import registry
from toolkit.checkpoints import LoadReport
from toolkit.config import Scale
from toolkit.config.tree import parse_words
from toolkit.models.start_weights import RANDOM, StartWeights
from toolkit.training.messages import closing_line, start_line, warning_lines
from toolkit.training.state import Progress


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (RANDOM, "Starts from random weights"),
        (
            StartWeights("none", "none", reason="weights=imagenet are not available: no network"),
            "Starts from random weights; weights=imagenet are not available: no network",
        ),
        (
            StartWeights("imagenet", "BSD", LoadReport(("a", "b"))),
            "Starts from weights=imagenet (license: BSD): 2 tensors loaded",
        ),
        (None, "Starts from the weights of the model that was passed in"),
    ],
)
def test_what_it_starts_from(start: StartWeights | None, expected: str) -> None:
    assert start_line(start) == expected


def closing(progress: Progress, *, finished: bool = True, seconds: float = 125.0) -> str:
    on = "1 image of split val"
    return closing_line(progress, 1200, finished=finished, seconds=seconds, metric="mean_iou", measured_on=on)


@pytest.mark.parametrize(
    ("progress", "options", "expected"),
    [
        (Progress(step=1), {}, "Trained 1 step in 2 min."),
        (
            Progress(step=1200, best=0.84213, best_step=1100),
            {},
            "Trained 1,200 steps in 2 min. Best mean_iou: 0.8421 at step 1,100, on 1 image of split val.",
        ),
        (Progress(step=1200), {"seconds": math.nan}, "Trained 1,200 steps."),
        (
            Progress(step=7, best=0.5),
            {"finished": False},
            "Stopped after 7 of 1,200 steps; the state is saved",
        ),
    ],
)
def test_what_came_of_it(progress: Progress, options: dict[str, float], expected: str) -> None:
    assert closing(progress, **options) == expected  # type: ignore[arg-type]


def test_the_first_lines_of_a_run(tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = [
        "train.steps=3",
        "train.device=cpu",
        "data.options.count=1",
        "augment=[{name: flip}, {name: color}]",
    ]
    with caplog.at_level("INFO", logger="toolkit"):
        toolkit.train(toolkit.resolve(plugin=tiny, data=tiny, overrides=words), tmp_path / "run")
    first = next(each for each in caplog.messages if not each.startswith("running the code in"))
    assert first.startswith("tiny on ")
    assert first.endswith(": 1 training image, 1 validation image")
    for line in ("Starts from random weights", "Augmentation: flip, color", "3 steps of 4 images: 12 epochs"):
        assert line in caplog.messages
    caplog.clear()
    again = [*words, "train.steps=4"]
    with caplog.at_level("INFO", logger="toolkit"):
        settings = toolkit.resolve(plugin=tiny, data=tiny, overrides=again)
        toolkit.train(settings, tmp_path / "run", resume=True)
    assert "Resuming after step 3 of 4" in caplog.messages
    assert not any(line.startswith("Starts from") for line in caplog.messages)
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("Augmentation: flip, color") == 2
    assert "Trained 4 steps." in log


@pytest.mark.parametrize(("plugin", "classes", "count"), [("unet", ["cup"], 1), ("unet", ["a", "b"], 0)])
def test_a_task_of_one_class_is_warned_about(plugin: str, classes: list[str], count: int) -> None:
    task = registry.task_of(registry.plugins().get(plugin))
    found = list(warning_lines(task, classes, RANDOM, None))
    assert len(found) == count
    assert all("only one class (cup)" in line and "Hint: " in line for line in found)


def test_objects_of_one_class_are_a_task() -> None:
    task = registry.task_of(registry.plugins().get("maskrcnn"))
    assert not list(warning_lines(task, ["cup"], RANDOM, None))


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (None, None, ""),
        (None, Scale(range=(0, 9)), ""),
        (Scale(percentiles=(1, 99), bit_depth="16-bit"), Scale(percentiles=(1, 99), bit_depth="any"), ""),
        (
            Scale(percentiles=(1, 99), bit_depth="16-bit"),
            None,
            "the images that weights=runs/a were trained on have the scale percentiles 1 to 99 of each image;"
            " these have none, so they look different. Hint: for images of the same kind, set"
            " 'data.options.scale={percentiles: [1.0, 99.0]}'",
        ),
        (Scale(range=(0, 100)), Scale(percentiles=(0, 100)), "'data.options.scale={range: [0.0, 100.0]}'"),
    ],
)
def test_weights_that_know_images_by_another_scale(
    before: Scale | None, now: Scale | None, said: str
) -> None:
    task = registry.task_of(registry.plugins().get("unet"))
    start = StartWeights("runs/a", "MIT", LoadReport(("a",)), scale=before)
    lines = list(warning_lines(task, ["a", "b"], start, now))
    assert len(lines) == bool(said)
    assert all(said in line for line in lines)
    for line in lines:
        option = line.rpartition(" set ")[2].strip("'")
        given = parse_words([option])
        assert Scale.model_validate(given["data.options.scale"]) == before.model_copy(
            update={"bit_depth": None}
        )  # type: ignore[union-attr]


def test_training_with_one_class_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for split in ("train", "val"):
        for kind, value in (("images", 90), ("labels", 0)):
            path = tmp_path / "data" / kind / f"{split}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L" if kind == "labels" else "RGB", (16, 16), value).save(path)
        (tmp_path / "data" / f"{split}.txt").write_text(f"{split}\n")
    small = ["model.encoder=original_padded", "model.depth=2", "model.width=4", "weights=none", "augment=[]"]
    few = ["train.steps=1", "train.device=cpu", "train.workers=0", "train.batch_size=1"]
    caplog.set_level("INFO", "toolkit")
    result = toolkit.train(
        [*small, *few], plugin="unet", data="masks", data_dir=tmp_path / "data", out=tmp_path / "run"
    )
    assert result.finished
    said = "\n".join(caplog.messages)
    assert "there is only one class (class_0)" in said
    assert "Best validation: There is only one class (class_0)" in said
