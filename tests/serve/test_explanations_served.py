"""Heat maps are found by the names of images, and never outside of their folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from serve_cases import add_models, client_of, photos, services_for

from toolkit.errors import DataError
from toolkit.serve.explanations import ExplanationFolder
from toolkit.serve.options import ServeOptions


def write(folder: Path, *images: dict[str, Any]) -> Path:
    """A folder of explanations as ``toolkit explain`` writes it."""
    (folder / "maps").mkdir(parents=True)
    (folder / "maps" / "a.png").write_bytes(b"a map")
    (folder / "explanations.json").write_text(json.dumps({"finished": True, "images": list(images)}))
    return folder


def entry(name: str, path: str = "maps/a.png", **more: Any) -> dict[str, Any]:
    found = {
        "image": name,
        "status": "ok",
        "method": "layercam",
        "target": {"kind": "region", "class": "cat"},
    }
    return found | {"range": [-0.5, 2.0], "outputs": {"map": path, "overlay": "overlays/a.jpg"}} | more


def test_maps_are_listed_and_read(tmp_path: Path) -> None:
    failed = {"image": "b.png", "status": "failed", "error": "not an image"}
    found = ExplanationFolder(
        write(tmp_path, entry("a.png"), failed, entry("c.png", target={"kind": "prompt"}))
    )
    assert found.maps("a.png") == [{"name": "layercam: cat", "range": [-0.5, 2.0]}]
    assert found.maps("c.png")[0]["name"] == "layercam: prompt"
    assert found.maps("b.png") == found.maps("none.png") == []
    assert found.picture("a.png", 0) == b"a map"


@pytest.mark.parametrize(
    "path", ["../secret.png", "/etc/passwd", "maps/link/secret.png", "maps/none.png", ""]
)
def test_nothing_outside_of_the_folder_is_read(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    folder = write(tmp_path / "maps of a run", entry("a.png", path))
    (folder / "maps" / "link").symlink_to(tmp_path)
    with pytest.raises(DataError):
        ExplanationFolder(folder).picture("a.png", 0)


def test_a_folder_without_explanations_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="toolkit explain"):
        ExplanationFolder(tmp_path)
    (tmp_path / "explanations.json").write_text('{"images": [{"image": 3}]}')
    with pytest.raises(DataError, match="image"):
        ExplanationFolder(tmp_path)


def test_options_name_the_folder(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    folder = write(tmp_path / "maps", entry("00.png"))
    assert ServeOptions((), explanations=folder).explanations == folder
    services = services_for(tmp_path, explanations=folder)
    assert services.explanations is not None
    with client_of(add_models(services)) as client:
        assert client.get("/api/images").json()["explanations"]
