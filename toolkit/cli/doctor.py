"""``toolkit doctor``.

The exit code is 0 if everything that was found works. It is 1 if a package that the toolkit requires is
missing, too old or cannot be imported, or if a plugin, dataset or evaluator fails to load, wherever it comes
from. A plugin whose manifest requires another package (such as sam2) that is not installed does not count as
a failure: it is listed with the command that installs it. Neither does a missing GPU.

It uses only the standard library until it tests the other packages, so that it works even if they do not.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import shutil
import sys
import textwrap
import warnings
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import toolkit
from toolkit.cli.options import add_plugin_files_argument
from toolkit.cli.parsed import load_plugin_files
from toolkit.runtime.text import print_whole

if TYPE_CHECKING:
    from toolkit.registry.manifests import Manifest

DISTRIBUTION = "detseg-toolkit"
"""The toolkit's distribution name in pip."""

SUMMARY = "what is installed, which device will be used, and how to fix what does not work"

OPTIONAL = ("detectron2", "sam2")
"""Packages that plugins can use but the toolkit does not require."""

MODULES = {"opencv-python-headless": "cv2", "pillow": "PIL", "pyyaml": "yaml"}
"""Distributions whose module has a different name."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        kind: package, plugin, dataset or evaluator.
        name: its name.
        state: works; absent, which is not a failure; or broken.
        detail: its version, where it was found, or what is wrong.
        hint: how to fix it, if known.
    """

    kind: str
    name: str
    state: Literal["works", "absent", "broken"]
    detail: str
    hint: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add_plugin_files_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Check everything and print the results; returns 1 if something is broken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from third-party modules during import; not relevant here
        machine, device = describe_machine(), describe_device()
        packages = check_packages()
        try:
            load_plugin_files(args)
            parts = check_parts()
        except ImportError as error:  # even discovering them needs some of the packages
            parts = [Finding("plugin", "all", "broken", f"{type(error).__name__}: {error}")]
    broken = sum(finding.state == "broken" for finding in packages + parts)
    if args.json:
        findings = {
            "packages": [asdict(finding) for finding in packages],
            "parts": [asdict(finding) for finding in parts],
        }
        print_whole(json.dumps({"ok": not broken, "machine": machine, "device": device} | findings))
        return 1 if broken else 0
    for line in _report(machine, device, packages, parts):
        print(line)
    return 1 if broken else 0


def _report(
    machine: dict[str, str], device: dict[str, str], packages: list[Finding], parts: list[Finding]
) -> list[str]:
    sections = {
        "machine": [f"{key:<18}{value}" for key, value in machine.items()],
        "device for training": [
            f"{key:<18}{value}{what_device(value) if key == 'device' else ''}"
            for key, value in device.items()
        ],
        "packages": [_line(finding, finding.name) for finding in packages],
        "plugins, datasets and evaluators": [
            _line(finding, f"{finding.kind} {finding.name}") for finding in parts
        ],
    }
    lines = [f"toolkit {toolkit.__version__} from {Path(toolkit.__file__).parent}"]
    for heading, section in sections.items():
        lines += ["", heading, *(textwrap.indent(line, "  ") for line in section)]
    broken = sum(finding.state == "broken" for finding in packages + parts)
    return [*lines, "", f"{broken} broken" if broken else "everything required works"]


def what_device(device: str) -> str:
    """A description of a device for people who do not know its name in torch."""
    known = {
        "cpu": "the processor, since torch finds no GPU that it can use",
        "cuda": "an NVIDIA or AMD GPU; --device cuda:1 chooses the second one",
        "mps": "Apple's GPU",
    }
    return f" ({known[device]})" if device in known else ""


def _line(finding: Finding, name: str) -> str:
    mark = {"works": "ok", "absent": "-", "broken": "BROKEN"}[finding.state]
    hint = f"\n{'':<8}Hint: {finding.hint}" if finding.hint else ""
    return f"{mark:<8}{name}: {finding.detail}{hint}"


def check_packages() -> list[Finding]:
    """Import and check every package that the toolkit requires, and check those that plugins can use."""
    try:
        requirements = [text for text in metadata.requires(DISTRIBUTION) or [] if "extra ==" not in text]
    except metadata.PackageNotFoundError:
        detail = "not installed, so its requirements are unknown"
        return [
            Finding("package", "toolkit", "broken", detail, hint="pip install --editable . in the checkout")
        ]
    return [_check_requirement(text) for text in requirements] + [_check_optional(name) for name in OPTIONAL]


