"""Defines and runs conformance checks, for both ``toolkit plugins check`` and the contract classes.

A check is a function of one argument, its case. Its name is shown to the user and used to declare what a
plugin cannot do; the first sentence of its docstring states the promise. It fails with ``AssertionError`` or
whatever the code under test raises, and is skipped with ``unittest.SkipTest``, which pytest also understands.
"""

from __future__ import annotations

import traceback
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, Protocol, TypeAlias, TypeVar

from toolkit.errors import ToolkitError, UsageError
from toolkit.registry.manifests import Manifest

State: TypeAlias = Literal["passed", "failed", "skipped"]


class Case(Protocol):
    """The subject of a check: a plugin, dataset or evaluator with small settings, and its manifest."""

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""
        ...


C = TypeVar("C", bound=Case)
Check: TypeAlias = Callable[[C], None]


@dataclass(frozen=True)
class Result:
    """The result of a check.

    Attributes:
        name: the name of the check.
        promise: what it requires.
        state: passed, failed or skipped.
        message: what is wrong and how to fix it, or why the check was skipped.
    """

    name: str
    promise: str
    state: State
    message: str = ""


def promise(check: Check[Any]) -> str:
    """The requirement of a check, in one sentence."""
    return " ".join((check.__doc__ or "").partition("\n\n")[0].split())


def run_checks(
    checks: Sequence[Check[C]], case: C, cannot: Mapping[str, str] | None = None
) -> Iterator[Result]:
    """Run every check, even if others fail.

    Args:
        checks: the checks of one kind.
        case: the subject of the checks.
        cannot: names of checks to skip, with the reasons, in addition to those that the manifest declares.

    Raises:
        UsageError: when there is no check of a declared name.
    """
    declared = check_declared(checks, {**case.manifest.cannot, **(cannot or {})}, case.manifest.name)
    for check in checks:
        state: State = "passed"
        message = ""
        try:
            if check.__name__ in declared:
                raise unittest.SkipTest(declared[check.__name__])
            check(case)
        except unittest.SkipTest as skip:
            state, message = "skipped", str(skip)
        except Exception as error:  # third-party code may raise anything
            state, message = "failed", explain(error, case.manifest)
        yield Result(check.__name__, promise(check), state, message)


def check_declared(
    checks: Sequence[Check[Any]], declared: Mapping[str, str], owner: str
) -> Mapping[str, str]:
    """The declared exceptions, after checking that every name is a check and has a reason.

    Raises:
        UsageError: when one is not.
    """
    names = [check.__name__ for check in checks]
    for name, reason in declared.items():
        if name not in names:
            raise UsageError(
                f"{owner!r} declares that it cannot do {name!r}, but there is no such check. Expected one of:"
                f" {', '.join(names)}"
            )
        if not reason.strip():
            raise UsageError(
                f"{owner!r} declares that it cannot do {name!r}, but gives no reason. Hint: say why in a"
                " few words"
            )
    return declared


def explain(error: Exception, manifest: Manifest) -> str:
    """Describe an error: a failed expectation unchanged, anything else with its type and the line of the
    plugin's code where it was raised.
    """
    text = str(error).strip()
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if manifest.origin and Path(frame.filename).is_relative_to(manifest.origin)
    ]
    if isinstance(error, (AssertionError, ToolkitError)) and text and not own:
        return text
    place = (own or frames)[-1]
    if not isinstance(error, ToolkitError):
        text = f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
    return f"{text} ({Path(place.filename).name}, line {place.lineno}, in {place.name})"


def expect(condition: bool, message: str) -> None:
    """Fail the check with ``message`` unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def skip(reason: str) -> NoReturn:
    """Skip the check for this reason."""
    raise unittest.SkipTest(reason)
