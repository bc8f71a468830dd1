"""How much of a figure, or of a difference between two models, could be due to the choice of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.bootstrap import LEVEL, Difference, difference
from toolkit.evaluation.report import Report
from toolkit.reporting.findings import Reference
from toolkit.wording import counted

SECONDS = 5.0
"""How long the draws of the intervals of a model may take, unless their number is given."""
FEWEST_DRAWS = 20
"""With fewer draws than this there are no intervals."""
PERCENTILES_FROM = 100
"""With fewer draws than this, an interval is made from their standard deviation, as percentiles need many."""
NORMAL = 1.96
"""Standard deviations on either side of the value that hold ``LEVEL`` of a normal distribution."""
FEW = 30
"""With fewer images than this, intervals of the bootstrap are too narrow."""


def all_metrics(reports: Sequence[Report]) -> dict[str, float]:
    """All metrics of all reports, by name."""
    return {name: value for report in reports for name, value in report.metrics.items()}


def intervals(
    metrics: Mapping[str, float], spreads: Mapping[str, NDArray[np.float64]]
) -> dict[str, tuple[float, float]]:
    """The interval of each metric, for those that have one.

    Args:
        metrics: on all images.
        spreads: in each draw, of ``ImageStates.spreads``.
    """
    zero = np.zeros(0)
    found = {name: _ends(value, spreads.get(name, zero)) for name, value in metrics.items()}
    return {name: ends for name, ends in found.items() if ends is not None}


def _ends(value: float, values: NDArray[np.float64]) -> tuple[float, float] | None:
    values = values[~np.isnan(values)]
    if len(values) < FEWEST_DRAWS:
        return None
    if len(values) < PERCENTILES_FROM:
        half = NORMAL * float(values.std(ddof=1))
        return value - half, value + half
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def compared_with(
    name: str,
    reports: Sequence[Sequence[Report]],
    spreads: Sequence[Mapping[str, NDArray[np.float64]]],
) -> Reference:
    """The other model, with differences in the same draws.

    Args:
        name: of the other model.
        reports: of both, the other model's second.
        spreads: of both, likewise.
    """
    own, others = (all_metrics(each) for each in reports)
    differences = {}
    for metric in own:
        if metric not in others:
            continue
        # both took as many draws as there was time for, and the first ones are the same
        pair = [spread.get(metric, np.zeros(0)) for spread in spreads]
        count = min(map(len, pair))
        both = pair[0][:count], pair[1][:count]
        if FEWEST_DRAWS <= count < PERCENTILES_FROM:
            value = own[metric] - others[metric]
            ends = _ends(value, both[0] - both[1]) or (float("nan"), float("nan"))
            differences[metric] = Difference(value, *ends)
        else:
            none = np.zeros(0)
            pair = [none, none] if count < FEWEST_DRAWS else list(both)
            differences[metric] = difference(own[metric], others[metric], pair[0], pair[1])
    return Reference(name, others, differences)


def interval_notes(
    spreads: Mapping[str, NDArray[np.float64]], images: int, name: str, reference: Reference | None
) -> list[str]:
    """What a reader has to know of the intervals.

    Args:
        spreads: of the model.
        images: that it was measured on.
        name: what it is called.
        reference: another model; None without one.
    """
    counts = sorted({len(values) for values in spreads.values()})
    notes = []
    if counts and counts[-1] >= FEWEST_DRAWS:
        told = " and ".join(str(count) for count in counts)
        how = "" if counts[0] >= PERCENTILES_FROM else ", where they are few from their standard deviation"
        notes.append(f"Intervals are from {told} bootstrap draws of images{how}.")
    if counts and counts[0] < FEWEST_DRAWS:
        notes.append(
            f"There are no intervals from only {counted(counts[0], 'bootstrap draw')} of {images:,} images;"
            " --resamples 200 makes them, which may take a while."
        )
    if 1 < images < FEW:
        notes.append(f"{images} images are few: such intervals are too narrow.")
    if reference is not None:
        notes.append(
            f"Differences are {name} minus {reference.name}; * marks those whose interval excludes 0."
        )
    return notes
