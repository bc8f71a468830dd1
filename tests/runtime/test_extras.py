from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from toolkit.errors import UnavailableError
from toolkit.runtime.extras import (
    import_captum,
    import_nncf,
    import_onnx,
    import_onnxruntime,
    import_openvino,
    import_pandas,
    import_ray,
    import_supervision,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("extra", "module", "load"),
    [
        ("pandas", "pandas", import_pandas),
        ("supervision", "supervision", import_supervision),
        ("explain", "captum.attr", import_captum),
        ("onnx", "onnx", import_onnx),
        ("onnx", "onnxruntime", import_onnxruntime),
        ("openvino", "openvino", import_openvino),
        ("int8", "nncf", import_nncf),
        ("ray", "ray", import_ray),
    ],
)
def test_a_missing_library_names_the_extra_and_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, extra: str, module: str, load: Callable[[str], Any]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UnavailableError, match=rf"to_x\(\) needs the extra {extra}, .* Hint: pip install"
    ) as found:
        load("to_x()")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][extra]
    requirement = str(found.value).rpartition("pip install '")[2].rstrip("'")
    assert Requirement(requirement) in map(Requirement, declared)
