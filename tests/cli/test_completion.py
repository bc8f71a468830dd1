"""``toolkit completion``: the scripts are valid, and bash completes with them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit import registry
from toolkit.cli import COMMANDS, main
from toolkit.cli.completion import SHELLS, script

BASH = shutil.which("bash") or ""
needs_bash = pytest.mark.skipif(not BASH, reason="there is no bash here")


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("completion") / "toolkit.bash"
    file.write_text(script("bash"), encoding="utf-8")
    return file


def complete(file: Path, *words: str, cwd: Path | None = None) -> set[str]:
    """What bash offers at the end of the words, asked as its readline asks."""
    asked = """
        source "$1"; shift
        COMP_WORDS=(toolkit "$@"); COMP_CWORD=$#
        _shtab_toolkit toolkit "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        [BASH, "-c", asked, "bash", str(file), *words], capture_output=True, text=True, check=True, cwd=cwd
    )
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


@needs_bash
def test_the_script_is_valid_bash(bash_script: Path) -> None:
    assert (
        subprocess.run([BASH, "-n", str(bash_script)], capture_output=True, text=True, check=False).stderr
        == ""
    )


@needs_bash
def test_commands_and_options(bash_script: Path) -> None:
    assert complete(bash_script, "") == set(COMMANDS)
    assert complete(bash_script, "tr") == {"track", "train"}
    assert complete(bash_script, "train", "--se") == {"--seed"}
    assert complete(bash_script, "eval", "--pre") == {"--predictions", "--precision"}
    assert complete(bash_script, "data", "") == {
        "list",
        "info",
        "get",
        "check",
        "export",
        "convert",
        "preview",
        "sample",
    }
    assert complete(bash_script, "completion", "") == set(SHELLS)


@needs_bash
@pytest.mark.parametrize("words", [("train", "--plugin"), ("plugins", "info"), ("summary",)])
def test_plugins_and_files(bash_script: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "my_net.py").touch()
    assert complete(bash_script, *words, "", cwd=tmp_path) == {"my_net.py", *registry.plugins().names()}
    assert complete(bash_script, *words, "my", cwd=tmp_path) == {"my_net.py"}


@needs_bash
@pytest.mark.parametrize(
    "words", [("train", "--data"), ("eval", "run", "--data"), ("data", "info"), ("data", "check")]
)
def test_datasets_and_files(bash_script: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "photos.py").touch()
    assert complete(bash_script, *words, "", cwd=tmp_path) == {"photos.py", *registry.datasets().names()}


@needs_bash
def test_files_and_folders(bash_script: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "recipe.yaml").touch()
    assert complete(bash_script, "train", "--config", "r", cwd=tmp_path) == {"runs", "recipe.yaml"}
    assert complete(bash_script, "train", "--data-dir", "", cwd=tmp_path) == {"runs"}
    assert complete(bash_script, "infer", "runs", "re", cwd=tmp_path) == {"recipe.yaml"}
    assert complete(bash_script, "eval", "r", cwd=tmp_path) == {"runs", "recipe.yaml"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_knows_commands_and_plugins(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    for name in (*COMMANDS, *registry.plugins().names(), *registry.datasets().names()):
        assert name in text


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "csh"]) == 2
    assert "invalid choice: 'csh'" in capsys.readouterr().err
