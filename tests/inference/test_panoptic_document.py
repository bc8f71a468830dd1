from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.inference.panoptic_document import write_document


def test_images_without_segments_are_not_in_it(tmp_path: Path) -> None:
    (tmp_path / "panoptic" / "deep").mkdir(parents=True)
    (tmp_path / "panoptic" / "deep" / "a.json").write_text('[{"id": 5, "category_id": 2}]')
    outputs = {"panoptic": "panoptic/deep/a.png", "segments": "panoptic/deep/a.json"}
    records = [
        {"image": "b.png", "size": [3, 4], "outputs": {"label_map": "labels/b.png"}},
        {"image": "deep/a.png", "size": [3, 4], "outputs": outputs},
    ]
    about = {"toolkit": "1", "model": {"things": ["cup"]}, "classes": ["sky", "cup"]}
    write_document(tmp_path, records, about)
    document = json.loads((tmp_path / "panoptic.json").read_text())
    assert document["images"] == [{"id": 2, "file_name": "deep/a.png", "width": 4, "height": 3}]
    segments = [{"id": 5, "category_id": 2}]
    assert document["annotations"] == [{"image_id": 2, "file_name": "deep/a.png", "segments_info": segments}]
    assert [category["isthing"] for category in document["categories"]] == [0, 1]
    assert document["info"]["model"] == {"things": ["cup"]}
    (tmp_path / "panoptic" / "deep" / "a.json").write_text("[")
    with pytest.raises(DataError, match=r"a\.json"):
        write_document(tmp_path, records, about)
