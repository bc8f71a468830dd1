"""Suggests corrections for commands, options and words that do not exist.

Imported only when something is wrong, so that everything else stays quick.
"""

from __future__ import annotations

import argparse
import difflib
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from toolkit.errors import ToolkitError, UsageError
from toolkit.reading.files import expanded

SAME_WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("predict", "inference", "run", "segment", "detect", "apply"), ("infer",)),
    **dict.fromkeys(
        ("evaluate", "evaluation", "val", "validate", "valid", "measure", "score", "test"), ("eval",)
    ),
    **dict.fromkeys(("fit", "finetune", "fine-tune", "learn", "training"), ("train",)),
    **dict.fromkeys(("resume", "continue"), ("train", "--resume")),
    **dict.fromkeys(("video", "follow"), ("track",)),
    **dict.fromkeys(("diff", "versus"), ("compare",)),
    **dict.fromkeys(("download", "fetch", "get"), ("data", "get")),
    **dict.fromkeys(("datasets", "dataset"), ("data", "list")),
    **dict.fromkeys(("models", "model", "plugin", "list"), ("plugins", "list")),
    **dict.fromkeys(("preview", "show", "visualize"), ("data", "preview")),
    **dict.fromkeys(("check", "verify"), ("data", "check")),
    "convert": ("data", "convert"),
    "new": ("plugins", "new"),
    **dict.fromkeys(("config", "options", "set"), ("settings",)),
    **dict.fromkeys(("env", "install", "status"), ("doctor",)),
    "layers": ("summary",),
    **dict.fromkeys(("show-completion", "complete"), ("completion",)),
    "help": ("--help",),
    "version": ("--version",),
}
"""Commands by the names that other programs use for them."""

SAME_ACTIONS = {
    **dict.fromkeys(("download", "fetch"), "get"),
    **dict.fromkeys(("show", "describe", "about"), "info"),
    **dict.fromkeys(("verify", "validate", "test"), "check"),
    **dict.fromkeys(("ls", "all"), "list"),
    **dict.fromkeys(("view", "draw", "plot"), "preview"),
    **dict.fromkeys(("create", "init", "add"), "new"),
}

SAME_OPTIONS = {
    **dict.fromkeys(("learning-rate", "learning_rate", "lr0"), "--lr"),
    **dict.fromkeys(("batch", "bs", "b"), "--batch-size"),
    **dict.fromkeys(("epoch", "num-epochs", "max-epochs", "n-epochs", "e"), "--epochs"),
    **dict.fromkeys(("max-steps", "iterations", "iters", "max-iter", "num-steps"), "--steps"),
    **dict.fromkeys(("num-workers", "threads", "jobs", "j", "w"), "--workers"),
    **dict.fromkeys(("gpus", "num-gpus", "nproc"), "--devices"),
    **dict.fromkeys(("gpu", "cuda", "accelerator"), "--device"),
    **dict.fromkeys(("output", "output-dir", "out-dir", "save-dir", "project", "name", "o"), "--out"),
    **dict.fromkeys(("dataset", "d"), "--data"),
    **dict.fromkeys(("data-root", "data-path", "dataset-dir", "root"), "--data-dir"),
    **dict.fromkeys(("model", "arch", "architecture", "network", "m"), "--plugin"),
    **dict.fromkeys(("cfg", "config-file", "recipe", "c"), "--config"),
    **dict.fromkeys(("pretrained", "checkpoint", "ckpt", "init-from"), "--weights"),
    **dict.fromkeys(("continue", "resume-from"), "--resume"),
    **dict.fromkeys(("conf", "confidence", "threshold", "score-threshold"), "--draw-above"),
    **dict.fromkeys(("tile", "tile-size", "crop-size"), "--window"),
    **dict.fromkeys(("subset", "s"), "--split"),
    **dict.fromkeys(("format", "target", "to-format"), "--to"),
    "v": "--version",
}
"""Options by the names that other programs use for them; short ones have one letter."""

RUN_OPTIONS = ("run", "weights", "model", "checkpoint", "ckpt", "m", "w")
PATH_OPTIONS = ("source", "input", "inputs", "images", "image", "img", "imgs", "path", "i")
"""Options with which other programs give the run and the images of ``infer`` and similar commands."""

NAMES_CODE = ("--plugin", "--data", "check", "info", "preview", "convert", "summary")
"""Words after which the path of a file stands for the code in it."""

NOTES = {"test": "; --split test evaluates on the test split, if there is one"}


