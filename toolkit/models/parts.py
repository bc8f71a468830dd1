"""Parts of a model: selected by name, and shown with their trainable parameters.

A *pattern* is the name of a part as in the state dict, or the end of it, or a run of components in it:
``decoder`` stands for ``network.decoder`` and everything inside. ``*``, ``?`` and ``[…]`` work as in file
names; ``*`` also crosses dots. ``encoder`` also stands for ``Model.encoder_part``, whatever that is called.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from torch import Tensor, nn

from toolkit.errors import ConfigError, UsageError

Part: TypeAlias = "nn.Module | nn.Parameter"

ENCODER = "encoder"
"""What the part that turns images into features is called in patterns, for all models."""

MOST_ROWS = 20
"""Maximum number of rows before a table of parts stops adding detail."""


def matches(pattern: str, name: str) -> bool:
    """Whether ``pattern`` matches the tensor ``name``: it matches a run of whole dot-separated components."""
    steps = name.split(".")
    return any(
        fnmatchcase(".".join(steps[i:j]), pattern)
        for i in range(len(steps))
        for j in range(i + 1, len(steps) + 1)
    )


def select(model: nn.Module, patterns: Iterable[str], setting: str) -> set[int]:
    """The parameters and buffers that match patterns, by ``id``; patterns are applied in order, and
    ``!pattern`` excludes again.

    Raises:
        ConfigError: when a pattern matches nothing; lists the existing parts. ``setting`` names the setting
            it comes from.
    """
    tensors = list(_named_tensors(model))
    chosen: set[int] = set()
    for pattern in patterns:
        found = {id(tensor) for name, tensor in tensors if matches(pattern.removeprefix("!"), name)}
        if not found:
            raise ConfigError(_unknown(model, pattern.removeprefix("!"), setting))
        chosen = chosen - found if pattern.startswith("!") else chosen | found
    return chosen


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Named tensors, with an additional name for each place where a tensor is shared, and for those of the
    model's encoder.
    """
    encoder = encoder_part(model)
    named = (model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    for name, tensor in itertools.chain(*named):
        yield name, tensor
        if encoder and name.startswith(f"{encoder}."):
            yield f"{ENCODER}{name.removeprefix(encoder)}", tensor


def encoder_part(model: nn.Module) -> str:
    """The name of the part that ``encoder`` stands for; empty if the model declares none."""
    return str(getattr(model, "encoder_part", ""))


def _unknown(model: nn.Module, pattern: str, setting: str) -> str:
    steps = {step for name, _ in model.named_modules() for step in name.split(".")}
    near = difflib.get_close_matches(pattern, sorted(steps), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    encoder = encoder_part(model)
    also = f"; {ENCODER} stands for {encoder}" if encoder else ""
    return (
        f"{setting}: no part of the model matches {pattern!r}{hint} Expected one of:"
        f" {', '.join(top_parts(model))}{also}"
    )


def top_parts(model: nn.Module) -> dict[str, Part]:
    """The first modules (and parameters outside modules) below the root, by full name; modules that only wrap
    another are left out.
    """
    parts = _inside("", model)
    while len(parts) == 1:
        ((name, part),) = parts.items()
        deeper = _inside(f"{name}.", part)
        if not deeper or isinstance(next(iter(deeper.values())), nn.Parameter):
            break
        parts = deeper
    return parts


def _inside(prefix: str, part: Part) -> dict[str, Part]:
    """The modules with parameters, and the parameters, directly inside a module."""
    if isinstance(part, nn.Parameter):
        return {}
    parameters = {f"{prefix}{name}": parameter for name, parameter in part.named_parameters(recurse=False)}
    return {
        f"{prefix}{name}": child
        for name, child in part.named_children()
        if next(child.parameters(), None) is not None
    } | parameters


def name_inside(network: nn.Module, part: nn.Module) -> str:
    """The name of a part of a network. Stored instead of the part itself, which would be a second entry in
    the state dict.

    Raises:
        UsageError: when it is not a part of the network.
    """
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    if part in names:
        return names[part]
    raise UsageError(
        f"encoder must be a part of the network, but this {type(part).__name__} is not a module of"
        f" {type(network).__name__}"
    )


def untrained_parameters(model: nn.Module) -> set[int]:
    """The parameters that a model declares as not used in training, by ``id``: those that match
    ``Model.untrained``. Empty for a module that declares none; a pattern may match nothing.
    """
    patterns: Sequence[str] = getattr(model, "untrained", ())
    return {id(p) for name, p in model.named_parameters() if any(matches(each, name) for each in patterns)}


def parts_table(model: nn.Module, groups: Sequence[Mapping[str, Any]], unfreeze_at: int | None = None) -> str:
    """A table of which parts are trained, as lines of text: one row per part, with its numbers of trainable
    and frozen parameters and its learning rate. If the model declares parameters as not used in training
    (``Model.untrained``), a separate column counts them.

    Args:
        model: the model, with its current ``requires_grad``.
        groups: the optimizer's groups, with ``base_lr``; parameters in none of them are never trained.
        unfreeze_at: the step after which the frozen parameters in ``groups`` are trained.
    """
    rates = {id(p): float(group["base_lr"]) for group in groups for p in group["params"]}
    untrained = {i for i in untrained_parameters(model) if i not in rates}
    parts = top_parts(model)
    while deeper := _next_detail(parts, rates, untrained):
        name, inside = deeper
        parts = {n: p for part in parts for n, p in (inside if part == name else {part: parts[part]}).items()}
    rows: list[tuple[str, ...]] = [("part", "trainable", "frozen", "not used in training", "learning rate")]
    rows += [(name, *_cells(part, rates, untrained, unfreeze_at)) for name, part in parts.items()]
    if not untrained:
        rows = [(*row[:3], row[4]) for row in rows]
    name_width, *count_widths, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = []
    for name, *counts, rate in rows:
        numbers = (count.rjust(width) for count, width in zip(counts, count_widths, strict=True))
        lines.append("  ".join([name.ljust(name_width), *numbers, rate]).rstrip())
    return "\n".join(lines)


def _next_detail(
    parts: Mapping[str, Part], rates: Mapping[int, float], untrained: Collection[int]
) -> tuple[str, dict[str, Part]] | None:
    """Expand the outermost partly trained part into its children, if the table has room for them."""
    for name in sorted(parts, key=lambda name: name.count(".")):
        inside = _inside(f"{name}.", parts[name])
        kinds = {
            (_learns(p, rates), rates.get(id(p))) for p in _parameters(parts[name]) if id(p) not in untrained
        }
        if len(kinds) > 1 and len(parts) + len(inside) <= MOST_ROWS:
            return name, inside
    return None


def _learns(parameter: nn.Parameter, rates: Mapping[int, float]) -> bool:
    return parameter.requires_grad and id(parameter) in rates


def _parameters(part: Part) -> list[nn.Parameter]:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())


def _cells(
    part: Part, rates: Mapping[int, float], untrained: Collection[int], unfreeze_at: int | None
) -> tuple[str, str, str, str]:
    parameters = _parameters(part)
    trainable = sum(p.numel() for p in parameters if _learns(p, rates))
    unused = sum(p.numel() for p in parameters if id(p) in untrained)
    frozen = sum(p.numel() for p in parameters) - trainable - unused
    shown = sorted({rates[id(p)] for p in parameters if id(p) in rates and (p.requires_grad or unfreeze_at)})
    rate = "" if not shown else f"{shown[0]:g}" if len(shown) == 1 else f"{shown[0]:g} to {shown[-1]:g}"
    later = any(id(p) in rates and not p.requires_grad for p in parameters)
    return (
        f"{trainable:,}",
        f"{frozen:,}",
        f"{unused:,}",
        f"{rate}, frozen until step {unfreeze_at}" if later and unfreeze_at else rate,
    )
