"""Manifests: what a wrong one says, and what those of the toolkit have to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest
from manifest_cases import manifest

from toolkit import registry
from toolkit.errors import UsageError
from toolkit.registry.manifests import DatasetManifest, Download, EvaluatorManifest, Weights


def test_too_old_a_requirement_says_what_is_there() -> None:
    assert manifest(requires=("numpy>=999",)).missing_requirements()[0].startswith("numpy>=999 (installed: ")
    assert manifest(requires=("numpy>=1",)).missing_requirements() == []


def test_checksums_must_be_checksums() -> None:
    with pytest.raises(UsageError, match="64 hex digits"):
        Download("https://example.org/a.zip", "abc", 3)
    assert Download("https://example.org/a.zip", "0" * 64, 3).name == "a.zip"


def test_manifests_of_datasets_are_complete() -> None:
    found = list(registry.datasets())
    assert len(found) >= 3
    for each in found:
        assert isinstance(each, DatasetManifest)
        assert each.tasks
        assert each.license, each.name
        assert each.val_split in each.splits
        assert each.layout or not each.needs_folder, each.name


def dataset(**values: object) -> DatasetManifest:
    fields: dict = {
        "name": "cats",
        "summary": "cats",
        "build": ".reader:build",
        "tasks": ("instance",),
    } | values
    return DatasetManifest(**fields)


def evaluator(**values: object) -> EvaluatorManifest:
    fields: dict = {"name": "ap", "summary": "average precision", "build": ".ap:build"} | values
    return EvaluatorManifest(**fields)


KINDS = {"plugin": manifest, "dataset": dataset, "evaluator": evaluator}


@pytest.mark.parametrize(("kind", "build"), KINDS.items(), ids=KINDS)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "My Net"},
            "name 'My Net' must be lower-case letters, digits, '-' and '_', such as 'my-net'",
        ),
        ({"name": "-net"}, "name '-net' must be lower-case letters"),
        ({"name": "nét"}, "name 'nét' must be lower-case letters"),
        ({"name": "net\n"}, r"name 'net\n' must be lower-case letters"),
        ({"name": ""}, "name '' must be lower-case letters"),
        ({"name": 7}, "name 7 must be lower-case letters"),
        ({"summary": ""}, "needs a summary of one line"),
        ({"build": ""}, "build must read 'module:object', not ''"),
        ({"build": "toolkit.net.build"}, "build must read 'module:object', not 'toolkit.net.build'"),
        ({"build": "net:build:again"}, "build must read 'module:object', not 'net:build:again'"),
        ({"build": "net/model.py:build"}, "build must read 'module:object', not 'net/model.py:build'"),
        ({"settings": "Settings"}, "settings must read 'module:object', not 'Settings'"),
    ],
    ids=str,
)
def test_what_all_kinds_refuse(
    kind: str, build: Callable[..., object], values: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build(**values)
    assert str(caught.value).startswith(kind)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: manifest(weights=(Weights("coco", "MIT", "a paper"), Weights("voc", "MIT", "a paper"))),
            "plugin 'net': the weights coco, voc need a download or load_weights",
        ),
        (
            lambda: dataset(sample="sample.py"),
            "dataset 'cats': sample must read 'module:object', not 'sample.py'",
        ),
        (
            lambda: Download("https://example.org/a.zip", "F" * 64, 3),
            f"Download https://example.org/a.zip: sha256 must be 64 hex digits, not '{'F' * 64}'",
        ),
        (lambda: Download("https://example.org/a.zip", "", 3), "sha256 must be 64 hex digits, not ''"),
        (lambda: Download("https://example.org/a.zip", "0" * 63, 3), "sha256 must be 64 hex digits"),
    ],
)
def test_what_one_kind_refuses(build: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build()
    assert message in str(caught.value)


def test_weights_come_by_a_download_or_by_the_plugin() -> None:
    file = Download("https://example.org/weights.pth?x=1", "0" * 64, 3, filename="weights.pth")
    assert file.name == "weights.pth"
    for given in (
        manifest(weights=(Weights("coco", "MIT", "a paper", file),)),
        manifest(weights=(Weights("coco", "MIT", "a paper"),), load_weights=".weights:load"),
    ):
        assert [weights.name for weights in given.weights] == ["coco"]


def test_manifests_are_frozen_and_told_apart_by_kind() -> None:
    for kind, build in KINDS.items():
        made = build()
        assert made.kind == kind
        with pytest.raises(FrozenInstanceError):
            made.name = "other"  # type: ignore[misc]


def test_a_hint_can_be_given_or_is_made_from_the_requirements() -> None:
    assert manifest(requires=("a>=1", "b")).install_line() == "pip install 'a>=1' 'b'"
    assert manifest(requires=("a>=1",), install="conda install a").install_line() == "conda install a"
    assert manifest(requires=("no-such-distribution>=2",)).missing_requirements() == [
        "no-such-distribution>=2 (not installed)"
    ]
