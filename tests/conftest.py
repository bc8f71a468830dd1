"""Fixtures that many tests share."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import hypothesis
import pytest
import torch
from support.file_server import FileServer, serving

from toolkit import registry

torch.set_num_threads(1)  # the suite runs in as many processes as there are cores

# a busy machine is no failure
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

ROOT = Path(__file__).resolve().parents[1]
TINY = str(ROOT / "tests" / "support" / "tiny.py")


@pytest.fixture(autouse=True)
def _fresh_registries() -> Iterator[None]:
    """What one test enters into the registries is gone in the next."""
    yield
    registry.clear()


@pytest.fixture(autouse=True)
def _level_of_the_log() -> Iterator[None]:
    """The log level that one test sets, directly or through a command, does not affect the next one."""
    logger = logging.getLogger("toolkit")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """No test cuts the power, so none has to wait until what it writes is on the disk: a fifth of the time of
    a short run. That the software does wait is tested by who calls ``os.fsync``, and by kills around it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_search_for_callbacks_in_all_packages() -> Iterator[None]:
    """Each run asks Fabric, which reads the files of all installed packages to see whether one brings
    callbacks for it. In the tests it reads them once.
    """
    fabric = sys.modules.get("lightning_fabric.utilities.registry")
    with pytest.MonkeyPatch.context() as patch:
        if fabric is not None:
            patch.setattr(fabric, "entry_points", functools.cache(metadata.entry_points))
        yield


@pytest.fixture(scope="session")
def tiny() -> str:
    """Path of the file that brings the plugin ``tiny`` and the dataset ``squares``."""
    return TINY


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def shared_data() -> Path:
    """The folder of real photos beside the checkout; the test is skipped where there is none."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data, real photos that are not part of the repository")
    return folder


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections go where their addresses say."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file_server(no_proxy: None) -> Iterator[FileServer]:
    """A web server on this machine."""
    with serving() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How often processes were killed in each of the tests that kill."""
    for report in terminalreporter.stats.get("passed", []):
        kills = dict(report.user_properties).get("kills")
        if kills:
            terminalreporter.write_line(f"{kills:>4} kills in {report.nodeid}")
