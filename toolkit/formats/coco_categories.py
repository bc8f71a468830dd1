"""The categories of a COCO file, as classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import DataError
from toolkit.formats.class_names import class_name

NO_GROUP = ("", "none", None)
"""Values of ``supercategory`` that mean none."""


@dataclass(frozen=True)
class Categories:
    """The categories that are classes.

    Attributes:
        records: by id, in the order of the ids, which may have gaps; ``keypoints``, where there are any, is a
            list.
        classes: their names.
        group: the name of the category that was left out because it only groups the others; None if there is
            none.
    """

    records: Mapping[Any, Mapping[str, Any]]
    classes: tuple[str, ...]
    group: str | None = None

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """The names of the keypoints of the category that has the most; empty if none has any."""
        named = (category.get("keypoints") or () for category in self.records.values())
        return max((tuple(map(str, names)) for names in named), key=len, default=())


def categories_of(by_id: Mapping[Any, Mapping[str, Any]], used: Collection[Any], path: Path) -> Categories:
    """The classes of a file.

    Roboflow's files begin with a category that is named after the project, with all others declared as
    its parts, and which no annotation has; it is not a class.

    Args:
        by_id: the categories, by id.
        used: the category ids of the annotations.
        path: the file, for messages.

    Raises:
        DataError: when ids have different types, a name is empty, or two categories have the same name.
    """
    if len({type(key) for key in by_id}) > 1:
        raise DataError(f"{path} has both numbers and text as category ids. Hint: use numbers")
    group = next((key for key in by_id if _only_groups(key, by_id, used)), None)
    kept = {key: by_id[key] for key in sorted(by_id) if key != group or group is None}
    names = tuple(class_name(record["name"], f"{path}: category {key!r}") for key, record in kept.items())
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        first, second, *_ = (key for key, name in zip(kept, names, strict=True) if name == twice)
        raise DataError(
            f"{path} has two categories called {twice!r}, with the ids {first!r} and {second!r}. Hint: rename"
            f" one of them; or, if they are one class, give the annotations of {second!r} the category_id"
            f" {first!r}, and remove the category {second!r}"
        )
    return Categories(kept, names, None if group is None else str(by_id[group]["name"]))


def _only_groups(key: Any, by_id: Mapping[Any, Mapping[str, Any]], used: Collection[Any]) -> bool:
    """Whether a category groups others, is in no group itself, and has no annotations."""
    record = by_id[key]
    others = (other for each, other in by_id.items() if each != key)
    return (
        key not in used
        and record.get("supercategory") in NO_GROUP
        and any(other.get("supercategory") == record["name"] for other in others)
    )
