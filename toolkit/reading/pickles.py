"""Reads pickles of NumPy arrays, as in Detectron2's model zoo and in older datasets, without running code
from them.

A pickle is a program: it may call anything that can be imported. Here the few functions needed to build
arrays are replaced by those of this file, which build an array of plain numbers or refuse; everything else
that a pickle requests is refused by name.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.reading.files import MakeError, read_bytes

MOST_OPCODES = 20_000_000
"""Longer programs are refused; a weights file needs a few dozen opcodes per array."""

_UNUSED = {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER"}  # reach outside the file


class _RefusedError(Exception):
    """Raised for anything in the pickle that is not a plain container, number or array of numbers."""


class _Maker:
    """Replacement for a global in a pickle: it can be called, but has no attributes to read or set."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _RefusedError("a change to something outside the file")


class _Dtype:
    """A NumPy dtype of plain numbers while it is being unpickled; NumPy's own accepts any state."""

    def __init__(self, code: object, *_: object) -> None:
        text = _text(code)
        if not re.fullmatch(r"b1|[iu][1248]|f[248]|c(8|16)", text):
            raise _RefusedError(f"arrays of dtype {text[:20]!r}, which are not plain numbers")
        self.numpy = np.dtype(text)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise _RefusedError("a dtype with fields, or in a form that NumPy does not write")
        order = _text(state[1])
        if order not in ("<", ">", "=", "|"):
            raise _RefusedError(f"a dtype of byte order {order[:5]!r}")
        self.numpy = self.numpy.newbyteorder(order)  # type: ignore[arg-type]


class _Array(np.ndarray[Any, Any]):
    """An array while it is being unpickled: its state is checked before NumPy gets it."""

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise _RefusedError("an array in a form that NumPy does not write")
        shape, dtype, is_fortran, data = state[-4:]
        if not isinstance(dtype, _Dtype):
            raise _RefusedError("an array without a dtype")
        raw = _bytes(data)
        _check_shape(shape, dtype.numpy, len(raw))
        super().__setstate__((1, shape, dtype.numpy, bool(is_fortran), raw))  # type: ignore[arg-type]


def _reconstruct(kind: object, *_: object) -> _Array:
    """``numpy.core.multiarray._reconstruct``: an empty array, whose state comes next."""
    if kind is not _NDARRAY:
        raise _RefusedError("an array whose class is not numpy.ndarray")
    return np.ndarray.__new__(_Array, (0,), np.dtype("b1"))


def _frombuffer(buffer: object, dtype: object, shape: Any, order: Any = "C") -> np.ndarray[Any, Any]:
    """``numpy.core.numeric._frombuffer``, which pickles of protocol 5 use."""
    if not isinstance(dtype, _Dtype) or order not in ("C", "F"):
        raise _RefusedError("an array in a form that NumPy does not write")
    raw = _bytes(buffer)
    _check_shape(shape, dtype.numpy, len(raw))
    return _native(np.frombuffer(bytearray(raw), dtype.numpy).reshape(shape, order=order))


def _scalar(dtype: object, data: object) -> Any:
    """``numpy.core.multiarray.scalar``: a NumPy number."""
    if not isinstance(dtype, _Dtype):
        raise _RefusedError("a NumPy scalar without a dtype")
    raw = _bytes(data)
    _check_shape((), dtype.numpy, len(raw))
    return _native(np.frombuffer(raw, dtype.numpy))[0]


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array in native byte order, like those built in other ways."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """``_codecs.encode``, which Python 3 uses to write bytes in Python 2 protocols."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _RefusedError("text in an encoding other than latin1")
    return _bytes(text)


def _ordered_dict(pairs: object = ()) -> dict[Any, Any]:
    if not isinstance(pairs, (list, tuple)):
        raise _RefusedError("an OrderedDict in a form that Python does not write")
    return dict(pairs)


