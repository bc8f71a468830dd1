"""What an ``Explanation`` is, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from toolkit import Explanation, Target
from toolkit.errors import InvalidDataError

CLASS = Target("class", 1)


def test_the_peak_is_the_first_of_the_largest() -> None:
    values = torch.zeros(3, 5)
    values[1, 2] = values[2, 0] = 4
    found = Explanation("a", "saliency", CLASS, None, values, 0.5)
    assert (found.peak, found.size) == ((1, 2), (3, 5))
    assert found == Explanation("a", "saliency", CLASS, None, values.clone(), 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(3, 5, dtype=torch.float64), "map must be a tensor of float32"),
        (torch.zeros(1, 3, 5), "map must be"),
        (torch.full((3, 5), float("nan")), "map has NaN or infinite values"),
        (torch.zeros(4, 5), "map is .4, 5., but the target's mask is .3, 5."),
    ],
)
def test_maps_that_do_not_fit_are_refused(values: torch.Tensor, message: str) -> None:
    target = Target("region", 1, torch.ones(3, 5, dtype=torch.bool))
    with pytest.raises(InvalidDataError, match=message):
        Explanation("a", "saliency", target, None, values, 0.5)
