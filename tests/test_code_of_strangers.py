"""Code is run where the user has named it as code, and nowhere else: not because a run, a checkpoint or a
file of settings names it, and not because it lies in the folder that one stands in.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from toolkit import registry
from toolkit.cli import main
from toolkit.config import resolve
from toolkit.errors import UnknownNameError, UsageError
from toolkit.evaluation.memory import predicting_memory
from toolkit.runtime.children import ROOT, isolated_children

FEW = ["train.steps=2", "train.workers=0", "train.device=cpu", "train.eval_every=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of built-in parts."""
    run = tmp_path_factory.mktemp("trained") / "run"
    small = ["data.options.size=32", "data.options.train=4", "data.options.val=2", "model.width=4"]
    words = ["train", "--plugin", "unet", "--data", "shapes", "--out", str(run), *FEW, *small]
    assert main([*words, "encoder=original_padded", "weights=none", "depth=2"]) == 0
    return run


@pytest.fixture
def evil(tmp_path: Path, tiny: str) -> Path:
    """A file that works as plugin and dataset, and leaves a mark when it is run."""
    file = tmp_path / "evil.py"
    mark = tmp_path / "ran"
    file.write_text(f"{Path(tiny).read_text()}\nopen({str(mark)!r}, 'w').close()\n")
    return file


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of a run, as if downloaded, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "downloaded"))


def ran(tmp_path: Path) -> bool:
    return (tmp_path / "ran").exists()


def set_config(run: Path, **changes: Any) -> None:
    path = run / "config.yaml"
    tree = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        (tree[section] if section else tree)[name] = value
    path.write_text(yaml.safe_dump(tree))


def set_manifest(run: Path, change: Any) -> None:
    for path in run.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            manifest = json.loads(file.metadata()["toolkit"])
        change(manifest)
        save_file(load_file(path), path, {"toolkit": json.dumps(manifest), "format": "pt"})


