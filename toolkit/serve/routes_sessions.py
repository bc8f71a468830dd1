"""``/api/sessions``: prompts on an image that was encoded once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from toolkit.inference.prompted_image import PromptedObject
from toolkit.serve.errors import RequestError
from toolkit.serve.schemas import ImageOf, PromptBody
from toolkit.serve.services import Services, Using
from toolkit.serve.sessions import Clicks, Session, encode, mask_of
from toolkit.serve.uploads import asked, body_of, json_of, upload_of

router = APIRouter(prefix="/api/sessions", tags=["prompts"])


@router.post("", openapi_extra=upload_of(ImageOf))
async def start(request: Request, services: Using) -> dict[str, Any]:
    """Encode an image of the folder (JSON with `model` and `name`), or one that is sent as the field `image`
    of a form. The number of sessions is limited; those that were not used for long are closed.
    """
    given = await asked(request, ImageOf)
    listed = services.models.listed(given.fields["model"])
    if not listed.is_promptable:
        raise RequestError(
            422, f"{listed.name} takes no prompts. Hint: choose a model with promptable in /api/models"
        )
    async with services.using(listed.name) as model:
        services.sessions.reserve()
        try:
            sample = await services.run(given.sample, services, model.predictor.scale)
            async with services.holding(sample.size[0] * sample.size[1]):
                image = await services.wait(request, model.worker.call(lambda: encode(model, sample)))
        except BaseException:
            services.sessions.release()
            raise
        session = services.sessions.add(model, image)
    height, width = image.size
    return {"session": session.id, "width": width, "height": height, "idle_seconds": services.idle_seconds}


@router.post("/{session}/prompt", openapi_extra=body_of(PromptBody))
async def prompt(request: Request, session: str) -> Response:
    """The object that all clicks given describe: its mask, and the score that the model gives it. The same
    clicks always have the same answer, so undo is to send fewer.
    """
    # Read without the help of the framework, which takes as long as a small decoder.
    services: Services = request.app.state.services
    body = await json_of(request, PromptBody)
    found = services.sessions.get(session)
    clicks = Clicks(
        tuple((x, y) for x, y in body.points),
        tuple(body.labels),
        None if body.box is None else tuple(body.box),  # type: ignore[arg-type]
        None if body.mask is None else mask_of(body.mask.model_dump(), found.image.size),
        body.after,
    )
    with services.models.using(found.model):
        return await services.wait(request, found.model.worker.call(lambda: _answered(found, clicks)))


def _answered(session: Session, clicks: Clicks) -> JSONResponse:
    found: PromptedObject = session.answer(clicks)
    assert found.answer is not None  # it was just answered
    assert found.answer.masks is not None  # or that would have been an error
    (code,) = found.answer.masks.to_coco()
    scores = found.answer.scores
    return JSONResponse(
        {
            "rle": {"size": code["size"], "counts": code["counts"].decode()},
            "score": None if scores is None else float(scores[0]),
        }
    )


@router.delete("/{session}", status_code=204)
async def close(services: Using, session: str) -> Response:
    """Close a session."""
    if not services.sessions.close(session):
        raise RequestError(404, "there is no such session. Hint: it may have been closed before")
    return Response(status_code=204)


@router.post("/{session}/close", status_code=204)
async def leave(services: Using, session: str) -> Response:
    """Close a session, if there is one; for `navigator.sendBeacon`."""
    services.sessions.close(session)
    return Response(status_code=204)
