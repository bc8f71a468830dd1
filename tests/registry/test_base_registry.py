"""A registry: names, nearest names, and names that are taken."""

from __future__ import annotations

import pytest
from manifest_cases import manifest

from toolkit import registry
from toolkit.errors import DuplicateNameError, UnknownNameError
from toolkit.registry.manifests import PluginManifest


def test_unknown_names_suggest_the_nearest_and_list_all() -> None:
    names = registry.Registry(PluginManifest)
    names.add(manifest("unet"))
    names.add(manifest("sam2"))
    with pytest.raises(
        UnknownNameError, match=r"unknown plugin 'u-net'\. Did you mean 'unet'\? Expected one of: sam2, unet"
    ):
        names.get("u-net")


def test_duplicates_name_both_origins() -> None:
    names = registry.Registry(PluginManifest)
    names.add(manifest(origin="/a"))
    with pytest.raises(
        DuplicateNameError, match=r"two plugins have the name 'net': one from /a, one from /b"
    ):
        names.add(manifest(origin="/b"))
