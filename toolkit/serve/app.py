"""The application: all routes, behind the guard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

import toolkit
from toolkit.errors import UsageError
from toolkit.serve import routes_explanations, routes_folder, routes_predict, routes_sessions, routes_training
from toolkit.serve.docs_page import docs_page, openapi_of
from toolkit.serve.errors import add_handlers
from toolkit.serve.explanations import ExplanationFolder
from toolkit.serve.guard import Guard
from toolkit.serve.image_folder import ImageFolder
from toolkit.serve.labels import LabelStore
from toolkit.serve.metrics import Metrics
from toolkit.serve.models import Models
from toolkit.serve.options import ServeOptions, default_labels
from toolkit.serve.services import Services, Using
from toolkit.serve.sessions import Sessions
from toolkit.serve.taking_over import take_over
from toolkit.serve.thumbnails import Thumbnails
from toolkit.serve.training import Trainer

logger = logging.getLogger("toolkit")

PAGE = Path(__file__).parent / "page"
SWEEP_SECONDS = 10.0
"""How often idle sessions are closed."""


def build_services(options: ServeOptions) -> Services:
    """Load the models, and open the folders.

    Raises:
        ToolkitError: when one cannot be used.
    """
    metrics = Metrics()
    images = None if options.images is None else ImageFolder(options.images, options.limits)
    explanations = None if options.explanations is None else ExplanationFolder(options.explanations)
    labels = trainer = None
    sessions = Sessions(options.limits, metrics)
    models = Models(options.limits, metrics, options.predictor, on_drop=sessions.close_of)
    if images is not None and options.images is not None:
        labels = LabelStore(options.labels or default_labels(options.images), images)
        if options.take_over is not None:
            logger.info("%s: %s", options.take_over[1], take_over(labels, *options.take_over))
        trainer = Trainer(
            labels,
            options.new_runs,
            lambda run: models.load(run).name,
            plugins=options.plugins,
            device=str(options.predictor.get("device", "auto")),
        )
    elif options.take_over is not None:
        raise UsageError("--import needs the images. Hint: give their folder as --images")
    for run in options.runs:
        models.load(run)
    threads = ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2), thread_name_prefix="serve")
    return Services(
        options,
        metrics,
        models,
        sessions,
        images,
        labels,
        trainer,
        threads,
        explanations,
        thumbnails=None if images is None else Thumbnails(images),
    )


def create_app(services: Services) -> ASGIApp:
    """The application around the services."""
    app = FastAPI(
        title="toolkit serve",
        version=toolkit.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan,
    )
    app.state.services = services
    add_handlers(app)
    # they are tried in this order, and clicks are in a hurry
    for routes in (routes_sessions, routes_predict, routes_folder, routes_explanations, routes_training):
        app.include_router(routes.router)
    _add_own_routes(app)
    if (PAGE / "index.html").is_file():
        app.mount("/", StaticFiles(directory=PAGE, html=True))
    else:
        app.add_api_route("/", _to_docs, include_in_schema=False)
    return Guard(app, services.options, services.metrics)


def _add_own_routes(app: FastAPI) -> None:
    @app.get("/health", tags=["server"])
    async def health() -> dict[str, str]:
        """Whether the server is there."""
        return {"status": "ok"}

    @app.get("/metrics", tags=["server"], response_class=Response)
    async def metrics(services: Using) -> Response:
        """Numbers for Prometheus."""
        return Response(services.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(openapi_of(app))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(openapi_of(app)))


async def _to_docs() -> RedirectResponse:
    return RedirectResponse("/docs")


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    sweeper = asyncio.create_task(_sweep(services.sessions))
    try:
        yield
    finally:
        sweeper.cancel()
        services.models.stop()
        if services.trainer is not None:
            services.trainer.close()
        for threads in (services.threads, services.loader, services.painter):
            threads.shutdown(wait=False, cancel_futures=True)


async def _sweep(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        sessions.close_idle()
