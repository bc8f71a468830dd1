"""``toolkit completion``: completes the words of the parsers, and the plugins, datasets and settings that
exist when the script is printed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.runtime.text import print_whole

SUMMARY = "print a completion script for your shell"

SHELLS = ("bash", "zsh", "tcsh")

INSTALL = """\
to install, and again after installing plugins:
  bash  toolkit completion bash > ~/.local/share/bash-completion/completions/toolkit
  zsh   toolkit completion zsh > DIR/_toolkit, where DIR is in $fpath
  tcsh  toolkit completion tcsh > ~/.toolkit.csh, and in ~/.tcshrc: source ~/.toolkit.csh
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = INSTALL
    parser.add_argument("shell", choices=SHELLS, help="which shell the script is for")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print_whole(script(args.shell))
    return 0


def script(shell: str) -> str:
    """The completion script for a shell."""
    import shtab

    from toolkit import registry
    from toolkit.cli import build_parser
    from toolkit.cli.settings import SECTIONS
    from toolkit.config import recipe_folder

    plugins = _names_or_files("plugin", registry.plugins().names())
    datasets = _names_or_files("dataset", registry.datasets().names())
    recipes = _names_or_files("recipe", sorted(path.stem for path in recipe_folder().glob("*.yaml")))
    devices = _names("device", ["auto", "cpu", "cuda", "mps"])
    by_metavar = {"DIR": shtab.DIRECTORY, **dict.fromkeys(("FILE", "PATH", "RUN"), shtab.FILE)}
    by_name = {
        "plugin": plugins,
        "data": datasets,
        "config": recipes,
        "device": devices,
        "settings": _settings(),
    }
    by_place = {
        ("summary", "model"): plugins,
        ("plugins", "name"): plugins,
        ("data", "name"): datasets,
        ("settings", "section"): _names("section", SECTIONS),
        ("compare", "runs"): RUNS_AND_SETTINGS,
    }
    parser = build_parser()
    for command, argument in _arguments(parser):
        found = (
            by_place.get((command, argument.dest))
            or by_name.get(argument.dest)
            or by_metavar.get(str(argument.metavar))
        )
        if found:
            argument.complete = found  # type: ignore[attr-defined]  # where shtab looks for it
    text = str(shtab.complete(parser, shell=shell))
    return text + BASH_END if shell == "bash" else _repeated(text) if shell == "zsh" else text


def _repeated(text: str) -> str:
    """Make arguments that may be repeated complete each time in a script for zsh: shtab marks them with
    ``(*)``, but zsh's ``_arguments`` only repeats those with ``*``, and accepts one of these per command.
    """
    lines, has_one = [], False
    for line in text.split("\n"):
        is_repeated = line.startswith('  "(*):')
        if not (is_repeated and has_one):
            lines.append(re.sub(r'^  "\(\*\)::?', '  "*:', line))
        has_one = is_repeated or (has_one and line != ")")
    return "\n".join(lines)


