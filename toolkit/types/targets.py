"""What an explanation is about: a class, a region, an object, or the answer to a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types.checking import check, check_boxes, check_tensor, check_type
from toolkit.types.equality import ByValue
from toolkit.types.prompts import Prompts

TargetKind: TypeAlias = Literal["class", "region", "object", "prompt"]
TargetPart: TypeAlias = Literal["class", "mask"]


@dataclass(frozen=True, eq=False)
class Target(ByValue):
    """What is explained in one image: the thing whose score a map explains.

    - ``class``: a class in the whole image; needs ``label``. ``mask`` has the pixels of the class, if the
      model predicts classes of pixels and finds the class there.
    - ``region``: a class in a part of the image; needs ``label`` and ``mask``.
    - ``object``: a detection; needs ``label`` and ``box_xyxy``.
    - ``prompt``: the answer of a promptable model; needs ``prompts`` of one row, and ``mask``, the answer.

    Attributes:
        kind: which of them.
        label: index of the class, or None.
        mask: bool ``[H, W]``, the pixels that belong to it in the image, or None.
        box_xyxy: float32 ``[4]`` in pixels of the image, or None.
        prompts: the prompt that was answered, one row, or None.
        number: position of an object among the predictions for the image, best first, or None.
        part: of an object, whether to explain its class or its mask.

    Raises:
        InvalidDataError: when what the kind needs is missing, or shapes, dtypes or values do not fit.
    """

    kind: TargetKind
    label: int | None = None
    mask: Tensor | None = None
    box_xyxy: Tensor | None = None
    prompts: Prompts | None = None
    number: int | None = None
    part: TargetPart = "class"

    def __post_init__(self) -> None:
        if self.kind not in get_args(TargetKind):
            raise InvalidDataError(f"Target.kind must be one of {get_args(TargetKind)}, not {self.kind!r}")
        check(self.part in get_args(TargetPart), f"Target.part must be class or mask, not {self.part!r}")
        needed = {
            "class": ("label",),
            "region": ("label", "mask"),
            "object": ("label", "box_xyxy"),
            "prompt": ("prompts", "mask"),
        }[self.kind]
        for name in needed:
            check(getattr(self, name) is not None, f"a Target of kind {self.kind!r} needs {name}")
        check(self.label is None or self.label >= 0, f"Target.label must be 0 or more, not {self.label}")
        check_type("Target", "prompts", self.prompts, Prompts)
        if self.mask is not None:
            check_tensor("Target", "mask", self.mask, torch.bool, (None, None))
        if self.box_xyxy is not None:
            check_tensor("Target", "box_xyxy", self.box_xyxy, torch.float32, (4,))
            check_boxes("Target", self.box_xyxy[None])
        if self.prompts is not None:
            check(len(self.prompts) == 1, f"Target.prompts must be one prompt, not {len(self.prompts)}")
