"""Deletion and insertion: how much better than chance a map ranks the parts of a photo.

Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018. The
parts of a photo are hidden (deletion) or shown (insertion) in the order of the map, most important first, and
the score is followed: the better the map, the smaller the area under the curve of deletion, and the larger
that of insertion. What both are worth is only seen in comparison with maps that know nothing. So the same is
done with random maps and with maps that prefer the center, where most photographers place what they show.

Parts are cells of a grid, the same for all maps, whose values are averaged in each cell. If pixels were
hidden one by one, a noisy map would ruin the photo faster than a smooth one, wherever it points.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.explaining.batches import Batches, Score, batch_size
from toolkit.explaining.cells import Cells, Hidden
from toolkit.explaining.prediction_intervals import Interval, of_another

BETTER, NOT_BETTER = "better than chance", "no better than chance"
BY_DELETION = "better than chance by deletion, not by insertion"
BY_INSERTION = "better than chance by insertion, not by deletion"
UNDEFINED = "undefined: hiding the whole photo does not change the score"

CENTER_SPREAD = 0.25
"""Standard deviation of the center-weighted maps, as a fraction of height and width."""


@dataclass(frozen=True)
class DeletionOptions:
    """How curves are computed.

    Attributes:
        steps: in how many steps the photo is hidden.
        cells: cells along the longer side.
        draws: how many random maps, and half as many center-weighted ones.
        batch_size: photos per batch; fewer for large photos, and when memory runs out.
        seed: of the random maps, and of the order of cells with equal values.
    """

    steps: int = 10
    cells: int = 16
    draws: int = 10
    batch_size: int = 16
    seed: int = 0


@dataclass(frozen=True)
class Curve:
    """The score while a photo is hidden or shown.

    Attributes:
        fractions: of the pixels that are hidden (deletion) or shown (insertion), from 0 to 1.
        scores: the score at each.
    """

    fractions: tuple[float, ...]
    scores: tuple[float, ...]

    @property
    def area(self) -> float:
        """The area under the curve, by trapezoids."""
        pairs = itertools.pairwise(zip(self.fractions, self.scores, strict=True))
        return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairs)


@dataclass(frozen=True)
class Chance:
    """Areas of maps that know nothing about the model, for one photo and one score.

    Attributes:
        random: the interval of the areas of random maps, 95 % of which are in it. It is the same for deletion
            and insertion: a photo shown in a random order is a photo hidden in another.
        center_deletion, center_insertion: the same for random maps that prefer the center.
        draws: the number of random maps.
    """

    random: Interval
    center_deletion: Interval
    center_insertion: Interval
    draws: int


@dataclass(frozen=True)
class Faithfulness:
    """How well a map says which parts the score depends on.

    Attributes:
        deletion, insertion: the curves of the map.
        chance: the areas of maps that know nothing.
    """

    deletion: Curve
    insertion: Curve
    chance: Chance

    @property
    def deletes_better(self) -> bool:
        """Whether the score falls faster than with 97.5 % of random maps."""
        return self.deletion.area < self.chance.random.low

    @property
    def inserts_better(self) -> bool:
        """Whether the score rises faster than with 97.5 % of random maps."""
        return self.insertion.area > self.chance.random.high

    @property
    def verdict(self) -> str:
        """The comparison with random maps, in words."""
        if self.deletion.scores[0] == self.deletion.scores[-1]:
            return UNDEFINED
        if self.deletes_better and self.inserts_better:
            return BETTER
        if self.deletes_better:
            return BY_DELETION
        return BY_INSERTION if self.inserts_better else NOT_BETTER


@dataclass(eq=False)
class DeletionGame:
    """Scores maps of one photo for one target. What maps that know nothing reach is computed once.

    Args:
        score: see ``Score``.
        image: uint8 ``[3, H, W]``.
        options: see ``DeletionOptions``.
    """

    score: Score
    image: Tensor
    options: DeletionOptions = field(default_factory=DeletionOptions)

    def __post_init__(self) -> None:
        self._size = (int(self.image.shape[1]), int(self.image.shape[2]))
        self._cells = Cells.of(self._size, self.options.cells)
        self._hidden = Hidden(self.image, self._cells)
        self._batches = Batches(self.score, batch_size(self.options.batch_size, self._size))
        self._generator = torch.Generator().manual_seed(self.options.seed)
        everything = torch.ones(len(self._cells), dtype=torch.bool)
        self._full, self._empty = self._scores([everything, ~everything])
        self._chance: Chance | None = None

    def judge(self, values: Tensor) -> Faithfulness:
        """The curves of a map, compared with chance.

        Args:
            values: floating ``[H, W]``, the larger, the more important.

        Raises:
            InvalidDataError: when it is not of the photo's size, or has NaN or infinite values.
        """
        if tuple(values.shape) != self._size or not bool(torch.isfinite(values).all()):
            raise InvalidDataError(
                f"a map must be finite and of the photo's size {list(self._size)}, not {list(values.shape)}"
            )
        order = self._cells.order(self._cells.means(values), self._generator)
        deletion, insertion = self.curves([order, order.flip(0)])
        return Faithfulness(deletion, _reversed(insertion), self.chance())

    def chance(self) -> Chance:
        """What maps that know nothing reach."""
        if self._chance is None:
            draws = self.options.draws
            weight = torch.exp(-((self._cells.centers - 0.5) ** 2).sum(1) / (2 * CENTER_SPREAD**2))
            random = [self._random_order() for _ in range(draws)]
            centered = [self._random_order(weight) for _ in range(-(-draws // 2))]
            # hidden in the order from the border inward is shown in the order from the center outward
            curves = self.curves([*random, *centered, *(order.flip(0) for order in centered)])
            areas = [curve.area for curve in curves]
            middle = draws + len(centered)
            self._chance = Chance(
                of_another(areas[:draws]),
                of_another(areas[draws:middle]),
                of_another(areas[middle:]),
                draws,
            )
        return self._chance

    def curves(self, orders: Sequence[Tensor]) -> list[Curve]:
        """The curves of deletion for orders of cells, int64 ``[N]`` each, the first to be hidden first."""
        count = len(self._cells)
        cuts = sorted({round(step * count / self.options.steps) for step in range(1, self.options.steps)})
        cuts = [cut for cut in cuts if 0 < cut < count]
        visible = []
        for order in orders:
            place = order.argsort()
            visible += [place >= cut for cut in cuts]
        scores = self._scores(visible)
        curves = []
        for i, order in enumerate(orders):
            hidden = self._cells.areas[order].cumsum(0) / self._cells.areas.sum()
            fractions = (0.0, *(float(hidden[cut - 1]) for cut in cuts), 1.0)
            inner = scores[i * len(cuts) : (i + 1) * len(cuts)]
            curves.append(Curve(fractions, (self._full, *inner, self._empty)))
        return curves

    def _random_order(self, weight: Tensor | float = 1.0) -> Tensor:
        noise = torch.rand(len(self._cells), generator=self._generator)
        return self._cells.order(noise * weight, self._generator)

    def _scores(self, visible: Sequence[Tensor]) -> list[float]:
        def images_of(numbers: Sequence[int]) -> Tensor:
            return self._hidden.images([visible[number] for number in numbers])

        found: list[float] = self._batches.run(range(len(visible)), images_of).tolist()
        return found


def _reversed(curve: Curve) -> Curve:
    """The curve of hiding, read backward as one of showing."""
    return Curve(tuple(1 - fraction for fraction in reversed(curve.fractions)), curve.scores[::-1])
