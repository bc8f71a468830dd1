"""XML is read without entities, and errors say where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.reading.xml_text import load_xml, parse_xml

BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]><a>&c;&c;&c;</a>'
STRANGER = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


def test_elements_attributes_and_text(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(
        '<?xml version="1.0" encoding="latin-1"?><!-- no --><a b="é&lt;">x&amp;<c/>y</a>'.encode("latin-1")
    )
    root = load_xml(path, "a test", DataError)
    assert (root.tag, root.attrib, root.text) == ("a", {"b": "é<"}, "x&")
    assert [(each.tag, each.tail) for each in root] == [("c", "y")]


def test_text_whose_declared_encoding_is_that_of_a_file() -> None:
    assert (
        parse_xml('<?xml version="1.0" encoding="utf-16"?><a b="é"/>', "x", "a test", DataError).get("b")
        == "é"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "line 1 declares a document type"),
        (STRANGER, "declares a document type"),
        ("<!DOCTYPE a><a/>", "declares a document type"),
        ("", "is empty"),
        ("  \n", "is empty"),
        ("<a>\n<b></a>", "mismatched tag: line 2"),
        ("<a/><b/>", "junk after document element"),
        ("<a b='1' b='2'/>", "duplicate attribute"),
        ("<a>&b;</a>", "undefined entity"),
        ("no", "syntax error"),
        ("<a>" * 101, "more than 100 levels deep"),
        ("<a>" * 100_000, "more than 100 levels deep"),
        ("<a>\x00</a>", "not well-formed"),
        ('<?xml version="1.0" encoding="nonsense"?><a/>', "unknown encoding"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_xml(path, "a test", DataError)
    assert str(path) in str(caught.value)
    assert "Hint" in str(caught.value)


def test_large_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"<a>" + bytes(50))
    with pytest.raises(DataError, match="at most"):
        load_xml(tmp_path / "a.xml", "a test", DataError, most=20)
