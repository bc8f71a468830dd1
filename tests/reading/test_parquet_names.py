"""Names in Parquet files, against those that were written, and files that are none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import UnavailableError, UsageError
from toolkit.reading.parquet_names import count_parquet, is_parquet, parquet_names

NAMES = ["a.png", "deep/b c.jpg", "s3://bucket/é.png", "a.png"]


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def read(path: Path) -> list[str]:
    return list(parquet_names(path, "names of images", UsageError))


@pytest.mark.parametrize(
    "columns",
    [
        {"anything": NAMES},
        {"path": NAMES, "label": [1, 2, 3, 4]},
        {"label": [1, 2, 3, 4], "url": NAMES},
        {"image": NAMES, "other": list("abcd")},
        {"url": list("abcd"), "path": NAMES},
    ],
)
def test_the_column_that_is_read(tmp_path: Path, columns: dict[str, Any]) -> None:
    path = written(tmp_path / "names.parquet", columns)
    assert read(path) == NAMES
    assert count_parquet(path, "names", UsageError) == 4


def test_row_groups_and_codings(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    names = [f"photos/{i % 700}.jpg" for i in range(3000)]
    for number, kind in enumerate([pyarrow.string(), pyarrow.large_string()]):
        column = pyarrow.array(names, kind)
        path = written(tmp_path / str(number), {"path": column}, row_group_size=499, compression="zstd")
        assert is_parquet(path), "by its content"
        assert read(path) == names
    path = written(tmp_path / "coded", {"path": pyarrow.array(names).dictionary_encode()})
    assert read(path) == names


def test_rows_without_a_name_are_left_out(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.parquet", {"path": ["a", None, "", " ", "b"]})) == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": ["a"], "y": ["b"]}, r"has the columns 'x', 'y'; expected names .* in one of path, url, image"),
        ({"path": [1, 2]}, r"the column 'path' contains 'int64'; expected names of images, as text\. Hint: "),
        ({"path": [["a"]]}, r"contains 'list<"),
        ({"path": ["a", "b\0c"]}, r"'b\\x00c' in the column 'path' is not a name\. Hint: correct it"),
    ],
)
def test_what_has_no_names(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(written(tmp_path / "names.parquet", columns))


def test_what_is_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "names.parquet", {"path": NAMES * 100}, compression=None)
    whole = path.read_bytes()
    for data in (b"", b"a.png\nb.png\n", b"PAR1", whole[:-3], whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=r"names\.parquet .*Hint: "):
            read(path)
    path.write_bytes(b"PAR1" + b"\xff" * 90 + whole[94:])
    with pytest.raises(UsageError, match=r"cannot be read: .* Hint: write it again, or use a text file"):
        read(path)
    path.unlink()
    with pytest.raises(UsageError, match="does not exist"):
        read(path)
    assert not is_parquet(tmp_path)


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnavailableError, match=r"names\.pq is a Parquet file, .* Hint: pip install 'pyarrow"):
        read(tmp_path / "names.pq")
