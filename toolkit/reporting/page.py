"""The report as one HTML file that needs no network.

Whatever the document holds is shown as text: Jinja escapes it, and a Content-Security-Policy forbids every
request and every script but the one of the page, which it names by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from toolkit.reporting.sections import SECTIONS
from toolkit.runtime.text import printable
from toolkit.wording import counted

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{script}';"
    " base-uri 'none'; form-action 'none'"
)


def render(document: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The page.

    Args:
        document: of ``toolkit.reporting.document.build_document``.
        pictures: URIs by key, as the document names them.
    """
    environment = Environment(
        loader=PackageLoader("toolkit.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = printable
    css, js = (_source(environment, name) for name in ("report.css", "report.js"))
    sections = [section for build in SECTIONS if (section := build(document, pictures)) is not None]
    data = document["data"]
    return environment.get_template("report.html").render(
        title=f"{document['name']} on {data['name']}",
        subtitle=f"Split {data['split']}, {counted(data['images'], 'image')}. Written by toolkit"
        f" {document['versions']['toolkit']}.",
        policy=POLICY.format(script=_hash(js)),
        css=css,
        js=js,
        sections=sections,
    )


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
