"""The rooms of the core: none imports one that stands above it, and no modules import each other in a circle.
Imports inside functions and for types only count as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from support.source_tree import CORE, FILES, imports_of, own_modules

ORDER = (
    "wording",
    "errors",
    "reading",
    "registry",
    "config",
    "runtime",
    "types",
    "visualization",
    "data",
    "formats",
    "measuring",
    "checkpoints",
    "models",
    "evaluation",
    "reporting",
    ("training", "inference", "export"),
    ("explaining", "cluster"),
    "serve",
    "annotate",
    "testing",
    "demo",
    "cli",
)
"""From the ground up; rooms in one place do not import each other."""

HEIGHT = {
    room: height
    for height, rooms in enumerate(ORDER)
    for room in ((rooms,) if isinstance(rooms, str) else rooms)
}
GROUND_FLOOR = {
    "toolkit": "the public names",
    "toolkit.__main__": "python -m toolkit",
    "toolkit.wording": "numbers in sentences, for everyone",
    "toolkit.errors": "what is raised on purpose",
    "toolkit.demo": "a program over all rooms, which belongs to none of them",
}
"""Modules that stand in no room, with the reason."""


def edges() -> dict[str, set[str]]:
    """Each module with all modules of the package that it names in an import; the roots, which only gather
    names, left out.
    """
    roots = {"toolkit", "toolkit.plugins", "toolkit.datasets"}
    found: dict[str, set[str]] = {}
    for module in FILES:
        targets = {[*own_modules(i)][-1] for i in imports_of(module) if [*own_modules(i)]}
        found[module] = targets - roots - {module} if module not in roots else set()
    return found


def room_of(module: str) -> str:
    return module.split(".")[1] if module.startswith("toolkit.") else ""


def upward(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Imports of the core from a room that stands above, or beside in the same place."""
    wrong = []
    for module, targets in graph.items():
        here = room_of(module)
        for target in targets:
            there = room_of(target)
            if (
                module in CORE
                and target in CORE
                and here in HEIGHT
                and here != there
                and HEIGHT[there] >= HEIGHT[here]
            ):
                wrong.append(f"{module} imports {target}")
    return sorted(wrong)


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of modules that can all be reached from each other (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in graph.get(module, ()):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in index:
            visit(module)
    return found


def test_every_module_stands_in_a_room() -> None:
    for module in CORE:
        if module not in GROUND_FLOOR and module not in ("toolkit.plugins", "toolkit.datasets"):
            assert room_of(module) in HEIGHT, f"{module} stands in no room that has a place in ORDER"
            assert module.count(".") >= 2 or FILES[module].name == "__init__.py", (
                f"{module} stands on the ground floor"
            )


def test_no_room_imports_one_that_stands_above_it() -> None:
    graph = edges()
    assert sum(map(len, graph.values())) > 500
    assert upward(graph) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """In the core, and inside of each plugin and dataset."""
    assert circles(edges()) == []


def test_what_is_shipped_needs_none_of_the_tools_of_its_tests() -> None:
    graph = edges()
    shipped = [module for module in graph if module.startswith(("toolkit.plugins.", "toolkit.datasets."))]
    assert len(shipped) > 20
    for module in shipped:
        assert not [target for target in graph[module] if target.startswith("toolkit.testing")], module


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("toolkit.types", "toolkit.data.dataset"),
        ("toolkit.evaluation.driver", "toolkit.training.loop"),
        ("toolkit.models.prompted", "toolkit.inference.predictor"),
        ("toolkit.inference.pipeline", "toolkit.training.loop"),
    ],
)
def test_an_import_that_is_turned_around_is_found(module: str, target: str) -> None:
    graph = edges()
    assert module in graph
    assert target in graph
    graph[module] = graph[module] | {target}
    assert f"{module} imports {target}" in upward(graph)


def test_a_circle_is_found_however_long() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]
    graph = edges()
    graph["toolkit.plugins.sam2.video"] = graph["toolkit.plugins.sam2.video"] | {"toolkit.plugins.sam2.model"}
    assert [group for group in circles(graph) if "toolkit.plugins.sam2.video" in group] != []
