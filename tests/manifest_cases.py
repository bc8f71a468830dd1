"""A manifest in which everything is right, to be changed."""

from __future__ import annotations

from toolkit.registry.manifests import PluginManifest


def manifest(name: str = "net", **values: object) -> PluginManifest:
    fields: dict = {
        "summary": "a net",
        "task": "semantic",
        "build": ".model:build",
        "origin": "here",
    } | values
    return PluginManifest(name=name, **fields)
