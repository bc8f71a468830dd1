"""Natural mistakes on the command line: what each is answered, and that the answer works when it is followed.

Each row is typed in a folder that has a run, ``runs/a``, of the plugin and the dataset in ``tiny.py``, and
photos. The answer must have the advice in it, and what is typed next has the advice in it, too.
"""

from __future__ import annotations

import re
import shlex
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.cli import main

TRAIN = "train --plugin tiny.py --data tiny.py --out new"
SHORT = f"{TRAIN} --steps 1"


@dataclass(frozen=True)
class Mistake:
    """What is typed, the advice that the answer gives, what is typed next, and what then comes.

    Attributes:
        typed: words behind ``toolkit``.
        advice: stands in the answer, and in ``followed``.
        followed: words behind ``toolkit`` that follow the advice.
        code: exit code of the mistake.
        then: what the output says after following, where it is another answer that only the machine or the
            data can give; empty when it must succeed.
    """

    typed: str
    advice: str
    followed: str
    code: int = 2
    then: str = ""


PLUGIN = "--plugin tiny.py"
RUN = f"runs/a {PLUGIN}"

MISTAKES = [
    # --- commands
    Mistake(f"predict {RUN} photos", "infer runs/a", "infer runs/a --plugin tiny.py photos"),
    Mistake(f"trian{SHORT[5:]}", SHORT, SHORT),
    Mistake(f"fit{SHORT[5:]}", SHORT, SHORT),
    Mistake(f"test {RUN}", f"eval {RUN}", f"eval {RUN}"),
    Mistake(f"val {RUN}", f"eval {RUN}", f"eval {RUN}"),
    Mistake(f"validate {RUN}", f"eval {RUN}", f"eval {RUN}"),
    Mistake("resume runs/a", "train --resume runs/a", "train --resume runs/a"),
    Mistake("export-onnx runs/a", "export runs/a --to onnx", f"export {RUN} --to onnx", then="Exportable"),
    Mistake("models", "plugins list", "plugins list"),
    Mistake("datasets", "data list", "data list"),
    Mistake("download shapes", "data get shapes", "data get shapes"),
    Mistake(
        "data chekc shapes count=2", "data check shapes", "data check shapes train=2 val=2 test=2 size=32"
    ),
    Mistake("data show shapes", "data info shapes", "data info shapes"),
    Mistake("plugins info unett", "unet", "plugins info unet"),
    Mistake("data info shaeps", "shapes", "data info shapes"),
    Mistake("completion csh", "tcsh", "completion tcsh"),
    # --- options
    Mistake(f"{TRAIN} --stesp 1", "--steps 1", SHORT),
    Mistake(f"{SHORT} --learning-rate 0.1", "--lr 0.1", f"{SHORT} --lr 0.1"),
    Mistake(f"{SHORT} --bs 2", "--batch-size 2", f"{SHORT} --batch-size 2"),
    Mistake(f"{SHORT} --momentum 0.8", "train.momentum=0.8", f"{SHORT} train.momentum=0.8"),
    Mistake(f"{SHORT} --weight-decay=0.01", "train.weight_decay=0.01", f"{SHORT} train.weight_decay=0.01"),
    Mistake(f"{SHORT} --width 2", "model.width=2", f"{SHORT} model.width=2"),
    Mistake(f"{SHORT} --count 5", "data.options.count=5", f"{SHORT} data.options.count=5"),
    Mistake(f"{SHORT} --accelerator cpu", "--device cpu", f"{SHORT} --device cpu"),
    Mistake(f"{SHORT} --gpu 0", "--device cuda:0", f"{SHORT} --device cuda:0", then="cuda:0"),
    Mistake(f"{SHORT} --output new", "--out new", SHORT),
    Mistake(f"infer {RUN} photos -o out", "--out out", f"infer {RUN} photos --out out"),
    Mistake(f"infer {RUN} photos --conf 0.5", "--draw-above 0.5", f"infer {RUN} photos --draw-above 0.5"),
    Mistake(f"infer {RUN} photos --width 4", "model.width=4", f"infer {RUN} photos model.width=4"),
    # --- settings
    Mistake(f"{SHORT} lrr=0.1", "train.lr", f"{SHORT} train.lr=0.1"),
    Mistake(f"{SHORT} train.stepz=1", "steps", f"{TRAIN} train.steps=1"),
    Mistake(f"{SHORT} data.count=3", "data.options.count", f"{SHORT} data.options.count=3"),
    Mistake(f"{SHORT} model.lr=0.1", "train.lr", f"{SHORT} train.lr=0.1"),
    Mistake(f"{SHORT} lr = 0.1", "lr=0.1", f"{SHORT} lr=0.1"),
    Mistake(f"{SHORT} lr 0.1", "lr=0.1", f"{SHORT} lr=0.1"),
    Mistake(f"{SHORT} train.lr: 0.1", "train.lr=0.1", f"{SHORT} train.lr=0.1"),
    Mistake(f"{SHORT} --epochs 1", "steps or epochs", f"{TRAIN} --epochs 1"),
    Mistake(f"{SHORT} train.device=gpu", "cuda", f"{SHORT} train.device=cuda", then="cuda"),
    Mistake(f"{SHORT} --lr fast", "expected a number", f"{SHORT} --lr 0.1"),
    Mistake(f"eval {RUN} train.lr=1", "evaluators", f"eval {RUN} evaluators.iou={{}}"),
    Mistake(
        f"eval {RUN} vod=false_positive", "evaluators.iou.void", f"eval {RUN} evaluators.iou.void=ignore"
    ),
    Mistake("summary tiny.py model.widht=3", "width", "summary tiny.py model.width=3"),
    Mistake("settings train.lrr", "train.lr", "settings train.lr"),
    # --- words in the wrong place
    Mistake("train tiny.py --data tiny.py --out new --steps 1", "--plugin tiny.py", SHORT),
    Mistake("train runs/a", "--resume runs/a", "train --resume runs/a"),
    Mistake(f"{TRAIN[:-9]} --out runs/a", "--resume", f"{TRAIN[:-9]} --out runs/a --resume"),
    Mistake("train --resume runs/b", "runs/a", "train --resume runs/a"),
    Mistake("train --resume", "--resume RUN", "train --resume runs/a"),
    Mistake(
        "train --config unet-shape", "unet-shapes", "data preview shapes --config unet-shapes --out a.jpg"
    ),
    Mistake("eval", "RUN", f"eval {RUN}"),
    Mistake("eval runs/b --plugin tiny.py", "runs/a", f"eval {RUN}", code=1),
    Mistake(f"eval {RUN} --split tset", "val", f"eval {RUN} --split val"),
    Mistake("infer runs/a --plugin tiny.py", "PATH", f"infer {RUN} photos"),
    Mistake(f"infer {RUN} photo", "photos", f"infer {RUN} photos"),
    Mistake("photos", "infer RUN photos", f"infer {RUN} photos"),
    Mistake("infer photos runs/a --plugin tiny.py", "infer runs/a photos", f"infer {RUN} photos"),
    Mistake("train --plugin ./runs/a --data tiny.py", "--resume ./runs/a", "train --resume ./runs/a"),
    Mistake(
        "train --plugin tiny.py --data ./photos --out new",
        "--data-dir ./photos",
        f"{SHORT} --data-dir ./photos",
    ),
    Mistake(
        "data check ./photos",
        "--data-dir ./photos",
        "data check shapes --data-dir ./photos train=2 val=2 test=2",
    ),
    Mistake(f"infer --weights runs/a --source photos {PLUGIN}", "infer runs/a", f"infer {RUN} photos"),
    Mistake(f"infer --model runs/a --images photos {PLUGIN}", "infer runs/a", f"infer {RUN} photos"),
    Mistake(f"infer runs photos {PLUGIN}", "runs/a", f"infer {RUN} photos", code=1),
    Mistake(f"infer runs/a/best.pt photos {PLUGIN}", "runs/a", f"infer {RUN} photos", code=1),
    Mistake(f"infer {RUN} photos --out photos", "--out", f"infer {RUN} photos --out drawn"),
    Mistake(
        f"eval --checkpoint last {RUN}", "runs/a/last.safetensors", f"eval runs/a/last.safetensors {PLUGIN}"
    ),
    Mistake(f"eval {RUN} --val", "--split val", f"eval {RUN} --split val"),
    Mistake(f"eval {RUN} --metric iou", "evaluators.iou={}", f"eval {RUN} evaluators.iou={{}}"),
    Mistake(f"eval runs {PLUGIN}", "runs/a", f"eval {RUN}", code=1),
    Mistake(f"export {RUN} weights.pth", "--out weights.pth", f"export {RUN} --out weights.pth"),
    Mistake(f"export {RUN} --format onnx", "--to onnx", f"export {RUN} --to onnx", then="Exportable"),
    Mistake(f"export {RUN} --out weights.onnx", ".pth", f"export {RUN} --out weights.pth"),
    Mistake(
        f"track film.mp4 {RUN} --prompts p.csv",
        "track runs/a film.mp4",
        f"track {RUN} film.mp4 --prompts p.csv",
        then="cannot track",
    ),
    Mistake("data get shapes --out data", "--data-dir data", "data get shapes --data-dir data"),
    Mistake("data get https://example.org/shapes.zip", "shapes", "data get shapes"),
    Mistake(
        "data convert shapes --format coco --out new train=2 val=2 test=2",
        "--to coco",
        "data convert shapes --to coco --out new train=2 val=2 test=2",
    ),
    Mistake("data list shapes", "data info shapes", "data info shapes"),
    Mistake("train --plugin Tiny --data tiny.py --out new --steps 1", "'tiny'", f"{SHORT} --plugin 'tiny'"),
    Mistake("plugins info U-Net", "unet", "plugins info unet"),
    Mistake(
        "train --plugin tiny.py --data photos --out new",
        "--data-dir photos",
        f"{SHORT} --data-dir photos",
    ),
    Mistake(f"{SHORT} lr=0,1", "expected a number", f"{SHORT} lr=0.1"),
    Mistake(f"{SHORT} augment=mirror", "flip", f"{SHORT} augment=flip"),
    Mistake("train help", "train --help", "settings train"),
    Mistake("help data", "data --help", "data list"),
    Mistake("settings --section train", "settings train", "settings train"),
    # --- files that are something else
    Mistake(f"{SHORT} --weights yolo.pt", "plugins list", "plugins list", code=1),
    Mistake("eval yolo.pt", "plugins list", "plugins list", code=1),
    Mistake(f"{SHORT} --weights labels.txt", "weights=none", f"{SHORT} weights=none", code=1),
    Mistake(f"{SHORT} --weights my.yaml", "--config my.yaml", "train --config my.yaml --out new", code=1),
]


