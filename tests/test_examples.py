"""The notebooks run from top to bottom: every code cell, in order, in a folder of its own."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from support import fake_libraries

from toolkit import registry

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
QUICK = {
    "train.steps": 2,
    "train.workers": 0,
    "train.device": "cpu",
    "train.batch_size": 2,
    "model.width": 4,
    "data.options.size": 32,
    "data.options.train": 8,
    "data.options.val": 4,
}
"""Settings that are laid over those of a notebook, so that it takes seconds."""


def code_cells(notebook: str) -> list[str]:
    content = json.loads((EXAMPLES / notebook).read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict[str, object]) -> object:
    """Carry out a cell; the value of its last line, where that is an expression, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_quickstart_trains_draws_tables_compares_and_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toolkit

    train = toolkit.train

    def quick_train(settings: dict[str, object], **where: object) -> toolkit.TrainResult:
        return train({**settings, **QUICK}, progress=False, **where)  # type: ignore[arg-type]

    fake_libraries.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(toolkit, "train", quick_train, raising=False)
    names: dict[str, object] = {}
    shown = [run_cell(cell, names) for cell in code_cells("quickstart.ipynb")]
    registry.clear()
    kinds = [type(value).__name__ for value in shown if value is not None]
    assert kinds == ["TrainResult", "ImagePrediction", "DataFrame", "Reports", "Comparison", "Summary"]
    out = tmp_path / "quickstart"
    for name in (
        "prediction.png",
        "prediction.json",
        "results/predictions.json",
        "results/labels/classes.csv",
    ):
        assert (out / name).is_file(), name
    assert len(list((out / "results" / "overlays").glob("*.jpg"))) == 8


def test_the_quickstart_is_short_and_clean() -> None:
    content = json.loads((EXAMPLES / "quickstart.ipynb").read_text(encoding="utf-8"))
    assert len(content["cells"]) <= 15
    for cell in content["cells"]:
        assert not cell.get("outputs"), "outputs are not kept"
        assert cell.get("execution_count") is None
