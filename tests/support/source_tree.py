"""The source as syntax trees: its modules, and what each imports where. For the tests of design rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {"toolkit.plugins": ROOT / "plugins", "toolkit.datasets": ROOT / "datasets"}


@dataclass(frozen=True)
class Import:
    """One imported name: ``from toolkit.types import Sample`` is of ``toolkit.types`` and gives
    ``toolkit.types.Sample``.
    """

    module: str
    name: str
    line: int
    at_module_level: bool
    for_types_only: bool

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def source_files() -> dict[str, Path]:
    """Every module of the package by its name, as installed."""
    files = {}
    for package, folder in {"toolkit": ROOT / "toolkit", **FAMILIES}.items():
        for file in sorted(folder.rglob("*.py")):
            parts = list(file.relative_to(folder).with_suffix("").parts)
            files[".".join([package, *(part for part in parts if part != "__init__")])] = file
    return files


FILES = source_files()
CORE = {
    name: file
    for name, file in FILES.items()
    if not name.startswith(("toolkit.plugins.", "toolkit.datasets."))
}
PLUGINS = {name: file for name, file in FILES.items() if name.startswith("toolkit.plugins.")}
DATASETS = {name: file for name, file in FILES.items() if name.startswith("toolkit.datasets.")}


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    file = FILES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return tuple(_imports(tree_of(file), package, at_module_level=True, for_types_only=False))


def _imports(node: ast.AST, package: str, *, at_module_level: bool, for_types_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, "", child.lineno, at_module_level, for_types_only)
        elif isinstance(child, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - child.level + 1] if child.level else []
            module = ".".join([*above, *([child.module] if child.module else [])])
            for alias in child.names:
                yield Import(module, alias.name, child.lineno, at_module_level, for_types_only)
        else:
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            types = isinstance(child, ast.If) and ast.unparse(child.test) in (
                "TYPE_CHECKING",
                "typing.TYPE_CHECKING",
            )
            yield from _imports(
                child,
                package,
                at_module_level=at_module_level and not inside,
                for_types_only=for_types_only or types,
            )


def own_modules(imported: Import) -> Iterator[str]:
    """The modules of this package that an import runs: the one that it names, and the packages around it."""
    name = imported.full if imported.full in FILES else imported.module
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        if ".".join(parts[:end]) in FILES:
            yield ".".join(parts[:end])
