"""``toolkit eval``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from toolkit.cli.cluster_options import add_cluster_arguments, check_cluster_options
from toolkit.cli.options import (
    add_data_arguments,
    add_measuring_arguments,
    add_plugin_files_argument,
    add_prompts_to_measure,
    add_run_or_predictions,
    add_settings_argument,
    add_window_arguments,
    positive,
)
from toolkit.cli.parsed import (
    computing_of,
    data_choice,
    load_plugin_files,
    prompting_of,
    settle_run_or_predictions,
    tiling_of,
)
from toolkit.runtime.text import print_whole

if TYPE_CHECKING:
    from toolkit.evaluation.report import Report
    from toolkit.evaluation.shares import ShareEngine

SUMMARY = "evaluate a run, or predictions from any source, on a dataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    add_run_or_predictions(parser)
    add_data_arguments(parser, default="the data that RUN was trained on")
    add_prompts_to_measure(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help='print one JSON object {"metrics": {name: value}, "reports": […]} and nothing else',
    )
    add_measuring_arguments(parser, whose="with RUN: ")
    parser.add_argument(
        "--devices",
        type=positive,
        default=1,
        metavar="N",
        help="with RUN: devices, or CPU processes, on each node",
    )
    parser.add_argument(
        "--num-nodes", type=positive, default=1, metavar="N", help="with RUN: number of machines"
    )
    add_cluster_arguments(parser, what="with RUN: evaluate", needs="RUN and the data")
    add_window_arguments(parser, "with RUN: ")
    add_plugin_files_argument(parser)
    add_settings_argument(
        parser, "settings of the model, the dataset and the evaluators, such as evaluators.iou={} or void=0"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, print, and save the reports in the run's folder."""
    settle_run_or_predictions(args, "evaluate")
    load_plugin_files(args)
    check_cluster_options(args)

    from toolkit.evaluation.opening import data_of_run
    from toolkit.evaluation.runs import evaluate_predictions, evaluate_run

    choice, prompting, tiling = data_choice(args), prompting_of(args), tiling_of(args)
    if args.run:
        computing = computing_of(args, args.devices, args.num_nodes)
        reports = evaluate_run(args.run, choice, computing, prompting, tiling, _engine(args))
        if reports is None:  # a process of a distributed run other than the first
            return 0
    else:
        reports = evaluate_predictions(
            args.predictions,
            data=args.data,
            data_dir=choice.data_dir,
            split=choice.split,
            overrides=choice.overrides,
            label_values=args.label_values,
            show_progress=True,
        )
    if args.json:
        print_whole(to_json(reports))
    else:
        from toolkit.runtime.terminal import Terminal

        print(_what_was_measured(args, args.data or data_of_run(args.run)))
        console = Terminal()
        for report in reports:
            console.print(report.table())
        for line in _closing(args):
            print(line)
    sys.stdout.flush()
    return 0


def _engine(args: argparse.Namespace) -> ShareEngine | None:
    """The cluster, if one is asked for."""
    from toolkit.errors import UsageError

    if args.ray is None:
        return None
    if args.devices > 1 or args.num_nodes > 1:
        raise UsageError(
            "--devices and --num-nodes are not for a cluster of Ray. Hint: with --ray, give --actors instead"
        )
    from toolkit.cluster import RayMeasuring

    return RayMeasuring(args.ray, args.actors, args.gpus_per_actor)


def _closing(args: argparse.Namespace) -> Iterator[str]:
    """The commands that come next for a run."""
    from toolkit.cli.next_steps import PHOTOS, next_lines, other_runs, plugin_options

    if not args.run:
        return
    plugin = plugin_options(args.plugin)
    commands = [["infer", args.run, PHOTOS, *plugin]]
    if others := other_runs(args.run):
        commands.append(["compare", args.run, others[0], *plugin])
    yield from next_lines(*commands)


def _what_was_measured(args: argparse.Namespace, data: str) -> str:
    """The data and the split that were used, and how to choose others if they were not chosen."""
    from toolkit import registry

    manifest = registry.named(registry.datasets(), data)
    line = f"{args.run or args.predictions} on split {args.split or manifest.val_split} of {manifest.name}"
    free = [option for option, given in (("--data", args.data), ("--split", args.split)) if not given]
    return line + (f" (to change: {', '.join(free)})" if free else "")


def to_json(reports: list[Report]) -> str:
    """The single object that ``--json`` prints: all metrics by name, and the complete reports; undefined
    values are null.
    """
    metrics: dict[str, Any] = {}
    for report in reports:
        metrics |= report.to_dict()["metrics"]
    whole = [report.to_dict() for report in reports]
    return json.dumps({"metrics": metrics, "reports": whole}, allow_nan=False)
