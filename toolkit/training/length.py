"""How long a run is that does not say so itself."""

from __future__ import annotations

import math

from toolkit.config import RunSettings

PASSES = 50
"""Passes over a set of the usual size, of hundreds of images."""
LEAST_IMAGES, MOST_IMAGES = 4_000, 16_000
"""Images that a run looks at: smaller sets are gone through more often than that, larger ones less often."""
LEAST_PASSES = 4
"""Passes over a set however large it is."""


def usual_steps(images: int, batch_size: int) -> int:
    """The steps of a run over a training split: as many as it takes to look at ``PASSES`` times its images,
    but at no fewer than ``LEAST_IMAGES`` and no more than ``MOST_IMAGES``, and at each image ``LEAST_PASSES``
    times.

    Args:
        images: in the split, one or more.
        batch_size: images that a step sees.
    """
    looked_at = min(max(PASSES * images, LEAST_IMAGES), MOST_IMAGES)
    return math.ceil(max(looked_at, LEAST_PASSES * images) / batch_size)


def with_length(settings: RunSettings, images: int) -> RunSettings:
    """The settings of a run with its steps, where they give neither steps nor epochs."""
    train = settings.train
    if train.steps is not None or train.epochs is not None:
        return settings
    steps = usual_steps(images, train.batch_size)
    return settings.model_copy(update={"train": train.model_copy(update={"steps": steps})})
