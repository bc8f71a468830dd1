"""``toolkit.report`` takes what the other verbs take."""

from __future__ import annotations

import inspect

import toolkit


def test_it_has_the_arguments_of_evaluate() -> None:
    own, other = (inspect.signature(verb).parameters for verb in (toolkit.report, toolkit.evaluate))
    assert set(other) <= set(own)
    for name in set(own) & set(other):
        assert own[name].default == other[name].default, name
