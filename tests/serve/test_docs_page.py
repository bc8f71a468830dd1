"""``/docs``: every address, without files from other sites."""

from __future__ import annotations

import re

from starlette.testclient import TestClient


def test_it_lists_all_addresses_and_bodies(client: TestClient) -> None:
    page = client.get("/docs").text
    described = client.get("/openapi.json").json()
    assert len(described["paths"]) > 12
    for path, methods in described["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page
    for name in ("PromptBody", "Labels", "Categories", "TrainingBody"):
        assert f'id="schema-{name}"' in page
    assert "score_threshold" in page
    assert "If-Match" in page or "if-match" in page


def test_its_links_lead_to_itself(client: TestClient) -> None:
    page = client.get("/docs").text
    links = re.findall(r'href="([^"]*)"', page)
    assert len(links) > 12
    anchors = set(re.findall(r'id="([^"]*)"', page))
    for link in links:
        assert link == "/openapi.json" or link.removeprefix("#") in anchors, link
    assert "<script" not in page
    assert "style=" not in page, "the policy forbids it"


def test_every_route_says_what_it_does(client: TestClient) -> None:
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path}"
