"""``toolkit completion``: the words that the parsers know, and the plugins and datasets that are found when
the script is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

SUMMARY = "print a completion script for your shell"

SHELLS = ("bash", "zsh", "tcsh")

INSTALL = """\
to install, and again after installing plugins:
  bash  toolkit completion bash > ~/.local/share/bash-completion/completions/toolkit
  zsh   toolkit completion zsh > DIR/_toolkit, where DIR is in $fpath
  tcsh  toolkit completion tcsh > ~/.toolkit.csh, and in ~/.tcshrc: source ~/.toolkit.csh
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = INSTALL
    parser.add_argument("shell", choices=SHELLS, help="which shell the script is for")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print(script(args.shell))
    return 0


def script(shell: str) -> str:
    """The completion script for a shell."""
    import shtab

    from toolkit import registry
    from toolkit.cli import build_parser

    plugins = _names_or_files("plugin", registry.plugins().names())
    datasets = _names_or_files("dataset", registry.datasets().names())
    by_metavar = {"DIR": shtab.DIRECTORY, **dict.fromkeys(("FILE", "PATH", "RUN"), shtab.FILE)}
    by_place = {
        ("train", "plugin"): plugins,
        ("summary", "model"): plugins,
        ("plugins", "name"): plugins,
        ("data", "name"): datasets,
        ("train", "data"): datasets,
        ("eval", "data"): datasets,
    }
    parser = build_parser()
    for command, argument in _arguments(parser):
        found = by_place.get((command, argument.dest)) or by_metavar.get(str(argument.metavar))
        if found:
            argument.complete = found  # type: ignore[attr-defined]  # where shtab looks for it
    return str(shtab.complete(parser, shell=shell))


def _arguments(parser: argparse.ArgumentParser, command: str = "") -> Iterator[tuple[str, argparse.Action]]:
    """Every argument of every command, with the command's first word."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inside in action.choices.items():
                yield from _arguments(inside, command or name)
        else:
            yield command, action


def _names_or_files(kind: str, names: list[str]) -> Mapping[str, Any]:
    """Completes the names of plugins or datasets, and the files that may stand in their place."""
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
