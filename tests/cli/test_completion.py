"""``toolkit completion``: the scripts are valid, and bash completes with them."""

from __future__ import annotations

import os
import re
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


def complete(file: Path, *words: str, cwd: Path | None = None, line: str = "", breaks: str = "=") -> set[str]:
    """What bash offers at the end of the words, asked as its readline asks; ``line`` is the last word where
    bash has split it at ``breaks``.
    """
    asked = """
        source "$1"; shift
        COMP_WORDS=(toolkit "$@"); COMP_CWORD=$#
        COMP_WORDBREAKS="$BREAKS"
        COMP_LINE="${LINE:-toolkit $*}"; COMP_POINT=${#COMP_LINE}
        _toolkit_complete toolkit "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        [BASH, "-c", asked, "bash", str(file), *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
        env=os.environ | {"LINE": f"toolkit {line}" if line else "", "BREAKS": breaks},
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


@needs_bash
def test_runs_and_settings_of_compare(bash_script: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for before in ((), ("runs/a",), ("runs/a", "runs/b")):
        assert complete(bash_script, "compare", *before, "ru", cwd=tmp_path) == {"runs"}
        assert complete(bash_script, "compare", *before, "evaluators.iou.v") == {"evaluators.iou.void="}


def test_zsh_completes_repeated_arguments_each_time() -> None:
    """``_arguments`` repeats what begins with ``*:``, and takes one such specification of a command."""
    arrays = re.findall(r"^(_shtab_\w+_options)=\((.*?)^\)", script("zsh"), re.DOTALL | re.MULTILINE)
    repeated = {
        name: [line.strip() for line in lines.splitlines() if line.strip().startswith(('"*:', '"(*)'))]
        for name, lines in arrays
    }
    assert all(len(lines) <= 1 for lines in repeated.values())
    assert not any(line.startswith('"(*)') for lines in repeated.values() for line in lines)
    [compare] = repeated["_shtab_toolkit_compare_options"]
    assert compare.endswith(':_toolkit_run_or_setting"')
    [train] = repeated["_shtab_toolkit_train_options"]
    assert train.endswith(':_toolkit_setting"')
    [infer] = repeated["_shtab_toolkit_infer_options"]
    assert infer.endswith(':_files"')


# --- settings


@needs_bash
def test_keys_of_the_command(bash_script: Path) -> None:
    assert complete(bash_script, "train", "train.l") == {
        f"train.{name}="
        for name in ("lr", "lr_batch_size", "lr_scaling", "lr_factors", "log_every", "loggers")
    }
    assert complete(bash_script, "train", "--plugin", "unet", "--steps", "3", "wei") == {"weights="}
    assert "train.lr=" not in complete(bash_script, "eval", "run", "")
    assert complete(bash_script, "eval", "run", "evaluators.iou.") == {
        f"evaluators.iou.{name}="
        for name in (
            *("void", "score_threshold", "boundary", "boundary_tolerance", "calibration"),
            *("calibration_bins", "slices", "slice_by"),
        )
    }


@needs_bash
def test_keys_of_the_plugin_and_the_dataset_on_the_line(bash_script: Path) -> None:
    assert complete(bash_script, "train", "--plugin", "unet", "model.enc") == {"model.encoder="}
    assert not complete(bash_script, "train", "--plugin", "maskrcnn", "model.enc")
    assert not complete(bash_script, "train", "model.enc"), "of no plugin"
    assert complete(bash_script, "summary", "unet", "model.enc") == {"model.encoder="}
    assert "data.options.void=" in complete(bash_script, "data", "check", "masks", "data.options.")
    assert "data.options.void=" in complete(bash_script, "train", "--data", "masks", "data.options.")


@needs_bash
@pytest.mark.parametrize("split", [True, False], ids=["split at =", "whole"])
def test_values_of_settings_that_have_few(bash_script: Path, split: bool) -> None:
    def values(word: str, value: str) -> set[str]:
        # as bash hands words over, with and without = among COMP_WORDBREAKS
        words = [word, "=", value] if split and value else [word, "="] if split else [f"{word}={value}"]
        line = f"{word}={value}"
        found = complete(bash_script, "train", *words, line=line, breaks="=" if split else " ")
        assert all(one.startswith(f"{word}=") != split for one in found)
        return {one.rpartition("=")[2] for one in found}

    assert values("train.optimizer", "") == {"adamw", "sgd"}
    assert values("train.optimizer", "s") == {"sgd"}
    assert values("train.eval_first", "t") == {"true"}
    assert not values("train.lr", "")


@needs_bash
def test_devices_recipes_and_sections(bash_script: Path) -> None:
    for command in ("train", "eval", "compare", "infer", "track"):
        assert complete(bash_script, command, "--device", "") >= {"auto", "cpu", "cuda", "mps"}
    assert complete(bash_script, "train", "--config", "unet-") == {"unet-msrc", "unet-shapes"}
    assert complete(bash_script, "settings", "ev") == {"evaluators"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_knows_commands_and_plugins(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    for name in (*COMMANDS, *registry.plugins().names(), *registry.datasets().names()):
        assert name in text


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "csh"]) == 2
    assert "invalid choice: 'csh'" in capsys.readouterr().err


ZSH = shutil.which("zsh") or ""


@pytest.mark.skipif(not ZSH, reason="there is no zsh here")
@pytest.mark.parametrize(
    ("words", "expected", "others"),
    [
        (["train", "--plugin", "unet"], {"train.lr=", "model.encoder="}, {"data.options.size="}),
        (["train", "--data", "shapes"], {"train.lr=", "data.options.size="}, {"model.encoder="}),
        (["eval", "run"], {"evaluators.iou.void="}, {"train.lr="}),
    ],
)
def test_zsh_completes_the_settings_of_the_command_on_the_line(
    words: list[str], expected: set[str], others: set[str], tmp_path: Path
) -> None:
    """In a subcommand, zsh's ``words`` begins with its name."""
    file = tmp_path / "_toolkit"
    file.write_text(script("zsh"), encoding="utf-8")
    asked = """
        compdef() { :; }; compset() { return 1 }; compadd() { shift 3; print -l -- "$@" }
        eval "$(cat "$1")"; shift
        words=("$@"); _toolkit_setting
    """
    done = subprocess.run([ZSH, "-f", "-c", asked, "zsh", str(file), *words], capture_output=True, text=True)
    offered = set(done.stdout.split())
    assert expected <= offered, done.stderr
    assert not others & offered
