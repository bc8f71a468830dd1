"""Stand-ins for libraries that are extras: they hold what they are given, as far as the toolkit gives it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from typing import Any

import numpy as np
import pytest


class Index(list[Any]):
    def __init__(self, values: Sequence[Any], name: str) -> None:
        super().__init__(values)
        self.name = name


class DataFrame:
    """Columns by name, whether it was made from rows or from columns."""

    def __init__(
        self,
        data: Mapping[str, Sequence[Any]] | Sequence[Sequence[Any]],
        columns: Sequence[str] | None = None,
        index: Index | None = None,
    ) -> None:
        if isinstance(data, Mapping):
            self.columns = {name: list(values) for name, values in data.items()}
        else:
            assert columns is not None
            assert all(len(row) == len(columns) for row in data)
            self.columns = {name: [row[i] for row in data] for i, name in enumerate(columns)}
        self.index = index
        lengths = {len(values) for values in self.columns.values()} | ({len(index)} if index else set())
        assert len(lengths) <= 1

    def astype(self, kinds: Mapping[str, str]) -> DataFrame:
        for name, kind in kinds.items():
            self.columns[name] = np.array(self.columns[name], dtype=kind).tolist()
        return self


class Detections:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make both importable for a test."""
    pandas, supervision = (module_from_spec(ModuleSpec(name, None)) for name in ("pandas", "supervision"))
    pandas.DataFrame, pandas.Index = DataFrame, Index
    supervision.Detections = Detections
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    monkeypatch.setitem(sys.modules, "supervision", supervision)
