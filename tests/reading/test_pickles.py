from __future__ import annotations

import datetime
import functools
import io
import os
import pickle
import pickletools
import struct
import time
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolkit.errors import CheckpointError
from toolkit.reading import pickles

NUMBERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", ">f4", ">i8"]


def read_pickle(path: Path) -> Any:
    return pickles.read_pickle(path, "weights", CheckpointError)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "weights.pkl"
    path.write_bytes(content)
    return path


def refusal(folder: Path, content: bytes) -> str:
    path = write(folder, content)
    with pytest.raises(CheckpointError) as caught:
        read_pickle(path)
    assert str(path) in str(caught.value)
    assert "Hint: " in str(caught.value)
    return str(caught.value)


def assert_equal(mine: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert isinstance(mine, dict)
        assert list(mine) == list(theirs)
        for key in theirs:
            assert_equal(mine[key], theirs[key])
    elif isinstance(theirs, (list, tuple)):
        assert type(mine) is type(theirs)
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert_equal(a, b)
    elif isinstance(theirs, (np.ndarray, np.generic)):
        theirs = theirs.astype(theirs.dtype.newbyteorder("="))
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        assert mine.tobytes() == theirs.tobytes()
    else:
        assert type(mine) is type(theirs)
        assert mine == theirs


ARRAYS = st.sampled_from(NUMBERS).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), ARRAYS
)
CONTENTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(content=CONTENTS, protocol=st.integers(0, 5))
def test_whatever_plain_python_pickled_comes_back(
    tmp_path_factory: pytest.TempPathFactory, content: Any, protocol: int
) -> None:
    path = write(tmp_path_factory.getbasetemp(), pickle.dumps(content, protocol))
    assert_equal(read_pickle(path), content)


@pytest.mark.parametrize("protocol", range(6))
def test_all_kinds_of_numbers_and_orders(tmp_path: Path, protocol: int) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(3, 4, 5)) * 50
    with np.errstate(invalid="ignore"):
        arrays = {dtype: base.astype(dtype) for dtype in NUMBERS}
    content = {
        **arrays,
        "fortran": np.asfortranarray(base),
        "view": base[::2, 1:],
        "scalar": np.float32(0.5),
        "empty": np.zeros((0, 3), "f4"),
        "ordered": OrderedDict(b=1, a=2),
        "set": {1, 2},
        "shared": [arrays["f4"], arrays["f4"]],
    }
    mine = read_pickle(write(tmp_path, pickle.dumps(content, protocol)))
    assert_equal(mine, {**content, "ordered": dict(b=1, a=2)})
    assert mine["shared"][0] is mine["shared"][1]
    assert mine["f4"].flags.writeable
    mine["f4"][0, 0, 0] = 7
    assert torch.equal(torch.from_numpy(mine["f4"]), torch.from_numpy(np.asarray(mine["f4"])))


