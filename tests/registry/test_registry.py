"""Names and paths: what the registries of the toolkit make of either."""

from __future__ import annotations

import pytest

from toolkit import registry
from toolkit.errors import UsageError


def test_a_single_file_brings_a_plugin_and_a_dataset(tiny: str) -> None:
    assert registry.named(registry.plugins(), tiny, by_user=True).name == "tiny"
    assert registry.named(registry.datasets(), tiny, by_user=True).name == "squares"
    assert registry.named(registry.plugins(), tiny, by_user=True).name == "tiny", (
        "naming it twice is no clash"
    )


def test_absent_files_are_named() -> None:
    with pytest.raises(UsageError, match=r"no plugin at .*absent\.py"):
        registry.named(registry.plugins(), "somewhere/absent.py", by_user=True)
