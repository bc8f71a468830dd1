from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

from toolkit.config import Settings
from toolkit.config.augmentations import Blur, Color, Crop, Elastic, Flip, Resize, Rotate, Scale
from toolkit.data.moves import draw_move, resize_move

EVERY = [
    Flip(p=1),
    Rotate(p=1),
    Scale(),
    Resize(long_side=20),
    Crop(size=(9, 30)),
    Elastic(p=1, spacing=8),
    Color(),
    Blur(p=1),
]


@pytest.mark.parametrize("settings", EVERY, ids=lambda each: each.name)
def test_choices_are_made_once(settings: Settings) -> None:
    """A move does the same to whatever it is applied to, and other moves are drawn from another state."""
    image = tv_tensors.Image(torch.randint(0, 256, (3, 24, 32), dtype=torch.uint8))
    rng = torch.Generator().manual_seed(3)
    move = draw_move(settings, (24, 32), rng)
    assert move is not None
    assert torch.equal(move.apply(image), move.apply(image.clone()))
    again = draw_move(settings, (24, 32), torch.Generator().manual_seed(3))
    assert again is not None
    assert torch.equal(again.apply(image), move.apply(image))
    assert move.geometric == (not isinstance(settings, (Color, Blur)))
    assert (move.mirror is settings) == isinstance(settings, Flip)


@pytest.mark.parametrize("settings", [Flip(p=0), Rotate(p=0), Elastic(p=0), Color(p=0), Blur(p=0)])
def test_what_is_not_applied_is_no_move(settings: Settings) -> None:
    assert draw_move(settings, (24, 32), torch.Generator().manual_seed(0)) is None


def test_everything_is_brought_to_a_size() -> None:
    move = resize_move((5, 7))
    assert move.apply(tv_tensors.Image(torch.zeros(3, 24, 32, dtype=torch.uint8))).shape == (3, 5, 7)
    assert move.apply(tv_tensors.Mask(torch.zeros(2, 24, 32, dtype=torch.uint8))).shape == (2, 5, 7)
