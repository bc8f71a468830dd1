"""Warnings in plain words when training explodes or gradients vanish, with what to try."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import median_low
from typing import Any

from toolkit.config import TrainSettings
from toolkit.training.gradients import UpdateStatistics
from toolkit.wording import some

USUAL_UPDATE = 1e-3
"""Norm of a step divided by the norm of the layer in a healthy run (Karpathy, Stanford's CS231n notes,
"Ratio of weights:updates").
"""

LARGE_UPDATE = 100 * USUAL_UPDATE
"""Ten such steps replace the weights of half of the layers."""

HUGE_UPDATE = 300 * USUAL_UPDATE
"""If most checks of a window find steps of this size, little is left of what half of the layers had learned,
regardless of the loss: a network with norms can still lower it. The first steps of AdamW on small networks
reach 0.15."""

LOSS_GROWTH = 1.2
"""A loss this many times that of the initial weights is worse than having learned nothing."""

NORM_GROWTH = 10.0
"""Gradients this many times as large as those at the start, together with a loss that got worse, amplify
themselves (Pascanu et al. 2013).
"""

NEGLIGIBLE_UPDATE = 1e-6
"""At this size, a weight needs a million steps to change by its own size. float32 resolves 6e-8."""

STARVED_RATIO = 1e-6
"""A layer that moves less than this fraction of what the fastest layer moves is starved. In AlexNet, layers
differ by a factor of 230 (You et al. 2017, table 2); in U-Nets on six encoders, by up to 20 with AdamW and
3e4 with SGD; in networks of 8 to 20 sigmoids, by 4e6 and more."""

STARVED_SHARE = 0.1
"""Share of the layers that must be starved for a warning; a single one may just be unused."""

LEARNED_LOSS = 0.1
"""A loss below this fraction of the first one no longer needs a gradient."""

WINDOW = 5
"""Number of recent steps and checks behind a warning, so that a single unusual batch causes none."""

FIRST_STEPS = 10
"""Number of steps at the start that are all checked: with a wrong learning rate, a run fails early."""


EXPLODING, VANISHING, STALLED = "training explodes", "the gradients vanish", "the weights hardly move"
TOO_LARGE = "the steps are far too large"


class Diagnosis:
    """Follows a run, and warns once about each kind of problem.

    Args:
        settings: the settings of the run; the advice in a warning depends on them.

    Attributes:
        first: loss and gradient norm of the first step, which later ones are compared with.
        warnings: the warnings given so far, by kind of problem.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.first: tuple[float, float] | None = None
        self.warnings: dict[str, str] = {}
        self._recent: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._medians: deque[float] = deque(maxlen=WINDOW)
        self._updates: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self._idle: deque[frozenset[str]] = deque(maxlen=WINDOW)

    def record(self, loss: float, grad_norm: float) -> None:
        """Record the loss and gradient norm of a step. Call it for every step, in order; values that are not
        finite are left out.
        """
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            return
        if self.first is None:
            self.first = loss, grad_norm
        else:
            self._recent.append((loss, grad_norm))

    def check(self, step: int, statistics: UpdateStatistics, lr_factor: float) -> list[str]:
        """Return the new warnings that a step causes, often none.

        Args:
            step: the number of the step, for the message.
            statistics: the effect of the step on the weights.
            lr_factor: the factor by which the schedule multiplied the learning rate.
        """
        updates = statistics.relative_updates
        used = [size for name, size in updates.items() if name not in statistics.idle]
        # The median, because a new head starts from zero and moves far.
        self._medians.append(median_low(used) if used else 0.0)
        if lr_factor > 0.01 and updates:  # otherwise, the weights are not supposed to move
            self._updates.append({name: size / lr_factor for name, size in updates.items()})
            self._idle.append(statistics.idle)
        found = [self._explosion(*self._level())] if len(self._recent) >= 3 else []
        found += [self._overshooting(), self._vanishing()]
        new = {
            kind: f"step {step}: {kind}: {text}"
            for kind, text in filter(None, found)
            if kind not in self.warnings
        }
        self.warnings |= new
        return list(new.values())

    def explain(self, loss: float, grad_norm: float) -> str:
        """Return why a step with this loss and gradient norm, which may not be finite, cannot be taken: a
        sentence if training explodes, else an empty string.
        """
        found = (
            self._explosion(loss, grad_norm)
            if math.isfinite(loss)
            else self._explosion(*self._level())
            if self._recent
            else None
        )
        return "" if found is None else f"{found[0].capitalize()}: {found[1]}"

    def _level(self) -> tuple[float, float]:
        """Medians of the recent losses and gradient norms, which a single unusual batch does not change."""
        losses, norms = zip(*self._recent, strict=True)
        return median_low(losses), median_low(norms)

    def _explosion(self, loss: float, grad_norm: float) -> tuple[str, str] | None:
        if self.first is None:
            return None
        first_loss, first_norm = self.first
        update = max(self._medians, default=0.0)
        if loss <= LOSS_GROWTH * first_loss or (
            update < LARGE_UPDATE and grad_norm < NORM_GROWTH * first_norm
        ):
            return None
        reasons = [
            f"the loss went from {first_loss:.3g} to {loss:.3g}",
            f"the gradient's norm from {first_norm:.3g} to {grad_norm:.3g}",
        ]
        if update >= LARGE_UPDATE:
            reasons.append(
                f"a step moved the layers by {update:.2g} times their size, where about {USUAL_UPDATE:g} is"
                " usual"
            )
        return EXPLODING, f"{', '.join(reasons)}. {self._smaller_steps()}"

    def _overshooting(self) -> tuple[str, str] | None:
        if (
            EXPLODING in self.warnings
            or len(self._medians) < WINDOW
            or (update := median_low(self._medians)) < HUGE_UPDATE
        ):
            return None
        what = (
            f"recent ones moved half of the layers by {update:.2g} times their size or more, where about"
            f" {USUAL_UPDATE:g} is usual"
        )
        return TOO_LARGE, f"{what}. This makes training explode or prevents learning. {self._smaller_steps()}"

    def _smaller_steps(self) -> str:
        options = self.settings
        tries = [f"a lower learning rate (train.lr={options.lr / 10:g})"]
        tries += ["train.clip_norm=1"] * (options.clip_norm is None) + ["train.warmup_steps=100"] * (
            not options.warmup_steps
        )
        return f"Try {_either(tries)}"

    def _vanishing(self) -> tuple[str, str] | None:
        if self.first is None or not self._recent or len(self._updates) < WINDOW:
            return None
        loss, _ = self._level()
        names = [name for name in self._updates[-1] if all(name in updates for updates in self._updates)]
        if loss < LEARNED_LOSS * self.first[0] or not names:
            return None
        most = {name: max(updates[name] for updates in self._updates) for name in names}
        top = max(most, key=lambda name: most[name])
        layers = (
            "Try ReLU instead of sigmoid or tanh, normalization after each layer, skip connections, or"
            " pretrained weights"
        )
        if most[top] < NEGLIGIBLE_UPDATE:
            what = (
                f"a step moves no layer by more than {most[top]:.1g} of its size, where about"
                f" {USUAL_UPDATE:g} is usual"
            )
            what += f", and the loss is still {loss:.3g}"
            if most[top] > NEGLIGIBLE_UPDATE * self.settings.scaled_lr():
                return STALLED, f"{what}. Try a higher learning rate than train.lr={self.settings.lr:g}"
            dead = "Units are saturated or dead" + (
                ", as they are when training has exploded" if EXPLODING in self.warnings else ""
            )
            return VANISHING, f"{what}. {dead}. {layers}"
        unused = frozenset.intersection(*self._idle)
        starved = [name for name in names if most[name] < STARVED_RATIO * most[top] and name not in unused]
        if len(starved) < max(1, STARVED_SHARE * len(names)):
            return None
        what = (
            f"{len(starved)} of {len(names)} layers ({some(starved, 3)}) move less than a millionth as far as"
            f" {top}, so they hardly change"
        )
        return VANISHING, f"{what}. {layers}"

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to compare with the first step and to warn only once."""
        return {"first": self.first, "warnings": self.warnings}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state; with an empty one, from the start."""
        self.first, self.warnings = state.get("first"), dict(state.get("warnings", {}))


def _either(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"
