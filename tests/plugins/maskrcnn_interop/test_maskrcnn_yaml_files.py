from __future__ import annotations

from pathlib import Path

import pytest
from toolkit.plugins.maskrcnn.interop.yaml_files import Given, read_config

from toolkit.errors import ConfigError


def test_files_in_a_circle_are_named(tmp_path: Path) -> None:
    for name, base in (("a", "b"), ("b", "c"), ("c", "b")):
        (tmp_path / f"{name}.yaml").write_text(f"_BASE_: {base}.yaml\n")
    with pytest.raises(
        ConfigError, match=r"b\.yaml includes itself through _BASE_: .*b\.yaml -> .*c\.yaml -> .*b\.yaml"
    ):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_BASE_: absent.yaml", r"absent\.yaml"),
        ("_BASE_: https://elsewhere/base.yaml", "must refer to local files"),
        ("_BASE_: [3]", "must refer to local files, not 3"),
        ("- a list", r"file\.yaml"),
        ("MODEL: {", r"file\.yaml"),
        ("SEED: 1\nSEED: 2", r"file\.yaml.*SEED"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "file.yaml")


def test_a_base_is_relative_to_the_file_that_names_it_and_later_ones_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "one.yaml").write_text("SEED: 1\nVIS_PERIOD: 1\nOUTPUT_DIR: one\n")
    (tmp_path / "inner" / "two.yaml").write_text("_BASE_: one.yaml\nSEED: 2\n")
    (tmp_path / "three.yaml").write_text("SEED: 3\nVIS_PERIOD: 3\n")
    (tmp_path / "all.yaml").write_text("_BASE_: [inner/two.yaml, ~/three.yaml]\nSEED: 4\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    given = read_config(tmp_path / "all.yaml")
    assert {key: value.value for key, value in given.items()} == {
        "SEED": 4,
        "VIS_PERIOD": 3,
        "OUTPUT_DIR": "one",
    }
    assert given["OUTPUT_DIR"].source.endswith("inner/one.yaml")


def test_given_values_say_where_they_come_from() -> None:
    assert str(Given((1, 2), "a.yaml")) == "[1, 2] (a.yaml)"
    assert str(Given("x")) == "'x' (Detectron2 default)"


CALL = "!!python/object/apply:os.system ['touch never']"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (f"A:\n  - 1\n  - x\nMODEL:\n  B: {{C: 1, D: [2, {{E: 3}}]}}\n  SIZES: {CALL}\n", 6, "MODEL.SIZES"),
        (f"SOLVER: {{STEPS: {CALL}}}\n", 1, "SOLVER.STEPS"),
        (f"&x A: &y [1]\n*x : *y\nLIST:\n- [{CALL}, 2]\n", 4, "LIST"),
        ("SEED: !!python/name:os.getcwd\n", 1, "SEED"),
        ("%TAG !p! tag:yaml.org,2002:python/\n---\nTEST:\n  AUG: !p!tuple [1, 2]\n", 4, "TEST.AUG"),
    ],
)
def test_code_is_refused_by_key_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "base.yaml"
    path.write_text(text)
    (tmp_path / "file.yaml").write_text("_BASE_: base.yaml\n")
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "file.yaml")
    assert str(caught.value).startswith(f"{path}, line {line}: {key} is Python code (!!python/")
    assert "which is never run. Hint: write its value into the file" in str(caught.value)
    assert not (tmp_path / "never").exists()


def test_code_in_a_file_of_another_network_is_not_worth_writing_out(tmp_path: Path) -> None:
    """As Detectron2's RetinaNet files."""
    path = tmp_path / "retina.yaml"
    path.write_text(
        "MODEL:\n  META_ARCHITECTURE: RetinaNet\n  ANCHOR_GENERATOR:\n"
        "    SIZES: !!python/object/apply:eval ['[[x, 2 * x] for x in [32, 64]]']\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value) == (
        f"{path}: MODEL.META_ARCHITECTURE: this network supports only 'GeneralizedRCNN', not 'RetinaNet'; and"
        " MODEL.ANCHOR_GENERATOR.SIZES (line 4) is Python code (!!python/object/apply:eval), which is never"
        " run. Hint: use a file of a Faster, Mask or Keypoint R-CNN with FPN"
    )


@pytest.mark.parametrize(
    "text",
    ["A: [python/x\n", "A: !!python/none\nB: [\n"],
)
def test_what_is_no_yaml_is_refused_whatever_code_is_in_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"file\.yaml"):
        read_config(tmp_path / "file.yaml")


def test_programs_are_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "mask_rcnn.py").write_text("raise SystemExit")
    with pytest.raises(ConfigError, match=r"mask_rcnn\.py is a Python program .* only YAML files"):
        read_config(tmp_path / "mask_rcnn.py")


def test_text_that_only_looks_like_code(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("OUTPUT_DIR: 'python/object'  # !!python/object/apply:eval\n")
    assert read_config(tmp_path / "file.yaml")["OUTPUT_DIR"].value == "python/object"
