"""The errors: the tree that the module draws is the one that there is, and exit codes follow from it."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

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


MODELS = {"model", "_model", "detector", "instance", "explainable", "subject"}
"""What variables and attributes that hold models are called."""
NO_MODEL = {"building.py", "run_parts.py"}
"""Files with errors about what a plugin's author returns in the place of a model."""


def test_no_error_calls_a_model_by_its_class() -> None:
    """Users know runs and plugins; ``PromptedModel`` or ``Engine`` tells them nothing."""
    folder = Path(errors.__file__).parent
    found = []
    for path in folder.rglob("*.py"):
        if path.name in NO_MODEL:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise):
                named = re.findall(r"{type\(([\w.]+)\)\.__name__}", ast.unparse(node))
                found += [f"{path}:{node.lineno}" for each in named if each.split(".")[-1] in MODELS]
    assert not found
