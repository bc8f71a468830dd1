"""Finds images that differ from the rest of their set in brightness, color, sharpness, shape or size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from toolkit.data.image_looks import FEATURES, Look

FEWEST = 20
"""Smallest number of images that make up a meaningful rest of a set."""

FAR = 6.0
"""Number of standard deviations, estimated by the median absolute deviation, from which an image counts as
far.
"""

LEAST_SPREAD = (8.0, 4.0, 8.0, 0.3, 0.2, 0.35)
"""For each feature, the smallest standard deviation that is assumed, so that small differences never count.
"""

ASPECT = FEATURES.index("aspect ratio")

WORDS = (
    ("darker", "brighter"),
    ("flatter", "with more contrast"),
    ("grayer", "more colorful"),
    ("blurrier", "sharper or noisier"),
    ("squarer", "more elongated"),
    ("smaller", "larger"),
)


def far_from_the_rest(looks: Sequence[Look | None]) -> list[tuple[int, str]]:
    """The images that are far from the rest of a set, each with a description of its largest difference.

    The rest is described by the median and the median absolute deviation of each feature, which a few odd
    images do not affect.

    Args:
        looks: the looks of the images; those that are None are skipped.
    """
    used = [i for i, look in enumerate(looks) if look is not None]
    if len(used) < FEWEST:
        return []
    features = np.stack([look.features for look in looks if look is not None]).astype(np.float64)
    # portrait and landscape formats count as the same
    features[:, ASPECT] = np.abs(features[:, ASPECT])
    middle = np.median(features, 0)
    spread = np.maximum(1.4826 * np.median(np.abs(features - middle), 0), LEAST_SPREAD)
    distance = (features - middle) / spread
    found = []
    for place in np.flatnonzero(np.abs(distance).max(1) > FAR).tolist():
        which = int(np.abs(distance[place]).argmax())
        word = WORDS[which][int(distance[place, which] > 0)]
        numbers = _shown(which, features[place, which]), _shown(which, middle[which])
        found.append((used[place], f"{word}: {FEATURES[which]} {numbers[0]}, usually {numbers[1]}"))
    return found


def _shown(which: int, value: float) -> str:
    """A feature in the units that people know."""
    if FEATURES[which] == "size":
        return f"{math.exp(value) / 1e6:.2g} megapixels"
    return f"{math.exp(value):.2f}" if FEATURES[which] == "aspect ratio" else f"{value:.3g}"
