"""The wheel, built from the sdist and installed in a fresh environment, does what the checkout does; so does
a stranger's plugin.

The fresh environment sees this one's dependencies, but not its toolkit.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.commands import run_command, train_words

THIRD_PARTY_PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "toolkit-tiny"
version = "0.3"

[project.entry-points."toolkit.plugins"]
tiny = "toolkit_tiny:PLUGIN"

[project.entry-points."toolkit.datasets"]
squares = "toolkit_tiny:DATASET"

[tool.setuptools]
py-modules = ["toolkit_tiny"]
"""


def run(command: Sequence[str | Path], folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "COLUMNS": "200"
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `python -m build` makes it: first an sdist, then the wheel from that."""
    root = Path(__file__).resolve().parents[2]
    copy = tmp_path_factory.mktemp("build") / "checkout"
    skipped = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "runs")
    shutil.copytree(root, copy, ignore=skipped)
    shutil.rmtree(copy / "data", ignore_errors=True)  # what the user has downloaded
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", copy / "dist"], copy)
    (found,) = (copy / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="session")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of a fresh environment with the wheel and a third-party plugin package installed by pip."""
    folder = tmp_path_factory.mktemp("fresh")
    run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], folder)
    python = folder / "env" / "bin" / "python"
    (site_packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    package = folder / "toolkit-tiny"
    package.mkdir()
    (package / "pyproject.toml").write_text(THIRD_PARTY_PYPROJECT)
    shutil.copy(Path(__file__).resolve().parents[1] / "support" / "tiny.py", package / "toolkit_tiny.py")
    for what in (wheel, package):
        run(
            [
                sys.executable,
                "-m",
                "pip",
                "--python",
                python,
                "install",
                "--quiet",
                "--no-deps",
                "--no-build-isolation",
                what,
            ],
            folder,
        )
    return python


def test_the_wheel_holds_the_toolkit_and_nothing_else(wheel: Path, root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        top_level = next(
            archive.read(name).decode().split() for name in names if name.endswith("top_level.txt")
        )
    assert top_level == ["toolkit"]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"toolkit", "detseg_toolkit"}
    for family in ("plugins", "datasets"):
        for source in (root / family).rglob("*.py"):
            assert f"toolkit/{source.relative_to(root).as_posix()}" in names
    for recipe in (root / "configs").glob("*.yaml"):
        assert f"toolkit/configs/{recipe.name}" in names
    assert "toolkit/py.typed" in names
    for file in (root / "toolkit" / "serve" / "page").iterdir():
        assert f"toolkit/serve/page/{file.name}" in names


def test_the_installed_toolkit_is_the_wheel(fresh: Path, tmp_path: Path, root: Path) -> None:
    where = run([fresh, "-c", "import toolkit; print(toolkit.__file__)"], tmp_path)
    assert str(fresh.parent.parent) in where
    assert str(root) not in where


def test_packages_that_are_shown_depend_on_this_one_and_not_on_a_strangers(wheel: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    assert wheel.name.startswith(f"{declared.replace('-', '_')}-")
    for page in ("plugins.md", "tutorial.md"):
        shown = re.findall(
            r"^dependencies = (\[.*\])$", (root / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert [json.loads(each) for each in shown] == [[declared]], page


@pytest.mark.parametrize("command", [["plugins", "list"], ["data", "list"]])
def test_lists_are_those_of_the_checkout(fresh: Path, tmp_path: Path, root: Path, command: list[str]) -> None:
    here = run([sys.executable, "-m", "toolkit", *command], root).splitlines()
    there = run([fresh, "-m", "toolkit", *command], tmp_path).splitlines()
    assert [line.split() for line in here] == [
        line.split() for line in there if not line.startswith(("tiny", "squares"))
    ]
    assert len(there) == len(here) + 1, "and the third-party package adds one"


def test_recipes_are_found_in_the_wheel(fresh: Path, tmp_path: Path, root: Path) -> None:
    code = (
        "from toolkit.config import recipe_folder; print(*sorted(p.name for p in"
        " recipe_folder().glob('*.yaml')))"
    )
    assert run([fresh, "-c", code], tmp_path).split() == sorted(
        path.name for path in (root / "configs").glob("*.yaml")
    )


@pytest.mark.slow
def test_a_third_party_plugin_trains_by_entry_point_and_as_a_single_file(
    fresh: Path, tmp_path: Path, tiny: str
) -> None:
    few = ["train.steps=3", "train.workers=0", "train.device=cpu"]
    run(
        [fresh, "-m", "toolkit", "train", "--plugin", "tiny", "--data", "squares", "--out", "by-name", *few],
        tmp_path,
    )
    run([fresh, "-m", "toolkit", "eval", "by-name", "--data", "squares", "--device", "cpu"], tmp_path)
    by_file = tmp_path / "by-file"  # in the environment without the package
    done = run_command(*train_words(tiny, by_file, *few))
    assert done.returncode == 0, done.stderr
    printed = ["--json", "--device", "cpu"]
    words = ["eval", "by-name", "--data", "squares", *printed]
    found = json.loads(run([fresh, "-m", "toolkit", *words], tmp_path))
    done = run_command("eval", str(by_file), "--data", tiny, "--plugin", tiny, *printed)
    assert found["metrics"] == json.loads(done.stdout)["metrics"], (
        "the same code gives the same figures through either door"
    )
