from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from toolkit.errors import UnavailableError
from toolkit.runtime.extras import import_captum, import_pandas, import_supervision

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("extra", "load"),
    [("pandas", import_pandas), ("supervision", import_supervision), ("explain", import_captum)],
)
def test_a_missing_library_names_the_extra_and_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, extra: str, load: Callable[[str], Any]
) -> None:
    for module in ({"explain": "captum"}.get(extra, extra), "captum.attr"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UnavailableError, match=rf"to_x\(\) needs the extra {extra}, .* Hint: pip install"
    ) as found:
        load("to_x()")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][extra]
    requirement = str(found.value).rpartition("pip install '")[2].rstrip("'")
    assert Requirement(requirement) == Requirement(declared[0])
