"""What ``toolkit data get`` promises: what it asks first, what it says, and that what comes next works."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.file_server import FileServer

from toolkit import registry
from toolkit.cli import main
from toolkit.runtime import downloads

DATASET_FILE = """
from toolkit.registry.manifests import DatasetManifest, Download
DATASET = DatasetManifest(
    name="fetched", summary="a set that can be downloaded", build="toolkit.datasets.masks.reader:build",
    settings="toolkit.datasets.masks.reader:MasksSettings", tasks=("semantic",), license="CC0",
    size="2 photos", origin_url="https://example.org/set", terms="{terms}",
    downloads=(Download("{url}", {published}),),
)
"""
TERMS = "For research only."


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: None) -> None:
    """Work in an empty folder: the default data folder is relative."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def archive() -> bytes:
    """A small dataset as a zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bundle:
        for name in ("a", "b"):
            image = cv2.imencode(".png", np.zeros((4, 5, 3), np.uint8))[1].tobytes()
            bundle.writestr(f"images/{name}.png", image)
            label_map = cv2.imencode(".png", np.ones((4, 5), np.uint8))[1].tobytes()
            bundle.writestr(f"labels/{name}.png", label_map)
        bundle.writestr("train.txt", "a\n")
        bundle.writestr("val.txt", "b\n")
    return content.getvalue()


def described(tmp_path: Path, server: FileServer, published: str = "", terms: str = "") -> str:
    """The path of a file that describes the dataset which the server has."""
    server.behavior.files["/set.zip"] = archive()
    path = tmp_path / "fetched.py"
    path.write_text(DATASET_FILE.format(url=f"{server.root}/set.zip", published=published, terms=terms))
    return str(path)


def test_sets_that_cannot_be_fetched_say_where_to_go(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", "brain-mri", "--data-dir", "here"]) == 1
    message = capsys.readouterr().err
    for part in (
        "brain-mri cannot be downloaded by this command",
        "https://www.kaggle.com",
        "License: ",
        "Hint: put the files into here",
        "kaggle_3m/",
        "toolkit data check brain-mri --data-dir here",
        "toolkit data sample brain-mri",
    ):
        assert part in message


@pytest.mark.parametrize("name", ["masks", "yolo", "labelme", "image-folder"])
def test_sets_that_users_bring_have_nothing_to_fetch(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", name]) == 1
    message = capsys.readouterr().err
    assert f"There is nothing to download for {name}: it reads your own files." in message
    assert f"Hint: put the files into data/{name}, so that it contains: " in message


def test_generated_sets_have_nothing_to_fetch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", "shapes"]) == 0
    assert "nothing to download" in capsys.readouterr().out


def test_a_set_arrives_where_the_others_look(
    tmp_path: Path, file_server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    set_file = described(tmp_path, file_server)
    assert main(["data", "check", set_file]) == 1
    assert f"Hint: toolkit data get {set_file}, or" in capsys.readouterr().out
    assert main(["data", "get", set_file]) == 0
    said = capsys.readouterr()
    folder = Path("data/fetched")
    assert said.out.splitlines() == [
        "fetched: 2 photos",
        "License: CC0",
        f"downloaded {folder / 'set.zip'}, unpacking it",
        f"unpacked into {folder}; set.zip is no longer needed",
        f"fetched is in {folder}: samples by split: train 1, val 1",
        f"Next: toolkit data check {set_file}",
    ]
    assert (folder / "images" / "a.png").is_file()
    served = file_server.behavior.files["/set.zip"]
    assert hashlib.sha256(served).hexdigest() in (folder / "set.zip.sha256").read_text()
    assert main(["data", "info", set_file]) == 0
    assert "set.zip (no published checksum)" in capsys.readouterr().out
    assert main(["data", "check", set_file]) == 0
    out = capsys.readouterr().out
    assert "train: 1 sample" in out
    assert "test: not in this folder" in out
    assert main(["data", "check", set_file, "--split", "test"]) == 1, "a split that was asked for"


def test_another_folder(tmp_path: Path, file_server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    set_file = described(tmp_path, file_server)
    command = ["data", "check", set_file, "--data-dir", "my photos"]
    assert main(command) == 1
    assert f"Hint: toolkit data get {set_file} --data-dir 'my photos', or" in capsys.readouterr().out
    assert main(["data", "get", set_file, "--data-dir", "my photos"]) == 0
    assert f"Next: toolkit data check {set_file} --data-dir 'my photos'" in capsys.readouterr().out
    assert main(command) == 0


def test_a_changed_archive_is_refused(
    tmp_path: Path, file_server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    set_file = described(tmp_path, file_server)
    assert main(["data", "get", set_file]) == 0
    (tmp_path / "work" / "data" / "fetched" / "set.zip").write_bytes(b"changed")
    assert main(["data", "get", set_file]) == 1
    assert "has changed since it was downloaded" in capsys.readouterr().err


def test_what_has_other_contents_than_the_reader_wants(
    tmp_path: Path, file_server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    set_file = described(tmp_path, file_server)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bundle:
        bundle.writestr("README", "moved elsewhere")
    file_server.behavior.files["/set.zip"] = content.getvalue()
    assert main(["data", "get", set_file]) == 1
    message = capsys.readouterr().err
    assert "what was downloaded for fetched" in message
    assert "Hint: " in message


def test_terms_are_shown_and_must_be_accepted(
    tmp_path: Path,
    file_server: FileServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_file = described(tmp_path, file_server, terms=TERMS)
    assert main(["data", "info", set_file]) == 0
    assert TERMS in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(["data", "get", set_file]) == 2, "no terminal, so nobody has read them"
    said = capsys.readouterr()
    for part in ("License: CC0", TERMS, "https://example.org/set"):
        assert part in said.out
    assert "Hint: read them, and add --yes" in said.err
    assert file_server.behavior.requests == [], "nothing is fetched before"
    assert not Path("data").exists()
    assert main(["data", "get", set_file, "--yes"]) == 0
    assert TERMS in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 2), ("\n", 2), ("", 2), ("yesterday\n", 2)]
)
def test_terms_are_asked_for_on_a_terminal(
    tmp_path: Path,
    file_server: FileServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    set_file = described(tmp_path, file_server, terms=TERMS)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["data", "get", set_file]) == code
    said = capsys.readouterr()
    assert "Do you accept them?" in said.out
    assert ("nothing was downloaded" in said.err) == (code != 0)
    assert bool(file_server.behavior.requests) == (code == 0)


def test_offline_it_says_what_to_put_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    digest = "ab" * 32
    (tmp_path / "far.py").write_text(
        DATASET_FILE.format(url="http://127.0.0.1:9/set.zip", published=f"'{digest}', 5", terms="")
    )
    assert main(["data", "get", str(tmp_path / "far.py"), "--data-dir", "d"]) == 1
    message = capsys.readouterr().err
    assert "http://127.0.0.1:9/set.zip could not be downloaded: no connection" in message
    assert f"put it at {Path('d/set.zip').resolve()}" in message
    assert digest in message


def test_training_without_the_data_names_the_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--plugin", "maskrcnn", "--data", "balloon"]) == 1
    assert "Hint: toolkit data get balloon, or" in capsys.readouterr().err
    assert registry.datasets().get("balloon").downloads