def python2(name: str = "conv1_w", shape: tuple[int, ...] = (2, 3)) -> tuple[bytes, np.ndarray]:
    """What ``cPickle.dumps({name: array}, 2)`` writes under Python 2 and the NumPy of its time: its strings
    are bytes, its text is Latin-1.
    """
    array = np.random.default_rng(1).normal(size=shape).astype("f4")

    def string(text: bytes) -> bytes:
        return (
            b"U" + bytes([len(text)]) + text
            if len(text) < 256
            else b"T" + struct.pack("<i", len(text)) + text
        )

    dims = b"".join(b"K" + bytes([n]) for n in shape) + {2: b"\x86", 3: b"\x87"}[len(shape)]
    dtype = (
        b"cnumpy\ndtype\n"
        + string(b"f4")
        + b"K\x00K\x01\x87R(K\x03"
        + string(b"<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    body = (
        b"cnumpy.core.multiarray\n_reconstruct\n"
        + b"cnumpy\nndarray\n"
        + b"K\x00\x85"
        + string(b"b")
        + b"\x87R"
    )
    body += b"(K\x01" + dims + dtype + b"\x89" + string(array.tobytes()) + b"tb"
    return b"\x80\x02}" + string(name.encode()) + body + b"s.", array


@pytest.mark.parametrize("shape", [(2, 3), (7, 9, 5)])
def test_pickles_of_python_2(tmp_path: Path, shape: tuple[int, ...]) -> None:
    content, array = python2(shape=shape)
    ((name, value),) = read_pickle(write(tmp_path, content)).items()
    assert (type(name), name) == (str, "conv1_w")
    assert_equal(value, array)
    ((_, theirs),) = pickle.loads(content, encoding="latin1").items()
    assert_equal(value, theirs)


class Call:
    """Pickles as a call, as an attacker's object does."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (Call(os.system, "touch harm"), f"{os.system.__module__}.system"),
        (Call(eval, "open('harm', 'w')"), "eval"),
        (Call(exec, "open('harm', 'w')"), "exec"),
        (Call(getattr, "x", "upper"), "getattr"),
        (Call(__import__, "antigravity"), "__import__"),
        (Call(open, "harm", "w"), "open"),
        (Call(bytearray, 10**12), "bytearray"),
        (Call(np.load, "harm"), "numpy"),
        (Call(np.zeros, 10**13), "numpy"),
        (Call(np.frombuffer, b"0000"), "numpy"),
        (Call(functools.partial, os.system, "touch harm"), "functools.partial"),
        (Call(pickle.loads, b"N."), "pickle"),
        (Call(torch.load, "harm"), "torch"),
        (datetime.date(2020, 1, 1), "datetime.date"),
        (torch.zeros(2), "torch"),
        (np.random.default_rng(0), "numpy.random"),
        (np.ma.masked_array([1.0]), "numpy.ma"),
        (np.rec.array([1.0]), "rec"),
    ],
)
def test_anything_else_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Any, name: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"model": {"conv1_w": np.zeros(3), "harm": harm}}, protocol)
    assert name in refusal(tmp_path, content)
    assert not (tmp_path / "harm").exists()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


SYSTEM = b"cposix\nsystem\n"
TOUCH = text("touch harm") + b"\x85"
DTYPE = b"cnumpy\ndtype\n" + text("f4") + b"\x89\x88\x87R"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
BYTES8 = b"C\x08" + bytes(8)
BY_HAND = {
    "call": (SYSTEM + TOUCH + b"R.", "posix.system"),
    "old instance": (b"(" + text("touch harm") + b"iposix\nsystem\n.", "posix.system"),
    "old object": (b"(" + SYSTEM + text("touch harm") + b"o.", "posix.system"),
    "from the stack": (text("posix") + text("system") + b"\x93" + TOUCH + b"R.", "posix.system"),
    "remembered name": (
        text("posix") + b"q\x00" + text("system") + b"q\x01\x30\x30h\x00h\x01\x93" + TOUCH + b"R.",
        "posix.system",
    ),
    "remembered global": (SYSTEM + b"q\x00\x30h\x00" + TOUCH + b"R.", "posix.system"),
    "dotted name": (text("numpy.core.multiarray") + text("scalar.__class__") + b"\x93.", "scalar.__class__"),
    "dotted module": (text("numpy") + text("ndarray.tofile") + b"\x93.", "ndarray.tofile"),
    "class of a class": (b"cnumpy\ndtype\n(tR(K\x03" + text("<") + b"NNNK\x00K\x00K\x00tb.", ""),
    "newobj": (b"cnumpy\ndtype\n" + text("f4") + b"\x85\x81.", ""),
    "extension": (b"\x82\x01.", "EXT1"),
    "persistent id": (b"Pposix\n.", "PERSID"),
    "persistent object": (text("x") + b"Q.", "BINPERSID"),
    "outside buffer": (b"\x97.", "NEXT_BUFFER"),
    "copyreg": (
        b"ccopyreg\n_reconstructor\ncposix\nsystem\nc__builtin__\nobject\nN\x87R.",
        "copyreg._reconstructor",
    ),
    "copyreg extension": (
        b"ccopyreg\nadd_extension\n" + text("posix") + text("system") + b"K\x01\x87R.",
        "copyreg.add_extension",
    ),
    "array as a function": (b"cnumpy\nndarray\n" + b"J\xff\xff\xff\x7f\x85\x85R.", "numpy.ndarray"),
    "another subclass": (
        b"cnumpy.core.multiarray\n_reconstruct\n" + DTYPE + b"K\x00\x85C\x01b\x87R.",
        "whose class",
    ),
    "objects": (
        ARRAY + b"(K\x01K\x01\x85cnumpy\ndtype\n" + text("O8") + b"\x89\x88\x87R\x89]K\x01atb.",
        "'O8'",
    ),
    "list for data": (ARRAY + b"(K\x01K\x01\x85" + DTYPE + b"\x89]K\x01atb.", "arrays of objects"),
    "strings": (
        ARRAY + b"(K\x01K\x01\x85cnumpy\ndtype\n" + text("S8") + b"\x89\x88\x87R\x89" + BYTES8 + b"tb.",
        "'S8'",
    ),
    "times": (b"cnumpy\ndtype\n" + text("M8[ns]") + b"\x85R.", "'M8[ns]'"),
    "no width": (b"cnumpy\ndtype\n" + text("V0") + b"\x85R.", "'V0'"),
    "code for dtype": (b"cnumpy\ndtype\n" + text("f4,O") + b"\x85R.", "'f4,O'"),
    "dtype with fields": (
        DTYPE + b"(K\x03" + text("<") + b"N" + text("a") + b"\x85}K\x04K\x04K\x00tb.",
        "fields",
    ),
    "dtype with a shape": (
        DTYPE + b"(K\x03" + text("<") + DTYPE + b"K\x09\x86NNK\x04K\x04K\x00tb.",
        "fields",
    ),
    "order of bytes": (DTYPE + b"(K\x03" + text("?") + b"NNNK\x04K\x04K\x00tb.", "byte order"),
    "too little data": (
        ARRAY + b"(K\x01J\xff\xff\xff\x7f\x85" + DTYPE + b"\x89" + BYTES8 + b"tb.",
        "2147483647",
    ),
    "too much data": (ARRAY + b"(K\x01K\x01\x85" + DTYPE + b"\x89" + BYTES8 + b"tb.", "shape (1,)"),
    "negative": (
        ARRAY + b"(K\x01J\xff\xff\xff\xffJ\xfe\xff\xff\xff\x86" + DTYPE + b"\x89" + BYTES8 + b"tb.",
        "shape (-1, -2)",
    ),
    "dtype as a shape": (ARRAY + b"(K\x01" + DTYPE + DTYPE + b"\x89" + BYTES8 + b"tb.", "shape"),
    "array without dtype": (ARRAY + b"(K\x01K\x02\x85N\x89" + BYTES8 + b"tb.", "without a dtype"),
    "array of a short state": (ARRAY + b"K\x01\x85b.", "form that NumPy"),
    "scalar without dtype": (b"cnumpy.core.multiarray\nscalar\nN" + BYTES8 + b"\x86R.", "without a dtype"),
    "scalar too long": (b"cnumpy.core.multiarray\nscalar\n" + DTYPE + BYTES8 + b"\x86R.", "shape ()"),
    "buffer too long": (
        b"cnumpy.core.numeric\n_frombuffer\n(" + BYTES8 + DTYPE + b"K\x03\x85" + text("C") + b"tR.",
        "shape (3,)",
    ),
    "buffer of an order": (
        b"cnumpy.core.numeric\n_frombuffer\n(" + BYTES8 + DTYPE + b"K\x02\x85" + text("A") + b"tR.",
        "form that NumPy",
    ),
    "another codec": (b"c_codecs\nencode\n" + text("x") + text("rot13") + b"\x86R.", "latin1"),
    "state of our own": (
        b"c_codecs\nencode\nN}" + text("__defaults__") + text("rot13") + b"s\x86b.",
        "outside the file",
    ),
    "attribute of our own": (b"c_codecs\nencode\n}" + text("make") + b"Nsb.", "outside the file"),
    "pairs of a dict": (b"ccollections\nOrderedDict\n" + text("ab") + b"\x85R.", "OrderedDict"),
    "items of a set": (b"cbuiltins\nset\n" + text("ab") + b"\x85R.", "set"),
    "bytes of a size": (b"cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.", ""),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_programs_written_by_hand_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = BY_HAND[what]
    pickletools.dis(content, out=io.StringIO())  # a well-formed program, so it is refused for what it says
    assert message in refusal(tmp_path, b"\x80\x02" + content)
    assert not (tmp_path / "harm").exists()


def test_the_harm_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs above would do it: the tests must be able to fail."""
    monkeypatch.chdir(tmp_path)
    for what in (
        "call",
        "old instance",
        "old object",
        "from the stack",
        "remembered name",
        "remembered global",
    ):
        pickle.loads(b"\x80\x02" + BY_HAND[what][0])
        (tmp_path / "harm").unlink()


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x80\x02Nr\xff\xff\xff\x3f.",  # a place of the memo for which its table would grow to gigabytes
        b"\x80\x04\x95\xff\xff\xff\xff\xff\x00\x00\x00N.",  # a frame of a terabyte
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00N.",  # bytes of a terabyte
        b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00N.",  # a bytearray of one
        b"\x80\x04B\xff\xff\xff\x7fN.",
        b"\x80\x02\x8b\xff\xff\xff\x7fN.",  # an integer of two gigabytes
        b"\x80\x02X\xff\xff\xff\xffN.",
    ],
)
def test_claims_of_size_cost_nothing(tmp_path: Path, bomb: bytes) -> None:
    start = time.monotonic()
    tracemalloc.start()
    try:
        refusal(tmp_path, bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 2


def test_truncated_files(tmp_path: Path) -> None:
    content = pickle.dumps({"model": {"conv1_w": np.arange(100.0), "b": np.arange(3)}, "__author__": "us"}, 2)
    for length in (0, 1, 5, 60, len(content) // 2, len(content) - 1):
        assert f"({length:,} bytes) is truncated" in refusal(tmp_path, content[:length])


def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    content = pickle.dumps({"model": {"conv1_w": np.arange(4.0, dtype="f4")}, "__author__": "us"}, 2)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), rng.integers(1, 4)):
            damaged[position] = rng.integers(0, 256)
        try:
            read_pickle(write(tmp_path, bytes(damaged)))
        except CheckpointError:
            refused += 1
    assert refused > 100


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.pkl does not exist"):
        read_pickle(tmp_path / "absent.pkl")
