"""The sections of a page. Each is a function of the document of ``toolkit.reporting.document`` and of the
pictures, and returns nothing where the document has nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from toolkit.reading.yaml_text import dump_yaml
from toolkit.reporting.cases import KINDS
from toolkit.reporting.parts import Card, Figure, Gallery, Note, Slider, Source, Table
from toolkit.reporting.plots import curve_figure, matrix_figure, slider, training_figures
from toolkit.reporting.suspected_labels import SUSPECTS
from toolkit.wording import counted

Part: TypeAlias = "Table | Figure | Gallery | Slider | Source | Note"
Document: TypeAlias = "Mapping[str, Any]"
Pictures: TypeAlias = "Mapping[str, str]"

REGION_KINDS = {
    "missed": "missed: a region of a class that was taken for background",
    "invented": "invented: background that was taken for a class",
    "confused": "confused: a region that was taken for another class",
}
BY_SCORE = " by score"
"""The end of the names of curves that the slider shows already."""


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


def headline(document: Document, pictures: Pictures) -> Section | None:
    """All metrics, with intervals and differences."""
    reference = document["reference"]
    tables = []
    for report in document["reports"]:
        hidden = set(report.get("details", ()))
        columns = ["metric", "value"]
        if any(name in document["intervals"] for name in report["metrics"]):
            columns.append("95 % interval")
        if reference:
            columns += [reference["name"], "difference", "95 % interval of the difference"]
        rows = [
            _metric_row(name, value, document, len(columns))
            for name, value in report["metrics"].items()
            if name not in hidden
        ]
        lower = [name for name in report["lower_is_better"] if name not in hidden]
        notes = [f"Lower is better: {', '.join(lower)}."] if lower else []
        tables.append(Table(report["name"], columns, rows, notes=[*notes, *report["notes"]]))
    if not tables:
        return None
    return Section("figures", "Figures", document["notes"], tables)


def _metric_row(name: str, value: float | None, document: Document, width: int) -> list[Any]:
    row: list[Any] = [name, value]
    reference = document["reference"]
    if width in (3, 6):
        row.append(_interval(document["intervals"].get(name)))
    if reference:
        difference = reference["differences"].get(name, {})
        ends = [difference.get("low"), difference.get("high")]
        row += [reference["metrics"].get(name), _signed(difference.get("value")), _interval(ends, True)]
    return row


def _interval(ends: Sequence[float | None] | None, signed: bool = False) -> str:
    if ends is None or ends[0] is None or ends[1] is None:
        return "–"
    low, high = ((_signed(end) if signed else f"{end:.4f}") for end in ends)
    clear = " *" if signed and (ends[0] > 0 or ends[1] < 0) else ""
    return f"{low} … {high}{clear}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"


def classes(document: Document, pictures: Pictures) -> Section | None:
    """A table with a row for each class."""
    counts = {entry["name"]: entry for entry in document["data"]["classes"]}
    what = "pixels" if any("pixels" in entry for entry in counts.values()) else "objects"
    tables = []
    for report in document["reports"]:
        names = list(report["per_class"])
        if not names:
            continue
        rows = [
            [name, counts.get(name, {}).get(what), *(report["per_class"][each][place] for each in names)]
            for place, name in enumerate(report["classes"])
        ]
        tables.append(Table(report["name"], ["class", what, *names], rows, sortable=True))
    lead = ["Click on a column to sort by it."]
    return Section("classes", "Classes", lead, tables) if tables else None


def thresholds(document: Document, pictures: Pictures) -> Section | None:
    """Precision, recall and F1 over the score threshold."""
    curves = document["by_score"]
    if not curves:
        return None
    best = curves["lines"][0]["best"]
    lead = [
        f"A detection is right when its IoU with an object of its class is {curves['iou']:g} or more."
        " Move the slider to see what keeping only detections with at least this score gives."
    ]
    if best is not None:
        lead.append(f"F1 of all classes is highest at the score {curves['thresholds'][best]:.2f}.")
    return Section("thresholds", "Score threshold", lead, [slider(curves, document["threshold"])])


def curves(document: Document, pictures: Pictures) -> Section | None:
    """All curves of the evaluators, such as precision over recall and reliability."""
    figures = [
        curve_figure(f"curve-{r}-{c}", name, curve, document["data"]["classes"])
        for r, report in enumerate(document["reports"])
        for c, (name, curve) in enumerate(report.get("curves", {}).items())
        if curve["y"] and not name.endswith(BY_SCORE)
    ]
    shown = [figure for figure in figures if figure is not None]
    return Section("curves", "Curves", (), shown) if shown else None


def errors(document: Document, pictures: Pictures) -> Section | None:
    """What goes wrong, in words and matrices."""
    lead = [line for report in document["reports"] for line in report.get("summary", ())]
    if document["errors"]["says"]:
        lead.append(document["errors"]["says"])
    figures = [
        matrix_figure(f"matrix-{r}-{m}", name, matrix)
        for r, report in enumerate(document["reports"])
        for m, (name, matrix) in enumerate(report.get("matrices", {}).items())
        if any(map(any, matrix["values"]))
    ]
    parts: list[Part] = [*_details(document), *(part for figure in figures for part in figure)]
    return Section("errors", "What goes wrong", lead, parts) if lead or parts else None


def _details(document: Document) -> list[Table]:
    """The metrics that the headline leaves out, such as what each kind of error costs."""
    tables = []
    for report in document["reports"]:
        names = [name for name in report.get("details", ()) if name in report["metrics"]]
        if names:
            rows = [_metric_row(name, report["metrics"][name], document, 2)[:2] for name in names]
            tables.append(Table(f"{report['name']}: details", ["metric", "value"], rows))
    return tables


def worst_images(document: Document, pictures: Pictures) -> Section | None:
    """The images with the most errors."""
    cards = []
    for entry in document["worst_images"]:
        if "mean_iou" in entry:
            says = f"mean IoU {entry['mean_iou']:.3f}"
        else:
            told = ", ".join(f"{count} {kind}" for kind, count in entry["errors"].items())
            says = f"{counted(entry['objects'], 'object')}; {told}"
        cards.append(Card(pictures.get(entry["picture"], ""), says, _place(entry)))
    lead = ["The label is on the left, the prediction on the right."]
    return Section("worst", "Worst images", lead, [Gallery("worst-cards", cards)]) if cards else None


def gallery(document: Document, pictures: Pictures) -> Section | None:
    """The most telling errors."""
    kinds = KINDS if document["data"]["object_sizes"] else KINDS | REGION_KINDS
    cards = _cards(document["errors"]["most_telling"], pictures)
    names = {card.kind: kinds.get(card.kind, card.kind) for card in cards}
    lead = ["The label is on the left, the prediction on the right; a frame marks the place."]
    part = Gallery("error-cards", cards, names, _class_names(cards))
    return Section("gallery", "The most telling errors", lead, [part]) if cards else None


def suspects(document: Document, pictures: Pictures) -> Section | None:
    """Labels that may be wrong."""
    cards = _cards(document["suspects"], pictures)
    names = {card.kind: SUSPECTS[card.kind] for card in cards}
    lead = [
        "Places where the model is sure and the label says something else, the strongest suspicion first. The"
        " model may be wrong, too: look before you change a label."
    ]
    part = Gallery("suspect-cards", cards, names, _class_names(cards))
    return Section("suspects", "Labels that may be wrong", lead, [part]) if cards else None


def _cards(entries: Sequence[Mapping[str, Any]], pictures: Pictures) -> list[Card]:
    return [
        Card(
            pictures.get(entry["picture"], ""),
            entry["says"],
            _place(entry),
            entry["kind"],
            tuple(name for name in (entry["class"], entry["taken_for"]) if name is not None),
            str(entry.get("rank", "")),
        )
        for entry in entries
    ]


def _class_names(cards: Sequence[Card]) -> list[str]:
    return sorted({name for card in cards for name in card.classes})


def _place(entry: Mapping[str, Any]) -> str:
    """Which image an entry is about: its file where there is one, and its id where that is not the same."""
    file, name = entry["file"], entry["image"]
    if file is None:
        return str(name)
    return str(file) if Path(file).stem == name else f"{file} ({name})"


def training(document: Document, pictures: Pictures) -> Section | None:
    """The curves of the training."""
    figures = training_figures(document["training"])
    return Section("training", "Training", (), figures) if figures else None


def data(document: Document, pictures: Pictures) -> Section | None:
    """What the model was measured on."""
    found = document["data"]
    facts: list[list[Any]] = [["images", found["images"]]]
    for which, (width, height) in (found["sizes"] or {}).items():
        facts.append([f"{which} image", f"{width} × {height} pixels"])
    for which, count in (found["object_sizes"] or {}).items():
        facts.append([f"{which} objects", count])
    facts.append(["fingerprint", found["fingerprint"]])
    columns = [name for name in ("objects", "pixels", "images") if name in (found["classes"] or [{}])[0]]
    rows = [[entry["name"], *(entry[name] for name in columns)] for entry in found["classes"]]
    counts = Table("classes in the labels", ["class", *columns], rows, sortable=True)
    return Section("data", "Data", (), [Table("", ["", ""], facts, is_facts=True), counts])


def about(document: Document, pictures: Pictures) -> Section | None:
    """The model, versions and settings."""
    facts = [[name, value] for name, value in {**document["model"], **document["versions"]}.items()]
    parts: list[Part] = [Table("", ["", ""], facts, is_facts=True)]
    if document["settings"]:
        parts.append(Source("settings of the run", dump_yaml(document["settings"])))
    return Section("about", "Settings and versions", (), parts)


SECTIONS: Sequence[Callable[[Document, Pictures], Section | None]] = (
    headline,
    classes,
    thresholds,
    curves,
    errors,
    worst_images,
    gallery,
    suspects,
    training,
    data,
    about,
)
"""In the order of the page."""
