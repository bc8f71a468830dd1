"""Tasks on a server: signing in, what is passed on, and what errors say."""

from __future__ import annotations

import json
from typing import Any

import pytest
import urllib3
from cvat_sdk import auto_annotation
from cvat_sdk.auto_annotation import BadFunctionError
from cvat_sdk.exceptions import ApiException
from support.annotated import predictor

from toolkit.annotate.cvat import CvatDetector
from toolkit.annotate.cvat_tasks import annotate_task, credentials, instructions, labels_for_cvat
from toolkit.errors import DataError, DownloadError, ToolkitError, UsageError

SERVER = "https://cvat.example.org"
ACCESS = {"CVAT_ACCESS_TOKEN": "secret"}


class Client:
    """Stands for the client of CVAT's SDK."""

    organization_slug = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.is_closed = True


def test_what_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    client = Client()

    def connect(server: str, **access: Any) -> Client:
        calls.append((server, access))
        return client

    monkeypatch.setattr(
        auto_annotation, "annotate_task", lambda *args, **options: calls.append((args, options))
    )
    annotate_task(
        predictor("masks"),
        SERVER,
        7,
        above=0.25,
        polygons=True,
        replace=True,
        organization="lab",
        environment=ACCESS,
        connect=connect,
    )
    (server, access), (args, options) = calls
    assert (server, access) == (SERVER, {"access_token": "secret"})
    assert args[:2] == (client, 7)
    assert isinstance(args[2], CvatDetector)
    assert options == {
        "clear_existing": True,
        "allow_unmatched_labels": False,
        "conf_threshold": 0.25,
        "conv_mask_to_poly": True,
    }
    assert client.organization_slug == "lab"
    assert client.is_closed


def test_signing_in() -> None:
    assert credentials(ACCESS | {"CVAT_USERNAME": "a"}) == {"access_token": "secret"}
    found = credentials({"CVAT_USERNAME": "a", "CVAT_PASSWORD": "b"})
    assert found == {"credentials": ("a", "b")}
    for environment in ({}, {"CVAT_ACCESS_TOKEN": ""}, {"CVAT_USERNAME": "a"}):
        with pytest.raises(UsageError, match="CVAT_ACCESS_TOKEN.*CVAT_USERNAME"):
            credentials(environment)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            BadFunctionError("label 'cat' is not in dataset"),
            DataError,
            "label 'cat' is not in dataset.*prints the labels",
        ),
        (ApiException(status=401, reason="Unauthorized"), DownloadError, "token or password is wrong"),
        (ApiException(status=404, reason="Not Found"), DownloadError, "there is no task 7"),
        (ApiException(status=500, reason="Oops"), DownloadError, "answered 500 Oops"),
        (urllib3.exceptions.MaxRetryError(None, "/", None), DownloadError, "does not answer"),  # type: ignore[arg-type]
        (ConnectionResetError("reset"), DownloadError, "does not answer: reset"),
    ],
)
def test_errors_of_the_server(error: Exception, kind: type[ToolkitError], message: str) -> None:
    def connect(*_: Any, **__: Any) -> Any:
        raise error

    with pytest.raises(kind, match=message) as caught:
        annotate_task(predictor("masks"), SERVER, 7, environment=ACCESS, connect=connect)
    assert SERVER in str(caught.value)
    assert "Hint" in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(DownloadError, match="does not answer"):
        annotate_task(
            predictor("masks"),
            "http://127.0.0.1:9",
            7,
            environment={"CVAT_USERNAME": "a", "CVAT_PASSWORD": "b"},
        )


def test_labels_and_instructions() -> None:
    labels = labels_for_cvat(predictor("semantic"))
    assert labels == [{"name": name, "type": "any", "attributes": []} for name in ("cat", "dog")]
    assert {each["type"] for each in labels_for_cvat(predictor("classes"))} == {"tag"}
    lines = instructions(predictor("masks"), "my runs/net")
    assert json.loads(lines[1]) == labels_for_cvat(predictor("masks"))
    assert any("toolkit annotate cvat 'my runs/net' --server" in line for line in lines)
    assert any("--function-module toolkit.annotate.cvat -p 'run=str:my runs/net'" in line for line in lines)
    assert not any("interaction" in line for line in lines)
    assert sum("kind=str:interaction" in line for line in instructions(predictor("prompts"), "sam")) == 2
