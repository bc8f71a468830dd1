"""The errors: the tree that the module draws is the one that there is, and exit codes follow from it."""

from __future__ import annotations

import inspect
import re

import pytest

from toolkit import errors
from toolkit.errors import ToolkitError, UsageError

ALL = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, Exception)}


def test_the_tree_in_the_documentation_is_the_tree_of_the_classes() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^ {4}([│├└─ ]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    assert drawn == {name: cls.__bases__[0].__name__ for name, cls in ALL.items()}


@pytest.mark.parametrize("error", ALL.values(), ids=ALL)
def test_exit_codes_are_1_and_2_for_what_was_asked(error: type[ToolkitError]) -> None:
    assert error("why").exit_code == (2 if issubclass(error, UsageError) else 1)
    assert str(error("why")) == "why"
    assert error.__doc__


def test_wrong_arrays_are_value_errors_too() -> None:
    assert issubclass(errors.InvalidDataError, ValueError)
