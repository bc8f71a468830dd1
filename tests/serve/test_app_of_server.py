"""The application as a whole: its page, and its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from serve_cases import add_models, client_of, photos, services_for

from toolkit.serve import app
from toolkit.serve.errors import RequestError


def test_the_page_is_sent_from_its_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html><title>page</title>")
    (page / "page.js").write_text("export {};")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(app, "PAGE", page)
    with client_of(services_for()) as client:
        assert client.get("/").text.startswith("<!doctype html>")
        assert "javascript" in client.get("/page.js").headers["content-type"]
        assert client.get("/api/models").json() == []
        for path in (
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%5csecret.txt",
            "//etc/hostname",
            "/none.js",
        ):
            assert client.get(path).status_code == 404


def test_without_a_page_there_are_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "PAGE", tmp_path)
    with client_of(services_for()) as client:
        assert client.get("/", follow_redirects=False).headers["location"] == "/docs"


def test_labels_go_next_to_the_images_unless_told_otherwise(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    for options, folder in (({}, "photos-labels"), ({"labels": tmp_path / "mine"}, "mine")):
        labels = services_for(tmp_path, **options).labels
        assert labels is not None
        assert labels.folder == tmp_path / folder
        assert not labels.folder.exists(), "not before anything is saved"


def test_models_stop_with_the_server(tmp_path: Path) -> None:
    services = add_models(services_for())
    with client_of(services) as client:
        assert client.get("/health").status_code == 200
    with pytest.raises(RequestError, match="stopping"):
        services.models.get("bright").worker.call(lambda: None)  # type: ignore[arg-type, return-value]
