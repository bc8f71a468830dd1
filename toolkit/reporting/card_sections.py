"""The sections of a page that show images: single images, errors, and labels that may be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from toolkit.reporting.cases import KINDS
from toolkit.reporting.glossary import meanings_of_images
from toolkit.reporting.image_values import QUANTILES
from toolkit.reporting.parts import Card, Gallery, Part, Section, Table
from toolkit.reporting.plots import distribution_figures
from toolkit.reporting.suspected_labels import SUSPECTS
from toolkit.wording import counted

Document: TypeAlias = "Mapping[str, Any]"
Pictures: TypeAlias = "Mapping[str, str]"

REGION_KINDS = {
    "missed": "missed: a region of a class that was taken for background",
    "invented": "invented: background that was taken for a class",
    "confused": "confused: a region that was taken for another class",
}
IMAGE_KINDS = {"confused": "confused: an image that was taken for one of another class"}
ERRORS = {"outlined": "badly outlined", "duplicate": "found twice"}
SIDES = "The label is on the left, the prediction on the right"


def single_images(document: Document, pictures: Pictures) -> Section | None:
    """How the metrics of single images are distributed, and the worst and the best of them."""
    parts: list[Part] = [*distribution_figures(document["per_image"])]
    if document["per_image"]:
        parts.append(_quantiles(document["per_image"]))
    for which, title in (("worst", "The worst images"), ("best", "The best images")):
        cards = [
            Card(pictures.get(entry["picture"], ""), _says(entry), place_of(entry))
            for entry in document[f"{which}_images"]
        ]
        if cards:
            parts.append(Gallery(f"{which}-cards", cards, title=title))
    has_sides = any(isinstance(part, Gallery) for part in parts) and not _is_of_images(document)
    lead = [f"{SIDES}."] if has_sides else []
    return Section("images", "Single images", lead, parts) if parts else None


def _quantiles(distributions: Sequence[Mapping[str, Any]]) -> Table:
    names = {0.0: "minimum", 0.5: "median", 1.0: "maximum"}
    shares = [names.get(share, f"{100 * share:.0f}th percentile") for share in QUANTILES]
    columns = ["", "images", "mean", *shares]
    several = len({entry["report"] for entry in distributions}) > 1
    rows = [
        [
            f"{entry['report']}: {entry['name']}" if several else entry["name"],
            entry["images"],
            entry["mean"],
            *_whole(entry["quantiles"]),
        ]
        for entry in distributions
    ]
    # Once for all reports in which as many images have nothing to compare.
    lacking = {(entry["name"], entry["undefined"]): None for entry in distributions if entry["undefined"]}
    notes = [
        f"{name} is undefined where there is nothing to compare: in {counted(images, 'image')}."
        for name, images in lacking
    ]
    notes += meanings_of_images(entry["name"] for entry in distributions)
    return Table("Metrics of single images", columns, rows, notes=notes)


def _whole(values: Sequence[float | None]) -> Sequence[float | None]:
    """Counts as whole numbers; shares as they are."""
    defined = [value for value in values if value is not None]
    is_count = all(value == int(value) for value in defined) and any(value > 1 for value in defined)
    return [int(value) for value in defined] if is_count else values


def _says(entry: Mapping[str, Any]) -> str:
    told = []
    if "says" in entry:
        return str(entry["says"])
    if entry.get("value") is not None:
        told.append(f"{entry['ranked_by']} {entry['value']:.3f}")
    elif "mean_iou" in entry:
        told.append(f"mean_iou {entry['mean_iou']:.3f}")
    if "objects" in entry:
        told.append(counted(entry["objects"], "object"))
        told.append(", ".join(f"{count} {ERRORS.get(kind, kind)}" for kind, count in entry["errors"].items()))
    return "; ".join(part for part in told if part)


def gallery(document: Document, pictures: Pictures) -> Section | None:
    """The most telling errors."""
    kinds = KINDS if document["data"]["object_sizes"] else KINDS | REGION_KINDS
    kinds = kinds | IMAGE_KINDS if _is_of_images(document) else kinds
    cards = _cards(document["errors"]["most_telling"], pictures)
    names = {card.kind: kinds.get(card.kind, card.kind) for card in cards}
    lead = [] if _is_of_images(document) else [f"{SIDES}; a frame marks the place."]
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


def copy_gallery(document: Document, pictures: Pictures) -> list[Gallery]:
    """Near-duplicates side by side; nothing where there are none."""
    data = document["data"]
    pairs = data["copies"]["pairs"] if data["copies"] else []
    cards = [
        Card(
            pictures.get(pair["picture"], ""),
            f"{pair['image']} is a near-duplicate of {pair['of']}",
            f"{data['split']} and {pair['split']}",
        )
        for pair in pairs
        if pair["picture"] is not None
    ]
    more = f", {len(cards)} of {len(pairs):,}" if len(cards) < len(pairs) else ""
    title = f"Near-duplicates{more}"
    return [Gallery("copy-cards", cards, title=title)] if cards else []


def _is_of_images(document: Document) -> bool:
    """Whether the labels are classes of images as a whole."""
    classes = document["data"]["classes"]
    return bool(classes) and not {"objects", "pixels"} & set(classes[0])


def _cards(entries: Sequence[Mapping[str, Any]], pictures: Pictures) -> list[Card]:
    return [
        Card(
            pictures.get(entry["picture"], ""),
            entry["says"],
            place_of(entry),
            entry["kind"],
            tuple(name for name in (entry["class"], entry["taken_for"]) if name is not None),
            str(entry.get("rank", "")),
        )
        for entry in entries
    ]


def _class_names(cards: Sequence[Card]) -> list[str]:
    return sorted({name for card in cards for name in card.classes})


def place_of(entry: Mapping[str, Any]) -> str:
    """Which image an entry is about: its file where there is one, and its id where that is not the same."""
    file, name = entry["file"], entry["image"]
    if file is None:
        return str(name)
    return str(file) if Path(file).stem == name else f"{file} ({name})"