def _set(items: object = ()) -> set[Any]:
    if not isinstance(items, (list, tuple)):
        raise _RefusedError("a set in a form that Python does not write")
    return set(items)


def _empty_bytes() -> bytes:
    """``__builtin__.bytes()``, which Python 3 uses to write empty bytes in Python 2 protocols."""
    return b""


def _no_array(*_: object) -> None:
    raise _RefusedError("numpy.ndarray as a function")


_NDARRAY = _Maker(_no_array)
_KNOWN = {
    "numpy.ndarray": _NDARRAY,
    "numpy.dtype": _Maker(_Dtype),
    "_codecs.encode": _Maker(_encode),
    "collections.OrderedDict": _Maker(_ordered_dict),
}
for _python in ("builtins", "__builtin__"):  # Python 3, and 2
    _KNOWN |= {f"{_python}.set": _Maker(_set), f"{_python}.bytes": _Maker(_empty_bytes)}
for _core in ("numpy._core", "numpy.core"):  # NumPy 2, and before
    _KNOWN |= {
        f"{_core}.multiarray._reconstruct": _Maker(_reconstruct),
        f"{_core}.multiarray.scalar": _Maker(_scalar),
        f"{_core}.numeric._frombuffer": _Maker(_frombuffer),
    }


class _Unpickler(pickle.Unpickler):
    """An unpickler that supports only the globals above."""

    def find_class(self, module: str, name: str) -> Any:
        """The replacement for a global."""
        try:
            return _KNOWN[f"{module}.{name}"]
        except KeyError:
            raise _RefusedError(f"{module}.{name}"[:200]) from None


def read_pickle(path: Path, what: str, error: MakeError) -> Any:
    """Load a pickle that contains only NumPy arrays and scalars of numbers, strings, numbers and plain
    containers.

    Strings written by Python 2 are read as Latin-1, as Detectron2 does. Arrays are writable and together take
    no more memory than the size of the file.

    Args:
        path: the file.
        what: it should contain, for messages, such as "weights".
        error: the kind of error to raise.

    Raises:
        ToolkitError: of the kind ``error``: when the pickle requests anything else, which is named and was
            not executed; or when it is truncated.
    """
    data = read_bytes(path, what, error)
    try:
        _check_program(data)
        return _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except _RefusedError as refusal:
        raise error(
            f"{path} is refused: it asks for {refusal}, but a file of {what} may contain only NumPy arrays,"
            " numbers and text in plain containers. Opening it with pickle could run code. Hint: download it"
            " again from its publisher, or save only the arrays"
        ) from None
    except Exception as problem:  # a malformed pickle may raise anything
        raise error(
            f"{path} ({len(data):,} bytes) is truncated, or is not a pickle of NumPy arrays:"
            f" {type(problem).__name__}: {problem}. Hint: copy or download it again"
        ) from None


def _check_program(data: bytes) -> None:
    """Check the opcodes before any is executed: no references outside the file, and no memo indexes that
    would allocate memory.
    """
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in _UNUSED:
            raise _RefusedError(f"something outside the file (opcode {opcode.name})")
        if "PUT" in opcode.name and (argument or 0) > number:  # Python numbers its memo without gaps
            raise _RefusedError(f"place {argument:,} of its memory after {number:,} steps")
        if number > MOST_OPCODES:
            raise _RefusedError(f"more than {MOST_OPCODES:,} steps to be read")


def _check_shape(shape: Any, dtype: np.dtype[Any], size: int) -> None:
    fits = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not fits or math.prod(shape) * dtype.itemsize != size:
        raise _RefusedError(f"an array of {dtype} of shape {str(shape)[:60]} in {size:,} bytes")


def _bytes(data: object) -> bytes:
    if isinstance(data, str):  # as Latin-1 text from Python 2
        return data.encode("latin1")
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    raise _RefusedError("arrays of objects")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, str):
        return value
    raise _RefusedError("a dtype in a form that NumPy does not write")
