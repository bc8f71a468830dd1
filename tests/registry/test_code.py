"""The hash of a plugin's code changes with its code, and with nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from manifest_cases import manifest

from toolkit.registry.code import code_hash


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("a = 1\n")
    plugin = dataclasses.replace(manifest(), origin=str(file))
    before = code_hash(plugin)
    assert len(before) == 16
    assert code_hash(plugin) == before
    file.write_text("a = 2\n")
    assert code_hash(plugin) != before


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "__init__.py").write_text("a = 1\n")
    (tmp_path / "inner" / "part.py").write_text("b = 1\n")
    plugin = dataclasses.replace(manifest(), origin=str(tmp_path))
    before = code_hash(plugin)
    (tmp_path / "README.md").write_text("words")
    assert code_hash(plugin) == before
    (tmp_path / "inner" / "part.py").rename(tmp_path / "inner" / "other.py")
    assert code_hash(plugin) != before


def test_what_came_from_a_package_has_none() -> None:
    assert code_hash(dataclasses.replace(manifest(), origin="package net 1.0")) == ""
