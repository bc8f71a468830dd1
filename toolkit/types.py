"""The types that data travels in: ``Sample`` in, ``Prediction`` out, ``Instances`` in both.

All arrays are CPU tensors, frozen in place by convention and checked when built. Pixel coordinates have their
origin at the top-left corner of the top-left pixel; boxes are ``x0, y0, x1, y1`` in pixels with ``x1, y1``
exclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.errors import InvalidDataError

VOID = 255
"""The value in a label map for pixels that belong to no class; so a label map has at most 255 classes."""

BACKGROUND = "background"
"""The class that pixels outside all objects belong to, where the classes name one so."""

Size: TypeAlias = tuple[int, int]
"""Height and width in pixels."""

FIELDS = ("label_map", "instances")
"""What a sample and a prediction may both have beside the ``extras`` of tasks that plugins bring."""

Index: TypeAlias = "slice | Sequence[int] | Sequence[bool] | np.ndarray[Any, Any] | Tensor"


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidDataError(message)


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of {value.dtype} {list(value.shape)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '…'}"


def _check_tensor(
    owner: str, name: str, value: object, dtype: torch.dtype, shape: tuple[int | None, ...]
) -> None:
    fits = (
        isinstance(value, Tensor)
        and value.dtype == dtype
        and value.dim() == len(shape)
        and all(want is None or want == got for want, got in zip(shape, value.shape, strict=True))
    )
    expected = ", ".join("any" if want is None else str(want) for want in shape)
    wanted = f"a tensor of {str(dtype).removeprefix('torch.')} [{expected}]"
    _check(fits, f"{owner}.{name} must be {wanted}, not {_describe(value)}")


def _check_boxes(owner: str, boxes: Tensor) -> None:
    _check(bool(torch.isfinite(boxes).all()), f"{owner}.boxes_xyxy has NaN or infinite values")
    ordered = (boxes[:, 2:] >= boxes[:, :2]).all(dim=1)
    for row in (~ordered).nonzero()[:1, 0].tolist():
        raise InvalidDataError(f"{owner}.boxes_xyxy[{row}] has x1 < x0 or y1 < y0: {boxes[row].tolist()}")


def _check_labels(owner: str, labels: Tensor) -> None:
    if len(labels):
        least = int(labels.min())
        _check(least >= 0, f"{owner}.labels must be 0 or more, not {least}")


def _check_type(owner: str, name: str, value: object, expected: type) -> None:
    fits = value is None or isinstance(value, expected)
    _check(fits, f"{owner}.{name} must be {expected.__name__} or None, not {_describe(value)}")


def _check_size(owner: str, size: object) -> None:
    fits = isinstance(size, tuple) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)
    _check(fits, f"{owner}.size must be (height, width) in whole pixels above 0, not {size!r}")


def _pixels(size: Size) -> str:
    """A size as reprs show it, height first as in shapes."""
    return f"{size[0]}x{size[1]}"


def _contents(owner: Sample | Prediction) -> list[str]:
    """What a sample or a prediction holds, in a few words for its repr."""
    words = [] if owner.label_map is None else ["label_map"]
    if owner.instances is not None:
        words.append(f"{len(owner.instances)} instance{'s' * (len(owner.instances) != 1)}")
    return [*words, *map(str, owner.extras)]


@dataclass(frozen=True)
class Masks:
    """``N`` binary masks of one image as COCO run-length codes: holes, parts and overlaps survive, and memory
    stays small.

    Attributes:
        size: height and width of the image, in pixels.
        counts: ``N`` compressed run-length codes, as ``pycocotools.mask`` writes them.

    Raises:
        InvalidDataError: when ``size`` or the type of ``counts`` is wrong.
    """

    size: Size
    counts: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        _check_size("Masks", self.size)
        fits = isinstance(self.counts, tuple)
        _check(fits, f"Masks.counts must be a tuple of bytes, not {type(self.counts).__name__}")
        for index, code in enumerate(self.counts):
            if not isinstance(code, bytes):
                raise InvalidDataError(f"Masks.counts[{index}] must be bytes, not {_describe(code)}")

    @classmethod
    def from_dense(cls, dense: Tensor | np.ndarray[Any, Any]) -> Masks:
        """Encode masks of shape ``[N, H, W]`` (bool, or numbers of which 0 is background)."""
        array = dense.numpy() if isinstance(dense, Tensor) else np.asarray(dense)
        _check(array.ndim == 3, f"masks must be [N, H, W], not {_describe(array)}")
        height, width = array.shape[1:]
        counts = (coco_mask.encode(np.asfortranarray(m != 0, dtype=np.uint8))["counts"] for m in array)
        return cls((height, width), tuple(counts))

    @classmethod
    def from_polygons(cls, polygons: Sequence[Sequence[Sequence[float]]], size: Size) -> Masks:
        """Rasterize ``N`` objects, each a list of flat polygons ``[x0, y0, x1, y1, …]``, by COCO's rule
        (union of the parts).

        Raises:
            InvalidDataError: when an object has no polygon, or one of fewer than 3 points.
        """
        counts = []
        for index, parts in enumerate(polygons):
            _check(len(parts) > 0, f"object {index} has no polygon")
            for part in parts:
                _check(
                    len(part) >= 6 and len(part) % 2 == 0,
                    f"a polygon of object {index} has {len(part)} numbers; expected x0, y0, x1, y1, … of 3"
                    " points or more",
                )
            codes = coco_mask.frPyObjects([list(part) for part in parts], *size)
            counts.append(coco_mask.merge(codes)["counts"])
        return cls(size, tuple(counts))

    @classmethod
    def from_coco(cls, codes: Sequence[dict[str, Any]], size: Size) -> Masks:
        """Take COCO RLE dictionaries, compressed (``str`` or ``bytes``) or not (a list of counts)."""
        counts = []
        for code in codes:
            _check(
                tuple(code["size"]) == size,
                f"mask code has size {code['size']}, but the image has {list(size)}",
            )
            if isinstance(code["counts"], list):
                _check(
                    all(float(run).is_integer() and run >= 0 for run in code["counts"]),
                    "mask code has a run length that is negative or no whole number",
                )
                _check(
                    sum(code["counts"]) == size[0] * size[1],
                    f"mask code covers {sum(code['counts'])} pixels, but the image has {size[0] * size[1]}",
                )
                code = coco_mask.frPyObjects(code, *size)
            raw = code["counts"]
            counts.append(raw.encode() if isinstance(raw, str) else raw)
        return cls(size, tuple(counts))

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        return f"Masks({_pixels(self.size)}, {len(self)})"

    def __getitem__(self, index: Index) -> Masks:
        return Masks(self.size, tuple(self.counts[i] for i in _positions(index, len(self))))

    def to_coco(self) -> list[dict[str, Any]]:
        """The masks as COCO RLE dictionaries ``{"size": [H, W], "counts": bytes}``."""
        return [{"size": list(self.size), "counts": c} for c in self.counts]

    def dense(self) -> Tensor:
        """Decode to bool ``[N, H, W]``; this is where memory is spent, so index first."""
        if not self.counts:
            return torch.zeros((0, *self.size), dtype=torch.bool)
        decoded = coco_mask.decode(self.to_coco())  # [H, W, N] in Fortran order, so the transpose is free
        return torch.from_numpy(np.ascontiguousarray(decoded.transpose(2, 0, 1))).bool()

    def areas(self) -> Tensor:
        """Foreground pixels of each mask, int64 ``[N]``."""
        if not self.counts:
            return torch.zeros(0, dtype=torch.int64)
        codes = self.to_coco()
        parts = [
            coco_mask.area(codes[start : start + 255]) for start in range(0, len(codes), 255)
        ]  # it fails on more than 255 at once
        return torch.from_numpy(np.concatenate(parts).astype(np.int64))

    def boxes_xyxy(self) -> Tensor:
        """The tight box of each mask, float32 ``[N, 4]``; an empty mask has a box of zeros."""
        if not self.counts:
            return torch.zeros((0, 4))
        boxes = coco_mask.toBbox(self.to_coco()).astype(np.float32)  # x, y, width, height
        boxes[:, 2:] += boxes[:, :2]
        return torch.from_numpy(boxes)


def _positions(index: Index, length: int) -> list[int]:
    """Positions that ``index`` (slice, integers or a bool mask) picks out of ``length`` items."""
    if isinstance(index, slice):
        return list(range(length))[index]
    array = index.numpy() if isinstance(index, Tensor) else np.asarray(index)
    _check(
        array.ndim == 1 and (array.dtype.kind in "biu" or not array.size),
        "what is picked must be a slice, or positions or truth values in a list or array [N], not"
        f" {_describe(index)}",
    )
    picked = array if array.dtype == bool else array.astype(np.int64)
    return [int(i) for i in np.arange(length)[picked]]


@dataclass(frozen=True)
class Instances:
    """Objects of one image: the same type for truth and for prediction. Indexing filters every field at once.

    Attributes:
        size: height and width of the image, in pixels.
        boxes_xyxy: float32 ``[N, 4]``, in pixels, ``x1 >= x0`` and ``y1 >= y0``.
        labels: int64 ``[N]``, indexes into the classes of the dataset or model.
        masks: ``N`` masks of the image's size, or None.
        scores: float32 ``[N]`` for predictions, None for truth. Models give 0…1; what is read from other
            software's files may be any finite number, since evaluation looks at the order alone.
        keypoints: float32 ``[N, K, 3]`` as x, y in pixels, visibility (or score), or None; the middle of the
            first pixel is 0.5, 0.5.
        is_crowd: bool ``[N]``; a crowd region is neither to be found nor a false alarm. None means no crowds.
        areas: float64 ``[N]`` in square pixels, where a file states them, as COCO's do: the evaluator
            ``coco`` tells small objects from large by them. None: those of the masks, or else of the boxes.

    Raises:
        InvalidDataError: when shapes, dtypes or values do not fit, with what was expected and what came.
    """

    size: Size
    boxes_xyxy: Tensor
    labels: Tensor
    masks: Masks | None = None
    scores: Tensor | None = None
    keypoints: Tensor | None = None
    is_crowd: Tensor | None = None
    areas: Tensor | None = None

    def __post_init__(self) -> None:
        _check_size("Instances", self.size)
        _check_tensor("Instances", "boxes_xyxy", self.boxes_xyxy, torch.float32, (None, 4))
        n = len(self.boxes_xyxy)
        _check_tensor("Instances", "labels", self.labels, torch.int64, (n,))
        _check_boxes("Instances", self.boxes_xyxy)
        _check_labels("Instances", self.labels)
        _check_type("Instances", "masks", self.masks, Masks)
        if self.masks is not None:
            _check(
                len(self.masks) == n and self.masks.size == self.size,
                f"Instances.masks must be {n} masks of {self.size}, not {len(self.masks)} of"
                f" {self.masks.size}",
            )
        if self.scores is not None:
            _check_tensor("Instances", "scores", self.scores, torch.float32, (n,))
            _check(bool(torch.isfinite(self.scores).all()), "Instances.scores has NaN or infinite values")
        if self.keypoints is not None:
            _check_tensor("Instances", "keypoints", self.keypoints, torch.float32, (n, None, 3))
            _check(
                bool(torch.isfinite(self.keypoints).all()), "Instances.keypoints has NaN or infinite values"
            )
        if self.is_crowd is not None:
            _check_tensor("Instances", "is_crowd", self.is_crowd, torch.bool, (n,))
        if self.areas is not None:
            _check_tensor("Instances", "areas", self.areas, torch.float64, (n,))
            usable = torch.isfinite(self.areas) & (self.areas >= 0)
            _check(bool(usable.all()), "Instances.areas must be 0 or more, and neither NaN nor infinite")

    @classmethod
    def empty(cls, size: Size, *, with_masks: bool = False, with_scores: bool = False) -> Instances:
        """No objects in an image of this size."""
        return cls(
            size,
            torch.zeros((0, 4)),
            torch.zeros(0, dtype=torch.int64),
            Masks(size) if with_masks else None,
            torch.zeros(0) if with_scores else None,
        )

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    def __repr__(self) -> str:
        has = [name for name in ("masks", "scores", "keypoints", "is_crowd", "areas") if self._has(name)]
        return f"Instances({_pixels(self.size)}, {', '.join([str(len(self)), 'boxes', *has])})"

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None

    def __getitem__(self, index: Index) -> Instances:
        positions = torch.tensor(_positions(index, len(self)), dtype=torch.int64)

        def pick(value: Tensor | None) -> Tensor | None:
            return None if value is None else value[positions]

        return Instances(
            self.size,
            self.boxes_xyxy[positions],
            self.labels[positions],
            None if self.masks is None else self.masks[positions],
            pick(self.scores),
            pick(self.keypoints),
            pick(self.is_crowd),
            pick(self.areas),
        )


@dataclass(frozen=True)
class Prompts:
    """What a user points at, for ``N`` objects of one image.

    Attributes:
        points_xy: float32 ``[N, K, 2]`` in pixels, or None.
        point_labels: int64 ``[N, K]``: 1 on the object, 0 off it, -1 padding; None exactly when ``points_xy``
            is.
        boxes_xyxy: float32 ``[N, 4]`` in pixels, or None.
        labels: int64 ``[N]``, the class each prompt stands for, or None.

    Raises:
        InvalidDataError: when shapes, dtypes or values do not fit, or there is neither a point nor a box.
    """

    points_xy: Tensor | None = None
    point_labels: Tensor | None = None
    boxes_xyxy: Tensor | None = None
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        given = self.points_xy if self.points_xy is not None else self.boxes_xyxy
        if given is None:
            raise InvalidDataError(
                "Prompts needs points_xy with point_labels, or boxes_xyxy, or both; it got neither"
            )
        n = len(given) if isinstance(given, Tensor) and given.dim() else None
        if self.points_xy is not None:
            _check_tensor("Prompts", "points_xy", self.points_xy, torch.float32, (n, None, 2))
            _check_tensor(
                "Prompts", "point_labels", self.point_labels, torch.int64, (n, self.points_xy.shape[1])
            )
            _check_points(self.points_xy, self.point_labels)
        else:
            _check(self.point_labels is None, "Prompts.point_labels is given without points_xy")
        if self.boxes_xyxy is not None:
            _check_tensor("Prompts", "boxes_xyxy", self.boxes_xyxy, torch.float32, (n, 4))
            _check_boxes("Prompts", self.boxes_xyxy)
        if self.labels is not None:
            _check_tensor("Prompts", "labels", self.labels, torch.int64, (n,))
            _check_labels("Prompts", self.labels)

    def __len__(self) -> int:
        given = self.points_xy if self.points_xy is not None else self.boxes_xyxy
        assert given is not None  # __post_init__ saw to it
        return len(given)


def _check_points(points: Tensor, labels: Tensor | None) -> None:
    assert labels is not None  # the caller saw to it
    for label in labels[(labels < -1) | (labels > 1)][:1].tolist():
        raise InvalidDataError(
            f"Prompts.point_labels must be 1 (on the object), 0 (off it) or -1 (padding), not {label}"
        )
    finite = torch.isfinite(points).all(dim=2) | (labels == -1)
    _check(bool(finite.all()), "Prompts.points_xy has NaN or infinite values outside the padding")


def _check_label_map(owner: str, label_map: Tensor | None, size: Size) -> None:
    if label_map is not None:
        _check_tensor(owner, "label_map", label_map, torch.uint8, size)


@dataclass(frozen=True)
class PixelMap:
    """A number for every pixel of an image, such as its depth. It moves with the image under augmentation, by
    its nearest neighbor.

    Attributes:
        values: float32 ``[H, W]``; NaN where nothing is known.

    Raises:
        InvalidDataError: when the shape or dtype is wrong.
    """

    values: Tensor

    def __post_init__(self) -> None:
        _check_tensor("PixelMap", "values", self.values, torch.float32, (None, None))

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return int(self.values.shape[0]), int(self.values.shape[1])


def _check_extras(owner: str, extras: object, size: Size) -> None:
    """What a task that a plugin brings adds to a sample or a prediction."""
    if not isinstance(extras, Mapping):
        raise InvalidDataError(
            f"{owner}.extras must be a mapping from names to values, not {_describe(extras)}"
        )
    for name, value in extras.items():
        _check(
            not isinstance(value, PixelMap) or value.size == size,
            f"{owner}.extras[{name!r}] is a map of {getattr(value, 'size', None)}, but the image has {size}",
        )


@dataclass(frozen=True)
class Sample:
    """One image and what is known about it.

    Attributes:
        id: unique within its dataset; for files, the path relative to the dataset's image folder without
            suffix.
        image: uint8 ``[3, H, W]``, RGB.
        label_map: uint8 ``[H, W]`` of class indexes, ``VOID`` where nothing is known, or None.
        instances: the objects, or None when the dataset has none to give (no objects is an empty
            ``Instances``).
        prompts: what a promptable model is asked, or None.
        path: where the image came from, for messages; None for generated images.
        extras: truth of tasks that plugins bring, by name: a ``PixelMap`` moves with the image under
            augmentation, anything else stays as it is.

    Raises:
        InvalidDataError: when shapes, dtypes or sizes do not fit together.
    """

    id: str
    image: Tensor
    label_map: Tensor | None = None
    instances: Instances | None = None
    prompts: Prompts | None = None
    path: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = f"Sample {self.id!r}"
        _check(isinstance(self.id, str), f"{owner}: id must be str, not {type(self.id).__name__}")
        _check_tensor(owner, "image", self.image, torch.uint8, (3, None, None))
        _check(self.image.numel() > 0, f"{owner}.image has no pixels: {_describe(self.image)}")
        _check_label_map(owner, self.label_map, self.size)
        _check_type(owner, "instances", self.instances, Instances)
        if self.instances is not None:
            _check(
                self.instances.size == self.size,
                f"{owner}.instances are of an image of {self.instances.size}, but the image has {self.size}",
            )
        _check_extras(owner, self.extras, self.size)
        _check_type(owner, "prompts", self.prompts, Prompts)

    @property
    def size(self) -> Size:
        """Height and width of the image, in pixels."""
        return int(self.image.shape[1]), int(self.image.shape[2])

    def __repr__(self) -> str:
        return f"Sample({self.id!r}, {', '.join([_pixels(self.size), *_contents(self)])})"

    def get(self, name: str) -> Any:
        """What is known under a name of ``TaskManifest.truth``: an attribute, or one of ``extras``; None
        where it is not.
        """
        return getattr(self, name) if name in FIELDS else self.extras.get(name)

    def fields(self) -> list[str]:
        """The names under which something is known: those of ``FIELDS`` first, then of the extras."""
        return [name for name in FIELDS if getattr(self, name) is not None] + list(self.extras)

    def pin_memory(self) -> Sample:
        """The sample with its image and label map in pinned memory, from which a GPU copies without
        waiting.
        """
        label_map = None if self.label_map is None else self.label_map.pin_memory()
        return replace(self, image=self.image.pin_memory(), label_map=label_map)

    def with_(self, **changes: Any) -> Sample:
        """A copy with some fields replaced, checked again."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Prediction:
    """What a model says of one sample, always in the sample's own pixel grid.

    Attributes:
        sample_id: the ``id`` of the sample.
        size: height and width of the sample's image, in pixels.
        label_map: uint8 ``[H, W]`` of class indexes (``VOID``: no class), from semantic models.
        instances: objects with scores, from instance and promptable models.
        extras: what models of tasks that plugins bring predict, by name; a ``PixelMap`` is of the image's
            size.

    Raises:
        InvalidDataError: when sizes or dtypes do not fit, or there is neither a label map nor instances nor
            extras.
    """

    sample_id: str
    size: Size
    label_map: Tensor | None = None
    instances: Instances | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = f"Prediction {self.sample_id!r}"
        _check(
            isinstance(self.sample_id, str),
            f"{owner}: sample_id must be str, not {type(self.sample_id).__name__}",
        )
        _check_size(owner, self.size)
        _check(
            self.label_map is not None or self.instances is not None or bool(self.extras),
            f"{owner} has neither a label_map nor instances; an image without objects has empty Instances",
        )
        _check_extras(owner, self.extras, self.size)
        _check_label_map(owner, self.label_map, self.size)
        _check_type(owner, "instances", self.instances, Instances)
        if self.instances is not None:
            _check(
                self.instances.size == self.size,
                f"{owner}.instances are of an image of {self.instances.size}, not {self.size}",
            )

    def __repr__(self) -> str:
        parts = [_pixels(self.size), *_contents(self)]
        return f"{type(self).__name__}({self.sample_id!r}, {', '.join(parts)})"

    def get(self, name: str) -> Any:
        """What is predicted under a name of ``TaskManifest.predicts``, as ``Sample.get``; ``answers`` are
        instances.
        """
        name = "instances" if name == "answers" else name
        return getattr(self, name) if name in FIELDS else self.extras.get(name)

    def fields(self) -> list[str]:
        """The names under which something is predicted, as ``Sample.fields``."""
        return [name for name in FIELDS if getattr(self, name) is not None] + list(self.extras)
