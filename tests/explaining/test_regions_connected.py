"""The connected part of a mask around a pixel."""

from __future__ import annotations

import torch

from toolkit.explaining.regions import component_at


def test_the_part_at_the_pixel_is_returned_with_what_touches_at_a_corner() -> None:
    mask = torch.tensor(
        [[1, 1, 0, 0, 1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 1, 1]], dtype=torch.bool
    )
    found = component_at(mask, 0, 1)
    assert found.dtype == torch.bool
    assert found.nonzero().tolist() == [[0, 0], [0, 1], [1, 2]]
    assert component_at(mask, 3, 0).nonzero().tolist() == [[3, 0]]
    assert bool(component_at(torch.ones(3, 4, dtype=torch.bool), 2, 3).all())
