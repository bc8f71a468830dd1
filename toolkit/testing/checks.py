"""What a conformance check is, and how one is run: for ``toolkit plugins check`` and for the contract classes
alike.

A check is a function of one argument, the case that it looks at. Its name is what the user sees and what is
declared when something cannot be done; the first sentence of its docstring says what is promised. It fails by
``AssertionError`` or by whatever the code under test raises, and is skipped by ``unittest.SkipTest``, which
pytest understands too.
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
        """What it says of itself."""
        ...


C = TypeVar("C", bound=Case)
Check: TypeAlias = Callable[[C], None]


@dataclass(frozen=True)
class Result:
    """What became of a check.

    Attributes:
        name: of the check.
        promise: what it holds the author to.
        state: passed, failed or skipped.
        message: what is wrong and how to mend it, or why the check was skipped.
    """

    name: str
    promise: str
    state: State
    message: str = ""


def promise(check: Check[Any]) -> str:
    """What a check holds the author to, in a sentence."""
    return " ".join((check.__doc__ or "").partition("\n\n")[0].split())


def run_checks(
    checks: Sequence[Check[C]], case: C, cannot: Mapping[str, str] | None = None
) -> Iterator[Result]:
    """Run every check, whatever becomes of the others.

    Args:
        checks: those of one kind.
        case: what they look at.
        cannot: names of checks to skip, with the reasons, beside those that the manifest declares.

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
        except Exception as error:  # somebody else's code may raise anything at all
            state, message = "failed", explain(error, case.manifest)
        yield Result(check.__name__, promise(check), state, message)


def check_declared(
    checks: Sequence[Check[Any]], declared: Mapping[str, str], owner: str
) -> Mapping[str, str]:
    """What is declared, once it is known that every name is that of a check and has a reason.

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
    """An error in words: a failed expectation as it is, anything else with its type and the author's line
    that it came from.
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
