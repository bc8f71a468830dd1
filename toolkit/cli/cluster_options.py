"""The options of commands that a Ray cluster can do."""

from __future__ import annotations

import argparse

from toolkit.cli.options import positive


def add_cluster_arguments(parser: argparse.ArgumentParser, *, what: str, needs: str) -> None:
    """Add ``--ray``, ``--actors`` and ``--gpus-per-actor``.

    Args:
        parser: of the command.
        what: it does there, such as ``"predict"``.
        needs: what all machines must see.
    """
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help=(
            f"{what} on the Ray cluster at this address, such as head:6379, or local: with several processes"
            f" on this machine; all machines must see {needs} under the same paths"
        ),
    )
    parser.add_argument(
        "--actors",
        type=positive,
        metavar="N",
        help="with --ray: number of processes; default: one per GPU, or else one per core",
    )
    parser.add_argument(
        "--gpus-per-actor",
        type=float,
        metavar="F",
        help="with --ray: GPUs of each process, such as 0.5 for two per GPU; default: 1 where there are GPUs",
    )


def check_cluster_options(args: argparse.Namespace) -> None:
    """Refuse options that have no effect without a cluster.

    Raises:
        UsageError: when there are some, and no cluster.
    """
    from toolkit.errors import UsageError

    if args.ray is None:
        for option, value in (("--actors", args.actors), ("--gpus-per-actor", args.gpus_per_actor)):
            if value is not None:
                raise UsageError(f"{option} has no effect without --ray. Hint: add --ray local")
