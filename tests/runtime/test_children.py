"""The environment of child Pythons; that they import nothing from the folder that one stands in is tried in
test_code_of_strangers.
"""

from __future__ import annotations

import os
import sys

import pytest

from toolkit.runtime.children import ROOT, isolated_children, isolated_environment


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("PYTHONPATH", "a")
    with isolated_children():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert "PYTHONSAFEPATH" not in os.environ
    assert os.environ["PYTHONPATH"] == "a"


def test_a_checkout_that_is_not_installed_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "b", ""]))
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    assert isolated_environment()["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "b"]
    monkeypatch.setattr(sys, "path", ["/somewhere/bin", *sys.path])
    assert isolated_environment()["PYTHONPATH"] == "b"
