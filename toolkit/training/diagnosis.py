"""Warnings in plain words when training explodes or gradients vanish, with what to try."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import median_low
from typing import Any

from toolkit.config import TrainSettings
from toolkit.training.gradients import Look

USUAL_UPDATE = 1e-3
"""Norm of a step over that of a layer in a run that goes well (Karpathy, Stanford's CS231n notes, "Ratio of
weights:updates").
"""

LARGE_UPDATE = 100 * USUAL_UPDATE
"""Ten such steps replace the weights of half of the layers."""

HUGE_UPDATE = 300 * USUAL_UPDATE
"""Steps of this size, in most of the looks of a window, leave little of what half of the layers held,
whatever the loss says: a network with norms can still lower it. The first steps of AdamW on small networks
reach 0.15."""

WORSE_LOSS = 1.2
"""A loss as much above that of the start weights is worse than having learned nothing."""

LARGER_NORM = 10.0
"""Gradients that are so many times those at the start, beside a loss that got worse, feed on themselves
(Pascanu et al. 2013).
"""

NO_UPDATE = 1e-6
"""At such steps a weight needs a million of them to change by its own size; float32 itself ends at 6e-8."""

STARVED = 1e-6
"""A layer that moves so little beside the one that moves most. In AlexNet layers differ by 230 (You et al.
2017, table 2); in U-Nets on six encoders by up to 20 with AdamW and 3e4 with SGD; in networks of 8 to 20
sigmoids by 4e6 and more."""

MANY = 0.1
"""Part of the layers that must be starved for a warning; a single one may just be unused."""

LEARNED = 0.1
"""A loss that has fallen to this part of the first needs no gradient any more."""

WINDOW = 5
"""Steps and looks that a judgment rests on, so that one odd batch is none."""

FIRST_LOOKS = 10
"""Steps at the start that are all looked at: with a wrong learning rate it is over by then."""


EXPLODES, VANISH, STANDS = "training explodes", "the gradients vanish", "the weights hardly move"
TOO_LARGE = "the steps are far too large"


class Diagnosis:
    """Follows a run, and says once each what is wrong with it.

    Attributes:
        told: what was said, by kind.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.first: tuple[float, float] | None = None
        self.told: dict[str, str] = {}
        self._recent: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._updates: deque[float] = deque(maxlen=WINDOW)
        self._moves: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self._idle: deque[frozenset[str]] = deque(maxlen=WINDOW)

    def note(self, loss: float, norm: float) -> None:
        """Take in the loss and gradient norm of a step, in order; those of the first are what later ones are
        compared with.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return
        if self.first is None:
            self.first = loss, norm
        else:
            self._recent.append((loss, norm))

    def look(self, step: int, look: Look, factor: float) -> list[str]:
        """Take in a look at a step, and return what there is to say.

        Args:
            step: the number of the step, for the message.
            look: what it did.
            factor: what the schedule multiplied the learning rate by.
        """
        used = [move for name, move in look.moves.items() if name not in look.idle]
        self._updates.append(median_low(used) if used else 0.0)  # a new head starts from zero and moves far
        if factor > 0.01 and look.moves:  # else what does not move does so as planned
            self._moves.append({name: move / factor for name, move in look.moves.items()})
            self._idle.append(look.idle)
        found = [self._explosion(*self._level())] if len(self._recent) >= 3 else []
        found += [self._overshooting(), self._vanishing()]
        new = {
            kind: f"step {step}: {kind}: {text}"
            for kind, text in filter(None, found)
            if kind not in self.told
        }
        self.told |= new
        return list(new.values())

    def explains(self, loss: float, norm: float) -> str:
        """Why a step with this loss and norm, which may not be finite, cannot be taken; empty when it is not
        because training explodes.
        """
        found = (
            self._explosion(loss, norm)
            if math.isfinite(loss)
            else self._explosion(*self._level())
            if self._recent
            else None
        )
        return "" if found is None else f"{found[0].capitalize()}: {found[1]}"

    def _level(self) -> tuple[float, float]:
        """Loss and norm of late; one odd batch does not count."""
        losses, norms = zip(*self._recent, strict=True)
        return median_low(losses), median_low(norms)

    def _explosion(self, loss: float, norm: float) -> tuple[str, str] | None:
        if self.first is None:
            return None
        first_loss, first_norm = self.first
        update = max(self._updates, default=0.0)
        if loss <= WORSE_LOSS * first_loss or (update < LARGE_UPDATE and norm < LARGER_NORM * first_norm):
            return None
        why = [
            f"the loss went from {first_loss:.3g} to {loss:.3g}",
            f"the gradient's norm from {first_norm:.3g} to {norm:.3g}",
        ]
        if update >= LARGE_UPDATE:
            why.append(
                f"a step moved the layers by {update:.2g} times their size, where about {USUAL_UPDATE:g} is"
                " usual"
            )
        return EXPLODES, f"{', '.join(why)}. {self._slower()}"

    def _overshooting(self) -> tuple[str, str] | None:
        if (
            EXPLODES in self.told
            or len(self._updates) < WINDOW
            or (update := median_low(self._updates)) < HUGE_UPDATE
        ):
            return None
        what = (
            f"of late they moved half of the layers by {update:.2g} times their size or more, where about"
            f" {USUAL_UPDATE:g} is usual"
        )
        return TOO_LARGE, f"{what}. So training explodes, or learns little. {self._slower()}"

    def _slower(self) -> str:
        options = self.settings
        tries = [f"a lower learning rate (train.lr={options.lr / 10:g})"]
        tries += ["train.clip_norm=1"] * (options.clip_norm is None) + ["train.warmup_steps=100"] * (
            not options.warmup_steps
        )
        return f"Try {_either(tries)}"

    def _vanishing(self) -> tuple[str, str] | None:
        if self.first is None or not self._recent or len(self._moves) < WINDOW:
            return None
        loss, _ = self._level()
        names = [name for name in self._moves[-1] if all(name in moves for moves in self._moves)]
        if loss < LEARNED * self.first[0] or not names:
            return None
        most = {name: max(moves[name] for moves in self._moves) for name in names}
        top = max(most, key=lambda name: most[name])
        layers = (
            "Try ReLU in place of sigmoid or tanh, a norm after each layer, connections around layers, or"
            " pretrained weights"
        )
        if most[top] < NO_UPDATE:
            what = (
                f"a step moves no layer by more than {most[top]:.1g} of its size, where about"
                f" {USUAL_UPDATE:g} is usual"
            )
            what += f", and the loss is still {loss:.3g}"
            if most[top] > NO_UPDATE * self.settings.scaled_lr():
                return STANDS, f"{what}. Try a higher learning rate than train.lr={self.settings.lr:g}"
            dead = "Units are saturated or dead" + (
                ", as they are when training has exploded" if EXPLODES in self.told else ""
            )
            return VANISH, f"{what}. {dead}. {layers}"
        unused = frozenset.intersection(*self._idle)
        starved = [name for name in names if most[name] < STARVED * most[top] and name not in unused]
        if len(starved) < max(1, MANY * len(names)):
            return None
        shown = ", ".join(starved[:3]) + (", …" if len(starved) > 3 else "")
        what = (
            f"{len(starved)} of {len(names)} layers ({shown}) move less than a millionth as far as {top}, so"
            " they hardly learn"
        )
        return VANISH, f"{what}. {layers}"

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"first": self.first, "told": self.told}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; an empty one is that of a run which kept none."""
        self.first, self.told = state.get("first"), dict(state.get("told", {}))


def _either(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"
