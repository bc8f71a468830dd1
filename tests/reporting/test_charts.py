"""Charts are SVG in which names are text, whatever they hold."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from toolkit.reporting.charts import (
    COLORS,
    DASHES,
    MARKERS,
    MOST_LINES,
    bar_chart,
    line_chart,
    matrix_chart,
    shown_name,
)

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    "</text><a>",
    "&amp;",
    "$x^2$ $",
    "$\\frac{",
    "\"quoted'",
    "\u202eabc",
    "\x1b[31m\x00",
    "_hidden",
    "",
    "\udce9\ufffe",
    "日本",
    "x" * 500,
]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text(name: str) -> None:
    svg = line_chart("c", [0, 1], {name: [0, 1], "other": [1, 0]}, name, "y").svg
    shown = shown_name(name)
    assert texts(svg).count(shown) >= (2 if shown else 0)
    tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(svg).iter()}
    assert tags <= {"svg", "defs", "g", "path", "use", "text", "clipPath", "rect", "tspan"}
    svg = matrix_chart("m", [name], [name], [[0.5]], name, "columns").svg
    assert shown in texts(svg) or not shown


def test_nothing_points_out_of_the_chart() -> None:
    svg = (
        matrix_chart("m", ["a"], ["b"], [[0.5]], "r", "c").svg
        + line_chart("c", [0, 1], {"a": [0, 1]}, "x", "y").svg
    )
    for value in re.findall(r'href="([^"]*)"', svg):
        assert value.startswith(("#m-", "#c-", "data:image/png"))
    for value in re.findall(r"url\(([^)]*)\)", svg):
        assert value.startswith(("#m-", "#c-"))
    ids = re.findall(r' id="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"https?://[^\"]*", svg)) == {"http://www.w3.org/2000/svg"}


def test_lines_differ_without_color_and_are_not_too_many() -> None:
    looks = {(DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)]) for i in range(MOST_LINES)}
    assert len(looks) == MOST_LINES == len(set(COLORS)) == len(MARKERS)
    svg = line_chart("c", [0, 1], {f"line {i}": [0, i] for i in range(12)}, "x", "y").svg
    assert sum(text.startswith("line ") for text in texts(svg)) == MOST_LINES


def test_the_area_is_where_the_axes_are() -> None:
    drawn = line_chart("c", [0, 1], {"a": [0, 1]}, "x", "y", x_range=(0, 1))
    left, top, right, bottom = drawn.area
    places = [
        tuple(map(float, found))
        for found in re.findall(r'<path d="M ([\d.]+) ([\d.]+) +L ([\d.]+) ([\d.]+) *" clip-path', drawn.svg)
    ]
    assert any(abs(x0 - left) < 0.1 and abs(x1 - right) < 0.1 for x0, _, x1, _ in places)
    assert 0 < left < right < 461
    assert 0 < top < bottom < 289


def test_gaps_and_empty_charts_are_drawn() -> None:
    assert texts(line_chart("c", [0, 1, 2], {"a": [None, 1, None]}, "x", "y").svg)
    assert texts(line_chart("c", [], {}, "x", "y").svg)
    assert texts(line_chart("c", [], {"a": [], "b": []}, "x", "y").svg)
    svg = matrix_chart("m", ["a", "b"], ["a"], [[None], [1.0]], "r", "c").svg
    assert "100" in texts(svg)


def test_letters_in_a_matrix_keep_their_color_on_a_dark_page() -> None:
    svg = matrix_chart("m", ["a"], ["a", "b"], [[0.1, 0.9]], "r", "c").svg
    fills = {text: re.search(rf'fill: ([^;"]+)[^>]*>{text}<', svg) for text in ("10", "90", "a")}
    found = [match and match[1] for match in fills.values()]
    assert found == ["#010101", "#ffffff", "currentColor"]
    assert "#000000" not in svg


def test_the_values_of_a_large_matrix_are_not_written_into_it() -> None:
    names = [f"class {i}" for i in range(20)]
    svg = matrix_chart("m", names, names, [[0.37] * 20] * 20, "r", "c").svg
    assert "37" not in texts(svg)
    assert "class 19" in texts(svg)


@pytest.mark.parametrize("counts", [[0, 0], [3], [1, 0, 250]])
def test_bars_have_a_line_at_a_value(counts: list[int]) -> None:
    edges = [i / len(counts) for i in range(len(counts) + 1)]
    svg = bar_chart("b", edges, counts, "<i>F1</i>", "images", mark=0.5).svg
    assert {"<i>F1</i>", "images"} <= set(texts(svg))
    assert "stroke-dasharray" in svg
