"""What the routes share, and how they wait for models."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from toolkit.serve.errors import RequestError, busy
from toolkit.serve.explanations import ExplanationFolder
from toolkit.serve.image_folder import ImageFolder
from toolkit.serve.labels import LabelStore
from toolkit.serve.metrics import Metrics
from toolkit.serve.models import Models, ServedModel
from toolkit.serve.options import ServeOptions
from toolkit.serve.sessions import Sessions
from toolkit.serve.thumbnails import Thumbnails
from toolkit.serve.training import Trainer

R = TypeVar("R")
NO_FOLDER = "there is no folder of images. Hint: start the server with --images DIR"
PROMPT_SECONDS = 0.05
"""After this time, it is worth noticing that a client has gone."""


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="serve aside")


@dataclass
class Services:
    """Everything that requests reach.

    Attributes:
        options: what the server was started with.
        metrics, models, sessions: see their modules.
        images, labels: the two folders, or None.
        trainer: starts fine-tuning; None without labels.
        threads: for reading, encoding and writing.
        loader: for loading models, one after the other.
        thumbnails: small pictures of the images, or None.
        painter: for making these, one after the other, while nothing else waits for them.
        explanations: heat maps of the images, or None.
    """

    options: ServeOptions
    metrics: Metrics
    models: Models
    sessions: Sessions
    images: ImageFolder | None
    labels: LabelStore | None
    trainer: Trainer | None
    threads: ThreadPoolExecutor
    explanations: ExplanationFolder | None = None
    loader: ThreadPoolExecutor = field(default_factory=_one_thread)
    thumbnails: Thumbnails | None = None
    painter: ThreadPoolExecutor = field(default_factory=_one_thread)
    pixels: int = 0

    @property
    def image_folder(self) -> ImageFolder:
        """The folder of images.

        Raises:
            RequestError: 404, when there is none.
        """
        if self.images is None:
            raise RequestError(404, NO_FOLDER)
        return self.images

    @property
    def label_store(self) -> LabelStore:
        """The labels; ``image_folder`` describes the error."""
        if self.labels is None:
            raise RequestError(404, "there are no labels. Hint: start the server with --images DIR")
        return self.labels

    @property
    def idle_seconds(self) -> float:
        """After this time without a prompt, a session is closed."""
        return self.options.limits.idle_seconds

    async def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *arguments)

    async def thumbnail(self, name: str) -> bytes:
        """A small picture of an image; ``image_folder`` and ``Thumbnails.get`` describe the errors."""
        if self.thumbnails is None:
            raise RequestError(404, NO_FOLDER)
        return await asyncio.get_running_loop().run_in_executor(
            self.painter, self.thumbnails.get, name, self.models.scale
        )

    @contextlib.asynccontextmanager
    async def using(self, name: str) -> AsyncIterator[ServedModel]:
        """The model of a name, which stays in memory within this context, and is loaded if it is not there.

        Raises:
            RequestError: 404 for an unknown name, 503 when there is no room for it.
            ToolkitError: when it cannot be loaded any more.
        """
        model = self.models.listed(name).loaded
        if model is None:
            model = await asyncio.get_running_loop().run_in_executor(self.loader, self.models.get, name)
        with self.models.using(model):
            yield model

    @contextlib.asynccontextmanager
    async def holding(self, pixels: int) -> AsyncIterator[None]:
        """Account for the pixels of an image that is in memory, within this context.

        Raises:
            RequestError: 503, when too many are.
        """
        if self.pixels and self.pixels + pixels > self.options.limits.pixels_at_once:
            raise busy("the images of other requests take up the memory. Hint: try again later")
        self.pixels += pixels
        try:
            yield
        finally:
            self.pixels -= pixels

    async def wait(self, request: Request, future: Future[R]) -> R:
        """The result of a job, unless the client goes away or it takes too long; then the job is canceled if
        it has not begun.

        Raises:
            RequestError: 503, when it takes too long.
            ClientDisconnect: when the client has gone.
        """
        wrapped = asyncio.wrap_future(future)
        try:
            await asyncio.wait({wrapped}, timeout=PROMPT_SECONDS)
            if not wrapped.done():
                await self._watch(request, wrapped)
            if wrapped.cancelled():
                raise busy("the server is stopping", 10)
            return wrapped.result()
        finally:
            if not wrapped.done():
                wrapped.cancel()
                future.cancel()

    async def _watch(self, request: Request, result: asyncio.Future[Any]) -> None:
        """Return when there is a result; ``wait`` describes the errors."""
        gone = asyncio.ensure_future(_gone(request))
        waited: set[asyncio.Future[Any]] = {result, gone}
        seconds = self.options.limits.request_seconds
        try:
            done, _ = await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if result in done:
            return
        if gone in done:
            raise ClientDisconnect
        raise busy(
            f"no answer within {seconds:g} seconds. Hint: send a smaller image, or try again later", 10
        )


async def _gone(request: Request) -> None:
    """Return when the client has closed the connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


Using = Annotated[Services, Depends(_services)]
"""The services, as an argument of a route."""
