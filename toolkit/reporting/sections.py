"""The sections of a page. Each is a function of the document of ``toolkit.reporting.document`` and of the
pictures, and returns nothing where the document has nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from toolkit.reading.yaml_text import dump_yaml
from toolkit.reporting.card_sections import (
    Document,
    Pictures,
    copy_gallery,
    gallery,
    single_images,
    suspects,
)
from toolkit.reporting.explanations import explanation_section
from toolkit.reporting.figure_tables import class_tables, detail_tables, group_tables, metric_table
from toolkit.reporting.parts import Part, Section, Source, Table
from toolkit.reporting.plots import curve_figure, matrix_figure, slider, training_figures

AREAS = {"small": "below 32²", "medium": "from 32² to 96²", "large": "above 96²"}
BY_SCORE = " by score"
"""The end of the names of curves that the slider shows already."""


def headline(document: Document, pictures: Pictures) -> Section | None:
    """All metrics, with intervals and differences; those of groups of images have a section of their own."""
    tables = [metric_table(report, document) for report in document["reports"]]
    return Section("metrics", "Metrics", document["notes"], tables) if tables else None


def groups(document: Document, pictures: Pictures) -> Section | None:
    """Metrics of some of the objects or images: by size, and by a table about the images."""
    tables = [part for table in document["groups"] for part in group_tables(table, document)]
    lead = [
        "Where the model is good and where it is not. Metrics of few images or objects are uncertain: look at"
        " the intervals where there are any."
    ]
    return Section("groups", "Groups", lead, tables) if tables else None


def classes(document: Document, pictures: Pictures) -> Section | None:
    """A table with a row for each class."""
    counts = {entry["name"]: entry for entry in document["data"]["classes"]}
    what = next(
        (kind for kind in ("pixels", "objects") if any(kind in entry for entry in counts.values())), "images"
    )
    numbers = {name: entry.get(what) for name, entry in counts.items()}
    tables = [
        table
        for report in document["reports"]
        if report["per_class"]
        for table in class_tables(report, what, numbers)
    ]
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
    parts: list[Part] = [*detail_tables(document), *(part for figure in figures for part in figure)]
    return Section("errors", "What goes wrong", lead, parts) if lead or parts else None


def training(document: Document, pictures: Pictures) -> Section | None:
    """The curves of the training."""
    figures = training_figures(document["training"])
    return Section("training", "Training", (), figures) if figures else None


def data(document: Document, pictures: Pictures) -> Section | None:
    """What the model was measured on."""
    found = document["data"]
    facts: list[list[Any]] = [["images", found["images"]]]
    sizes = {which: f"{width} × {height} pixels" for which, (width, height) in (found["sizes"] or {}).items()}
    if len(set(sizes.values())) == 1:
        sizes = {"size of each": next(iter(sizes.values()))}
    facts += [[f"{which} image", size] for which, size in sizes.items()]
    for which, count in (found["object_sizes"] or {}).items():
        facts.append([f"{which} objects ({AREAS[which]} pixels)", count])
    facts.append(["fingerprint", found["fingerprint"]])
    columns = [name for name in ("objects", "pixels", "images") if name in (found["classes"] or [{}])[0]]
    rows = [[entry["name"], *(entry[name] for name in columns)] for entry in found["classes"]]
    counts = Table("Classes in the labels", ["class", *columns], rows, sortable=True)
    lead = found["copies"]["says"] if found["copies"] else []
    parts: list[Part] = [Table("", ["", ""], facts, is_facts=True), counts, *copy_gallery(document, pictures)]
    return Section("data", "Data", lead, parts)


def about(document: Document, pictures: Pictures) -> Section | None:
    """The model, versions and settings."""
    facts = [[name, value] for name, value in {**document["model"], **document["versions"]}.items()]
    parts: list[Part] = [Table("", ["", ""], facts, is_facts=True)]
    if document["settings"]:
        parts.append(Source("Settings of the run", dump_yaml(document["settings"])))
    return Section("about", "Settings and versions", (), parts)


SECTIONS: Sequence[Callable[[Document, Pictures], Section | None]] = (
    headline,
    classes,
    groups,
    thresholds,
    curves,
    errors,
    single_images,
    gallery,
    suspects,
    explanation_section,
    training,
    data,
    about,
)
"""In the order of the page."""
