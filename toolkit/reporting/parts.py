"""What sections of a page consist of; the template has a macro for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Table:
    """Rows of figures.

    Attributes:
        title: above it; may be empty.
        columns: their names.
        rows: text, numbers, or None where a figure is undefined.
        sortable: whether a click on a column sorts.
        is_facts: whether it is a list of names and values without a head.
        notes: sentences below it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    sortable: bool = False
    is_facts: bool = False
    notes: Sequence[str] = ()

    kind = "table"


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        title: above it.
        svg: an element of ``toolkit.reporting.charts``.
        note: below it; may be empty.
        is_large: whether it needs the width of the page.
    """

    title: str
    svg: str
    note: str = ""
    is_large: bool = False

    kind = "figure"


@dataclass(frozen=True)
class Slider:
    """Curves over a score with a line that moves.

    Attributes:
        figure: the curves.
        area: of the axes in it: left, top, right, bottom.
        values: for the script, see ``toolkit.reporting.score_curves``.
        start: the score at which the slider stands.
    """

    figure: Figure
    area: tuple[float, float, float, float]
    values: Mapping[str, Any]
    start: float

    kind = "slider"


@dataclass(frozen=True)
class Card:
    """A picture with what it shows.

    Attributes:
        picture: a data URI.
        says: a sentence.
        place: which image it is.
        kind: what kind of error or suspicion; may be empty.
        classes: that it is about.
        rank: its number; may be empty.
    """

    picture: str
    says: str
    place: str
    kind: str = ""
    classes: Sequence[str] = ()
    rank: str = ""


@dataclass(frozen=True)
class Gallery:
    """Cards that can be filtered.

    Attributes:
        id: of its element.
        cards: in their order.
        kinds: name -> what it means, to choose from; none to choose from when there are fewer than two.
        classes: to choose from, likewise.
        title: above it; may be empty.
    """

    id: str
    cards: Sequence[Card]
    kinds: Mapping[str, str] = field(default_factory=dict)
    classes: Sequence[str] = ()
    title: str = ""

    kind = "gallery"


@dataclass(frozen=True)
class Source:
    """A long text that is folded away.

    Attributes:
        title: to click on.
        text: as it stands.
    """

    title: str
    text: str

    kind = "source"


@dataclass(frozen=True)
class Note:
    """Sentences.

    Attributes:
        lines: each a paragraph.
    """

    lines: Sequence[str]

    kind = "note"


Part: TypeAlias = "Table | Figure | Gallery | Slider | Source | Note"


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        id: of its element; letters and dashes.
        title: its heading.
        lead: sentences below it.
        parts: what it shows, from top to bottom.
    """

    id: str
    title: str
    lead: Sequence[str] = ()
    parts: Sequence[Part] = field(default_factory=list)
