"""A folder of results as a place: whom it admits, and what of it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import OutputError, UsageError
from toolkit.inference.result_places import TOKEN, ResultPlace


def test_one_command_at_a_time_and_those_that_know_its_token(tmp_path: Path) -> None:
    place, other = ResultPlace(tmp_path / "out"), ResultPlace(tmp_path / "out")
    manifest = place.folder / "manifests" / "first.jsonl"
    with place.opened():
        with pytest.raises(UsageError, match="another process is writing"), other.opened():
            pass
        with place.shared() as token:
            other.join(token, manifest)
            assert manifest.parent.is_dir()
            with pytest.raises(OutputError, match="there is not the folder that this command writes to"):
                other.check("another")
        assert not (place.folder / TOKEN).exists()
        with pytest.raises(OutputError, match="there is not the folder"):
            other.check(token)


def test_its_files(tmp_path: Path) -> None:
    place = ResultPlace(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.png").write_bytes(b"1234")
    outputs = {"label_map": "labels/a.png"}
    place.keep([tmp_path / "labels/a.png"])
    assert place.are_whole(outputs, {"label_map": 4})
    assert not place.are_whole(outputs, {"label_map": 5})
    records = [{"image": "a", "outputs": outputs}]
    assert place.with_files(records) is records
    place.remove(outputs)
    assert not place.are_whole(outputs, {})


def test_manifests_and_their_parts(tmp_path: Path) -> None:
    place = ResultPlace(tmp_path)
    part = tmp_path / "manifests" / "first.jsonl"
    part.parent.mkdir()
    part.write_text("{}\n")
    assert place.manifests() == [tmp_path / "manifest.jsonl", part]
    assert place.manifests_of("first") == [part]
    place.keep_manifest()
    assert place.manifests() == [tmp_path / "manifest.jsonl"]
