"""The tutorial works as it is written: its commands are run, in order, with its files."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from toolkit.cli import main

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
FEW = [
    "train.steps=2",
    "train.batch_size=2",
    "train.workers=0",
    "train.device=cpu",
    "data.options.size=32",
    "data.options.val=2",
]
SMALL = {
    "train": FEW,
    "eval": [
        "data.options.size=32",
        "data.options.test=3",
        "data.options.val=3",
        "--device",
        "cpu",
        "--workers",
        "0",
    ],
    "infer": ["--device", "cpu"],
}
"""What makes each command quick; nothing else is changed."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> int:
    words = shlex.split(line)[1:]
    return main([*words, *SMALL.get(words[0], [])])


def commands() -> list[str]:
    return [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]


def named(block: str) -> str | None:
    match = re.match(r"# file: (\S+)\n", block)
    return match[1] if match else None


def test_all_commands_run_in_order_and_all_files_work(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []
    for language, block in BLOCKS:
        name = named(block)
        if name:
            assert name == "pyproject.toml" or (folder / name).exists(), (
                "files of the tutorial replace those that `new` has written"
            )
            (folder / name).write_text(block, encoding="utf-8")
        for line in block.splitlines() if language == "sh" else ():
            if line.startswith("toolkit "):
                assert run(line) == 0, f"{line}: {capsys.readouterr().out[-3000:]}"
                ran.append(line.split()[1])
    assert [ran.count(name) for name in ("train", "eval", "infer", "data", "plugins")] == [3, 2, 1, 1, 8]
    assert (folder / "runs" / "leafnet-shapes" / "best.safetensors").is_file()
    assert len(list((folder / "results").rglob("*.png"))) >= 8
    assert {path.name for path in folder.glob("*.py")} == {
        f"{test}{name}.py"
        for test in ("", "test_")
        for name in ("leafnet", "findnet", "pointnet", "herbarium", "presence")
    }


def test_the_mistake_is_named_as_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plugin,) = (block for _, block in BLOCKS if named(block) == "leafnet.py")
    (added,) = (block for _, block in BLOCKS if block.startswith("# in: leafnet.py\n"))
    (changed,) = (block for _, block in BLOCKS if block.startswith("# instead of: "))
    old, new = re.fullmatch(r"# instead of: (.*)\n    (.*)\n", changed).groups()  # type: ignore[union-attr]
    assert old in plugin
    (folder / "leafnet.py").write_text(
        plugin.replace(old, new).replace("def build", f"{added}\n\ndef build"), encoding="utf-8"
    )
    assert run("toolkit plugins check leafnet.py") == 1
    shown = capsys.readouterr().out
    (expected,) = (block for language, block in BLOCKS if language == "text")
    for line in expected.splitlines():
        assert line.strip().rstrip("…") in shown
    assert shown.count("  failed ") == 2, "the loss of a batch is no longer the mean of its samples' either"


@pytest.mark.slow
def test_the_test_that_is_shown_passes(folder: Path) -> None:
    for _, block in BLOCKS:
        if named(block):
            (folder / str(named(block))).write_text(block, encoding="utf-8")
    assert "pytest test_leafnet.py" in commands()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_leafnet.py", "-k", "not two_processes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"^29 passed, 3 skipped, 1 deselected", done.stdout, re.MULTILINE)


def test_the_package_that_is_shown_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip would install it: the module on the path, and the entry points of pyproject.toml beside it."""
    blocks = {named(block): block for _, block in BLOCKS}
    project = tomllib.loads(blocks["pyproject.toml"])
    (folder / "leafnet.py").write_text(blocks["leafnet.py"], encoding="utf-8")
    assert project["tool"]["setuptools"]["py-modules"] == ["leafnet"]
    information = folder / "leafnet-0.1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 0.1\n"
    )
    groups = project["project"]["entry-points"].items()
    lines = [
        line
        for group, entries in groups
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in entries.items()))
    ]
    (information / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(folder)
    assert main(["plugins", "info", "leafnet"]) == 0
