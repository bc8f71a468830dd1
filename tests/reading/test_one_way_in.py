"""Files that somebody else may have made are read in one way, which waits for no pipe and looks at the size
first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from support.source_tree import FILES, tree_of

READS_ITSELF = {
    "toolkit.reading.files": "the one way",
    "toolkit.data.image_files": "the one way for images, which opens without waiting",
    "toolkit.data.checks": "hashes photos that have been read",
    "toolkit.formats.convert": "copies photos that have been read",
    "toolkit.training.data_record": "hashes photos that have been read",
    "toolkit.checkpoints.exported": "hashes graphs that were just written, and reads those that were checked",
    "toolkit.export.program": "the source of its own program",
    "toolkit.export.program_frame": "part of predict.py, which runs without the toolkit",
    "toolkit.export.quantizing": "graphs that were just written",
    "toolkit.inference.label_tiles": "tiles that it wrote, by a journal with their checksums",
    "toolkit.inference.window_journal": "the first line of its own journals",
    "toolkit.inference.result_places": "the mark of its own folder",
    "toolkit.inference.stored_records": "its own records",
    "toolkit.reading.line_stream": "the one way for lists of any length, after check_file",
    "toolkit.serve.docs_page": "its own template",
    "toolkit.checkpoints.files": "hashes a checkpoint that has been opened",
    "toolkit.runtime.torch_files": "looks at the first byte of a file that was checked",
    "toolkit.runtime.weight_files": "looks at the first bytes of files that check_file has let through",
    "toolkit.plugins.maskrcnn.interop.weights": "looks at the first bytes of files that were checked",
    "toolkit.plugins.sam2.weights": "hashes what the hub's client has downloaded",
    "toolkit.plugins.sam2.cache": "entries of its own folder, with their checksums",
    "toolkit.runtime.checksums": "hashes of its own downloads",
    "toolkit.runtime.transfer": "its own downloads",
    "toolkit.evaluation.memory": "the kernel's counters",
    "toolkit.cli.doctor": "the kernel's counters",
    "toolkit.registry.code": "code that has been imported",
    "toolkit.testing.scaffold": "its own templates",
}
"""Modules that read files by other means than ``toolkit.reading.files``, with the reason."""


def reads(tree: ast.AST) -> Iterator[int]:
    """The lines of a module that read files by name."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        modes = [each.value for each in call.args[1:] if isinstance(each, ast.Constant)]
        opens = name == "open" and not any(set(str(mode)) & set("wax") for mode in modes)
        if opens or name.endswith((".read_text", ".read_bytes")):
            yield call.lineno


def test_there_is_one_way_to_read_a_file() -> None:
    found = {
        module
        for module, file in FILES.items()
        if not module.startswith("toolkit.testing.templates") and any(reads(tree_of(file)))
    }
    assert sorted(found - set(READS_ITSELF)) == [], "use toolkit.reading.files"
    assert found == set(READS_ITSELF), "an exception that is no longer needed"


@pytest.mark.parametrize("line", ["open(path)", "open(path, 'rb')", "path.read_text()", "a.b.read_bytes()"])
def test_other_ways_are_noticed(line: str) -> None:
    assert list(reads(ast.parse(line))) == [1]


@pytest.mark.parametrize("line", ["open(path, 'w')", "read_text(path, 'words', DataError)", "x.open(path)"])
def test_what_does_not_read_by_itself(line: str) -> None:
    assert list(reads(ast.parse(line))) == []


def test_there_is_one_way_to_a_users_folder() -> None:
    """Python's raises ``RuntimeError`` for a user who is not there."""
    found = {
        module
        for module, file in FILES.items()
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Attribute) and node.attr == "expanduser"
    }
    assert found == {"toolkit.reading.files"}, "use toolkit.reading.files.expanded"
