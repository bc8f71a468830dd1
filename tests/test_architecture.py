"""The design rules, held over the syntax trees of the source: who may import whom, what is imported when, and
where the tests of a module are.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from support.source_tree import CORE, DATASETS, FILES, PLUGINS, ROOT, imports_of, own_modules, tree_of

HEAVY = {
    "torch",
    "torchvision",
    "numpy",
    "cv2",
    "timm",
    "segmentation_models_pytorch",
    "lightning_fabric",
    "pycocotools",
    "PIL",
    "safetensors",
}


# What must be quick to import: all that is needed to find and list plugins and datasets, and to print help.
ABOVE_THE_TORCH_LINE = [
    *(
        "toolkit",
        "toolkit.__main__",
        "toolkit.errors",
        "toolkit.registry",
        "toolkit.registry.manifests",
        "toolkit.registry.discovery",
        "toolkit.config",
    ),
    *("toolkit.evaluation.manifests", "toolkit.plugins", "toolkit.datasets"),
    *(name for name in FILES if name.startswith("toolkit.cli")),
    *(name for name in (*PLUGINS, *DATASETS) if name.count(".") == 2),
]


def part_of(module: str) -> str:
    """``toolkit.plugins.unet`` for everything inside it."""
    return ".".join(module.split(".")[:3])


def test_the_modules_are_found() -> None:
    assert len(CORE) >= 40
    assert {part_of(name) for name in PLUGINS} >= {"toolkit.plugins.unet"}
    assert {part_of(name) for name in DATASETS} >= {
        "toolkit.datasets.masks",
        "toolkit.datasets.msrc",
        "toolkit.datasets.shapes",
    }
    assert set(ABOVE_THE_TORCH_LINE) <= set(FILES)
    found = {i.full: i.at_module_level for i in imports_of("toolkit.plugins.unet.model")}
    assert found["toolkit.models.semantic.SemanticModel"]
    assert found["toolkit.plugins.unet.original.OriginalUNet"], "relative imports are resolved"
    assert not found["toolkit.plugins.unet.encoders.EncoderUNet"], "this one stands in a function"


@pytest.mark.parametrize("module", CORE)
def test_the_core_imports_no_plugin_and_no_dataset(module: str) -> None:
    wrong = [i for i in imports_of(module) if i.full.startswith(("toolkit.plugins.", "toolkit.datasets."))]
    assert not wrong, (
        f"{module} must find plugins and datasets through the registry, not import {wrong[0].full} (line"
        f" {wrong[0].line})"
    )


@pytest.mark.parametrize("module", [*PLUGINS, *DATASETS])
def test_plugins_and_datasets_import_the_core_and_themselves_only(module: str) -> None:
    for i in imports_of(module):
        if i.full.startswith(("toolkit.plugins.", "toolkit.datasets.")):
            assert part_of(i.full) == part_of(module), (
                f"{module}, line {i.line}: {i.full} belongs to another plugin or dataset"
            )
        assert not i.full.startswith("toolkit.cli"), (
            f"{module}, line {i.line}: the command line is no part of the public core"
        )
        assert not (i.module.startswith("toolkit") and i.name.startswith("_")), (
            f"{module}, line {i.line}: {i.full} is private"
        )


@pytest.mark.parametrize("module", [name for name in CORE if not name.startswith("toolkit.cli")])
def test_the_core_does_not_know_the_command_line(module: str) -> None:
    if module != "toolkit.__main__":
        assert not [i for i in imports_of(module) if i.full.startswith("toolkit.cli")]


def reached_at_import(module: str) -> dict[str, tuple[str, ...]]:
    """Everything that importing a module imports, at whatever remove, each with the chain of modules that
    leads there.
    """
    chains: dict[str, tuple[str, ...]] = {module: (module,)}
    todo = [module]
    while todo:
        current = todo.pop()
        for i in imports_of(current):
            if i.at_module_level and not i.for_types_only:
                for name in [*own_modules(i)] or [i.module]:
                    if name not in chains:
                        chains[name] = (*chains[current], name)
                        if name in FILES:
                            todo.append(name)
    return chains


@pytest.mark.parametrize("module", ABOVE_THE_TORCH_LINE)
def test_what_lists_and_helps_imports_no_torch(module: str) -> None:
    for name, chain in reached_at_import(module).items():
        assert name.partition(".")[0] not in HEAVY, " -> ".join(chain)


def test_the_chain_of_imports_is_followed() -> None:
    assert reached_at_import("toolkit.training.loop")["torch"][0] == "toolkit.training.loop"
    assert any(name.startswith("torch") for name in reached_at_import("toolkit.plugins.unet.model"))
    assert "toolkit.errors" in reached_at_import("toolkit.cli")


@pytest.mark.parametrize("module", [name for name in FILES if not name.startswith("toolkit.cli")])
def test_only_the_command_line_prints(module: str) -> None:
    calls = [node for node in ast.walk(tree_of(FILES[module])) if isinstance(node, ast.Call)]
    lines = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not lines, f"{module} prints at line {lines[0]}; use logging, or return the text"


@pytest.mark.parametrize("module", FILES)
def test_nothing_is_set_at_import(module: str) -> None:
    """No environment variables, threads or seeds as a side effect of an import."""
    forbidden = (
        "os.environ",
        "os.putenv",
        "torch.set_",
        "torch.manual_seed",
        "np.random.seed",
        "random.seed",
        "cv2.setNumThreads",
    )
    for statement in tree_of(FILES[module]).body:
        if isinstance(statement, (ast.Expr, ast.Assign, ast.AugAssign)):
            text = ast.unparse(statement)
            changes = isinstance(statement, ast.Expr) or any(
                ast.unparse(t).startswith("os.environ") for t in getattr(statement, "targets", [])
            )
            assert not (changes and text.startswith(forbidden)), f"{module}, line {statement.lineno}: {text}"


@pytest.mark.parametrize("module", FILES)
def test_constructors_take_no_anonymous_options(module: str) -> None:
    """``**kwargs`` in a public constructor swallows typos."""
    for node in ast.walk(tree_of(FILES[module])):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            assert node.args.kwarg is None, f"{module}, line {node.lineno}"


# Tests that are not where a module's tests are looked for: modules -> (where they are, why).
TESTED_ELSEWHERE: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {
    ("toolkit.cli.compare", "toolkit.cli.demo", "toolkit.cli.eval", "toolkit.cli.export"): (
        (
            "evaluation/test_compare.py",
            "test_demo.py",
            "evaluation/test_runs.py",
            "export/test_weights_export.py",
        ),
        "these commands print what one function found, and the two are tried together",
    ),
    ("toolkit.evaluation.coco_*",): (
        ("evaluation/test_coco.py",),
        "parts of one evaluator, which has to give pycocotools' figures as a whole",
    ),
    ("toolkit.evaluation.memory", "toolkit.evaluation.run_figures"): (
        ("evaluation/test_compare.py",),
        "figures of runs, which need the runs that are compared there",
    ),
    ("toolkit.models.interval_algebra",): (
        ("models/test_receptive_field.py",),
        "its rules are right when the receptive fields are, which are known for the networks there",
    ),
    ("toolkit.evaluation.protocols",): (
        ("evaluation/test_objects.py",),
        "protocols are driven with the evaluator that measures by them",
    ),
    ("toolkit.evaluation.base", "toolkit.models.contract", "toolkit.testing.contracts"): (
        ("test_contracts.py",),
        "what is promised of all is tried with all that promise it",
    ),
    ("toolkit.formats.via", "toolkit.formats.writers"): (
        ("datasets/test_balloon_dataset.py", "formats/test_convert.py"),
        "a format is read by a dataset of it, and written by converting to it",
    ),
    ("toolkit.inference.interactive",): (
        ("models/test_prompted.py",),
        "a session needs a model to prompt",
    ),
    ("toolkit.models.building", "toolkit.models.weights"): (
        ("checkpoints/test_files_of_checkpoints.py",),
        "models are built from checkpoints and take weights from them",
    ),
    tuple(
        f"toolkit.testing.{name}"
        for name in (
            *("checks", "shared_checks", "learning_checks", "keeping_checks"),
            *("model_case", "samples", "pretend_device", "second_process"),
        )
    ): (("testing/test_model_checks.py",), "each check is tried there with the fault that it has to find"),
    tuple(
        f"toolkit.training.{name}"
        for name in ("interrupts", "loss_module", "result", "run_parts", "run_validation", "validation")
    ): (
        ("training/test_loop.py", "training/test_state_resume.py"),
        "parts of one loop, which show in what a run leaves behind",
    ),
}
TESTS = ROOT / "tests"
WITH_CODE = [
    name
    for name, file in CORE.items()
    if not name.startswith("toolkit.testing.templates.")  # text that is copied, which test_scaffold runs
    and any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.walk(tree_of(file)))
]
"""Modules of the core in which there is something to test: all but lists of names, manifests and the like."""


def place_of_tests(module: str) -> tuple[Path, str]:
    """The folder and the beginning of the name of the files in which a module's tests are looked for."""
    file = FILES[module].relative_to(ROOT / "toolkit")
    is_package = file.name == "__init__.py"
    stem = (file.parent.name or "toolkit") if is_package else file.stem
    return TESTS / file.parent, f"test_{stem}"