def _check_requirement(text: str) -> Finding:
    name = re.split(r"[^\w.-]", text, maxsplit=1)[0]
    hint = f"pip install '{text}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = ""
    try:
        module = importlib.import_module(MODULES.get(name.lower(), name.replace("-", "_")))
    except Exception as error:  # a half-installed package may raise anything
        if not version:
            return Finding("package", name, "broken", "not installed", hint)
        detail = f"{version} is installed, but cannot be imported: {type(error).__name__}: {error}"
        return Finding("package", name, "broken", detail, f"pip install --force-reinstall '{text}'")
    if not version:  # another distribution provides the same module, such as opencv-python
        return Finding(
            "package",
            name,
            "works",
            f"{getattr(module, '__version__', 'unknown version')}, from another distribution",
        )
    if _is_too_old(text, version):
        return Finding("package", name, "broken", f"{version} does not meet {text}", hint)
    return Finding("package", name, "works", version)


def _is_too_old(requirement: str, version: str) -> bool:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return False  # reported on its own line
    return not Requirement(requirement).specifier.contains(version, prereleases=True)


def _check_optional(name: str) -> Finding:
    try:
        return Finding("package", name, "works", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding("package", name, "absent", "not installed (optional)")


def check_parts() -> list[Finding]:
    """Check every plugin, dataset and evaluator by importing its code."""
    from toolkit import registry

    findings = []
    for each in (registry.plugins(), registry.datasets(), registry.evaluators()):
        findings += [_check_part(manifest) for manifest in each]
        findings += [
            Finding(each.kind.kind, broken.name, "broken", f"{broken.reason} (from {broken.origin})")
            for broken in each.broken
        ]
    return findings


def _check_part(manifest: Manifest) -> Finding:
    missing = manifest.missing_requirements()
    if missing:
        return Finding(
            manifest.kind, manifest.name, "absent", f"needs {', '.join(missing)}", manifest.install_line()
        )
    from toolkit.config import settings_class

    try:
        settings_class(manifest)
        for reference in filter(None, (manifest.build, getattr(manifest, "load_weights", ""))):
            if not callable(manifest.resolve(reference)):
                return Finding(
                    manifest.kind,
                    manifest.name,
                    "broken",
                    f"{reference} from {manifest.origin} is not callable",
                )
    except Exception as error:  # its modules may raise anything
        return Finding(manifest.kind, manifest.name, "broken", str(error))
    return Finding(manifest.kind, manifest.name, "works", f"from {manifest.origin}")


def describe_machine() -> dict[str, str]:
    """Python, system, cores, memory and disk."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    facts = {
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        "CPU cores": str(cores),
    }
    memory = _memory_bytes()
    if memory:
        facts["memory"] = f"{memory / 2**30:.1f} GiB"
    facts["disk free here"] = f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB"
    return facts


def _memory_bytes() -> int | None:
    """Memory of the machine, or of the container if that is less."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None
    try:
        return min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or one without a limit
        return memory


def describe_device() -> dict[str, str]:
    """The default device and precision for training, and the available GPUs."""
    try:
        import torch

        from toolkit.runtime.devices import choose_precision, find_device
    except Exception as error:  # broken installations may raise anything
        return {"unknown": f"{type(error).__name__}: {error}"}
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        accelerator = find_device().type
    facts: dict[str, str] = {
        "device": accelerator,
        "precision": choose_precision("auto", accelerator),
        "CPU threads": str(torch.get_num_threads()),
    }
    built_for = (
        f"CUDA {torch.version.cuda}"
        if torch.version.cuda
        else f"ROCm {torch.version.hip}"
        if torch.version.hip
        else "the CPU only"
    )
    facts["torch built for"] = built_for
    for i in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(i)
        facts[f"GPU {i}"] = (
            f"{gpu.name}, {gpu.total_memory / 2**30:.1f} GiB, compute capability {gpu.major}.{gpu.minor}"
        )
    if complaints:  # such as a driver that is too old
        facts["complaints"] = "; ".join(" ".join(str(complaint.message).split()) for complaint in complaints)
    return facts
