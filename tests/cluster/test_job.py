"""What travels between processes: the work, versions and errors."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
from cluster_cases import job

import toolkit
from toolkit.cluster.job import Problem, versions
from toolkit.errors import CheckpointError, OutputError, ToolkitError, UsageError


@pytest.mark.parametrize("error", [UsageError("no"), CheckpointError("no"), OutputError("no")])
def test_an_error_of_ours_stays_what_it_is_and_says_where_it_was(error: ToolkitError) -> None:
    again = pickle.loads(pickle.dumps(Problem.of(error, "node-3"))).error()
    assert type(again) is type(error)
    assert str(again) == "on node-3: no"


def test_an_error_of_others_keeps_its_name() -> None:
    again = Problem.of(ValueError("mat1 and mat2"), "node-3").error()
    assert type(again) is ToolkitError
    assert str(again) == "on node-3: ValueError: mat1 and mat2"


@pytest.mark.parametrize("kind", ["annotations", "NoSuchError", "ToolkitError"])
def test_a_kind_that_is_no_error_here_is_a_general_one(kind: str) -> None:
    assert type(Problem(kind, "no").error()) is ToolkitError


def test_versions_are_those_of_this_process() -> None:
    assert versions() == {
        "toolkit": toolkit.__version__,
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def test_a_job_survives_the_way(tmp_path: Path) -> None:
    assert pickle.loads(pickle.dumps(job(tmp_path))) == job(tmp_path)
