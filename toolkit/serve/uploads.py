"""The image of a request: one of the folder, by its name, or one that is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from toolkit.config.scale import Scale
from toolkit.serve.errors import RequestError, described
from toolkit.serve.image_folder import uploaded
from toolkit.serve.schemas import Body, ImageOf
from toolkit.serve.services import Services
from toolkit.types import Sample

B = TypeVar("B", bound=Body)

FIELD = "image"
"""The field of a form that has the image."""


def upload_of(schema: type[ImageOf]) -> dict[str, Any]:
    """What OpenAPI says about such a request; for ``schema`` see ``asked``."""
    fields = schema.model_json_schema()["properties"]
    image = {FIELD: {"type": "string", "format": "binary"}}
    form = {**image, **{key: field for key, field in fields.items() if key != "name"}}
    content = {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}},
        "multipart/form-data": {"schema": {"type": "object", "properties": form, "required": [FIELD]}},
    }
    return {"requestBody": {"required": True, "content": content}}


def body_of(schema: type[Body]) -> dict[str, Any]:
    """What OpenAPI says about a body that ``json_of`` reads."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}}
    return {"requestBody": {"required": True, "content": content}}


@dataclass(frozen=True)
class Asked:
    """A request about an image.

    Attributes:
        fields: what was given besides the image.
        data: the bytes of an image that was sent; None for one of the folder.
        name: of the image.
    """

    fields: Mapping[str, Any]
    data: bytes | None
    name: str

    def sample(self, services: Services, scale: Scale | None) -> Sample:
        """The image, by the scale of the model. Called in a thread.

        Raises:
            RequestError: when there is no such image, or it is too large.
            ImageError: when it cannot be read.
        """
        if self.data is None:
            return services.image_folder.sample(self.name, scale)
        return uploaded(self.data, self.name, services.options.limits, scale)


async def asked(request: Request, schema: type[ImageOf]) -> Asked:
    """Read a request: JSON with the name of an image of the folder, or a form with an image.

    Args:
        request: the request.
        schema: of the JSON; a form may have the same fields.

    Raises:
        RequestError: 400, 415 and 422, for what is neither.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _of_form(request, schema)
    if kind != "application/json":
        raise RequestError(
            415,
            f"the body is {kind or 'of no type'}; expected application/json with the name of an image, or"
            f" multipart/form-data with the field {FIELD}. Hint: set the header Content-Type",
        )
    given = await json_of(request, schema)
    return Asked(given.model_dump(), None, given.name)


async def json_of(request: Request, schema: type[B]) -> B:
    """The body of a request as JSON of a schema.

    Raises:
        RequestError: 422, when it is none.
    """
    try:
        return schema.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestError(422, described(error.errors())) from error


async def _of_form(request: Request, schema: type[ImageOf]) -> Asked:
    form = await _form(request)
    try:
        return await _read(form, schema)
    finally:
        await form.close()


async def _read(form: FormData, schema: type[ImageOf]) -> Asked:
    file = form.get(FIELD)
    if not isinstance(file, UploadFile):
        raise RequestError(422, f"the form has no file in the field {FIELD}. Hint: send the image there")
    texts = {key: value for key, value in form.items() if isinstance(value, str)}
    name = file.filename or "the image"
    try:
        # the fields of a form are text
        given = schema.model_validate({**texts, "name": name}, strict=False)
    except ValidationError as error:
        raise RequestError(422, described(error.errors())) from error
    return Asked(given.model_dump(), await file.read(), name)


async def _form(request: Request) -> FormData:
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=16)
    # the guard limits the body, so that nothing has to be written to the disk
    parser.spool_max_size = 1 << 62
    try:
        return await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = getattr(error, "message", "") or str(error)
        raise RequestError(
            400, f"the form cannot be read: {reason}. Hint: send multipart/form-data"
        ) from error
