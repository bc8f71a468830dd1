"""``/api/images``, ``/api/labels`` and ``/api/categories``: the two folders."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from toolkit.serve.schemas import Categories, Labels
from toolkit.serve.services import Services, Using

router = APIRouter(prefix="/api", tags=["images and labels"])

Name = Annotated[str, Query(description="Of the image, as in /api/images", max_length=4096)]
IfMatch = Annotated[
    str | None, Header(description="The revision that this replaces; without it, whatever there is")
]


@router.get("/images")
async def images(
    services: Using,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 500,
) -> dict[str, Any]:
    """The images of the folder, in the order of their names."""
    if services.images is None or services.labels is None:
        return {"total": 0, "labeled": 0, "folder": "", "images": []}
    names = await services.run(services.images.names)
    labeled = await services.run(_labeled, services)
    shown = names[offset : offset + limit]
    return {
        "total": len(names),
        "labeled": len(labeled.intersection(names)),
        # the page keeps unsaved work by this: one address may serve different folders at different times
        "folder": hashlib.sha256(str(services.labels.folder).encode()).hexdigest()[:12],
        "explanations": services.explanations is not None,
        "images": [{"name": name, "labeled": name in labeled} for name in shown],
    }


def _labeled(services: Services) -> frozenset[str]:
    return services.labels.labeled() if services.labels is not None else frozenset()


@router.get("/image", response_class=Response)
async def image(services: Using, name: Name) -> Response:
    """An image as browsers can show it, turned as models see it; deep ones by the scale of the first model
    that has one.
    """
    shown = await services.run(services.image_folder.displayed, name, services.models.scale)
    return Response(shown.data, media_type=shown.media_type, headers={"Cache-Control": "private, no-cache"})


@router.get("/image/thumbnail", response_class=Response)
async def thumbnail(services: Using, name: Name) -> Response:
    """A small JPEG of an image, turned as models see it."""
    return Response(
        await services.thumbnail(name),
        media_type="image/jpeg",
        headers={"Cache-Control": "private, no-cache"},
    )


@router.get("/image/size")
async def size(services: Using, name: Name) -> dict[str, int]:
    """Width and height of an image, in pixels."""
    height, width = await services.run(services.image_folder.size, name)
    return {"width": width, "height": height}


@router.get("/labels")
async def labels(services: Using, name: Name) -> Response:
    """The objects of an image, and their revision."""
    return _revised(await services.run(services.label_store.get, name))


@router.put("/labels")
async def put_labels(services: Using, name: Name, body: Labels, if_match: IfMatch = None) -> Response:
    """Replace the objects of an image, and save them: COCO's format, holes and parts intact. 409 if they have
    changed since the revision in `If-Match`. An image without objects counts as labeled, too.
    """
    objects = [each.model_dump() for each in body.objects]
    return _revised(await services.run(services.label_store.put, name, objects, _unquoted(if_match)))


@router.delete("/labels", status_code=204)
async def delete_labels(services: Using, name: Name, if_match: IfMatch = None) -> Response:
    """Forget the labels of an image; it then counts as not labeled."""
    await services.run(services.label_store.delete, name, _unquoted(if_match))
    return Response(status_code=204)


@router.get("/categories")
async def categories(services: Using) -> Response:
    """The categories of the labels, with the number of their objects."""
    return _revised(await services.run(services.label_store.categories))


@router.put("/categories")
async def put_categories(services: Using, body: Categories, if_match: IfMatch = None) -> Response:
    """Add, rename and remove categories: those with a known `id` are renamed, others added, and those that
    are left out removed, if they have no objects.
    """
    given = [each.model_dump() for each in body.categories]
    return _revised(await services.run(services.label_store.put_categories, given, _unquoted(if_match)))


def _revised(found: dict[str, Any]) -> Response:
    return JSONResponse(found, headers={"ETag": f'"{found["revision"]}"'})


def _unquoted(revision: str | None) -> str | None:
    """A revision as it was given; ``*`` is any."""
    plain = revision.strip().removeprefix("W/").strip('"') if revision is not None else "*"
    return None if plain == "*" else plain
