"""Fixtures of the tests of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_cases import add_models, client_of, photos, services_for
from starlette.testclient import TestClient
from support.browser import Browser
from support.page_server import page_server

from toolkit.serve.services import Services


@pytest.fixture
def services(tmp_path: Path) -> Services:
    """The services over a folder of seven images, with three models."""
    photos(tmp_path / "photos")
    return add_models(services_for(tmp_path))


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    """A client of these services."""
    with client_of(services) as client:
        yield client


@pytest.fixture(scope="module")
def module_page() -> Iterator[Browser]:
    """A browser with an empty page, which can import the modules of the real one."""
    with Browser(local=True) as browser, page_server() as address:
        browser.open(f"{address}/empty.html")
        yield browser
        assert browser.complaints == []
