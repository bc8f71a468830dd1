"""`toolkit report`: of runs, of predictions that anyone has made, and of two runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from support import bright_boxes, bright_detector

import toolkit
from toolkit import registry
from toolkit.checkpoints import BEST, CheckpointManifest, save_checkpoint
from toolkit.config import resolve
from toolkit.data.dataset import open_dataset
from toolkit.errors import UsageError
from toolkit.evaluation.requests import Computing, DataChoice, Prompting
from toolkit.evaluation.runs import evaluate_run
from toolkit.reporting import measuring
from toolkit.reporting.measuring import ReportOptions, report_predictions, report_run
from toolkit.training.loop import train

CPU = Computing(accelerator="cpu")
TINY = str(Path(__file__).resolve().parents[1] / "support" / "tiny.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of the plugin ``tiny`` on ``squares``, one of them hardly trained."""
    folder = tmp_path_factory.mktemp("runs")
    for steps in (20, 1):
        words = [f"train.steps={steps}", "train.workers=0", "train.device=cpu"]
        train(resolve(plugin=TINY, data=TINY, overrides=words), folder / f"tiny-{steps}")
    return sorted(folder.iterdir(), key=lambda run: -len(run.name))


def test_the_figures_are_those_of_eval_and_both_files_lie_in_the_run(runs: list[Path], tiny: str) -> None:
    registry.add_path(tiny)
    written = report_run(runs[0], computing=CPU)
    assert written.path == runs[0] / "report.html"
    document = json.loads((runs[0] / "report.json").read_text())
    (expected,) = evaluate_run(runs[0], computing=CPU) or []
    assert document["reports"][0]["metrics"] == expected.to_dict()["metrics"]
    assert document["data"]["name"] == "tiny"
    assert document["training"][0]["title"] == "loss"
    assert document["model"]["plugin"] == "tiny"
    assert document["settings"]["train"]["steps"] == 20
    low, high = document["intervals"]["mean_iou"]
    assert low <= expected.metrics["mean_iou"] <= high


def test_a_checkpoint_alone_has_a_report_beside_it(runs: list[Path], tiny: str, tmp_path: Path) -> None:
    registry.add_path(tiny)
    (tmp_path / BEST).write_bytes((runs[0] / BEST).read_bytes())
    written = report_run(tmp_path / BEST, computing=CPU, options=ReportOptions(resamples=25))
    assert written.path == tmp_path / "report.html"
    assert written.document["training"] == []


def test_two_runs_are_compared_on_the_same_images(runs: list[Path], tiny: str, tmp_path: Path) -> None:
    registry.add_path(tiny)
    written = report_run(
        runs[0], computing=CPU, options=ReportOptions(compare=runs[1], out=tmp_path / "two.html")
    )
    reference = written.document["reference"]
    assert reference["name"] == "tiny-1"
    (first,), (second,) = (evaluate_run(run, computing=CPU) or [] for run in runs)
    difference = reference["differences"]["mean_iou"]
    assert reference["metrics"]["mean_iou"] == second.metrics["mean_iou"]
    assert difference["value"] == pytest.approx(first.metrics["mean_iou"] - second.metrics["mean_iou"])
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert "tiny-20 minus tiny-1" in written.path.read_text()
    options = ReportOptions(compare=runs[0], out=tmp_path / "own.html", resamples=200)
    own = report_run(runs[0], computing=CPU, options=options)
    assert own.document["reference"]["differences"]["mean_iou"] == {"value": 0, "low": 0, "high": 0}


def test_predictions_of_anyone_have_a_report(tiny: str, tmp_path: Path) -> None:
    dataset = open_dataset(registry.named(registry.datasets(), tiny, by_user=True), None, "val")
    for i in range(len(dataset)):
        sample = dataset[i]
        assert sample.label_map is not None
        path = tmp_path / f"{sample.id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), sample.label_map.numpy())
    written = report_predictions(
        tmp_path, DataChoice("squares"), options=ReportOptions(out=tmp_path / "perfect.html")
    )
    assert written.document["reports"][0]["metrics"]["mean_iou"] == 1
    assert written.document["errors"]["most_telling"] == written.document["suspects"] == []
    assert written.document["settings"] == {}


def test_from_python_it_is_a_verb_like_the_others(runs: list[Path], tiny: str, tmp_path: Path) -> None:
    registry.add_path(tiny)
    out = tmp_path / "b.html"
    written = toolkit.report(
        runs[0], out=out, device="cpu", resamples=30, progress=False, settings=["evaluators.iou.void=ignore"]
    )
    assert (written.path, written.path.is_file()) == (out, True)
    for wrong in (
        {},
        {"run": runs[0], "predictions": tmp_path},
        {"predictions": tmp_path},
        {"predictions": tmp_path, "data": "squares", "compare": runs[1]},
    ):
        with pytest.raises(UsageError):
            toolkit.report(**wrong)  # type: ignore[arg-type]


