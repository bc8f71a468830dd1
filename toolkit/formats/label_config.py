"""The labeling configuration of a project of Label Studio: which tags its annotations come from, and their
labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from toolkit.errors import DataError
from toolkit.reading.xml_text import parse_xml

KINDS = ("Brush", "Polygon", "Rectangle", "Ellipse", "KeyPoint")
"""Tags of shapes in images; with ``Labels`` behind, tags that also have labels."""


@dataclass(frozen=True)
class ControlTag:
    """A tag that annotations come from.

    Attributes:
        name: its name, ``from_name`` in results.
        to_name: the name of the tag that shows the image.
        kind: in lower case, such as ``brushlabels`` or ``rectangle``; the ``type`` of results.
        labels: its labels, in order; empty for tags without labels.
        is_smart: whether it gives prompts for interactive models.
    """

    name: str
    to_name: str
    kind: str
    labels: tuple[str, ...]
    is_smart: bool = False


@dataclass(frozen=True)
class LabelConfig:
    """A labeling configuration.

    Attributes:
        controls: the tags for shapes, labels and choices, in order.
        images: the keys of tasks that hold an image, by the name of the tag that shows it.
    """

    controls: tuple[ControlTag, ...]
    images: dict[str, str]

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of shapes, in the order of their first occurrence."""
        shapes = (tag for tag in self.controls if tag.kind != "choices")
        return tuple(dict.fromkeys(label for tag in shapes for label in tag.labels))

    def controls_of(self, kinds: Sequence[str]) -> list[ControlTag]:
        """The tags of these kinds that annotate an image."""
        return [tag for tag in self.controls if tag.kind in kinds and tag.to_name in self.images]


def parse_config(text: str | bytes, source: str) -> LabelConfig:
    """A configuration from its XML.

    Raises:
        DataError: when it is not XML, or has a document type.
    """
    root = parse_xml(text, source, "a labeling configuration of Label Studio", DataError)
    shapes = {f"{kind}{labels}" for kind in KINDS for labels in ("", "Labels")}
    controls, images = [], {}
    for element in root.iter():
        if element.tag in shapes or element.tag in ("Labels", "Choices"):
            controls.append(_control(element))
        elif element.tag == "Image":
            images[element.get("name", "")] = element.get("value", "").removeprefix("$")
    return LabelConfig(tuple(controls), images)


def _control(element: Element) -> ControlTag:
    entries = "Choice" if element.tag == "Choices" else "Label"
    labels = [each.get("alias", "") or each.get("value", "") for each in element.iter(entries)]
    return ControlTag(
        element.get("name", ""),
        element.get("toName", ""),
        element.tag.lower(),
        tuple(dict.fromkeys(label.strip() for label in labels if label.strip())),
        element.get("smart", "").lower() == "true" or element.get("smartOnly", "").lower() == "true",
    )