def unknown_command(word: str, words: Sequence[str], commands: Sequence[str]) -> UsageError:
    """The error for a first word that is not a command.

    Args:
        word: the word that was typed.
        words: the whole command line.
        commands: the existing commands.
    """
    rest = list(words)
    rest.remove(word)
    if word.lower() in ("export-onnx", "onnx", "to-onnx"):
        right = _command_line(["export", *(rest or ["RUN"]), "--to", "onnx"])
        return UsageError(f"no command {word!r}. Hint: {right}")
    if word.lower() == "help" and rest:
        return UsageError(f"no command {word!r}. Hint: {_command_line([*rest, '--help'])}")
    near = difflib.get_close_matches(word.lower(), commands, n=1, cutoff=0.6)
    same = SAME_WORDS.get(word.lower())
    if same or near:
        right = _command_line([*(same or near), *rest])
        return UsageError(f"no command {word!r}. Hint: {right}{NOTES.get(word.lower(), '')}")
    if Path(word).exists():
        return UsageError(
            f"no command {word!r}, which is a file or folder. Hint: put a command first, such as"
            f" toolkit infer RUN {shlex.quote(word)}"
        )
    return UsageError(f"no command {word!r}. Hint: there are {', '.join(commands)}; see toolkit --help")


def unknown_action(command: str, word: str, words: Sequence[str], actions: Sequence[str]) -> UsageError:
    """The error for a second word that is not an action of a command, such as ``toolkit data chekc``."""
    same = SAME_ACTIONS.get(word)
    near = [same] if same and same in actions else difflib.get_close_matches(word, actions, n=1, cutoff=0.6)
    if near:
        right = [near[0] if each == word else each for each in words]
        return UsageError(f"no action {word!r} of toolkit {command}. Hint: {_command_line(right)}")
    hint = f"toolkit {command} ACTION, with one of {', '.join(actions)}"
    if Path(word).exists() and "check" in actions:
        hint = f"toolkit {command} check NAME --data-dir {shlex.quote(word)}"
    return UsageError(f"no action {word!r} of toolkit {command}. Hint: {hint}")


def _command_line(words: Sequence[str]) -> str:
    return shlex.join(["toolkit", *words])


def unknown_option(parser: argparse.ArgumentParser, option: str, words: Sequence[str]) -> UsageError:
    """The error for an option that a command does not have, with the option or setting to use instead.

    Args:
        parser: the parser of the command.
        option: the option as typed, including a value after ``=``.
        words: the whole command line.
    """
    name, equals, value = option.partition("=")
    if not equals:
        after = list(words)[list(words).index(option) + 1 :][:1]
        value = after[0] if after and not after[0].startswith("-") else ""
    bare = name.lstrip("-")
    known = [each for each in parser._option_string_actions if each.startswith("--")]
    found = f"{parser.prog} has no option {name}"
    if value.lower() == "onnx" and "--to" not in known:
        return UsageError(f"{found}. Hint: toolkit export RUN --to onnx")
    if placed := _in_place(parser, bare.lower(), words):
        return UsageError(f"{found}. Hint: {placed}")
    if bare in ("train", "val", "test") and "--split" in known:
        return UsageError(f"{found}. Hint: --split {bare}")
    if bare in ("metric", "metrics", "evaluator") and "--split" in known:
        return UsageError(f"{found}. Hint: it is a setting: evaluators.{value or 'iou'}={{}}")
    same = SAME_OPTIONS.get(bare.lower())
    if (same == "--to" and same not in known) or (bare == "out" and "--data-dir" in known):
        same = "--data-dir" if bare == "out" else None
    if same in known:
        return UsageError(f"{found}. Hint: {_with_value(same, _device(bare, value))}")
    takes_settings = any(action.dest == "settings" for action in parser._actions) or "infer" in parser.prog
    keys = _keys_like(bare.replace("-", "_"), words) if takes_settings else []
    if keys:
        settings = " or ".join(f"{key}={shlex.quote(value) if value else 'VALUE'}" for key in keys)
        return UsageError(f"{found}. Hint: it is a setting: {settings}")
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    if close and len(bare) > 1:
        return UsageError(f"{found}. Hint: {_with_value(close[0], value)}")
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.55)
    meant = f"perhaps {' or '.join(near)}; " if near else ""
    return UsageError(f"{found}. Hint: {meant}{parser.prog} --help lists all")


def _in_place(parser: argparse.ArgumentParser, bare: str, words: Sequence[str]) -> str:
    """The command line with the run and the images as positional arguments instead of options."""
    places = [action.dest for action in parser._actions if not action.option_strings]
    if not (
        ("run" in places and bare in RUN_OPTIONS)
        or ("paths" in places and bare in PATH_OPTIONS)
        or ("section" in places and bare == "section")
    ):
        return ""
    first: list[str] = []
    rest: list[str] = []
    waiting = list(words[1:])
    while waiting:
        word = waiting.pop(0)
        option, equals, value = word.partition("=")
        if option.startswith("--") and option.lstrip("-") in (*RUN_OPTIONS, *PATH_OPTIONS, "section"):
            value = value if equals else waiting.pop(0) if waiting else ""
            is_run = option.lstrip("-") in RUN_OPTIONS
            (first if is_run else rest).append(value)
        else:
            rest.append(word)
    if "paths" not in places and len(first) == 1 and first[0] in ("best", "last"):
        run, *rest = rest or ["RUN"]
        first = [f"{run}/{first[0]}.safetensors"]
    return _command_line([words[0], *first, *rest])