ULTRALYTICS = b"\x80\x02}X\x05\x00\x00\x00modelcultralytics.nn.tasks\nDetectionModel\n)\x81s."
"""The pickle of a dictionary with a model of that class, as Ultralytics writes it."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all is typed; what a line leaves there is taken away before the next."""
    home = tmp_path_factory.mktemp("typing") / "home"
    home.mkdir()
    shutil.copy(Path(__file__).parents[1] / "support" / "tiny.py", home)
    (home / "photos").mkdir()
    cv2.imwrite(str(home / "photos" / "a.png"), np.full((16, 16, 3), 90, np.uint8))
    (home / "labels.txt").write_text("0 0.5 0.5 0.1 0.2\n")
    (home / "my.yaml").write_text("plugin: tiny.py\ndata: {name: tiny.py}\ntrain: {steps: 1, workers: 0}\n")
    with zipfile.ZipFile(home / "yolo.pt", "w") as file:
        file.writestr("yolo/data.pkl", ULTRALYTICS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(shlex.split(f"{SHORT} --out runs/a")) == 0
    shutil.copytree(home, home.parent / "as it was")
    return home


@pytest.fixture
def typing(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Types a line in the folder as it was."""

    def type_line(line: str) -> int:
        monkeypatch.chdir(home.parent)
        shutil.rmtree(home)
        shutil.copytree(home.parent / "as it was", home)
        monkeypatch.chdir(home)
        # as if it were installed, since code that only a run names is not run
        registry.add_path(home / "tiny.py")
        return main(shlex.split(line))

    return type_line


def test_there_are_thirty_and_more() -> None:
    assert len({mistake.typed for mistake in MISTAKES}) >= 30


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.typed[:60])
def test_each_mistake_gets_advice_that_works(
    mistake: Mistake, typing: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert typing(mistake.typed) == mistake.code
    answer = capsys.readouterr().err
    assert "Traceback" not in answer
    assert mistake.advice in answer
    if not mistake.followed:
        return
    assert mistake.advice in mistake.followed or re.search(r"[A-Z ]", mistake.advice)
    code = typing(mistake.followed)
    after = capsys.readouterr()
    if mistake.then:
        assert code != 0
        assert mistake.then in after.err
    else:
        assert code == 0, after.err


WORKS = [
    f"{TRAIN} --epochs 1",
    f"{SHORT} --lr 0.1",
    f"{SHORT} lr=0.1",
    f"{SHORT} --batch_size 2",
    f"{TRAIN} --epoch 1",
    f"{SHORT} --device cpu --workers 0 --weights none --seed 3",
    f"{TRAIN} count=4 steps=1 width=2",
    f"{SHORT} iou.void=ignore",
    f"{SHORT} augment=flip",
    f"{SHORT} augment=[flip,color]",
    f"{SHORT} augment=none",
    "train plugin=tiny.py data=tiny.py steps=1 --out new",
    "train --resume runs/a steps=2",
    "train --resume runs/a/last.safetensors --steps 2",
    "train --config runs/a --out new",
    f"eval {RUN}",
    f"eval {RUN} width=4 --json",
    f"infer {RUN} photos",
    f"infer {RUN} --workers 0 photos width=4",
    f"infer {RUN} --device cpu photos/a.png",
    "data check tiny.py count=3",
    "data check tiny.py data.options.count=3",
    "summary tiny.py width=3",
    "summary tiny.py model.width=3",
    "compare runs/a runs/a --plugin tiny.py count=3 iou.void=ignore --resamples 2",
    "train --traceback --plugin tiny.py --data tiny.py --steps 1",
]


@pytest.mark.parametrize("line", WORKS)
def test_what_is_natural_works(
    line: str,
    typing: Callable[[str], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # of compare, which takes a process for each run
    monkeypatch.setattr("toolkit.evaluation.compare.predicting_memory", lambda *args, **kwargs: None)
    assert typing(line) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["infer", "~nobody-here/run", "photos"],
        ["eval", "~nobody-here/run"],
        ["compare", "~nobody-here/a", "~nobody-here/b"],
        ["summary", "~nobody-here/run"],
        ["export", "~nobody-here/run"],
        ["train", "--plugin", "unet", "--data", "masks", "--data-dir", "~nobody-here/data"],
        ["train", "--plugin", "~nobody-here/net.py", "--data", "shapes"],
        ["train", "--config", "~nobody-here/a.yaml"],
        ["train", "--resume", "~nobody-here/run"],
        ["train", "--plugin", "unet", "--data", "shapes", "weights=~nobody-here/w.pth", "--out", "{out}"],
        ["data", "check", "masks", "--data-dir", "~nobody-here/data"],
        ["data", "convert", "coco", "--data-dir", "~nobody-here/data", "--to", "yolo", "--out", "{out}"],
        ["data", "sample", "voc", "--data-dir", "~nobody-here/data"],
    ],
    ids=" ".join,
)
def test_the_folder_of_a_user_that_is_not_there(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(out=tmp_path / "out") for word in words]) in (1, 2)
    said = capsys.readouterr()
    assert "Hint: " in said.err + said.out
