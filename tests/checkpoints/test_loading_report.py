"""What became of tensors, in words."""

from __future__ import annotations

from toolkit.checkpoints import LoadReport


def test_reports_read_well() -> None:
    report = LoadReport(("a",), (), tuple(f"m{i}" for i in range(6)), ("u",), ("x: [1] -> [2]",))
    assert (
        str(report)
        == "1 tensors loaded; 6 missing in the file: m0, m1, m2, m3 and 2 more; 1 not used: u; 1 do not fit:"
        " x: [1] -> [2]"
    )
