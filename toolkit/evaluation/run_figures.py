"""The results of comparing runs, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit.evaluation.bootstrap import LEVEL, Difference
from toolkit.evaluation.report import as_html, is_better
from toolkit.runtime.extras import import_pandas

if TYPE_CHECKING:
    from rich.console import Group

SPEED, PARAMETERS, MEMORY = "images_per_second", "parameters", "memory"


@dataclass(frozen=True)
class RunFigures:
    """The results of one run.

    Attributes:
        name: a short, unique name.
        plugin, step: from the checkpoint's manifest.
        figures: the metrics by name, then ``images_per_second``, ``parameters`` and ``memory`` in bytes;
            values that are not known are NaN.
        differences: differences from the first run, by the same names; empty for the first run itself.
    """

    name: str
    plugin: str
    step: int
    figures: Mapping[str, float]
    differences: Mapping[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        data, split, images: what they were measured on.
        runs: in the order given; all have the same figures.
        notes: sentences that a reader needs to interpret them.
        lower_is_better: names of the figures for which lower is better.
    """

    data: str
    split: str
    images: int
    runs: tuple[RunFigures, ...]
    notes: tuple[str, ...]
    lower_is_better: tuple[str, ...] = ()

    def best(self) -> int:
        """The position of the run that is best by the first metric; the first one of equal runs."""
        metric = next(iter(self.runs[0].figures))
        best = 0
        for place, run in enumerate(self.runs):
            if is_better(
                run.figures[metric], self.runs[best].figures[metric], lower=metric in self.lower_is_better
            ):
                best = place
        return best

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, with None for undefined values."""
        return {
            "data": self.data,
            "split": self.split,
            "images": self.images,
            "runs": [
                {
                    "name": run.name,
                    "plugin": run.plugin,
                    "step": run.step,
                    "figures": {name: _number(value) for name, value in run.figures.items()},
                    "differences": {
                        name: {
                            "value": _number(each.value),
                            "low": _number(each.low),
                            "high": _number(each.high),
                        }
                        for name, each in run.differences.items()
                    },
                }
                for run in self.runs
            ],
            "notes": list(self.notes),
            "lower_is_better": list(self.lower_is_better),
        }

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame``: one row per figure, one column per run, and for each run except the first
        its ``difference`` from the first, with the ``low`` and ``high`` end of the interval. Memory is in
        bytes; undefined values are NaN.

        Raises:
            UnavailableError: when pandas is not installed.
        """
        pandas = import_pandas("to_dataframe()")
        first, *others = self.runs
        names = list(first.figures)
        columns = {first.name: list(first.figures.values())}
        for run in others:
            columns[run.name] = [run.figures[name] for name in names]
            columns[f"{run.name}: difference"] = [run.differences[name].value for name in names]
            columns[f"{run.name}: low"] = [run.differences[name].low for name in names]
            columns[f"{run.name}: high"] = [run.differences[name].high for name in names]
        return pandas.DataFrame(columns, index=pandas.Index(names, name="figure"))

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return as_html(self.table())

    def table(self) -> Group:
        """A table for ``rich``: one row per figure, with the value of each run, and its difference from the
        first run with the interval.
        """
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        first, *others = self.runs
        title = Text(f"{self.data}, {self.split}: {self.images} images")
        table = Table("", title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
        table.add_column(Text(first.name), justify="right")
        for run in others:
            table.add_column(Text(run.name), justify="right")
            table.add_column(Text("difference [low, high]"), no_wrap=True)
        for name, value in first.figures.items():
            unit, form = _FORMS.get(name, ("", "{:.4f}"))
            unit = "lower is better" if name in self.lower_is_better else unit
            cells = [f"{name} ({unit})" if unit else name, _shown(value, name, form)]
            for run in others:
                cells += [
                    _shown(run.figures[name], name, form),
                    _shown_difference(run.differences[name], name, form),
                ]
            table.add_row(*(Text(cell) for cell in cells))
        legend = (
            f"Differences are from {first.name}; [low, high] is the {LEVEL:.0%} interval, and * means that it"
            " excludes 0."
        )
        return Group(table, *(Text(note) for note in (legend, *self.notes)))


_FORMS = {SPEED: ("", "{:.2f}"), PARAMETERS: ("", "{:,.0f}"), MEMORY: ("MB", "{:,.0f}")}


def _shown(value: float, name: str, form: str) -> str:
    return "–" if math.isnan(value) else form.format(value / 1e6 if name == MEMORY else value)


def _shown_difference(each: Difference, name: str, form: str) -> str:
    signed = form.replace("{:", "{:+")
    value = _shown(each.value, name, signed)
    if math.isnan(each.low):
        return value
    return (
        f"{value} [{_shown(each.low, name, signed)},"
        f" {_shown(each.high, name, signed)}]{' *' if each.is_clear else ''}"
    )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