def left_over(parser: argparse.ArgumentParser, rest: Sequence[str], words: Sequence[str]) -> UsageError:
    """The error for words that a command does not accept."""
    found = f"unrecognized arguments: {' '.join(rest)}"
    options = parser._option_string_actions
    if words[:2] == ["data", "list"] or words[:2] == ["plugins", "list"]:
        return UsageError(f"{found}. Hint: {_command_line([words[0], 'info', *rest])}")
    if len(rest) == 1 and "--out" in options and "--out" not in words and not rest[0].startswith("-"):
        right = [word for word in words if word != rest[0]]
        return UsageError(f"{found}. Hint: {_command_line([*right, '--out', rest[0]])}")
    return UsageError(f"{found}\n{parser.format_usage().rstrip()}")


def _with_value(option: str, value: str) -> str:
    return f"{option} {shlex.quote(value)}" if value else option


def _device(option: str, value: str) -> str:
    """``cuda:0`` for ``--gpu 0``, and ``cuda`` for ``--gpu`` alone."""
    if option.lower() not in ("gpu", "cuda"):
        return value
    return f"cuda:{value}" if value.isdecimal() else "cuda"


def _keys_like(name: str, words: Sequence[str]) -> list[str]:
    """The full keys of settings that end in a name, as far as the words show whose settings they may be."""
    from toolkit.config.keys import all_keys, candidates

    sections = list(_sections(words))
    exact = candidates(name, sections) or [key for key in all_keys(sections) if key.endswith(f".{name}")]
    return exact[:3]


def _sections(words: Sequence[str]) -> Iterator[tuple[str, type]]:
    """Sections of settings that a command line may refer to: those of training, and those of the plugins,
    runs and datasets in it.
    """
    from toolkit import registry
    from toolkit.checkpoints import read_manifest
    from toolkit.config import DataSettings, TrainSettings, settings_class

    if "train" in words or "demo" in words:
        yield "train", TrainSettings
        yield "data", DataSettings
    for before, word in pairwise(("", *words)):
        try:
            if word.endswith(".py"):
                if before not in NAMES_CODE:
                    continue  # it was not named as code
                for manifest in registry.add_path(word):
                    section = "data.options" if manifest.kind == "dataset" else "model"
                    yield section, settings_class(manifest)
            elif word in registry.plugins().names():
                yield "model", settings_class(registry.plugins().get(word))
            elif word in registry.datasets().names():
                yield "data.options", settings_class(registry.datasets().get(word))
            elif Path(word).exists():
                checkpoint = read_manifest(word)
                if checkpoint is not None:
                    yield "model", settings_class(registry.plugins().get(checkpoint.plugin))
        except (ToolkitError, OSError):
            continue


def stray_words(words: Sequence[str]) -> UsageError:
    """The error for words of ``toolkit train`` that are not ``key=value``, with the correct form of each.

    Args:
        words: all words, settings or not, in their order.
    """
    text = " ".join(words)
    if words == ["help"]:
        return UsageError("'help' is not a setting. Hint: toolkit train --help")
    if "=" in words or any(word.endswith("=") for word in words[:-1]):
        joined = text.replace(" = ", "=").replace("= ", "=").replace(" =", "=")
        return UsageError(f"there are spaces around a '='. Hint: write {joined}")
    right, unknown = [], []
    for word in words:
        if "=" in word:
            continue
        meant = _meant(word)
        if meant:
            right.append(f"{meant} {shlex.quote(word)}")
        else:
            unknown.append(word)
    stray = ", ".join(repr(word) for word in words if "=" not in word)
    if not unknown:
        return UsageError(f"expected settings as key=value, not {stray}. Hint: write {' '.join(right)}")
    setting = _setting_with_value(words)
    return UsageError(
        f"expected settings as key=value, not {stray}. Hint: "
        + (f"write {setting}" if setting else "write each as train.steps=100; toolkit settings lists them")
    )


def _setting_with_value(words: Sequence[str]) -> str | None:
    """``train.lr=0.1`` for the two words ``train.lr 0.1``, or for ``train.lr:0.1``."""
    for word, value in zip(words, [*words[1:], ""], strict=True):
        key, colon, behind = word.partition(":")
        if colon and not behind:
            behind = value
        if not colon:
            behind = value
        name = key.rpartition(".")[2]
        if name.isidentifier() and _keys_like(name, ["train"]):
            return f"{key}={behind or 'VALUE'}"
    return None


def _meant(word: str) -> str | None:
    """The option that a single word was meant for."""
    from toolkit import registry
    from toolkit.config.recipes import find_recipe_named

    path = expanded(word)
    if (path / "config.yaml").is_file():
        return "--resume"
    if path.is_file() and path.suffix in (".pt", ".pth", ".pkl", ".safetensors", ".ckpt"):
        return "--weights"
    if word in registry.plugins().names() or path.suffix == ".py":
        return "--plugin"
    if word in registry.datasets().names():
        return "--data"
    if path.suffix in (".yaml", ".yml") or find_recipe_named(word):
        return "--config"
    return "--data-dir" if path.is_dir() else None
