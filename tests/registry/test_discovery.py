"""Finding plugins: built in, by entry point, by file or folder; and what is said of those that do not
work.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest

from toolkit import registry
from toolkit.cli import main
from toolkit.errors import UnavailableError, UsageError


@pytest.fixture
def fake_distribution(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """A package with entry points, as if pip had installed it: some good, the others broken in different
    ways.
    """
    monkeypatch.syspath_prepend(root / "tests" / "support" / "fake_distribution")
    for each in (registry.plugins, registry.datasets):
        each.cache_clear()


def test_built_in_plugins_and_datasets_are_found() -> None:
    assert "unet" in registry.plugins().names()
    assert {"msrc", "masks", "shapes"} <= set(registry.datasets().names())
    assert "iou" in registry.evaluators().names()
    assert registry.plugins().broken == []
    assert registry.datasets().broken == []


@contextmanager
def dropped(root: Path, content: str) -> Iterator[Path]:
    """A folder in ``plugins/`` for as long as this lasts."""
    folder = root / "plugins" / "dropped_by_a_test"
    folder.mkdir()
    try:
        (folder / "__init__.py").write_text(content)
        registry.clear()
        yield folder
    finally:
        shutil.rmtree(folder)
        sys.modules.pop("toolkit.plugins.dropped_by_a_test", None)


def test_a_folder_dropped_into_plugins_is_found(root: Path) -> None:
    content = (
        "from toolkit import PluginManifest\n"
        "PLUGIN = PluginManifest(name='dropped', summary='s', task='semantic', build=':x')\n"
    )
    with dropped(root, content) as folder:
        assert registry.plugins().get("dropped").origin == str(folder)


TASK_OF_ITS_OWN = """
from toolkit import EvaluatorManifest, PluginManifest, TaskManifest
PLUGIN = PluginManifest(name='dropped', summary='s', task='counting', build=':x')
TASK = TaskManifest(name='counting', summary='s', truth=('count',), predicts=('count',))
EVALUATOR = EvaluatorManifest(name='count-error', summary='s', build=':x', measures=('count',))
"""


def test_a_folder_in_plugins_may_bring_a_task_and_an_evaluator(root: Path) -> None:
    with dropped(root, TASK_OF_ITS_OWN) as folder:
        assert registry.plugins().get("dropped").task == "counting"
        assert registry.tasks().get("counting").origin == str(folder)
        assert registry.evaluators().get("count-error").origin == str(folder)
        assert registry.tasks().broken == registry.evaluators().broken == []


@pytest.mark.parametrize(
    ("content", "plugin", "task"),
    [
        ("1 / 0\n", "ZeroDivisionError", ""),
        ("import no_such_module\n", "No module named 'no_such_module'", ""),
        ("TASK = 3\n", "must define PLUGIN = PluginManifest", "must define TASK = TaskManifest"),
    ],
)
def test_what_is_wrong_in_a_folder_is_told_once(root: Path, content: str, plugin: str, task: str) -> None:
    """By the registry of plugins, since the folder must have one; by that of tasks where a task is wrong."""
    with dropped(root, content):
        assert plugin in registry.plugins().broken[0].reason
        assert [broken.reason for broken in registry.tasks().broken if task not in broken.reason] == []
        assert len(registry.tasks().broken) == bool(task)
        assert "semantic" in registry.tasks().names()


@pytest.mark.usefixtures("fake_distribution")
def test_entry_points_are_found_and_name_their_package() -> None:
    found = registry.plugins().get("fake-net")
    assert found.origin == "package toolkit-fake 1.2"
    assert found.resolve(found.build)(None, ()) == "a model"
    assert "fake-data" in registry.datasets().names()


def test_the_files_of_packages_are_read_once_and_again_when_one_is_installed_or_removed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = metadata.entry_points
    monkeypatch.setattr(metadata, "entry_points", lambda **group: reads.append(group) or read(**group))
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        registry.clear()
        assert "fake-data" not in registry.datasets().names()
        assert [len(found()) > 0 for found in (registry.plugins, registry.evaluators, registry.tasks)] == [
            True
        ] * 3
    assert len(reads) == 1
    installed = tmp_path / "toolkit_fake-1.2.dist-info"
    packages = root / "tests" / "support" / "fake_distribution"
    shutil.copytree(packages / installed.name, installed)
    shutil.copytree(packages / "toolkit_fake", tmp_path / "toolkit_fake")
    registry.clear()
    assert "fake-data" in registry.datasets().names()
    shutil.rmtree(installed)
    registry.clear()
    assert "fake-data" not in registry.datasets().names()


@pytest.mark.usefixtures("fake_distribution")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "import-error",
            "No module named 'no_such_module_at_all'. Hint: pip install no_such_module_at_all, if that",
        ),
        ("no-manifest", "there has no variable of that name"),
        ("wrong-type", "it is DatasetManifest"),
        ("unet", "two plugins have the name 'unet'"),
    ],
)
def test_broken_plugins_are_kept_with_their_reason(name: str, reason: str) -> None:
    assert "fake-net" in registry.plugins().names(), "the others still work"
    with pytest.raises(UnavailableError) as caught:
        registry.plugins().get(name)
    assert reason in str(caught.value)


@pytest.mark.usefixtures("fake_distribution")
def test_a_clash_names_both_origins() -> None:
    with pytest.raises(UnavailableError) as caught:
        registry.plugins().get("unet")
    assert "package toolkit-fake 1.2" in str(caught.value)
    assert str(Path("plugins") / "unet") in str(caught.value)


@pytest.mark.usefixtures("fake_distribution")
def test_a_missing_requirement_says_what_installs_it() -> None:
    needy = registry.plugins().get("needy")
    with pytest.raises(
        UnavailableError,
        match=(
            r"needs no-such-distribution>=2 \(not installed\)\. Hint: pip install 'no-such-distribution>=2'"
        ),
    ):
        needy.resolve(needy.build)


@pytest.mark.usefixtures("fake_distribution")
def test_plugins_list_shows_the_broken_ones_and_succeeds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["plugins", "list"]) == 0
    shown = capsys.readouterr().out
    for expected in (
        "fake-net",
        "ready",
        "import-error",
        "no_such_module_at_all",
        "needy",
        "pip install 'no-such-distribution>=2'",
    ):
        assert expected in shown


def test_a_module_may_bring_several_in_a_tuple(tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    file.write_text(
        "from toolkit import PluginManifest\n"
        "def make(settings, classes): return 'a model'\n"
        "def net(name): return PluginManifest(name=name, summary='s', task='semantic', build=':make')\n"
        "PLUGIN = (net('one'), net('two'))\n"
    )
    assert [found.name for found in registry.add_path(file)] == ["one", "two"]
    for name in ("one", "two"):
        found = registry.plugins().get(name)
        assert found.origin == str(file)
        assert found.resolve(found.build)(None, ()) == "a model"
    file.write_text("PLUGIN = (1, 2)\n")
    with pytest.raises(
        UsageError,
        match=r"must define PLUGIN = PluginManifest\(…\), or several in a tuple, but there it is int",
    ):
        registry.add_path(file)


def test_a_folder_brings_a_plugin_with_relative_modules(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from toolkit import PluginManifest\nPLUGIN = PluginManifest(name='mine', summary='s',"
        " task='semantic', build='.net:build')\n"
    )
    (folder / "net.py").write_text("def build(settings, classes):\n    return classes\n")
    found = registry.named(registry.plugins(), str(folder), by_user=True)
    assert found.resolve(found.build)(None, ("a",)) == ("a",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("import no_such_module\n", "cannot be imported: ModuleNotFoundError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("def f(:\n", "SyntaxError"),
        ("x = 1\n", "contains no manifest"),
        ("PLUGIN = 3\n", "it is int"),
        (
            (
                "from toolkit import PluginManifest\nPLUGIN = PluginManifest(name='Bad Name', summary='s',"
                " task='semantic', build=':b')\n"
            ),
            "'Bad Name' must be",
        ),
        (
            (
                "from toolkit import PluginManifest\nPLUGIN = PluginManifest(name='a', summary='s',"
                " task='magic', build=':b')\n"
            ),
            "unknown task 'magic'",
        ),
        (
            (
                "from toolkit import PluginManifest\nPLUGIN = PluginManifest(name='a', summary='s',"
                " task='semantic', build='b')\n"
            ),
            "'module:object'",
        ),
    ],
)
def test_faulty_files_are_refused_with_the_reason(tmp_path: Path, content: str, expected: str) -> None:
    file = tmp_path / "faulty.py"
    file.write_text(content)
    with pytest.raises(UsageError) as caught:
        registry.named(registry.plugins(), str(file), by_user=True)
    assert expected in str(caught.value)


def test_a_file_called_like_a_package_does_not_shadow_it(tmp_path: Path) -> None:
    file = tmp_path / "torch.py"
    file.write_text(
        "from toolkit import PluginManifest\nPLUGIN = PluginManifest(name='t', summary='s', task='semantic',"
        " build=':b')\n"
    )
    assert registry.named(registry.plugins(), str(file), by_user=True).name == "t"
    import torch

    assert hasattr(torch, "Tensor")


def test_a_file_of_the_same_size_and_time_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "mine.py"
    for name in ("one", "two"):
        file.write_text(
            "from toolkit import PluginManifest\n"
            f"PLUGIN = PluginManifest(name='{name}', summary='s', task='semantic', build=':x')\n"
        )
        os.utime(file, (1e9, 1e9))
        registry.clear()
        registry.add_path(file)
        assert registry.plugins().get(name).name == name
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"], "and nothing is left beside it"


def test_an_import_that_fails_late_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text(
        "from toolkit import PluginManifest\nPLUGIN = PluginManifest(name='late', summary='s',"
        " task='semantic', build='no_such_module:b')\n"
    )
    found = registry.named(registry.plugins(), str(file), by_user=True)
    with pytest.raises(
        UnavailableError,
        match=r"plugin 'late' from .*late\.py cannot be loaded: .*No module named 'no_such_module'",
    ):
        found.resolve(found.build)
