"""Maps the tensor names in files, whatever their prefixes, to the names in a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from torch import Tensor

from toolkit.models.contract import Model

ANYWHERE = frozenset({"_orig_mod", "module"})
"""Components that torch.compile and DistributedDataParallel insert into names, at any position."""

WRAPPERS = frozenset(
    {
        *ANYWHERE,
        *("_forward_module", "_fsdp_wrapped_module", "_module", "_model", "model", "net", "network"),
        *("base", "base_model", "student", "ema", "ema_model", "model_ema", "averaged_model"),
        *("detector", "segmentor", "segmentation_model", "learner", "task", "wrapped", "inner", "state_dict"),
    }
)
"""Components that such wrappers, Lightning modules and users' programs prepend to the names of a network."""


def names_in_files(model: Model) -> dict[str, str]:
    """The names that a model's tensors may have in a file, each with the model's own: those of its state
    dict, and those under which they are exported.
    """
    own = model.state_dict()
    by_memory = {_memory(value): name for name, value in own.items() if value.numel()}
    names = {name: name for name in own}
    for name, value in model.export_state().items():
        at = by_memory.get(_memory(value)) if value.numel() else None
        if at is not None:
            names.setdefault(name, at)
    return names


def _memory(value: Tensor) -> tuple[int, tuple[int, ...]]:
    return value.data_ptr(), tuple(value.shape)


def unwrapped(
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str] | Collection[str],
    inside: Collection[str] = (),
) -> dict[str, Tensor]:
    """Tensors by the names that are looked for, without the prefixes that these have in a file.

    Of prefixes of components in ``WRAPPERS``, in any order and number, the one that precedes most of the
    names that are looked for is removed; if there are several, the shortest.

    Args:
        tensors: the tensors of a file.
        names: the names to look for; a mapping gives the new name of each.
        inside: other components that may precede them, if they are the names of a part of a network.

    Returns:
        All tensors; those whose names are not looked for keep their names.
    """
    renamed = names if isinstance(names, Mapping) else {name: name for name in names}
    bare = {name: _without_wrappers(name, renamed) for name in tensors}
    steps = {*WRAPPERS, *inside}
    counts = Counter(before for name in bare.values() for before in _before(name, renamed, steps))
    if not counts:
        return dict(tensors)
    most = max(counts.values())
    prefix = min((before for before, count in counts.items() if count == most), key=lambda p: (len(p), p))
    result: dict[str, Tensor] = {}
    for name, value in tensors.items():
        inner = bare[name].removeprefix(prefix)
        fits = bare[name].startswith(prefix) and inner in renamed
        result.setdefault(renamed[inner] if fits else name, value)
    return result


def without_common_steps(tensors: Mapping[str, Tensor], inside: Collection[str] = ()) -> dict[str, Tensor]:
    """Tensors without the known components that precede all of their names; for names that somebody else
    translates.
    """
    steps, named = {*WRAPPERS, *inside}, dict(tensors)
    while named:
        firsts = {name.partition(".")[0] for name in named}
        if len(firsts) > 1 or not firsts <= steps or not all("." in name for name in named):
            return named
        named = {name.partition(".")[2]: value for name, value in named.items()}
    return named


def _without_wrappers(name: str, names: Mapping[str, str]) -> str:
    return name if name in names else ".".join(step for step in name.split(".") if step not in ANYWHERE)


def _before(name: str, names: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    """The prefixes that a name may have: nothing, ``model.``, ``model.net.`` …"""
    steps = name.split(".")
    for i in range(len(steps)):
        if ".".join(steps[i:]) in names:
            yield "".join(f"{step}." for step in steps[:i])
        if steps[i] not in known:
            return
