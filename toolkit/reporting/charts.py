"""Charts as inline SVG by matplotlib: text stays text, nothing is read as markup or as mathematics, and lines
can be told apart without color.
"""

from __future__ import annotations

import io
import math
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from toolkit.runtime.text import printable

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#999933")
"""Colors that can be told apart without color vision, those of Okabe and Ito first. None is black, which
nobody sees on a dark page.
"""
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST_LINES = 8
"""Lines of a chart; there are as many colors and markers."""
MOST_WRITTEN = 12
"""Classes of a matrix whose values are written into it."""
MOST_LEGIBLE = 50
"""Classes of a matrix whose names have the size of other text; those of larger ones are smaller."""
MOST_LETTERS = 24

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": False,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_FONT = re.compile(r"font-family: [^;]*(; )?")
_NO_XML = re.compile("[\ufffe\uffff]")


@dataclass(frozen=True)
class Drawn:
    """A chart.

    Attributes:
        svg: an element to put into a page.
        area: left, top, right and bottom of the axes in the coordinates of the picture, for what is drawn
            over it later.
    """

    svg: str
    area: tuple[float, float, float, float]


Lines = Mapping[str, Sequence["float | None"]]


def line_chart(
    name: str,
    x: Sequence[float],
    lines: Lines,
    x_label: str,
    y_label: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> Drawn:
    """Lines over a common axis; at most ``MOST_LINES``, the first ones.

    Args:
        name: of the chart, unique in its page; letters, digits and dashes.
        x: the points along the axis.
        lines: name of each line -> one value a point; what is None or NaN leaves a gap.
        x_label, y_label: what the axes show.
        x_range, y_range: the ends of the axes; those of the values when None.
        diagonal: whether to draw where both axes are equal.
    """
    return points_chart(
        name,
        {line: (x, values) for line, values in lines.items()},
        x_label,
        y_label,
        x_range=x_range,
        y_range=y_range,
        diagonal=diagonal,
    )


def points_chart(
    name: str,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float | None]]],
    x_label: str,
    y_label: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
    logarithmic: bool = False,
) -> Drawn:
    """Lines, each with its own points; otherwise as ``line_chart``, with a logarithmic y axis if wanted."""
    with rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        if diagonal:
            axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
        for place, (line, (x, values)) in enumerate(list(lines.items())[:MOST_LINES]):
            _plot(axes, place, line, x, values)
        axes.set_xlabel(shown_name(x_label))
        axes.set_ylabel(shown_name(y_label))
        if x_range:
            axes.set_xlim(*x_range)
        if y_range:
            axes.set_ylim(*y_range)
        if logarithmic:
            axes.set_yscale("log")
            # the usual labels are mathematics
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        if lines and (len(lines) > 1 or diagonal):
            figure.legend(loc="outside lower center", ncols=2 if len(lines) < 5 else 3, fontsize=10)
        return _drawn(figure, axes, name)


