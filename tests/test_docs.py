"""The documentation says what is so: its code runs, its commands parse, its settings exist, its links lead
somewhere.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import sys
import tomllib
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import toolkit
from toolkit.cli import COMMANDS, build_parser, main, parse
from toolkit.config import resolve
from toolkit.registry.discovery import ENTRY_POINT_GROUPS, VARIABLES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FEW = ["train.steps=2", "train.batch_size=2", "train.workers=0", "train.device=cpu"]
SMALL = ["data.options.size=32", "data.options.train=8", "data.options.val=2"]


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def files_in(page: Path, language: str) -> dict[str, str]:
    """The blocks that say in their first line which file they are."""
    found = {}
    for block in fenced(page, language):
        name = re.match(r"# file: (\S+)\n", block)
        if name:
            found[name[1]] = block
    return found


def commands() -> list[str]:
    lines = (line for page in PAGES for block in fenced(page, "sh") for line in block.splitlines())
    return [line.split("  #")[0].strip() for line in lines if line.startswith("toolkit ")]


def script(name: str) -> ModuleType:
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return script("generate")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every file that README.md and docs/plugins.md show, to work in."""
    monkeypatch.chdir(tmp_path)
    for page in (ROOT / "README.md", ROOT / "docs" / "plugins.md"):
        for name, text in files_in(page, "python").items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


# --- the code runs ---


def train(plugin: str, data: str, out: str, *words: str) -> None:
    assert main(["train", "--plugin", plugin, "--data", data, "--out", out, *FEW, *words]) == 0
    assert Path(out, "best.safetensors").is_file()


@pytest.mark.parametrize("plugin", ["tinynet.py", "smallnet.py", "colornet.py", "./mynet"])
def test_each_plugin_that_is_shown_trains(folder: Path, plugin: str) -> None:
    train(plugin, "shapes", "run", *SMALL)


def test_nothing_that_is_shown_goes_untested(folder: Path) -> None:
    shown = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    plugins = {"tinynet.py", "smallnet.py", "colornet.py", "mynet/__init__.py", "mynet/model.py"}
    assert shown == {*plugins, "binary_masks.py", "presence.py", "depth_task.py", "test_smallnet.py"}


