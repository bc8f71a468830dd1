"""Names of classes: blanks around them do not matter, and what is no name is refused."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit.errors import DataError
from toolkit.formats.class_names import class_index, class_name, class_names


def test_blanks_around_a_name_do_not_matter() -> None:
    assert class_name(" wine glass\t", "f") == "wine glass"
    assert class_index("cup ", {"can": 0, "cup": 1}, "f", "") == 1
    assert class_names([" a", "b "], "f") == ("a", "b")
    assert class_names([], "f") == ()


@pytest.mark.parametrize("value", [None, 5, True, ["a"], {"a": 1}, 1.5])
def test_what_is_no_text(value: Any) -> None:
    with pytest.raises(DataError, match=r"^f: 3 has .* as a class name; expected text"):
        class_name(value, "f: 3")


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_empty_names(value: str) -> None:
    with pytest.raises(DataError, match=r"^f: 3 has an empty class name"):
        class_name(value, "f: 3")


def test_unknown_and_double_names() -> None:
    with pytest.raises(DataError, match="f has no known class; expected one of can, cup. Hint: look"):
        class_index("pot", {"can": 0, "cup": 1}, "f", "look")
    with pytest.raises(DataError, match="f lists the class 'cup' twice"):
        class_names(["cup", "can", "cup "], "f")
