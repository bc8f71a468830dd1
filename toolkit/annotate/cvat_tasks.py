"""Annotates a task on a CVAT server, and tells how CVAT's own command line does."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from toolkit.annotate.cvat import CvatDetector
from toolkit.annotate.cvat_values import PURPOSE
from toolkit.annotate.shapes import Kind, kind_of, names_of_objects
from toolkit.errors import DataError, DownloadError, UsageError
from toolkit.inference.predictor import Predictor
from toolkit.models.capabilities import Promptable
from toolkit.runtime.extras import import_cvat_sdk

TOKEN, USER, PASSWORD = "CVAT_ACCESS_TOKEN", "CVAT_USERNAME", "CVAT_PASSWORD"
"""Environment variables, so that no secret is on a command line, where other users see it."""


def annotate_task(
    predictor: Predictor,
    server: str,
    task: int,
    *,
    above: float | None = None,
    polygons: bool = False,
    replace: bool = False,
    unmatched: bool = False,
    organization: str | None = None,
    environment: Mapping[str, str] = os.environ,
    connect: Callable[..., Any] | None = None,
) -> None:
    """Annotate all images of a task with a model, on this machine.

    Args:
        predictor: the model.
        server: address of the server.
        task: number of the task.
        above: the minimum score; the model's own when None.
        polygons: write masks as simplified polygons.
        replace: remove all annotations that the task has; otherwise they are kept.
        unmatched: leave out objects whose class is no label of the task; otherwise they are an error.
        organization: short name of the organization that the task belongs to.
        environment: has the token, or the name and password.
        connect: ``cvat_sdk.make_client``, or a replacement for it.

    Raises:
        UnavailableError: when CVAT's SDK is not installed.
        UsageError: when there is no token or password, or it is wrong.
        DataError: when the labels of the task do not fit.
        DownloadError: when the server does not answer, or refuses.
    """
    sdk = import_cvat_sdk(PURPOSE)
    access = credentials(environment)
    with _explained(server, task):
        client = (connect or _make_client())(server, **access)
        with client:
            client.organization_slug = organization
            sdk.annotate_task(
                client,
                task,
                CvatDetector(predictor, above),
                clear_existing=replace,
                allow_unmatched_labels=unmatched,
                conf_threshold=above,
                conv_mask_to_poly=polygons,
            )


def _make_client() -> Callable[..., Any]:
    from cvat_sdk import make_client

    made: Callable[..., Any] = make_client
    return made


def credentials(environment: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of ``cvat_sdk.make_client`` that sign in.

    Raises:
        UsageError: when the environment has neither a token nor a name with a password.
    """
    if token := environment.get(TOKEN):
        return {"access_token": token}
    if environment.get(USER) and environment.get(PASSWORD):
        return {"credentials": (environment[USER], environment[PASSWORD])}
    raise UsageError(
        f"there is no way to sign in to CVAT. Hint: put a personal access token (in CVAT: Profile, Security)"
        f" into the environment variable {TOKEN}, or set {USER} and {PASSWORD}"
    )


@contextmanager
def _explained(server: str, task: int) -> Iterator[None]:
    """Errors of CVAT's SDK as those of the toolkit."""
    import urllib3
    from cvat_sdk.auto_annotation import BadFunctionError
    from cvat_sdk.core.exceptions import CvatSdkException
    from cvat_sdk.datasets.common import UnsupportedDatasetError
    from cvat_sdk.exceptions import ApiException

    try:
        yield
    except BadFunctionError as error:
        raise DataError(
            f"task {task} of {server} does not fit the model: {error}. Hint: toolkit annotate cvat RUN,"
            " without --task, prints the labels to create the task with; --unmatched leaves out what has no"
            " label"
        ) from error
    except UnsupportedDatasetError as error:
        raise DataError(
            f"task {task} of {server} cannot be annotated: {error}. Hint: add images to it"
        ) from error
    except ApiException as error:
        reason = {
            401: "the token or password is wrong",
            403: "access is denied",
            404: f"there is no task {task}",
        }
        why = reason.get(error.status or 0, f"the server answered {error.status} {error.reason}")
        raise DownloadError(f"{server}: {why}. Hint: check the address, the task and {TOKEN}") from error
    except (CvatSdkException, urllib3.exceptions.HTTPError, OSError) as error:
        raise DownloadError(
            f"{server} does not answer: {error}. Hint: check the address and the network"
        ) from error


def labels_for_cvat(predictor: Predictor) -> list[dict[str, Any]]:
    """The labels of a task that fits a model, for CVAT's constructor of labels (``Raw``)."""
    kind: Kind = kind_of(predictor)
    # any: so that masks, polygons and boxes can be drawn, too
    kinds = {"mask": "any", "rectangle": "any", "tag": "tag"}
    return [{"name": name, "type": kinds[kind], "attributes": []} for name in names_of_objects(predictor)]


def instructions(predictor: Predictor, run: str) -> list[str]:
    """How to annotate tasks with a run: lines of text and commands."""
    module = ["--function-module", "toolkit.annotate.cvat", "-p", f"run=str:{run}"]
    server = ["cvat-cli", "--server-host", "https://app.cvat.ai"]
    lines = [
        "Labels of a task for this model (in CVAT: create a task, Constructor, Raw):",
        f"  {json.dumps(labels_for_cvat(predictor), ensure_ascii=False)}",
        "Annotate task 7 on this machine:",
        f"  {shlex.join(['toolkit', 'annotate', 'cvat', run, '--server', server[2], '--task', '7'])}",
        "The same with CVAT's own command (pip install cvat-cli):",
        f"  {shlex.join([*server, 'task', 'auto-annotate', '7', *module])}",
        "As an agent, which annotates whenever somebody asks for it in CVAT (CVAT Online, or Enterprise):",
        f"  {shlex.join([*server, 'function', 'create-native', 'toolkit', *module])}",
        f"  {shlex.join([*server, 'function', 'run-agent', 'NUMBER', *module])}",
    ]
    if predictor.model.capability(Promptable) is not None:
        interaction = [*module, "-p", "kind=str:interaction"]
        lines += [
            "As an agent that answers points and boxes:",
            f"  {shlex.join([*server, 'function', 'create-native', 'toolkit', *interaction])}",
            f"  {shlex.join([*server, 'function', 'run-agent', 'NUMBER', *interaction])}",
        ]
    return lines
