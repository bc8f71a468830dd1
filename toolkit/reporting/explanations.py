"""What ``toolkit explain`` found out about a model: the scores of its maps, and some of the maps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from toolkit.data.image_files import EXPLANATIONS
from toolkit.data.images import read_image
from toolkit.errors import DataError
from toolkit.reading.fields import Number, Schema
from toolkit.reading.json_text import load_json
from toolkit.reading.records import record
from toolkit.reporting.card_sections import Document, Pictures
from toolkit.reporting.parts import Card, Gallery, Part, Section, Table
from toolkit.reporting.thumbnails import side_by_side
from toolkit.runtime.confine import inside

MOST_MAPS = 12
"""Number of maps of a folder that are shown."""

NO_BETTER = "no better than chance"


class _Games(Schema):
    games: int
    hits: int


class _Check(Schema):
    maps: int
    passed: int
    correlation: Number


class _Summary(Schema):
    """What is known of all maps of a folder."""

    maps: int | None = None
    deletion_better: int | None = None
    insertion_better: int | None = None
    deletion: Number | None = None
    insertion: Number | None = None
    random: Number | None = None
    pointing: _Games | None = None
    random_weights: _Check | None = None


class _Faithfulness(Schema):
    verdict: str


class _Scores(Schema):
    faithfulness: _Faithfulness | None = None


class _Image(Schema):
    image: str
    status: str
    target: dict[str, Any] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict)
    scores: _Scores = _Scores()


class _Document(Schema):
    """As far as a report uses it."""

    method: str = ""
    layer: str | None = None
    summary: _Summary = _Summary()
    images: list[_Image]


@dataclass(frozen=True)
class Explanations:
    """The explanations in some folders.

    Attributes:
        entries: what ``report.json`` says about each folder.
        pictures: URIs of the maps that are shown, by the keys in the entries.
    """

    entries: Sequence[dict[str, Any]] = ()
    pictures: dict[str, str] = field(default_factory=dict)


def read_explanations(folders: Sequence[str | os.PathLike[str]]) -> Explanations:
    """Read what ``toolkit explain`` wrote.

    Args:
        folders: those that were given to it as ``--out``.

    Raises:
        DataError: when there are no explanations in a folder, or they are damaged.
    """
    found = Explanations([], {})
    entries: list[dict[str, Any]] = []
    for number, folder in enumerate(map(Path, folders)):
        path = folder / EXPLANATIONS
        if not path.is_file():
            raise DataError(
                f"{folder} has no {EXPLANATIONS}. Hint: name the folder that toolkit explain wrote, its --out"
            )
        content = load_json(path, "explanations", DataError)
        document = record(content, _Document, source=str(path), error=DataError)
        shown: list[dict[str, str]] = []
        for image in document.images:
            overlay = image.outputs.get("overlay")
            if overlay is None or len(shown) == MOST_MAPS:
                continue
            key = f"explanation-{number}-{len(shown)}"
            found.pictures[key] = side_by_side([read_image(inside(folder, overlay))])
            verdict = image.scores.faithfulness.verdict if image.scores.faithfulness else ""
            about = str(image.target.get("class", ""))
            shown.append({"image": image.image, "class": about, "verdict": verdict, "picture": key})
        entries.append(
            {
                "method": document.method,
                "layer": document.layer,
                "explained": sum(image.status == "ok" for image in document.images),
                "summary": document.summary.model_dump(exclude_none=True),
                "maps": shown,
            }
        )
    return Explanations(entries, found.pictures)


def explanation_section(document: Document, pictures: Pictures) -> Section | None:
    """The scores of all maps of each method, and some of the maps; nothing if nothing was explained."""
    entries = document.get("explanations") or []
    if not entries:
        return None
    columns = [
        *("method", "layer", "maps", "better than chance by deletion", "by insertion"),
        *("area: deletion", "insertion", "random"),
        *("pointing game", "correlation with random weights"),
    ]
    parts: list[Part] = [Table("", columns, [_row(entry) for entry in entries])]
    for number, entry in enumerate(entries):
        cards = [
            Card(
                pictures.get(each["picture"], ""),
                ", ".join(word for word in (each["class"], each["verdict"]) if word),
                each["image"],
            )
            for each in entry["maps"]
        ]
        if cards:
            more = f", {len(cards)} of {entry['explained']:,}" if len(cards) < entry["explained"] else ""
            parts.append(Gallery(f"explanation-{number}", cards, title=f"Maps of {entry['method']}{more}"))
    lead = [
        "Which pixels matter for the predictions. A map is better than chance by deletion if hiding what it"
        " ranks first lowers the score faster than hiding parts at random does, and by insertion if showing"
        " it first raises the score faster. The smaller the correlation with the map of random weights, the"
        " more a map shows what the model has learned.",
        *_warnings(entries),
    ]
    return Section("explanations", "Explanations", lead, parts)


def _row(entry: dict[str, Any]) -> list[Any]:
    found = entry["summary"]
    games, check = found.get("pointing"), found.get("random_weights")
    return [
        *(entry["method"], entry["layer"] or "", entry["explained"]),
        *(found.get(name) for name in ("deletion_better", "insertion_better")),
        *(found.get(name) for name in ("deletion", "insertion", "random")),
        f"{games['hits']} of {games['games']}" if games else None,
        check["correlation"] if check else None,
    ]


def _warnings(entries: Sequence[dict[str, Any]]) -> list[str]:
    """The methods whose maps are mostly no better than chance."""
    poor = [
        entry["method"]
        for entry in entries
        if entry["summary"].get("maps")
        and 2 * max(entry["summary"].get(f"{way}_better", 0) for way in ("deletion", "insertion"))
        < entry["summary"]["maps"]
    ]
    return [f"Most maps of {name} are {NO_BETTER}." for name in poor]