@pytest.mark.parametrize("key", ["plugin", "data__name"])
@pytest.mark.parametrize("way", ["resume", "config", "config file", "preview"])
def test_settings_of_a_run_name_code(
    run: Path, evil: Path, tmp_path: Path, way: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_config(run, **{key: str(evil)})
    (run / "__init__.py").write_text(evil.read_text())
    words = {
        "resume": ["train", "--resume", str(run)],
        "config": ["train", "--config", str(run), "--out", str(tmp_path / "new")],
        "config file": ["train", "--config", str(run / "config.yaml"), "--out", str(tmp_path / "new")],
        "preview": ["data", "preview", "shapes", "--config", str(run), "--out", str(tmp_path / "a.jpg")],
    }[way]
    code = main(words)
    if way == "preview" and key == "data__name":
        assert code in (0, 2), "the dataset is named on the command line"
    else:
        assert code == 2
        option = "--plugin" if key == "plugin" else "--data"
        assert f"which is not enough to run code. Hint: if you trust it, add {option} {evil}" in (
            capsys.readouterr().err
        )
    assert not ran(tmp_path)


def test_evaluators_of_a_run_name_code(run: Path, evil: Path, tmp_path: Path) -> None:
    set_config(run, evaluators={str(evil): {}})
    assert main(["train", "--resume", str(run)]) == 2
    set_manifest(run, lambda manifest: manifest["config"].update(evaluators={str(evil): {}}))
    assert main(["eval", str(run), "--device", "cpu", "--workers", "0"]) == 2
    assert main(["compare", str(run), str(run), "--device", "cpu", "--workers", "0"]) == 2
    assert not ran(tmp_path)


@pytest.mark.parametrize("command", ["eval", "compare"])
def test_a_checkpoint_names_code_as_its_data(
    run: Path, evil: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_manifest(run, lambda manifest: manifest["config"]["data"].update(name=str(evil)))
    runs = [str(run)] * (2 if command == "compare" else 1)
    assert main([command, *runs, "--device", "cpu", "--workers", "0"]) == 2
    assert f"add --data {evil}" in capsys.readouterr().err
    assert not ran(tmp_path)


@pytest.mark.parametrize("command", ["infer", "eval", "compare", "summary", "export", "train"])
def test_a_checkpoint_names_code_as_its_plugin(run: Path, evil: Path, tmp_path: Path, command: str) -> None:
    set_manifest(run, lambda manifest: manifest.update(plugin=str(evil)))
    rest = {
        "infer": [str(tmp_path), "--out", str(tmp_path / "out")],
        "compare": [str(run)],
        "export": ["--out", str(tmp_path / "w.pth")],
    }
    words = [command, str(run), *rest.get(command, [])]
    if command == "train":
        words = ["train", "--plugin", "unet", "--data", "shapes", f"weights={run}", *FEW]
        words += ["--out", str(tmp_path / "new"), "model.width=4", "encoder=original_padded", "depth=2"]
    main(words)
    assert not ran(tmp_path)


def test_the_folder_of_a_run_is_data_whatever_lies_in_it(
    run: Path, evil: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "__init__.py").write_text(evil.read_text())
    assert main(["summary", str(run), "--size", "32x32"]) == 0
    assert "plugin unet" in capsys.readouterr().out
    for words in (
        ["plugins", "check", str(run)],
        ["plugins", "info", str(run)],
        ["data", "check", str(run)],
        ["train", "--plugin", str(run), "--data", "shapes"],
        ["infer", str(run), str(tmp_path), "--plugin", str(run)],
    ):
        assert main(words) == 2, words
        assert "run" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"is the folder of a run, and code in it is never run"):
        registry.add_path(run)
    assert not ran(tmp_path)


def test_a_folder_that_is_not_said_to_be_code(
    evil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "strangenet"
    folder.mkdir()
    (folder / "__init__.py").write_text(evil.read_text())
    assert main(["summary", str(folder)]) == 2
    assert f"Hint: toolkit summary strangenet --plugin {folder}" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["infer", "run", "photos", "--plugin", "strangenet"]) == 2
    assert "to run the code in the folder strangenet, --plugin ./strangenet" in capsys.readouterr().err
    assert not ran(tmp_path)


def test_a_mistake_in_a_command_line_runs_nothing(
    evil: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", "run", str(evil), "--long-side", "512"]) == 2
    assert "has no option --long-side" in capsys.readouterr().err
    assert not ran(tmp_path)


def test_code_that_is_named_is_run_and_said_to_be(
    evil: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO", "toolkit")
    out = tmp_path / "mine"
    named = ["--plugin", str(evil), "--data", str(evil)]
    assert main(["train", *named, "--out", str(out), *FEW]) == 0
    assert ran(tmp_path)
    assert f"running the code in {evil}" in caplog.text
    registry.clear()
    (tmp_path / "ran").unlink()
    assert main(["train", "--resume", str(out), "train.steps=4", "train.device=cpu"]) == 2
    assert not ran(tmp_path)
    assert main(["train", "--resume", str(out), *named, "train.steps=4", "train.device=cpu"]) == 0
    registry.clear()
    assert main(["eval", str(out), *named, "--device", "cpu", "--workers", "0"]) == 0
    assert "mean_iou" in capsys.readouterr().out


def test_from_python_arguments_are_named_by_the_user_and_settings_are_not(evil: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"plugin: {evil}\ndata: {{name: {evil}}}\n")
    with pytest.raises(UnknownNameError, match="which is not enough to run code"):
        resolve(config=recipe)
    assert not ran(tmp_path)
    assert resolve(plugin=str(evil), data=str(evil), config=recipe).plugin == str(evil)
    assert ran(tmp_path)
    assert resolve(config=recipe).plugin == str(evil), "it has been run already, so nothing is"


TRAP = "open({mark!r}, 'w').close()\nraise SystemExit('the stranger was imported')\n"
SHADOWED = ("json", "torch", "random", "runpy", "struct", "numpy", "toolkit", "pickle", "yaml")


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in that holds modules by the names of those that everybody imports."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in SHADOWED:
        (folder / f"{name}.py").write_text(TRAP.format(mark=str(tmp_path / "ran")))
    (folder / "toolkit.py").unlink()
    (folder / "toolkit").mkdir()
    (folder / "toolkit" / "__init__.py").write_text(TRAP.format(mark=str(tmp_path / "ran")))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("trap")
def test_the_process_that_measures_memory_imports_nothing_from_here(trained: Path, tmp_path: Path) -> None:
    assert predicting_memory(trained, [], accelerator="cpu", precision="fp32") != 0
    assert not ran(tmp_path)


@pytest.mark.usefixtures("trap")
def test_spawned_processes_import_nothing_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As loader processes and those of distributed training are, on some systems. They take over the path of
    their parent, once they have imported what they need for that."""
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}{ROOT}{os.pathsep}{Path(__file__).parent}")
    with isolated_children():
        assert os.environ["PYTHONPATH"].split(os.pathsep)[0], "an empty entry is the folder one stands in"
        found = subprocess.run(
            [sys.executable, "-c", "import json, struct, toolkit; print(json.__file__, toolkit.__file__)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(os.getpid) != os.getpid()
    assert str(tmp_path) not in found
    assert not ran(tmp_path)
