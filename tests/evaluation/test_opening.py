"""Opening runs and the data to measure them on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from support import bright_boxes, bright_detector, seams

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.data.dataset import open_dataset
from toolkit.errors import CheckpointError, ConfigError, UsageError
from toolkit.evaluation.opening import OpenedData, data_of_run, open_data, open_run, tiled
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.models.sliding_window import Tiling

SMALL = {"size": 32, "train": 2, "val": 3, "test": 4}


def manifest(data: Any = "shapes", **options: Any) -> CheckpointManifest:
    """Of a run on ``shapes``; ``data`` in another form stands for all that its settings say of data."""
    section = {"name": data, "options": SMALL | options} if isinstance(data, str) else data
    config = {} if data == "absent" else {"data": section}
    return CheckpointManifest("tiny", "semantic", ("ground", "square"), model={"width": 3}, config=config)


def opened(*manifests: CheckpointManifest, **given: Any) -> OpenedData:
    paths = [Path(f"runs/{number}") for number in range(len(manifests))]
    return open_data(paths, manifests, DataChoice(**given))


def test_the_data_are_those_of_the_runs() -> None:
    found = opened(manifest(), manifest())
    assert (found.opened.data, found.opened.split, len(found.opened.dataset)) == ("shapes", "val", 3)
    assert found.opened.dataset[0].size == (32, 32)
    assert not found.options_differ
    assert len(opened(manifest(), split="test").opened.dataset) == 4


def test_options_are_those_of_the_first_run_and_what_is_asked_for_lies_over_them() -> None:
    found = opened(manifest(val=5), manifest(val=9))
    assert len(found.opened.dataset) == 5
    assert found.options_differ
    found = opened(manifest(val=5), overrides={"data.options.val": 2})
    assert len(found.opened.dataset) == 2
    assert found.opened.dataset[0].size == (32, 32)
    assert found.wanted == {"data": {"options": {"val": 2}}, "evaluators": {}, "model": {}}


def test_options_of_runs_on_other_data_do_not_count() -> None:
    found = opened(manifest("coco", seed=7), manifest(val=6), data="shapes")
    assert len(found.opened.dataset) == 6
    assert not found.options_differ
    assert len(opened(manifest("coco"), data="shapes").opened.dataset) == 80


@pytest.mark.parametrize("data", ["absent", None, {}, {"name": None}, {"options": None}])
def test_runs_that_do_not_say_their_data(data: Any, tiny: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"runs/1 does not say which data .* Hint: add --data NAME"):
        opened(manifest(), manifest(data))
    assert len(opened(manifest(data), data="shapes", overrides={"val": 2}).opened.dataset) == 2
    registry.add_path(tiny)
    save_checkpoint(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, manifest(data))
    with pytest.raises(UsageError, match=r"a\.safetensors does not say which data"):
        data_of_run(tmp_path / "a.safetensors")


def test_runs_on_different_data() -> None:
    message = r"different datasets: runs/0 on shapes, runs/1 on coco\. Hint: choose one of them with --data"
    with pytest.raises(UsageError, match=message):
        opened(manifest(), manifest("coco"))


def test_a_dataset_that_is_open_already() -> None:
    dataset = open_dataset("shapes", split="val", options=SMALL)
    found = opened(manifest("coco"), data=dataset)
    assert found.opened.dataset is dataset
    assert found.opened.split == "given"
    with pytest.raises(UsageError, match="takes neither a folder nor options"):
        opened(manifest("coco"), data=dataset, data_dir="photos")


def test_settings_of_other_sections_are_refused() -> None:
    with pytest.raises(ConfigError, match="train"):
        opened(manifest(), overrides={"train": {"steps": 1}})
    with pytest.raises(ConfigError, match="width"):
        opened(manifest(), overrides={"model.width": 3})


def test_a_run_is_opened_with_its_evaluators_and_its_file_twice(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once to learn what it is, so that settings are checked before gigabytes are read."""
    registry.add_path(tiny)
    plugin = registry.plugins().get("tiny")
    model = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(width=3), ("ground", "square"))
    config = {
        "data": {"name": "squares", "options": {"count": 4}},
        "evaluators": {"iou": {"boundary": True}},
    }
    about = CheckpointManifest("tiny", "semantic", ("ground", "square"), model={"width": 3}, config=config)
    save_checkpoint(tmp_path / "best.safetensors", model.state_dict(), about)
    reads: list[str] = []

    def counting(path: Path, **options: Any) -> Any:
        reads.append(Path(path).name)
        return safe_open(path, **options)

    monkeypatch.setattr("toolkit.checkpoints.files.safe_open", counting)
    overrides = {"evaluators.iou.calibration": True}
    run = open_run(tmp_path, DataChoice(overrides=overrides), Prompting())
    assert reads == ["best.safetensors"] * 2
    assert (run.opened.data, run.opened.split, len(run.opened.dataset), run.task.name) == (
        "squares",
        "val",
        4,
        "semantic",
    )
    assert run.evaluators == {"iou": {"boundary": True, "calibration": True}}
    assert run.wanted_evaluators == {"iou": {"calibration": True}}
    with pytest.raises(ConfigError, match="width"):
        open_run(tmp_path, DataChoice(overrides={"model.width": "wide"}), Prompting())
    with pytest.raises(CheckpointError, match="no run or checkpoint at"):
        open_run(tmp_path / "absent", DataChoice(), Prompting())


def test_a_model_that_is_measured_by_its_protocols_has_no_windows() -> None:
    answers = bright_boxes.Answers(("box",))
    assert tiled(answers, None) is answers
    with pytest.raises(
        UsageError, match=r"--window 32: prompt protocols are measured on whole images\. Hint"
    ):
        tiled(answers, Tiling(32))


def test_only_models_that_use_windows_are_wrapped() -> None:
    whole = bright_detector.BrightDetector(("box",))
    assert tiled(whole, None) is whole
    with pytest.raises(UsageError, match=r"this model only predicts whole images\. Hint: leave out"):
        tiled(whole, Tiling(32))
    windowed = tiled(seams.Regions(("disc",)), Tiling(32))
    assert windowed.window_for((20, 40)) == 32
    assert tiled(seams.Regions(("disc",)), None).window_for((20, 40)) is None
    assert tiled(seams.Regions(("disc",)), None).window_for((5000, 4000)) == 1024, "as toolkit infer does"