def has_tests(module: str) -> bool:
    folder, start = place_of_tests(module)
    return any(file.stem == start or file.stem.startswith(f"{start}_") for file in folder.glob("test_*.py"))


def exceptions_for(module: str) -> list[tuple[str, ...]]:
    return [
        modules for modules in TESTED_ELSEWHERE if any(fnmatchcase(module, pattern) for pattern in modules)
    ]


@pytest.mark.parametrize("module", WITH_CODE)
def test_every_module_of_the_core_has_its_tests_where_one_looks(module: str) -> None:
    folder, start = place_of_tests(module)
    assert has_tests(module) or exceptions_for(module), (
        f"{module} has no {(folder / start).relative_to(ROOT)}.py or {start}_….py. Hint: write its tests"
        " there; if they must stand elsewhere, say where and why in TESTED_ELSEWHERE"
    )


def test_exceptions_are_few_and_needed() -> None:
    assert len(TESTED_ELSEWHERE) <= 12
    for modules, (files, reason) in TESTED_ELSEWHERE.items():
        assert reason
        for pattern in modules:
            meant = [module for module in WITH_CODE if fnmatchcase(module, pattern)]
            assert any(not has_tests(module) for module in meant), f"{pattern} is no exception"
        for file in files:
            assert (TESTS / file).is_file(), file
    for module in WITH_CODE:
        assert len(exceptions_for(module)) <= 1, module


def test_every_test_file_has_a_name_of_its_own() -> None:
    """There is no ``__init__.py`` among the tests, so two files of one name could not both be imported."""
    names = [file.name for file in TESTS.rglob("*.py") if file.name not in ("conftest.py", "__init__.py")]
    names = [name for name in names if name.startswith("test_") or name.endswith("_cases.py")]
    assert sorted(names) == sorted(set(names))
    assert not [file for file in TESTS.glob("*/__init__.py")]


def test_the_repository_has_no_large_files() -> None:
    """Such as models and photos, which slip in by ``git add`` and stay in the history."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    assert files
    large = [
        str(path.relative_to(ROOT)) for path in files if path.is_file() and path.stat().st_size > 1 << 20
    ]
    assert not large
