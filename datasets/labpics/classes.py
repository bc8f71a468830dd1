"""The classes of LabPics, and the choice among several classes of an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from toolkit.types import BACKGROUND

Objects = Literal["vessels", "materials", "both"]

V1_NAMES = {
    1: "Vessel",
    6: "Liquid",
    7: "Suspension",
    8: "Foam",
    9: "Gel",
    10: "Solid",
    11: "Granular",
    12: "Powder",
    13: "SolidLargChunk",
    14: "Vapor",
    15: "Other Material",
    16: "Filled",
}
"""V1's class numbers of vessels and materials, with the names of the same classes in V2 (2, 3 and 4 are parts
of vessels, 5 is Ignore).
"""

MATERIALS = (
    "Liquid",
    "Suspension",
    "Foam",
    "Gel",
    "Solid",
    "Granular",
    "Powder",
    "SolidLargChunk",
    "Vapor",
    "Other Material",
)
V2_MATERIALS = ("Urine", "Blood", *MATERIALS)
V2_VESSELS = (
    "Syringe",
    "Pippete",
    "Tube",
    "IVBag",
    "DripChamber",
    "IVBottle",
    "Beaker",
    "RoundFlask",
    "Cylinder",
    "SeparatoryFunnel",
    "Funnel",
    "Burete",
    "ChromatographyColumn",
    "Condenser",
    "Bottle",
    "Jar",
    "Connector",
    "Flask",
    "Cup",
    "Bowl",
    "Erlenmeyer",
    "Vial",
    "Dish",
    "HeatingVessel",
    "Vessel",
)
"""As spelled in V2; "Vessel" is for those of no listed kind."""

_GENERAL = ("Flask", "Liquid", "Solid")
"""General names that occur together with a more precise one: a suspension is also a liquid, and a round flask
a flask."""


@dataclass(frozen=True)
class Scheme:
    """The set of classes, and the assignment of objects to them.

    Attributes:
        vessels: names of the kinds of vessel; the last is for all others. Empty if vessels are not requested.
        materials: the same for materials.
    """

    vessels: tuple[str, ...]
    materials: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """All names, background first."""
        return (BACKGROUND, *self.vessels, *self.materials)

    def vessel(self, names: Sequence[str]) -> int:
        """The class of a vessel with these names."""
        return self.classes.index(_most_precise(names, self.vessels))

    def material(self, names: Sequence[str]) -> int:
        """The class of a material with these names."""
        return self.classes.index(_most_precise(names, self.materials))


def scheme(objects: Objects, classes: Literal["coarse", "fine"], version: int) -> Scheme:
    """The classes for these settings, the same in every split of a version of LabPics."""
    vessels: tuple[str, ...]
    materials: tuple[str, ...]
    if classes == "coarse":
        vessels, materials = ("vessel",), ("material",)
    elif version == 1:
        vessels, materials = ("Vessel",), MATERIALS
    else:
        vessels, materials = V2_VESSELS, V2_MATERIALS
    return Scheme(vessels if objects != "materials" else (), materials if objects != "vessels" else ())


def _most_precise(names: Sequence[str], known: Sequence[str]) -> str:
    """The first known name that is not a general one; else a general one; else the last known class."""
    candidates = [name for name in names if name in known[:-1]]
    return next(
        (name for name in candidates if name not in _GENERAL), candidates[0] if candidates else known[-1]
    )