def _plot(axes: Axes, place: int, line: str, x: Sequence[float], values: Sequence[float | None]) -> None:
    y = [math.nan if value is None else value for value in values]
    every = max(1, len(y) // 8)
    axes.plot(
        x,
        y,
        label=shown_name(line) or "(no name)",
        color=COLORS[place % len(COLORS)],
        linestyle=DASHES[place % len(DASHES)],
        marker=MARKERS[place % len(MARKERS)],
        markersize=4,
        # shifted, so that markers of lines that coincide do not
        markevery=(min(place, len(y) - 1) % every if y else 0, every),
        linewidth=1.6,
    )


def matrix_chart(
    name: str,
    rows: Sequence[str],
    columns: Sequence[str],
    shares: Sequence[Sequence[float | None]],
    row_label: str,
    column_label: str,
) -> Drawn:
    """A matrix of shares in shades; the shares of a small one are written into it in percent.

    Args:
        name: as for ``line_chart``.
        rows, columns: their names.
        shares: from 0 to 1, one list per row; None where undefined.
        row_label, column_label: what they stand for.
    """
    values = [[math.nan if value is None else value for value in row] for row in shares]
    most = max(len(rows), len(columns))
    small = most <= MOST_WRITTEN
    side = min(16.0, 2.6 + (0.42 if small else 0.26) * most)
    with rc_context(cast(Any, _STYLE | {"axes.grid": False, "font.size": 9})):
        figure = Figure(figsize=(side + 0.6, side), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(values, vmin=0, vmax=1, cmap="cividis_r", interpolation="none", aspect="equal")
        figure.colorbar(image, ax=axes, shrink=0.7, format=lambda value, _: f"{100 * value:.0f}%")
        for place, row in enumerate(values if small else ()):
            for column, value in enumerate(row):
                if not math.isnan(value):
                    # not quite black, because what is black gets the color of the page's text
                    color = "white" if value > 0.5 else "#010101"
                    text = f"{100 * value:.0f}"
                    axes.text(column, place, text, ha="center", va="center", color=color, fontsize=8)
        size = 9 if most <= MOST_LEGIBLE else max(4.0, 9 * MOST_LEGIBLE / most)
        axes.set_xticks(range(len(columns)), list(map(shown_name, columns)), rotation=90, fontsize=size)
        axes.set_yticks(range(len(rows)), list(map(shown_name, rows)), fontsize=size)
        axes.set_xlabel(shown_name(column_label))
        axes.set_ylabel(shown_name(row_label))
        return _drawn(figure, axes, name)


def bar_chart(
    name: str, edges: Sequence[float], counts: Sequence[int], x_label: str, y_label: str, *, mark: float
) -> Drawn:
    """Bars side by side, and a line at one value.

    Args:
        name: as for ``line_chart``.
        edges: of the bars, one more than there are bars, in ascending order.
        counts: how high each bar is.
        x_label, y_label: what the axes show.
        mark: the value that the line is at.
    """
    with rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = figure.add_subplot()
        axes.stairs(counts, edges, fill=True, color=COLORS[0], alpha=0.85)
        axes.axvline(mark, color=COLORS[1], linestyle="--", linewidth=1.6)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(shown_name(x_label))
        axes.set_ylabel(shown_name(y_label))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        return _drawn(figure, axes, name)


def shown_name(text: str) -> str:
    """A name as it stands in a chart: control characters visible, and not too long."""
    text = " ".join(_NO_XML.sub("\ufffd", printable(text)).split())
    # matplotlib leaves lines out of the legend whose names begin so
    text = f" {text}" if text.startswith("_") else text
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def _drawn(figure: Figure, axes: Axes, name: str) -> Drawn:
    file = io.StringIO()
    with warnings.catch_warnings():
        # about letters that its own font has not, which the reader's may have
        warnings.simplefilter("ignore", UserWarning)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing, transparent=True)
    box = axes.get_position()
    width, height = (72 * inches for inches in figure.get_size_inches())
    left, right = float(box.x0 * width), float(box.x1 * width)
    top, bottom = float((1 - box.y1) * height), float((1 - box.y0) * height)
    return Drawn(_inline(file.getvalue(), name), (left, top, right, bottom))


def _inline(document: str, name: str) -> str:
    """The SVG element of a document, with ids that no other chart has, and in the colors of the page."""
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    # without its declaration of a document type, which a page has no use for
    root = ET.fromstring(document[document.index("<svg") :])
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _rename(element, name)
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("class", "chart")
    root.set("id", name)
    return ET.tostring(root, encoding="unicode")


def _rename(element: ET.Element, name: str) -> None:
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key == _LINK:
            del element.attrib[key]
            # pictures are data; all else is a part of this chart
            element.set("href", f"#{name}-{value[1:]}" if value.startswith("#") else value)
        elif "url(#" in value:
            element.set(key, value.replace("url(#", f"url(#{name}-"))
        if key == "style":
            element.set("style", _as_the_page(element.attrib["style"]))
    # without a style, letters are black, which cannot be read on a dark page
    if element.tag == f"{{{_SVG}}}text" and "fill" not in element.attrib.get("style", ""):
        element.set("style", f"fill: currentColor; {element.attrib.get('style', '')}")


def _as_the_page(style: str) -> str:
    """Without a font of its own, and with what is black in the color of the text."""
    return _FONT.sub("", style).replace("stroke: #000000", "stroke: currentColor")
