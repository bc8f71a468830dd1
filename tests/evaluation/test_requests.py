"""What is asked for goes from the command line to what measures in one piece."""

from __future__ import annotations

import argparse
import inspect

import toolkit
from toolkit.cli.parsed import computing_of, data_choice, prompting_of
from toolkit.evaluation.requests import Computing, DataChoice, Prompting


def test_arguments_of_a_command_become_requests() -> None:
    args = argparse.Namespace(
        **{"data": "shapes", "data_dir": "x", "split": "test", "settings": ["iou.void=ignore"]},
        **{"prompts": "a.csv", "prompts_above": 0.5, "predictions": None},
        **{"batch_size": 3, "workers": 1, "device": "cpu", "precision": "bf16"},
    )
    assert data_choice(args) == DataChoice("shapes", "x", "test", {"iou.void": "ignore"})
    assert prompting_of(args) == Prompting("a.csv", 0.5)
    assert computing_of(args, 2, 3) == Computing(3, 1, 2, "cpu", "bf16", show_progress=True, num_nodes=3)


def test_what_nobody_says_is_the_same_everywhere() -> None:
    parameters = inspect.signature(toolkit.evaluate).parameters
    default = Computing()
    assert [parameters[name].default for name in ("batch_size", "workers", "device", "precision")] == [
        default.batch_size,
        default.workers,
        default.accelerator,
        default.precision,
    ]
    assert parameters["prompts"].default is Prompting().prompts is None
