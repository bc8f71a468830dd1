"""How errors become answers."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from toolkit.errors import ConfigError, ImageError, InvalidDataError, OutputError, ToolkitError, TrainingError
from toolkit.serve.errors import add_handlers, answer, busy, described


def raising(error: Exception) -> Callable[[], None]:
    def route() -> None:
        raise error

    return route


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ImageError("a. Hint: b"), 422),
        (InvalidDataError("a. Hint: b"), 422),
        (ConfigError("a. Hint: b"), 422),
        (OutputError("a. Hint: b"), 507),
        (TrainingError("a. Hint: b"), 500),
        (ToolkitError("a. Hint: b"), 500),
        (busy("a. Hint: b", 7), 503),
        (ZeroDivisionError("secret"), 500),
    ],
)
def test_every_error_is_a_status_and_a_sentence(error: Exception, status: int) -> None:
    app = FastAPI()
    add_handlers(app)
    app.add_api_route("/", raising(error))
    with TestClient(app, raise_server_exceptions=False) as client:
        found = client.get("/")
    assert found.status_code == status
    text = found.json()["detail"]
    assert "Hint: " in text
    assert "secret" not in text, "what an unexpected error says may be anything"
    assert found.headers.get("Retry-After") == ("7" if status == 503 else None)


def test_names_that_are_not_utf8_can_be_shown() -> None:
    assert json.loads(answer(404, "no \udcff.png").body) == {"detail": "no \\udcff.png"}


def test_faults_of_values_are_listed_up_to_a_few() -> None:
    faults = [{"loc": ("body", "points", 0, i), "msg": "should be finite"} for i in range(9)]
    text = described(faults)
    assert text.startswith("points.0.0: should be finite; points.0.1")
    assert text.count("finite") == 5
    assert described([{"loc": ("body",), "msg": "is missing"}]).startswith("the body: is missing")
