"""``toolkit doctor``: what it finds, what it takes for broken, and that it outlives the packages that it
examines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from toolkit import registry
from toolkit.cli import doctor, main


def diagnose(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["doctor", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def part(report: dict[str, Any], name: str) -> dict[str, str]:
    return next(finding for finding in report["parts"] + report["packages"] if finding["name"] == name)


def test_all_that_is_built_in_works(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = diagnose(capsys)
    assert report["ok"] is True
    assert code == 0
    names = {(finding["kind"], finding["name"]) for finding in report["parts"]}
    assert names == {
        (each.kind.kind, name)
        for each in (registry.plugins(), registry.datasets(), registry.evaluators())
        for name in each.names()
    }
    assert {("plugin", "unet"), ("dataset", "shapes"), ("evaluator", "iou")} <= names
    assert all(finding["state"] != "broken" for finding in report["parts"])


def test_every_requirement_is_imported(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    _, report = diagnose(capsys)
    works = {
        finding["name"]: finding["detail"] for finding in report["packages"] if finding["state"] == "works"
    }
    declared = [text for text in metadata.requires("detseg-toolkit") or [] if "extra" not in text]
    assert len(declared) >= 10
    assert len(works) >= len(declared)
    assert works["torch"] == metadata.version("torch")
    assert works["opencv-python-headless"] == metadata.version("opencv-python-headless")
    assert {"fvcore", "lightning-fabric", "pycocotools", "torchvision", "numpy"} <= set(works)


def test_the_text_names_device_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for words in (
        "device            ",
        "precision",
        "CPU threads",
        "CPU cores",
        "disk free here",
        "python",
        "everything required works",
    ):
        assert words in text
    assert f"ok      torch: {torch.__version__.split('+')[0]}" in text


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        name, total_memory, major, minor = "NVIDIA Test", 24 * 2**30, 8, 6

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Gpu)
    facts = doctor.describe_device()
    assert (facts["device"], facts["precision"]) == ("cuda", "bf16")
    assert facts["GPU 1"] == "NVIDIA Test, 24.0 GiB, compute capability 8.6"


def test_torch_complaints_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_available() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old", UserWarning, stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    facts = doctor.describe_device()
    assert facts["device"] != "cuda"
    assert "driver on your system is too old" in facts["complaints"]


def write_plugin(folder: Path, **values: str) -> str:
    fields = {"name": "'mine'", "summary": "'a test'", "task": "'semantic'", "build": "':build'"} | values
    code = values.pop("code", "def build(settings, classes): ...")
    fields.pop("code", None)
    file = folder / "mine.py"
    file.write_text(
        "from toolkit import PluginManifest\n"
        f"PLUGIN = PluginManifest({', '.join(f'{key}={value}' for key, value in fields.items())})\n{code}\n"
    )
    return str(file)


def test_a_missing_extra_is_no_failure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write_plugin(tmp_path, requires="('no-such-package>=2',)")
    code, report = diagnose(capsys, "--plugin", path)
    found = part(report, "mine")
    assert (code, report["ok"]) == (0, True)
    assert found["state"] == "absent"
    assert found["detail"] == "needs no-such-package>=2 (not installed)"
    assert found["hint"] == "pip install 'no-such-package>=2'"
    assert main(["doctor", "--plugin", path]) == 0
    assert "Hint: pip install 'no-such-package>=2'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"build": "'no_such_module:build'"}, "No module named 'no_such_module'"),
        ({"build": "':nothing'"}, "has no attribute 'nothing'"),
        ({"settings": "':build'"}, "must be a subclass of toolkit.config.Settings"),
        ({"load_weights": "':nothing'"}, "has no attribute 'nothing'"),
        ({"code": "build = 3"}, "is not callable"),
    ],
)
def test_code_that_does_not_load_is_broken(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, values: dict[str, str], reason: str
) -> None:
    code, report = diagnose(capsys, "--plugin", write_plugin(tmp_path, **values))
    assert (code, report["ok"]) == (1, False)
    assert part(report, "mine")["state"] == "broken"
    assert reason in part(report, "mine")["detail"]
    assert part(report, "unet")["state"] == "works", "one broken plugin takes no other down"


def test_broken_installed_plugins_are_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.syspath_prepend(root / "tests" / "support" / "fake_distribution")
    for each in (registry.plugins, registry.datasets):
        each.cache_clear()
    code, report = diagnose(capsys)
    assert code == 1
    assert part(report, "needy")["state"] == "absent"
    assert "pip install no_such_module_at_all" in part(report, "import-error")["detail"]
    assert "package toolkit-fake 1.2" in part(report, "import-error")["detail"]
    assert main(["doctor"]) == 1
    assert "BROKEN  plugin import-error: " in capsys.readouterr().out


def with_requirements(monkeypatch: pytest.MonkeyPatch, *requirements: str) -> None:
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: list(requirements))


def test_requirements_that_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "half_installed.py").write_text(
        "raise OSError('libcuda.so.1: cannot open shared object file')\n"
    )
    info = tmp_path / "half_installed-3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: half-installed\nVersion: 3.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with_requirements(
        monkeypatch,
        "numpy>=1.0",
        "numpy>=999",
        "no-such-package",
        "half-installed<4",
        'pytest; extra == "dev"',
    )
    fine, old, absent, half, *optional = doctor.check_packages()
    assert (fine.state, fine.hint) == ("works", "")
    assert (old.state, old.detail) == ("broken", f"{metadata.version('numpy')} does not meet numpy>=999")
    assert (absent.state, absent.detail, absent.hint) == (
        "broken",
        "not installed",
        "pip install 'no-such-package'",
    )
    assert half.state == "broken"
    assert "3.0 is installed, but cannot be imported: OSError: libcuda.so.1" in half.detail
    assert half.hint == "pip install --force-reinstall 'half-installed<4'"
    assert [finding.name for finding in optional] == list(doctor.OPTIONAL)


def test_a_module_may_come_from_another_distribution(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other_way.py").write_text("__version__ = '7'\n")
    monkeypatch.syspath_prepend(tmp_path)
    with_requirements(monkeypatch, "other-way>=1")
    assert doctor.check_packages()[0] == doctor.Finding(
        "package", "other-way", "works", "7, from another distribution"
    )


def test_a_broken_requirement_fails_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_requirements(monkeypatch, "no-such-package>=1")
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "BROKEN  no-such-package: not installed" in text
    assert "Hint: pip install 'no-such-package>=1'" in text
    assert "1 broken" in text


@pytest.mark.parametrize("without", ["torch", "pydantic"])
def test_it_works_without_the_packages_that_it_looks_for(without: str) -> None:
    hide = (
        f"import sys; sys.modules[{without!r}] = None; from toolkit.cli import main;"
        " sys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert (
        f"BROKEN  {without}: {metadata.version(without)} is installed, but cannot be imported:"
        " ModuleNotFoundError" in done.stdout
    )
    assert f"Hint: pip install --force-reinstall '{without}" in done.stdout


@pytest.mark.parametrize(
    ("device", "words"),
    [("cpu", "torch finds no GPU"), ("cuda", "NVIDIA"), ("mps", "Apple"), ("xpu", "")],
)
def test_a_device_is_named_in_words_that_people_know(device: str, words: str) -> None:
    assert words in doctor.what_device(device)
    assert bool(doctor.what_device(device)) == bool(words)