def test_the_contract_that_is_shown_holds(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("test_smallnet", folder / "test_smallnet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        module.TestSmallNet().test_save_and_load()
        with pytest.raises(unittest.SkipTest, match="a semantic model predicts no objects"):
            module.TestSmallNet().test_masks_and_boxes_agree()
    finally:
        del sys.modules[spec.name]


def test_the_task_that_is_shown_draws_and_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "check", "depth_task.py"]) == 1
    assert "depth-error" in capsys.readouterr().out, (
        "all that is missing is the evaluator, which is not shown"
    )
    monkeypatch.syspath_prepend(str(folder))
    module = importlib.import_module("depth_task")
    values = torch.tensor([[0.0, 1.0], [2.0, float("nan")]])
    prediction = toolkit.Prediction("a", (2, 2), extras={"depth": toolkit.PixelMap(values)})
    picture = module.draw(np.zeros((2, 2, 3), np.uint8), prediction, (), None, 10)
    assert picture.shape == (2, 2, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 3
    assert module.write(prediction, folder, "a", None) == {"depth": "depth/a.npy"}
    np.testing.assert_array_equal(np.load(folder / "depth" / "a.npy"), values.numpy())


def test_the_dataset_that_is_shown_reads_checks_and_trains(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for sub in ("photos", "masks"):
        Path("set", sub).mkdir(parents=True)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(f"set/photos/{i}.jpg")
        Image.fromarray(np.where(rng.random((40, 30)) < 0.5, 0, 255).astype(np.uint8)).save(
            f"set/masks/{i}.png"
        )
    assert main(["data", "check", "binary_masks.py", "--data-dir", "set", "val_every=3"]) == 0
    shown = capsys.readouterr().out
    assert "train: 4 samples" in shown
    assert "val: 2 samples" in shown
    train("smallnet.py", "binary_masks.py", "run", "data.dir=set")


def test_the_evaluator_that_is_shown_measures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("smallnet.py", "shapes", "run", *SMALL)
    capsys.readouterr()
    words = [
        "eval",
        "run",
        "--data",
        "shapes",
        "--plugin",
        "smallnet.py",
        "--plugin",
        "presence.py",
        "--json",
        "--device",
        "cpu",
    ]
    assert main([*words, "--workers", "0", "evaluators.presence.min_pixels=1"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert 0 <= metrics["presence_accuracy"] <= 1
    assert "mean_iou" in metrics


def test_parts_of_the_evaluator_that_is_shown_merge_to_the_whole(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("docs_presence", "presence.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    evaluators = [module.build(module.PresenceSettings(min_pixels=1), ("a", "b", "c")) for _ in range(3)]
    rng = np.random.default_rng(1)
    for i in range(6):
        truth, guess = (toolkit.Sample("s", _image(), label_map=_label_map(rng)) for _ in range(2))
        prediction = toolkit.Prediction("s", guess.size, label_map=guess.label_map)
        for evaluator in (evaluators[0], evaluators[1 + i % 2]):
            evaluator.update([truth], [prediction])
    parts = [evaluator.state() for evaluator in evaluators[1:]]
    evaluators[1].merge(parts)
    assert evaluators[1].report() == evaluators[0].report()
    assert 0 < evaluators[0].report().metrics["presence_accuracy"] < 1


def _image() -> object:
    import torch

    return torch.zeros((3, 2, 2), dtype=torch.uint8)


def _label_map(rng: np.random.Generator) -> object:
    import torch

    return torch.from_numpy(rng.integers(0, 3, (2, 2), dtype=np.uint8))


def test_python_use_works_as_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("tinynet.py", "shapes", "runs/unet-msrc", *SMALL)
    for name in ("deeplabv3-msrc", "unet-shapes"):
        shutil.copytree("runs/unet-msrc", Path("runs", name))
    picture = np.zeros((20, 30, 3), np.uint8)
    cv2.imwrite("photo.jpg", picture)
    readme = [block for block in fenced(ROOT / "README.md", "python") if "toolkit.load" in block]
    training, predicting, measuring = fenced(ROOT / "docs" / "python.md", "python")
    (explaining,) = fenced(ROOT / "docs" / "explaining.md", "python")
    (exporting,) = fenced(ROOT / "docs" / "exporting.md", "python")
    names: dict[str, object] = {"one_more": picture}
    for block in [*readme, predicting]:
        exec(compile(block, "documentation", "exec"), names)
    assert Path("drawn.jpg").is_file()
    assert json.loads(Path("one.json").read_text())["images"][0]["file_name"] == "photo.jpg"
    capsys.readouterr()
    exec(compile(measuring, "documentation", "exec"), names)
    assert "%" in capsys.readouterr().out
    exec(compile(explaining.replace('"cow"', '"star"'), "documentation", "exec"), names)
    assert capsys.readouterr().out.startswith("torch.Size([20, 30]) ")
    assert names["summary"].done == 1  # type: ignore[attr-defined]
    assert len(names["comparison"].runs) == 2  # type: ignore[attr-defined]
    assert names["one"].label_map.shape == (20, 30)  # type: ignore[attr-defined]
    assert len(names["several"]) == 2  # type: ignore[arg-type]
    assert set(names["names"]) <= {"background", "circle", "triangle", "square", "ring", "star"}  # type: ignore[call-overload]
    shown = '{"train.steps": 500, "train.seed": 1}'
    assert shown in training
    words = {key: yaml.safe_load(value) for key, _, value in (w.partition("=") for w in [*FEW, *SMALL])}
    quick = training.replace(shown, repr(words | {"model.width": 4}))
    exec(compile(quick, "documentation", "exec"), names)
    assert names["result"].run == Path("runs/seed-1")  # type: ignore[attr-defined]
    exec(compile(exporting, "documentation", "exec"), names)
    assert names["predictor"].run == Path("exports/unet")  # type: ignore[attr-defined]


def test_prompting_by_hand_works_as_shown(folder: Path) -> None:
    pytest.importorskip("sam2")
    train(
        "sam2",
        "shapes",
        "runs/sam2-labpics",
        *SMALL,
        "weights=none",
        "model.size=toy",
        "model.prompts=mix",
        "train.epochs=null",
        "train.eval_first=false",
    )
    cv2.imwrite("photo.jpg", np.zeros((300, 400, 3), np.uint8))
    (block,) = fenced(ROOT / "docs" / "inference.md", "python")
    names: dict[str, object] = {"toolkit": toolkit}
    exec(compile(block, "documentation", "exec"), names)
    assert names["mask"].shape == (300, 400)  # type: ignore[attr-defined]
    assert len(names["found"]) == 2  # type: ignore[arg-type]


def test_the_recipe_that_is_shown_is_accepted(tmp_path: Path) -> None:
    (recipe,) = files_in(ROOT / "docs" / "training.md", "yaml").items()
    path = tmp_path / recipe[0]
    path.write_text(recipe[1], encoding="utf-8")
    settings = resolve(config=path)
    assert settings.plugin == "unet"
    assert len(settings.augment) == 4


def test_the_entry_point_that_is_shown_is_the_manifest(folder: Path) -> None:
    (text,) = files_in(ROOT / "docs" / "plugins.md", "toml").values()
    groups = tomllib.loads(text)["project"]["entry-points"]
    assert set(groups) <= set(ENTRY_POINT_GROUPS.values())
    ((name, target),) = groups["toolkit.plugins"].items()
    module, _, variable = target.partition(":")
    assert f'{variable} = PluginManifest(\n    name="{name}"' in (folder / module / "__init__.py").read_text(
        encoding="utf-8"
    )
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for word in (*ENTRY_POINT_GROUPS.values(), *VARIABLES.values()):
        assert f"`{word}`" in page


# --- the words are right ---


def test_every_command_line_parses() -> None:
    assert len(commands()) >= 20
    for line in commands():
        assert parse(shlex.split(line)[1:]).command in COMMANDS, line


def test_every_option_that_is_named_exists() -> None:
    known = {option for parser in _parsers(build_parser()) for option in parser._option_string_actions}
    named = {word for page in PAGES for word in re.findall(r"`[^`\n]*?(--[a-z][a-z-]*)", _prose(page))}
    assert len(named) >= 15
    others = {"--logdir", "--no-build-isolation", "--nodes", "--ntasks-per-node"}
    others |= {"--local-addr", "--max-restarts", "--rdzv-conf", "--rdzv-endpoint"}
    assert named - known == others, "the options of tensorboard, pip, torchrun and SLURM, and no others"


def _parsers(parser: object) -> Iterator[object]:
    yield parser
    for action in parser._actions:  # type: ignore[attr-defined]
        if isinstance(action.choices, dict):
            for child in action.choices.values():
                yield from _parsers(child)


def test_every_command_that_is_named_exists() -> None:
    named = {word for page in PAGES for word in re.findall(r"`toolkit ([a-z]+)", _prose(page))}
    assert len(named) >= 5
    assert named <= set(COMMANDS)


def test_every_setting_that_is_named_exists(generate: ModuleType) -> None:
    known = set(re.findall(r"^\| `([a-z_.]+)`", generate.settings_reference(), re.MULTILINE))
    known |= {"evaluators.presence.min_pixels", "data.options.val_every"}  # of the examples
    known |= {key.rpartition(".")[0] for key in known}
    named = set()
    for page in PAGES:
        text = re.sub(
            r"^```text\n.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
        ).replace("\\_", "_")
        words = re.findall(r"(?<![\w./-])((?:train|data|model|evaluators)\.[a-z_.]*[a-z_])\b(?!\()", text)
        named |= {
            word
            for word in words
            if not word.endswith((".md", ".py", ".txt", ".yaml", ".json", ".xml", ".log"))
        }
    assert len(named) >= 30
    assert named - known == set()


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_every_link_leads_somewhere() -> None:
    count = 0
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
            if target.startswith("https://"):
                continue
            count += 1
            name, _, anchor = target.partition("#")
            path = page if not name else (page.parent / name).resolve()
            assert path.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in _anchors(path), f"{page.name} links to {target}"
    assert count >= 20


def test_every_page_of_the_site_is_in_its_menu_and_its_links_lead_to_pages(tmp_path: Path) -> None:
    site = script("site")
    folder = tmp_path / "site"
    site.collect(folder)
    pages = {path.relative_to(folder).as_posix() for path in folder.rglob("*.[mr][ds]*")}
    assert {"index.md", "using.md", "plugins/sam2.md", "datasets/coco.md"} <= pages
    assert {"reference/toolkit.types.rst", "reference/index.rst"} <= pages
    listed = re.findall(r"^[\w/-]+$", site.menus(), re.MULTILINE)
    assert sorted(listed) == sorted(
        page.rpartition(".")[0]
        for page in pages
        if not page.startswith("reference/toolkit") and page != "index.md"
    )
    in_reference = (folder / "reference" / "index.rst").read_text(encoding="utf-8")
    assert all(
        page.removeprefix("reference/").removesuffix(".rst") in in_reference
        for page in pages
        if page.startswith("reference/toolkit")
    )
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)\s]+)\)", _prose(folder / page))
        if not target.startswith(("https://", "#"))
    ]
    assert len(links) >= 40
    for page, target in links:
        assert ((folder / page).parent / target.partition("#")[0]).is_file(), f"{page} links to {target}"


def _anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("name", "write"), [("settings.md", "settings_reference"), ("cli.md", "cli_reference")]
)
def test_the_references_are_up_to_date(generate: ModuleType, name: str, write: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == getattr(generate, write)(), (
        f"docs/{name} is out of date. Hint: .venv/bin/python docs/generate.py"
    )


def test_the_references_tell_what_everything_is(generate: ModuleType) -> None:
    for line in (generate.settings_reference() + generate.cli_reference()).splitlines():
        if line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert all(cells), f"a cell is empty: {line}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1400
