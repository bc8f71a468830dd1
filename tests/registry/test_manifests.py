"""Manifests: what a wrong one says, and what those of the toolkit have to say."""

from __future__ import annotations

import pytest
from manifest_cases import manifest

from toolkit import registry
from toolkit.errors import UsageError
from toolkit.registry.manifests import DatasetManifest, Download


def test_too_old_a_requirement_says_what_is_there() -> None:
    assert manifest(requires=("numpy>=999",)).missing_requirements()[0].startswith("numpy>=999 (installed: ")
    assert manifest(requires=("numpy>=1",)).missing_requirements() == []


def test_checksums_must_be_checksums() -> None:
    with pytest.raises(UsageError, match="64 hex digits"):
        Download("https://example.org/a.zip", "abc", 3)
    assert Download("https://example.org/a.zip", "0" * 64, 3).name == "a.zip"


def test_manifests_of_datasets_are_complete() -> None:
    found = list(registry.datasets())
    assert len(found) >= 3
    for each in found:
        assert isinstance(each, DatasetManifest)
        assert each.tasks
        assert each.license, each.name
        assert each.val_split in each.splits
        assert each.layout or not each.needs_folder, each.name
