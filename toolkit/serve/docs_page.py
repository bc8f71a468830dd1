"""The page of ``/docs``: all addresses, from their OpenAPI description, without files from other sites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from toolkit.serve.schemas import ImageOf, PredictBody, PromptBody

TEMPLATE = Path(__file__).parent / "templates" / "docs.html.jinja"


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The description of an interface, with the bodies that routes read themselves."""
    described = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = described["components"]["schemas"]
    for schema in (ImageOf, PredictBody, PromptBody):
        own = schema.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= own.pop("$defs", {})
        schemas[schema.__name__] = own
    return described


def docs_page(openapi: Mapping[str, Any]) -> str:
    """The page as HTML.

    Args:
        openapi: the description of the interface.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    schemas = openapi.get("components", {}).get("schemas", {})
    operations = [
        {"path": path, "method": method.upper(), **operation}
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    return environment.from_string(TEMPLATE.read_text("utf-8")).render(
        title=openapi["info"]["title"],
        version=openapi["info"]["version"],
        operations=operations,
        schemas={name: schema for name, schema in schemas.items() if "properties" in schema},
        type_of=_type_of,
    )


def _type_of(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type_of(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type_of(schema.get('items', {}))}"
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    return str(schema.get("type", "any"))
