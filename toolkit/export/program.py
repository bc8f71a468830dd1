"""``predict.py`` in an exported folder: put together, and run without torch and without the toolkit."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ExportError
from toolkit.export.answers import listed
from toolkit.runtime.files import atomic_write
from toolkit.types import Sample

PROGRAM = "predict.py"
FRAME = Path(__file__).with_name("program_frame.py")
PLACE = "from toolkit.models.semantic_program import predict\n\n"
"""Where the frame has the function of one kind of model; that of another replaces it."""
AFTER = "HERE = Path(__file__).resolve().parent\n"
ABSENT = ("torch", "torchvision", "toolkit")
SECONDS = 600
"""How long the program may take."""

_RUN_WITHOUT = (
    "import runpy, sys\n"
    f"sys.modules.update(dict.fromkeys({ABSENT!r}))\n"
    "sys.argv = sys.argv[1:]\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
)
"""Runs a program in which an import of these packages fails as if they were not installed."""


def program_text(parts: Sequence[Path]) -> str:
    """The program with the functions of a plugin's files, see ``Exportable.program``."""
    frame = FRAME.read_text(encoding="utf-8")
    body = "\n\n".join(_without_imports(part.read_text(encoding="utf-8")) for part in parts)
    return frame.replace(PLACE, "").replace(AFTER, f"{AFTER}\n\n{body}\n")


def _without_imports(text: str) -> str:
    """A file without its docstring and its imports, which the frame has, or which name the other files."""
    lines = text.splitlines(keepends=True)
    for place, node in enumerate(ast.parse(text).body):
        is_docstring = not place and isinstance(node, ast.Expr)
        if is_docstring or isinstance(node, (ast.Import, ast.ImportFrom)):
            assert node.end_lineno is not None
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "".join(lines).strip("\n")


def run_program(
    folder: Path, samples: Sequence[Sample], *, threads: int = 0
) -> list[dict[str, NDArray[Any]]]:
    """What ``predict.py`` of an exported folder finds in images, in a process of its own that has neither
    torch nor the toolkit.

    Raises:
        ExportError: when it fails or takes too long; with what it wrote last.
    """
    with TemporaryDirectory(prefix="toolkit-export-") as scratch:
        images = []
        for number, sample in enumerate(samples):
            path = Path(scratch) / f"{number}.png"
            pixels = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy()[:, :, ::-1])
            with atomic_write(path, sync=False) as file:
                file.write(cv2.imencode(".png", pixels)[1].tobytes())
            images.append(str(path))
        more = []
        if any(sample.prompts is not None for sample in samples):
            written = Path(scratch) / "prompts.json"
            given = {
                f"{number}.png": listed(sample.prompts)
                for number, sample in enumerate(samples)
                if sample.prompts is not None
            }
            with atomic_write(written, "w", sync=False) as text:
                text.write(json.dumps(given))
            more = ["--prompts", str(written)]
        out = Path(scratch) / "out"
        words = [str(folder.resolve() / PROGRAM), *images, *more]
        words += ["--out", str(out), "--threads", str(threads), "--scaled"]
        _run([sys.executable, "-I", "-c", _RUN_WITHOUT, *words], scratch)
        return [_read(out / f"{number}.npz") for number in range(len(samples))]


def _run(command: Sequence[str], folder: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExportError(
            f"{PROGRAM} took more than {SECONDS} seconds for a few images. Hint: try again when the machine"
            " is less busy"
        ) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        last = "\n".join(lines[-5:])
        raise ExportError(
            f"{PROGRAM}, run without torch, failed with exit code {done.returncode}:\n{last}\nHint: correct"
            " the program that the plugin declares"
        )


def _environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{PROGRAM} wrote no results that can be read for image {path.stem}: {error}. Hint: correct the"
            " program that the plugin declares"
        ) from error
