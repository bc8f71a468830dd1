"""Freezing: parameters that are not trained, and modules that stay in eval mode because all their parameters
are frozen.

In PyTorch these are separate: ``requires_grad=False`` stops the gradients of a batch norm's weights, but its
statistics keep changing, and dropout stays active, until the module is also in eval mode.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from torch import Tensor, nn

from toolkit.errors import TrainingError
from toolkit.models.parts import Part, select, untrained_parameters


def freeze(*parts: Part) -> None:
    """Set ``requires_grad=False`` for all parameters of these modules, and for these parameters.

    Modules keep their mode; see ``keep_frozen_in_eval``.
    """
    _set_requires_grad(parts, False)


def unfreeze(*parts: Part) -> None:
    """Set ``requires_grad=True`` for all parameters of these modules, and for these parameters.

    Modules keep their mode; ``model.train()`` puts them back into training mode.
    """
    _set_requires_grad(parts, True)


def is_frozen(*parts: Part) -> bool:
    """Whether none of these parameters requires a gradient; true for parts without parameters."""
    return not any(parameter.requires_grad for parameter in _parameters(parts))


def keep_frozen_in_eval(model: nn.Module) -> None:
    """Put every module whose parameters are all frozen into eval mode, including its submodules.

    ``model.train()`` undoes this, so a model that freezes parts of itself calls it at the end of its own
    ``train``.
    """
    frozen = {id(parameter) for parameter in model.parameters() if not parameter.requires_grad}
    for module in modules_within(model, frozen):
        module.eval()


def modules_within(model: nn.Module, tensors: Collection[int]) -> list[nn.Module]:
    """The modules whose parameters (or buffers, for modules without parameters) are all among ``tensors``.
    Modules that have neither are left out.

    Args:
        model: is searched, including itself.
        tensors: ``id`` of parameters and buffers.
    """
    return [module for module in model.modules() if _lies_within(module, tensors)]


def count_frozen(model: nn.Module) -> int:
    """Number of values in frozen parameters, except those that the model declares as not used in training
    (``Model.untrained``).
    """
    untrained = untrained_parameters(model)
    return sum(p.numel() for p in model.parameters() if not p.requires_grad and id(p) not in untrained)


class Freezing:
    """Named parts of a model that are frozen until ``unfreeze``; modules that are entirely frozen are in eval
    mode.

    Parameters that the model itself has frozen stay frozen.

    Args:
        model: the whole model; nothing happens to it yet.
        patterns: names of parts, see ``toolkit.models.parts``.
        setting: where the patterns were given, for messages.

    Attributes:
        is_active: whether ``freeze`` was called, and ``unfreeze`` not since.

    Raises:
        ConfigError: when a pattern matches no part.
    """

    def __init__(self, model: nn.Module, patterns: Sequence[str], setting: str = "train.freeze") -> None:
        self.model, self.setting = model, setting
        chosen = select(model, patterns, setting)
        self.parameters = [p for p in model.parameters() if id(p) in chosen and p.requires_grad]
        self.modules = modules_within(model, chosen)
        self.is_active = False

    def freeze(self) -> None:
        """Freeze the parts. Call it again after ``model.train()``, which ends eval mode.

        Raises:
            TrainingError: when no trainable parameter is left.
        """
        self.is_active = True
        freeze(*self.parameters)
        for module in self.modules:
            module.eval()
        if self.parameters and is_frozen(self.model):
            raise TrainingError(
                f"{self.setting} leaves nothing to train: everything is frozen. Hint: freeze fewer parts"
            )

    def unfreeze(self) -> None:
        """Let the parts train again, and put the model in training mode."""
        self.is_active = False
        unfreeze(*self.parameters)
        self.model.train()


def _set_requires_grad(parts: Sequence[Part], value: bool) -> None:
    for parameter in _parameters(parts):
        parameter.requires_grad_(value)


def _parameters(parts: Sequence[Part]) -> Iterator[nn.Parameter]:
    for part in parts:
        yield from [part] if isinstance(part, nn.Parameter) else part.parameters()


def _lies_within(module: nn.Module, tensors: Collection[int]) -> bool:
    own: list[Tensor] = [*module.parameters()] or [*module.buffers()]
    return bool(own) and all(id(tensor) in tensors for tensor in own)
