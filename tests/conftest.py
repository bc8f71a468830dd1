"""Fixtures that many tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.file_server import FileServer, serving

from toolkit import registry

torch.set_num_threads(1)  # the suite runs in as many processes as there are cores

ROOT = Path(__file__).resolve().parents[1]
TINY = str(ROOT / "tests" / "support" / "tiny.py")


@pytest.fixture(autouse=True)
def _fresh_registries() -> Iterator[None]:
    """What one test enters into the registries is gone in the next."""
    yield
    registry.clear()


@pytest.fixture(autouse=True)
def _level_of_the_log() -> Iterator[None]:
    """How much one test shows of the log, by itself or by a command, does not decide what the next sees."""
    logger = logging.getLogger("toolkit")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
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