def test_copies_are_looked_for_in_the_other_splits_unless_nobody_wants_it(
    runs: list[Path], tiny: str, tmp_path: Path
) -> None:
    registry.add_path(tiny)
    quick = ReportOptions(out=tmp_path / "a.html", resamples=1)
    data = report_run(runs[0], computing=CPU, options=quick).document["data"]
    assert data["copies"]["compared"] == {"train": [12, 12]}
    assert data["copies"]["pairs"] == []
    same = DataChoice(open_dataset("squares", None, "val"))
    assert report_run(runs[0], same, CPU, options=quick).document["data"]["copies"]["compared"] == {}
    without = report_run(runs[0], computing=CPU, options=replace(quick, copies=False)).document["data"]
    assert without["copies"] is None


def test_groups_of_images_have_figures_with_intervals(runs: list[Path], tiny: str, tmp_path: Path) -> None:
    registry.add_path(tiny)
    table = tmp_path / "about.csv"
    table.write_text("image,sky\n" + "".join(f"val/{i},{'<b>' if i % 3 else 'blue'}\n" for i in range(12)))
    options = ReportOptions(out=tmp_path / "a.html", resamples=25, copies=False)
    choice = DataChoice(overrides={"evaluators.iou.slices": str(table)})
    document = report_run(runs[0], choice, CPU, options=options).document
    (groups,) = document["groups"]
    assert (groups["by"], [row["name"] for row in groups["rows"]]) == ("sky", ["all images", "<b>", "blue"])
    assert [row["count"] for row in groups["rows"]] == [12, 8, 4]
    for row in groups["rows"]:
        cell = row["metrics"]["mean_iou"]
        assert cell["value"] == document["reports"][0]["metrics"][cell["metric"]]
        low, high = document["intervals"][cell["metric"]]
        assert low <= cell["value"] <= high
    page = (tmp_path / "a.html").read_text()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page.partition('<section id="groups">')[2].partition("</section>")[0]


def test_answers_to_prompts_are_compared_with_the_detector_that_gave_them(tmp_path: Path) -> None:
    runs = []
    for module, cls, task in (
        (bright_boxes, bright_boxes.Answers, "promptable"),
        (bright_detector, bright_detector.BrightDetector, "instance"),
    ):
        registry.add_path(str(module.__file__))
        runs.append(tmp_path / module.PLUGIN.name)
        runs[-1].mkdir()
        manifest = CheckpointManifest(module.PLUGIN.name, task, ("box",))
        save_checkpoint(runs[-1] / BEST, cls(("box",)).state_dict(), manifest)
    answers, detector = runs
    options = ReportOptions(compare=detector, out=tmp_path / "a.html", resamples=1)
    written = report_run(answers, DataChoice("bright"), CPU, Prompting(f"from:{detector}"), options)
    (report,) = written.document["reports"]
    assert report["name"] == "coco"
    assert report["metrics"]["segm/AP"] == report["metrics"]["bbox/AP"] == 1
    assert written.document["reference"]["metrics"]["bbox/AP"] == 1
    assert written.document["threshold"] == 0.5
    assert written.document["errors"]["most_telling"] == []
    written = toolkit.report(
        answers, data="bright", prompts=f"from:{detector}", prompts_above=0.95, device="cpu", progress=False
    )
    assert written.document["errors"]["counts"] == {"missed": 4, "right": 0}


def test_suspected_regions_say_how_sure_a_model_with_probabilities_is(tiny: str, tmp_path: Path) -> None:
    registry.add_path(tiny)
    plugin, classes = registry.plugins().get("unet"), ("ground", "square")
    settings = plugin.resolve(plugin.settings)(encoder="original_padded", width=8)
    torch.manual_seed(0)
    model = plugin.resolve(plugin.build)(settings, classes)
    values = settings.model_dump(mode="json")
    manifest = CheckpointManifest("unet", "semantic", classes, model=values, plugin_version=plugin.version)
    save_checkpoint(tmp_path / BEST, model.state_dict(), manifest)
    choice = DataChoice("squares", overrides={"evaluators.iou": {}})
    suspects = report_run(tmp_path, choice, CPU, options=ReportOptions(resamples=1)).document["suspects"]
    assert suspects
    for each in suspects:
        assert 0.5 <= each["probability"] < 0.99
        assert "with probability 0." in each["says"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/a/runs/x"], ["x"]),
        (["/a/runs/x", "/a/runs/y"], ["x", "y"]),
        (["/a/one/x", "/a/two/x"], ["one/x", "two/x"]),
        (["/b/x", "/a/b/x"], ["/b/x", "a/b/x"]),
        (["/a/x", "/a/x"], ["x", "x"]),
    ],
)
def test_runs_are_called_by_as_little_of_their_paths_as_tells_them_apart(
    paths: list[str], expected: list[str]
) -> None:
    found = [Path(path) for path in paths]
    assert [measuring._short_name(path, found) for path in found] == expected
