"""``toolkit plugins``."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.cli.options import add_settings_argument
from toolkit.reading.files import expanded
from toolkit.wording import quoted

if TYPE_CHECKING:
    from toolkit.config import Settings
    from toolkit.registry.manifests import DatasetManifest, Manifest, PluginManifest
    from toolkit.testing import Result

SUMMARY = "list and describe model plugins; write and check plugins, datasets and evaluators"
KINDS = ("semantic", "instance", "promptable", "dataset", "evaluator")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all plugins, and why broken ones do not work")
    listing.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="also list the plugins in this file or folder; may be repeated",
    )
    info = actions.add_parser("info", help="one plugin: task, papers, license, weights and settings")
    info.add_argument("name", metavar="NAME", help="a plugin's name, or the file or folder of one")
    new = actions.add_parser(
        "new", help="write a working plugin, dataset or evaluator with its test, to start from"
    )
    new.add_argument("name", metavar="NAME", help="its name: lower-case letters, digits and `_`")
    new.add_argument(
        "--kind",
        required=True,
        choices=KINDS,
        help="a model plugin of one of three tasks, or a dataset or evaluator",
    )
    new.add_argument(
        "--out",
        type=Path,
        default=Path("."),
        metavar="DIR",
        help="folder to write `NAME.py` and `test_NAME.py` to",
    )
    check = actions.add_parser(
        "check",
        help="check what every plugin, dataset or evaluator must do; exit code 1 if a check fails",
    )
    check.add_argument(
        "name",
        metavar="NAME",
        help="name of a plugin, dataset or evaluator, or a file or folder that defines some",
    )
    check.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder of the dataset; default: data/<name>, or a synthetic sample if it can generate one",
    )
    add_settings_argument(check, "settings for the checks, such as width=8")


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    if args.action == "list":
        return _list(args.plugin)
    if args.action == "info":
        return _info(args.name)
    return _new(args) if args.action == "new" else _check(args)


def _list(paths: list[str]) -> int:
    from rich.table import Table

    from toolkit import registry
    from toolkit.runtime.terminal import Terminal

    for path in paths:
        registry.add_path(path)
    table = Table("plugin", "task", "description", "state", box=None, header_style="bold", pad_edge=False)
    for plugin in registry.plugins():
        missing = plugin.missing_requirements()
        state = f"needs {', '.join(missing)}\nHint: {plugin.install_line()}" if missing else "ready"
        table.add_row(plugin.name, plugin.task, plugin.summary, state)
    for broken in registry.plugins().broken:
        table.add_row(broken.name, "", f"from {broken.origin}", f"broken: {broken.reason}")
    Terminal().print(table)
    return 0


def _info(name: str) -> int:
    from toolkit import registry
    from toolkit.config import settings_class

    plugin = registry.named(registry.plugins(), name, by_user=True)
    for line in describe(plugin):
        print(line)
    for line in describe_settings(settings_class(plugin), "model"):
        print(line)
    return 0


def _new(args: argparse.Namespace) -> int:
    import shlex

    from toolkit.testing.scaffold import write_new

    file, test = write_new(args.name, args.kind, args.out)
    print(f"{quoted(file)} and {quoted(test)} are written")
    commands = [["toolkit", "plugins", "check", str(file)], ["pytest", str(test)]]
    if args.kind in ("semantic", "instance", "promptable"):
        commands.insert(0, ["toolkit", "train", "--plugin", str(file), "--data", "shapes"])
    for command in commands:
        print(f"  {shlex.join(command)}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from toolkit.config.keys import for_sections
    from toolkit.config.tree import parse_words
    from toolkit.runtime.progress import counting

    flat, failed = parse_words(args.settings), 0
    settings = for_sections(flat, list(_sections(args.name))) if flat else {}
    for manifest, total, results in _suites(args.name, args.data_dir, settings):
        print(f"{manifest.kind} {manifest.name}: {manifest.summary}")
        counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
        with counting(f"checking {manifest.name}", total) as advance:
            for result in results:
                counts[result.state] += 1
                print(f"  {result.state:<8} {result.name}: {result.promise}")
                if result.message:
                    print(f"           {result.message}")
                advance(1)
        print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped\n")
        failed += counts["failed"]
    return 1 if failed else 0


def _sections(name: str) -> Iterator[tuple[str, type[Settings]]]:
    """The settings of the object that is checked."""
    from toolkit.config import TrainSettings, settings_class
    from toolkit.config.keys import evaluators_class
    from toolkit.registry.manifests import DatasetManifest, EvaluatorManifest, PluginManifest

    for manifest in _found(name):
        if isinstance(manifest, PluginManifest):
            yield "model", settings_class(manifest)
            yield "train", TrainSettings
        elif isinstance(manifest, DatasetManifest):
            yield "data.options", settings_class(manifest)
        elif isinstance(manifest, EvaluatorManifest):
            yield f"evaluators.{manifest.name}", settings_class(manifest)
            yield "evaluators", evaluators_class()


def _suites(
    name: str, folder: str | None, settings: Mapping[str, Any]
) -> Iterator[tuple[Manifest, int, Iterator[Result]]]:
    """Everything with this name, or in this file, with the number of its checks and their results."""
    from toolkit import testing
    from toolkit.registry.manifests import DatasetManifest, PluginManifest, TaskManifest

    for manifest in _found(name):
        if isinstance(manifest, PluginManifest):
            model = testing.ModelCase(name, settings.get("model", {}), settings.get("train", {}))
            yield manifest, len(testing.MODEL_CHECKS), testing.run_checks(testing.MODEL_CHECKS, model)
        elif isinstance(manifest, DatasetManifest):
            with _files(manifest, folder) as root:
                dataset = testing.DatasetCase(name, root, settings.get("data", {}).get("options", {}))
                results = testing.run_checks(testing.DATASET_CHECKS, dataset)
                yield manifest, len(testing.DATASET_CHECKS), results
        elif isinstance(manifest, TaskManifest):
            task = testing.TaskCase(name)
            yield manifest, len(testing.TASK_CHECKS), testing.run_checks(testing.TASK_CHECKS, task)
        else:
            evaluator = testing.EvaluatorCase(name, settings.get("evaluators", {}).get(manifest.name, {}))
            results = testing.run_checks(testing.EVALUATOR_CHECKS, evaluator)
            yield manifest, len(testing.EVALUATOR_CHECKS), results


@contextmanager
def _files(manifest: DatasetManifest, folder: str | None) -> Iterator[Path | None]:
    """The folder of a dataset: the one that was given, ``data/<name>``, or temporary sample data.

    Raises:
        DataError: when there is none; says what it must contain.
    """
    from toolkit.data.dataset import default_folder, draw_sample, missing_folder
    from toolkit.errors import DataError

    root = expanded(folder) if folder else default_folder(manifest.name)
    if not manifest.needs_folder or root.is_dir():
        yield root if manifest.needs_folder else None
    elif folder or not manifest.sample:
        raise DataError(missing_folder(manifest, root))
    else:
        with tempfile.TemporaryDirectory() as drawn:
            draw_sample(manifest, Path(drawn))
            yield Path(drawn)


def _found(name: str) -> list[Manifest]:
    """The manifests of a file or folder, or those of this name, of any kind.

    Raises:
        UnknownNameError, UnavailableError, UsageError: when there is none, or it cannot be loaded.
    """
    import difflib

    from toolkit import registry
    from toolkit.errors import UnknownNameError

    if registry.is_path(name):
        return registry.add_path(name)
    kinds = (registry.plugins(), registry.datasets(), registry.evaluators(), registry.tasks())
    known = [
        kind for kind in kinds if name in kind.names() or any(broken.name == name for broken in kind.broken)
    ]
    if not known:
        names = sorted({one for kind in kinds for one in kind.names()})
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownNameError(
            f"no plugin, dataset, evaluator or task is called {name!r}.{hint} Expected one of:"
            f" {', '.join(names)}"
        )
    return [kind.get(name) for kind in known]


def describe(plugin: PluginManifest) -> list[str]:
    """The lines that describe a plugin's manifest."""
    facts: dict[str, Any] = {
        "task": plugin.task,
        "evaluators": ", ".join(plugin.evaluators),
        "paper": plugin.paper,
        "license": plugin.license,
        "requires": ", ".join(plugin.requires),
        "from": plugin.origin,
    }
    lines = [
        f"{plugin.name}: {plugin.summary}",
        *(f"  {key:<11}{value}" for key, value in facts.items() if value),
    ]
    lines += [f"  weights    {w.name} ({w.license}; {w.source})" for w in plugin.weights]
    return lines


def describe_settings(cls: type[Settings], section: str) -> list[str]:
    """Every setting with its default and what it does."""
    lines = ["", "settings:"]
    for name, field in cls.model_fields.items():
        default = field.get_default(call_default_factory=True)
        lines.append(f"  {section}.{name}={'' if default is None else default}")
        if field.description:
            lines.append(f"      {field.description}")
    return lines if cls.model_fields else []
