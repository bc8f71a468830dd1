"""What a run has not learned: a model that started from random weights only knows what its training showed
it, and would answer everything else at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from toolkit.errors import UsageError
from toolkit.models.capabilities import Promptable, Trackable
from toolkit.models.simulated_prompts import BOX, POINT
from toolkit.models.start_weights import RANDOM


def prompts_not_learned(
    model: Promptable, kinds: Iterable[str], start_weights: Mapping[str, str], hint: str
) -> str:
    """Why prompts of some kinds cannot be used: a model from random weights was not trained on them.

    Args:
        model: the model, which lists such kinds in ``untrained_prompts``.
        kinds: the kinds of the prompts: ``point``, ``box``, ``mask``.
        start_weights: what its training started from, as in a checkpoint's manifest; empty if unknown.
        hint: what to do instead.

    Returns:
        A message; empty if they can be used.
    """
    strange = _not_learned(model, kinds, start_weights)
    if not strange:
        return ""
    return (
        f"this run was trained from random weights and never with prompts of the kind {strange[0]}, so it"
        f" would answer them at random. Hint: {hint}"
    )


def note_on_protocol(model: Promptable, protocol: str, start_weights: Mapping[str, str]) -> str:
    """What a reader needs to know about the metrics of a prompt protocol: that its prompts never occurred in
    the training of a model from random weights. Empty if that is not the case; arguments as for
    ``prompts_not_learned``.
    """
    if not _not_learned(model, [BOX if protocol == BOX else POINT], start_weights):
        return ""
    return (
        f"The metrics of the protocol {protocol} come from random answers: the run was trained from random"
        " weights, and never with such prompts."
    )


def _not_learned(model: Promptable, kinds: Iterable[str], start_weights: Mapping[str, str]) -> list[str]:
    if start_weights.get("name") != RANDOM.name:
        return []
    return sorted(set(kinds) & set(model.untrained_prompts))


def check_tracking_learned(model: Trackable, start_weights: Mapping[str, str], name: str) -> None:
    """Refuse to track with a model from random weights if training does not reach all parts that tracking
    needs.

    Args:
        model: the model, which lists these parts in ``only_for_tracking``.
        start_weights: what its training started from, as in a checkpoint's manifest; empty if unknown.
        name: the name of the model, for messages.

    Raises:
        UsageError: when it cannot have learned tracking.
    """
    if model.only_for_tracking and start_weights.get("name") == RANDOM.name:
        raise UsageError(
            f"{name} was trained from random weights, and training does not reach the parts that track"
            f" objects ({', '.join(model.only_for_tracking[:2])}, …), so their results would be random."
            " Hint: train from published weights, such as weights=official, or prompt each frame with"
            " toolkit infer --prompts FILE"
        )
