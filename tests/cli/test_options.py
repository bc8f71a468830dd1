"""Arguments that commands share: what they take, and what they refuse."""

from __future__ import annotations

import argparse

import pytest

from toolkit import registry
from toolkit.cli.options import (
    add_data_arguments,
    add_plugin_files_argument,
    add_settings_argument,
    load_plugin_files,
    model_settings,
    natural,
    positive,
)
from toolkit.errors import ConfigError, UsageError


def test_whole_numbers_from_0_and_from_1() -> None:
    assert (natural("0"), natural("12"), positive("1")) == (0, 12, 1)
    for kind, least, wrong in (
        *((natural, 0, text) for text in ("-1", "1.5", "many", "")),
        *((positive, 1, text) for text in ("0", "-3", "1e3", "nan")),
    ):
        with pytest.raises(argparse.ArgumentTypeError) as caught:
            kind(wrong)
        assert str(caught.value) == f"expected a whole number of {least} or more, not {wrong!r}"


def test_settings_of_the_model_alone() -> None:
    assert model_settings([]) == {}
    assert model_settings(["model.width=3", "model.head.norm=none"]) == {"width": 3, "head": {"norm": "none"}}
    with pytest.raises(UsageError, match=r"settings of data, train have no effect here\. Hint: use model\."):
        model_settings(["train.steps=3", "model.width=3", "data.dir=x"])
    with pytest.raises(ConfigError, match="expected key=value"):
        model_settings(["width"])


def test_arguments_as_they_are_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_data_arguments(parser, required=True)
    add_plugin_files_argument(parser)
    add_settings_argument(parser)
    given = parser.parse_args(["--data", "voc", "--plugin", "a.py", "--plugin", "b.py", "x=1", "y.z=2"])
    assert vars(given) == {
        "data": "voc",
        "data_dir": None,
        "plugin": ["a.py", "b.py"],
        "settings": ["x=1", "y.z=2"],
    }
    with pytest.raises(SystemExit):
        parser.parse_args(["x=1"])
    assert "--data" in capsys.readouterr().err


def test_files_of_plugins_are_entered(tiny: str) -> None:
    assert "tiny" not in registry.plugins().names()
    load_plugin_files(argparse.Namespace(plugin=[tiny]))
    assert "tiny" in registry.plugins().names()
    with pytest.raises(UsageError, match=r"no plugin at .*absent\.py"):
        load_plugin_files(argparse.Namespace(plugin=["absent.py"]))
