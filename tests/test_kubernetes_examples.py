"""The files for Kubernetes in docs/machines.md: their commands are ours, and, where kubernetes-validate is
installed (108 MB), they follow the schemas of Kubernetes; of KubeRay's RayJob, the pods.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit.cli import parse

PAGE = Path(__file__).resolve().parents[1] / "docs" / "machines.md"
VERSION = "1.37"


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    """By kind."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = {each["kind"]: each for block in blocks for each in yaml.safe_load_all(block)}
    assert set(found) == {"Service", "Job", "RayJob"}
    return found


def test_their_commands_are_ours(documents: dict[str, dict[str, Any]]) -> None:
    ray = parse(shlex.split(documents["RayJob"]["spec"]["entrypoint"])[1:])
    assert (ray.ray, ray.resume) == ("auto", True)
    (container,) = documents["Job"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["-m", "toolkit"]
    trained = parse(container["args"][2:])
    assert int(trained.num_nodes) == documents["Job"]["spec"]["completions"]
    assert trained.resume is True, "pods are started again"
    launched = set(container["command"])
    assert {f"--nnodes={trained.num_nodes}", f"--nproc-per-node={trained.devices}"} < launched
    assert container["resources"]["limits"]["nvidia.com/gpu"] == int(trained.devices)


def test_the_first_pod_is_where_the_others_look_for_it(documents: dict[str, dict[str, Any]]) -> None:
    job, service = documents["Job"], documents["Service"]
    name = job["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    launched = job["spec"]["template"]["spec"]["containers"][0]["command"]
    meeting = f"--rdzv-endpoint={name}-0.{service['metadata']['name']}:"
    assert sum(word.startswith(meeting) for word in launched) == 1


def pods(documents: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    spec = documents["RayJob"]["spec"]["rayClusterSpec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    common = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}}
    return [{**common, "template": group["template"]} for group in groups]


def test_they_follow_the_schemas(documents: dict[str, dict[str, Any]]) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for each in (documents["Service"], documents["Job"], *pods(documents)):
        schemas.validate(each, VERSION, strict=True)
        (key,) = {"spec", "template"} & set(each)
        wrong = {**each, key: {**each[key], "unknown": 1}}
        with pytest.raises(schemas.ValidationError, match="unknown"):
            schemas.validate(wrong, VERSION, strict=True)
