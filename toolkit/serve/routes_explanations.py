"""``/api/explanations``: heat maps of images."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from toolkit.serve.errors import RequestError
from toolkit.serve.explanations import ExplanationFolder
from toolkit.serve.routes_folder import Name
from toolkit.serve.services import Services, Using

router = APIRouter(prefix="/api/explanations", tags=["explanations"])


@router.get("")
async def maps(services: Using, name: Name) -> dict[str, Any]:
    """The heat maps of an image: the method and what it explains, and the range of the values."""
    return {"maps": [] if services.explanations is None else services.explanations.maps(name)}


@router.get("/map", response_class=Response)
async def picture(services: Using, name: Name, number: Annotated[int, Query(ge=0)] = 0) -> Response:
    """One of these maps: a gray PNG of 16 bits, from the smallest to the largest value."""
    data = await services.run(_folder(services).picture, name, number)
    return Response(data, media_type="image/png")


def _folder(services: Services) -> ExplanationFolder:
    if services.explanations is None:
        raise RequestError(404, "there are no explanations. Hint: start the server with --explanations DIR")
    return services.explanations
