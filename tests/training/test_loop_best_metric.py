"""The best checkpoint by a metric of which less is better, and one of which more is."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from toolkit import registry
from toolkit.checkpoints import read_checkpoint
from toolkit.config import resolve
from toolkit.evaluation.compare import compare_runs
from toolkit.training.log import read_metrics
from toolkit.training.loop import TrainResult, train

EVALUATOR = '''
"""An evaluator as a user would write it: the part of the pixels that are wrong, or values from a script."""

import math
from pathlib import Path

from toolkit.config import Settings
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.report import Report
from toolkit.registry.manifests import EvaluatorManifest

EVALUATOR = EvaluatorManifest(
    name="errors", summary="wrong pixels, for tests", build=":build", settings=":ErrorSettings",
    measures=("label_map",),
)


class ErrorSettings(Settings):
    script: str = ""
    """A file whose next line is what the next validation finds."""


class Errors(Evaluator):
    def __init__(self, script):
        self.script, self.scripted = script, None
        self.reset()

    def reset(self):
        self.wrong = self.all = 0

    def prepare(self, dataset):
        if self.script:
            first, *rest = Path(self.script).read_text().split()
            Path(self.script).write_text(" ".join(rest))
            self.scripted = float(first)

    def _update(self, sample, prediction):
        self.wrong += int((sample.label_map != prediction.label_map).sum())
        self.all += sample.label_map.numel()

    def state(self):
        return self.wrong, self.all

    def merge(self, states):
        self.wrong, self.all = (sum(values) for values in zip(*states))

    def report(self):
        error = self.wrong / self.all if self.all else math.nan
        if self.all and self.scripted is not None:
            error = self.scripted
        return Report("errors", {"right": 1 - error, "error": error}, lower_is_better=("error",))


def build(settings, classes):
    return Errors(settings.script)
'''

VALUES = [0.9, 0.5, 0.7, math.nan, 0.4, 0.45, 0.4, 0.6, 0.1, 0.05]
"""With these the fifth is the best that a patience of 3 sees, and NaN is not better than anything."""


@pytest.fixture(autouse=True)
def script(tmp_path: Path) -> Path:
    """Registers the evaluator; the file that tells it what to find."""
    (tmp_path / "errors.py").write_text(EVALUATOR)
    registry.add_path(tmp_path / "errors.py")
    path = tmp_path / "script.txt"
    path.write_text(" ".join(map(str, VALUES)))
    return path


def run(
    tiny: str, out: Path, script: Path | str, steps: int, *words: str, resume: bool = False
) -> TrainResult:
    fixed = ["train.device=cpu", "train.workers=0", "train.eval_every=1", "train.schedule=constant"]
    fixed += [f"evaluators.errors.script={script}", f"train.steps={steps}"]
    return train(resolve(plugin=tiny, data=tiny, overrides=[*fixed, *words]), out, resume=resume)


def best_of(folder: Path) -> tuple[int, dict[str, float | None]]:
    """Step and metrics of the best checkpoint."""
    _, manifest = read_checkpoint(folder / "best.safetensors")
    assert manifest is not None
    return manifest.step, dict(manifest.metrics)


@pytest.mark.parametrize(("metric", "best"), [("error", 0.05), ("right", 0.95)])
def test_the_lowest_error_is_the_best_and_the_highest_of_everything_else(
    tiny: str, tmp_path: Path, script: Path, metric: str, best: float
) -> None:
    result = run(tiny, tmp_path / "run", script, 10, f"train.best_metric={metric}")
    assert result.best_metric == metric
    assert result.best == pytest.approx(best)
    step, metrics = best_of(tmp_path / "run")
    assert step == 10
    assert metrics[metric] == pytest.approx(best)
    logged = [line[f"val/{metric}"] for line in read_metrics(tmp_path / "run") if f"val/{metric}" in line]
    expected = VALUES if metric == "error" else [1 - value for value in VALUES]
    assert logged == pytest.approx([None if math.isnan(value) else value for value in expected])


@pytest.mark.parametrize("metric", ["error", "right"])
@pytest.mark.parametrize("interrupted", [None, 2, 4, 5, 6])
def test_patience_counts_validations_that_are_not_better_also_over_a_resume(
    tiny: str, tmp_path: Path, script: Path, metric: str, interrupted: int | None
) -> None:
    folder, words = tmp_path / "run", [f"train.best_metric={metric}", "train.patience=3"]
    if interrupted:
        assert run(tiny, folder, script, interrupted, *words).steps == interrupted
        so_far = VALUES[:interrupted]
        assert best_of(folder)[0] == 1 + so_far.index(min(value for value in so_far if value == value))
    result = run(tiny, folder, script, 20, *words, resume=interrupted is not None)
    assert result.finished
    assert result.steps == 8, (
        "the fifth is the best, the same value once more is no better, nor are the others"
    )
    assert result.best == pytest.approx(0.4 if metric == "error" else 0.6)
    step, metrics = best_of(folder)
    assert step == 5
    assert metrics["error"] == pytest.approx(0.4)
    assert len(script.read_text().split()) == 2, "those that would have been better were not seen"


def test_a_value_that_is_never_defined_is_never_the_best(tiny: str, tmp_path: Path, script: Path) -> None:
    script.write_text("nan nan nan nan")
    result = run(tiny, tmp_path / "run", script, 9, "train.best_metric=error", "train.patience=2")
    assert result.steps == 2
    assert math.isnan(result.best)
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_metrics_of_both_kinds_are_chosen_from_when_measured_for_real(tiny: str, tmp_path: Path) -> None:
    """The file of the best has the weights with which that value was measured."""
    run(tiny, tmp_path / "run", "", 12, "train.best_metric=error", "train.lr=0.05", "model.width=8")
    errors = [line["val/error"] for line in read_metrics(tmp_path / "run") if "val/error" in line]
    found: Sequence[float] = [value for value in errors if value is not None]
    assert len(found) == 12
    step, metrics = best_of(tmp_path / "run")
    assert metrics["error"] == min(found) < max(found)
    assert step == 1 + found.index(min(found))


def test_a_comparison_says_of_which_figures_less_is_better(tiny: str, tmp_path: Path) -> None:
    for name, steps in (("little", 1), ("much", 30)):
        run(
            tiny,
            tmp_path / name,
            "",
            steps,
            "train.best_metric=error",
            "model.width=8",
            "train.eval_every=50",
        )
    comparison = compare_runs(
        [tmp_path / "little", tmp_path / "much"], accelerator="cpu", memory=False, resamples=20
    )
    assert comparison.lower_is_better == ("error",)
    assert json.loads(json.dumps(comparison.to_dict()))["lower_is_better"] == ["error"]
    little, much = comparison.runs
    assert much.figures["error"] < little.figures["error"]
    assert much.figures["error"] == pytest.approx(best_of(tmp_path / "much")[1]["error"])
    assert much.differences["error"].value < 0 < much.differences["right"].value
    out = io.StringIO()
    Console(file=out, width=160).print(comparison.table())
    lines = [line.strip() for line in out.getvalue().splitlines()]
    (row,) = [line for line in lines if "lower is better" in line]
    assert row.startswith("error (lower is better) ")
