"""The prompts of a file, matched to the images that they are for; ``toolkit.formats.prompt_records``
describes the formats of the files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

import torch

from toolkit.errors import DataError
from toolkit.formats.image_names import ImageNames
from toolkit.formats.prompt_records import ObjectPrompt, read_prompts
from toolkit.types import Prompts, Size


class PromptFile:
    """The prompts of a file, matched to images by name.

    Args:
        path: the file; see the module for its formats.
        classes: names of the label indexes; None means the classes of the file, in its order.

    Raises:
        DataError: when the file is invalid, or contains a class that is not in ``classes``.
    """

    def __init__(self, path: Path, classes: Sequence[str] | None = None) -> None:
        self.path = path
        self._prompts = read_prompts(path)
        everything = [prompt for prompts in self._prompts.values() for prompt in prompts]
        self.classes = tuple(classes or dict.fromkeys(prompt.class_name for prompt in everything))
        for prompt in everything:
            if prompt.class_name not in self.classes:
                raise DataError(
                    f"{prompt.where} has the class {prompt.class_name!r}; expected one of:"
                    f" {', '.join(self.classes)}"
                )
        for prompts in self._prompts.values():
            _check_ids(prompts)
        self._by_image: dict[str, list[tuple[str, ObjectPrompt]]] = {}

    def assign(self, names: Iterable[str]) -> None:
        """Set the images: a name in the file refers to the one image whose path ends with it, with or without
        suffix.

        Raises:
            DataError: when a name in the file matches no image, or several.
        """
        known = ImageNames(names, self._prompts)
        self._by_image = {}
        ids = _new_ids(prompt.object_id for prompts in self._prompts.values() for prompt in prompts)
        for entry, prompts in self._prompts.items():
            matches = known.matches(entry)
            exact = [name for name in matches if name == entry]
            if len(exact or matches) != 1:
                found = (
                    f"{len(matches)} images have this name: {', '.join(matches[:3])}"
                    if matches
                    else "no image has this name"
                )
                some = ", ".join(known.examples)
                raise DataError(
                    f"{prompts[0].where} is for {entry!r}, but {found}. Hint: use names such as {some}"
                )
            named = [(prompt.object_id or next(ids), prompt) for prompt in prompts]
            known_here = self._by_image.setdefault((exact or matches)[0], [])
            _check_ids([prompt for _, prompt in [*known_here, *named]])
            known_here.extend(named)

    @property
    def images(self) -> tuple[str, ...]:
        """The images that have prompts, of those that were assigned."""
        return tuple(self._by_image)

    def names_image(self, name: str) -> bool:
        """Whether the file has prompts for an image."""
        return name in self._by_image

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of prompts in the file: ``point``, ``box`` or both."""
        everything = [prompt for prompts in self._prompts.values() for prompt in prompts]
        kinds = {"point": any(p.points_xy for p in everything), "box": any(p.box_xyxy for p in everything)}
        return frozenset(kind for kind, is_there in kinds.items() if is_there)

    def ids(self, name: str) -> tuple[str, ...]:
        """The ids of an image's objects, in the order of the file: those that it gives them, and numbers that
        it gives to none for the others.
        """
        return tuple(each for each, _ in self._by_image.get(name, ()))

    def given_ids(self) -> frozenset[str]:
        """All ids that the file gives objects."""
        everything = (prompt for prompts in self._prompts.values() for prompt in prompts)
        return frozenset(prompt.object_id for prompt in everything if prompt.object_id is not None)

    def one_by_one(self, name: str, size: Size) -> list[Prompts]:
        """The prompts for an image in the order of the file, one ``Prompts`` for each object.

        Raises:
            DataError: when a point or a whole box lies outside the image.
        """
        entries = self._by_image.get(name, ())
        for _, prompt in entries:
            _check_inside(prompt, name, size)
        return [self._stack([entry], size) for entry in entries]

    def groups(self, name: str, size: Size) -> list[Prompts]:
        """The prompts for an image, at most one ``Prompts`` for each combination of points and box; empty if
        the file has none for it.

        Raises:
            DataError: when a point or a whole box lies outside the image.
        """
        kinds: dict[tuple[bool, bool], list[tuple[str, ObjectPrompt]]] = defaultdict(list)
        for each, prompt in self._by_image.get(name, ()):
            _check_inside(prompt, name, size)
            kinds[bool(prompt.points_xy), prompt.box_xyxy is not None].append((each, prompt))
        return [self._stack(entries, size) for entries in kinds.values()]

    def _stack(self, entries: Sequence[tuple[str, ObjectPrompt]], size: Size) -> Prompts:
        ids, prompts = zip(*entries, strict=True)
        labels = torch.tensor([self.classes.index(prompt.class_name) for prompt in prompts])
        points = point_labels = boxes = None
        if most := max(len(prompt.points_xy) for prompt in prompts):
            points = torch.zeros(len(prompts), most, 2)
            point_labels = torch.full((len(prompts), most), -1)
            for i, prompt in enumerate(prompts):
                points[i, : len(prompt.points_xy)] = torch.tensor(prompt.points_xy)
                point_labels[i, : len(prompt.points_xy)] = torch.tensor(prompt.point_labels)
        if prompts[0].box_xyxy is not None:
            height, width = size
            boxes = torch.tensor([prompt.box_xyxy for prompt in prompts], dtype=torch.float32)
            boxes = boxes.clamp(min=0).minimum(
                torch.tensor([width, height, width, height], dtype=torch.float32)
            )
        return Prompts(points, point_labels, boxes, labels, ids=ids)


def _check_ids(prompts: Sequence[ObjectPrompt]) -> None:
    """Refuse two objects of one image with the same id; rows of a CSV file were put together before."""
    first: dict[str, ObjectPrompt] = {}
    for prompt in prompts:
        if prompt.object_id is not None and first.setdefault(prompt.object_id, prompt) is not prompt:
            raise DataError(
                f"{prompt.where} has the object {prompt.object_id!r}, as {first[prompt.object_id].where} has;"
                " expected one record for each object of an image. Hint: put all its points and its box into"
                " one record, under one name of the image"
            )


def _new_ids(given: Iterable[str | None]) -> Iterator[str]:
    """Numbers from 1 that no object has as its id."""
    taken = set(given)
    return (name for name in map(str, count(1)) if name not in taken)


def _check_inside(prompt: ObjectPrompt, name: str, size: Size) -> None:
    height, width = size
    for x, y in prompt.points_xy:
        if not (0 <= x < width and 0 <= y < height):
            raise DataError(
                f"{prompt.where} has the point ({x:g}, {y:g}), outside {name}, which is {width} × {height}"
                " pixels (width × height)"
            )
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = prompt.box_xyxy
        if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            raise DataError(
                f"{prompt.where} has the box {list(prompt.box_xyxy)}, outside {name}, which is {width} ×"
                f" {height} pixels (width × height)"
            )
