"""``--ray``, ``--actors`` and ``--gpus-per-actor``, of each command that has them."""

from __future__ import annotations

import argparse

import pytest

from toolkit.cli import parse
from toolkit.cli.cluster_options import check_cluster_options
from toolkit.errors import UsageError

COMMANDS = [["infer", "run", "photos"], ["eval", "run"]]


def given(command: list[str], *words: str) -> argparse.Namespace:
    return parse([*command, *words])


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_given(command: list[str]) -> None:
    args = given(command, "--ray", "head:6379", "--actors", "3", "--gpus-per-actor", "0.5")
    assert (args.ray, args.actors, args.gpus_per_actor) == ("head:6379", 3, 0.5)
    check_cluster_options(args)
    check_cluster_options(given(command))
    check_cluster_options(given(command, "--ray", "local"))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("words", [["--actors", "2"], ["--gpus-per-actor", "0"]])
def test_what_has_no_effect_is_refused(command: list[str], words: list[str]) -> None:
    message = rf"{words[0]} has no effect without --ray\. Hint: add --ray local"
    with pytest.raises(UsageError, match=message):
        check_cluster_options(given(command, *words))
