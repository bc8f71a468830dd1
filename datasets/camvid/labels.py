"""The labels of the original dataset with their colors, their grouping into 11 classes, and the split of each
frame.
"""

from __future__ import annotations

import re

from toolkit.errors import DataError
from toolkit.formats.label_images import Color

VOID_LABEL = "Void"

COLORS: dict[str, Color] = {
    "Animal": (64, 128, 64),
    "Archway": (192, 0, 128),
    "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64),
    "Building": (128, 0, 0),
    "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128),
    "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64),
    "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128),
    "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128),
    "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64),
    "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128),
    "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192),
    "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0),
    VOID_LABEL: (0, 0, 0),
    "Wall": (64, 192, 0),
}
"""The 32 labels in the order of the published label_colors.txt; one of them is Void."""

GROUPS: dict[str, tuple[str, ...]] = {
    "Sky": ("Sky",),
    "Building": ("Building", "Bridge", "Wall", "Tunnel", "Archway"),
    "Pole": ("Column_Pole", "TrafficCone"),
    "Road": ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv"),
    "Pavement": ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    "Tree": ("Tree", "VegetationMisc"),
    "SignSymbol": ("SignSymbol", "Misc_Text", "TrafficLight"),
    "Fence": ("Fence",),
    "Car": ("Car", "SUVPickupTruck", "Truck_Bus", "Train", "OtherMoving"),
    "Pedestrian": ("Pedestrian", "Child", "CartLuggagePram", "Animal"),
    "Bicyclist": ("Bicyclist", "MotorcycleScooter"),
}
"""The 11 classes of the SegNet paper in the order of its label images, each with the original labels that it
covers.
"""

_LAST_TRAINING_FRAME = 8520
_VAL_FRAMES = range(7959, 8160)


def split_of(frame: str) -> str:
    """The split of a frame such as ``0016E5_07959``: 367 for training, 101 for validation and 233 for
    testing, as in SegNet's tutorial.

    The dusk drive (0001TP) is divided in half, Seq05VD is for testing, and the densely labeled part of 0016E5
    for validation.

    Raises:
        DataError: when it is not the name of a frame.
    """
    match = re.fullmatch(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)", frame)
    if match is None:
        raise DataError(
            f"{frame!r} is not the name of a CamVid frame, such as 0001TP_006690. Hint: remove the file"
        )
    sequence, number = match[1], int(match[2])
    if sequence == "Seq05VD" or (sequence == "0001TP" and number > _LAST_TRAINING_FRAME):
        return "test"
    return "val" if sequence == "0016E5" and number in _VAL_FRAMES else "train"