def _arguments(parser: argparse.ArgumentParser, command: str = "") -> Iterator[tuple[str, argparse.Action]]:
    """Every argument of every command, with the command's first word."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inside in action.choices.items():
                yield from _arguments(inside, command or name)
        else:
            yield command, action


def _names_or_files(kind: str, names: list[str]) -> Mapping[str, Any]:
    """Completes the names of plugins or datasets, and the files that may replace them."""
    words, function = " ".join(names), f"_toolkit_{kind}_or_file"
    return {
        "bash": function,
        "zsh": function,
        "tcsh": f"({words})",
        "preamble": {
            "bash": f'{function}() {{\n  compgen -W "{words}" -- "$1"\n  compgen -f -- "$1"\n}}\n',
            "zsh": f"{function}() {{\n  _alternative 'names:{kind}:({words})' 'files:file:_files'\n}}\n",
        },
    }


def _names(kind: str, names: Sequence[str]) -> Mapping[str, Any]:
    """Completes one of a few names."""
    words, function = " ".join(names), f"_toolkit_{kind}"
    return {
        "bash": function,
        "zsh": f"({words})",
        "tcsh": f"({words})",
        "preamble": {"bash": f'{function}() {{\n  compgen -W "{words}" -- "$1"\n}}\n'},
    }


def _settings() -> Mapping[str, Any]:
    """Completes ``key=value``: the keys of the sections that the command accepts and of the plugins and
    datasets on the command line, and the values of settings that have few of them.
    """
    from toolkit.config.reference import groups

    found = [group for group in groups() if group.section != "augment"]
    keys = {
        section: [entry.key for group in found if group.section == section for entry in group.entries]
        for section in ("", "train", "data", "evaluators")
    }
    training = [f"{key}=" for section in keys for key in keys[section]]
    measuring = [f"{key}=" for key in keys["evaluators"]]
    owned: dict[str, list[str]] = {}
    for group in found:
        if group.section in ("model", "data.options") and group.entries:
            owned.setdefault(group.owner, []).extend(f"{entry.key}=" for entry in group.entries)
    values: dict[str, list[str]] = {}
    for entry in (entry for group in found for entry in group.entries):
        if entry.choices:
            values.setdefault(entry.key, []).extend(one for one in entry.choices if one != "None")
    return {
        "bash": "_toolkit_setting",
        "zsh": "_toolkit_setting",
        "tcsh": f"({' '.join(training)})",
        "preamble": {
            "bash": _in_shell(BASH, training, measuring, owned, values),
            "zsh": _in_shell(ZSH, training, measuring, owned, values),
        },
    }


def _in_shell(
    template: str,
    training: Sequence[str],
    measuring: Sequence[str],
    owned: Mapping[str, Sequence[str]],
    values: Mapping[str, Sequence[str]],
) -> str:
    """A template filled with the keys and values, each kind as the branches of a ``case``."""
    words = {key: list(dict.fromkeys(several)) for key, several in values.items()}
    return (
        template.replace("TRAINING", " ".join(training))
        .replace("MEASURING", " ".join(measuring))
        .replace(
            "OWNED", "\n".join(f'      {name}) keys+=" {" ".join(of)}" ;;' for name, of in owned.items())
        )
        .replace("VALUES", "\n".join(f'    {key}) echo "{" ".join(of)}" ;;' for key, of in words.items()))
    )


_CASES = """\
_toolkit_values() {
  case "$1" in
VALUES
  esac
}
_toolkit_keys() {
  local keys="" word
  case "$1" in
    train|demo) keys="TRAINING" ;;
    eval|compare) keys="MEASURING" ;;
  esac
  for word in "$@"; do
    case "$word" in
OWNED
    esac
  done
  echo "$keys"
}
"""

BASH = (
    _CASES
    + """\
_toolkit_setting() {
  # bash mostly splits words at '=', so the whole word is taken from the line
  local line="${COMP_LINE:0:${COMP_POINT:-0}}"
  local word="${line##* }" key=""
  if [[ "$word" == *=* ]]; then
    [[ "$COMP_WORDBREAKS" == *=* ]] || key="${word%%=*}="
    compgen -P "$key" -W "$(_toolkit_values "${word%%=*}")" -- "${word#*=}"
  else
    compgen -W "$(_toolkit_keys "${COMP_WORDS[@]:1}")" -- "$1"
  fi
}
"""
)

# appended to the script: no space after a key, whose value comes next
BASH_END = """
_toolkit_complete() {
  _shtab_toolkit "$@"
  if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *= ]]; then
    compopt -o nospace 2>/dev/null
  fi
}
complete -o bashdefault -F _toolkit_complete toolkit
"""

ZSH = (
    _CASES
    + """\
_toolkit_setting() {
  if compset -P '*='; then
    compadd -- ${=$(_toolkit_values "${IPREFIX%=}")}
  else
    compadd -S '' -- ${=$(_toolkit_keys ${words[@]})}
  fi
}
"""
)

RUNS_AND_SETTINGS = {
    "bash": "_toolkit_run_or_setting",
    "zsh": "_toolkit_run_or_setting",
    "tcsh": "f",
    "preamble": {
        "bash": '_toolkit_run_or_setting() {\n  compgen -f -- "$1"\n  _toolkit_setting "$1"\n}\n',
        "zsh": """\
_toolkit_run_or_setting() {
  _alternative 'runs:run:_files' 'settings:setting:_toolkit_setting'
}
""",
    },
}
"""Completes the runs for ``compare``, and the settings after them."""
