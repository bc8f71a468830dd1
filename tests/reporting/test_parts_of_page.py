"""Each kind of part has its place in the template."""

from __future__ import annotations

import dataclasses
import re

import pytest
from jinja2 import Environment, PackageLoader

from toolkit.reporting import parts

SHOWN = [
    parts.Table("title", ["a", "b"], [["row", None]], sortable=True, notes=["a note"]),
    parts.Figure("title", "<svg></svg>", "a note"),
    parts.Slider(
        parts.Figure("", "<svg></svg>"),
        (1.0, 2.0, 3.0, 4.0),
        {"thresholds": [0.0], "lines": []},
        0.5,
    ),
    parts.Gallery("cards", [parts.Card("data:,", "says", "place")]),
    parts.Source("title", "text"),
    parts.Note(["a line"]),
]


@pytest.mark.parametrize("part", SHOWN, ids=lambda part: part.kind)
def test_the_template_has_a_macro_for_it(part: object) -> None:
    loader = PackageLoader("toolkit.reporting")
    source = loader.get_source(Environment(), "report.html")[0]
    assert re.search(rf"macro {part.kind}\(part\)", source)  # type: ignore[attr-defined]


def test_all_parts_are_tried() -> None:
    kinds = {
        value for value in vars(parts).values() if dataclasses.is_dataclass(value) and "kind" in vars(value)
    }
    assert {type(part) for part in SHOWN} == kinds - {parts.Card}
