"""``toolkit explain``: what it prints, writes and returns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.explained import save_run, write_photos
from support.small_settings import MODELS

from toolkit.cli import main

Explain = Callable[..., int]


@pytest.fixture
def explain(tmp_path: Path) -> Explain:
    """The command with a run of a plugin with random weights and two photos."""
    photos = write_photos(tmp_path / "photos")

    def run(name: str, *words: str, out: str = "out") -> int:
        if MODELS[name].manifest.missing_requirements():
            pytest.skip("its packages are not installed")
        folder = tmp_path / name
        if not folder.exists():
            save_run(name, folder)
        usual = ["--out", str(tmp_path / out), "--device", "cpu", "--draws", "0"]
        return main(["explain", str(folder), str(photos), *usual, *words])

    return run


def entries(out: Path) -> list[dict[str, object]]:
    images: list[dict[str, object]] = json.loads((out / "explanations.json").read_text())["images"]
    return images


@pytest.mark.parametrize(
    ("name", "words", "kind"),
    [
        ("unet", ("--method", "gradcam"), "class"),
        ("unet", ("--point", "5,7"), "region"),
        ("unet", ("--box", "2,3,20,15", "--method", "saliency"), "region"),
        ("deeplabv3", ("--class", "disc", "--precision", "bf16"), "class"),
        ("classifier", ("--method", "smoothgrad", "--samples", "2"), "class"),
        ("classifier", ("--method", "integrated-gradients", "--steps", "3", "--batch-size", "2"), "class"),
        ("maskrcnn", ("--object", "0", "--part", "mask", "model.roi.score_thresh_test=0"), "object"),
        ("maskrcnn", ("--layer", "res3", "model.roi.score_thresh_test=0"), "object"),
    ],
)
def test_each_family_is_explained(
    explain: Explain, tmp_path: Path, name: str, words: tuple[str, ...], kind: str
) -> None:
    if "disc" in words:
        words = tuple(MODELS[name].classes[1] if word == "disc" else word for word in words)
    assert explain(name, *words) == 0
    found = entries(tmp_path / "out")
    assert [entry["status"] for entry in found] == ["ok", "ok"]
    assert {entry["target"]["kind"] for entry in found} == {kind}  # type: ignore[index]
    assert (tmp_path / "out" / "sheet.jpg").is_file()


def test_prompts_are_given_by_point_or_box(explain: Explain, tmp_path: Path) -> None:
    assert explain("sam2", "--box", "4,4,30,20") == 0
    assert {entry["status"] for entry in entries(tmp_path / "out")} <= {"ok", "empty"}


def test_the_summary_counts_what_was_done(
    explain: Explain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    assert explain("unet") == 3
    out = capsys.readouterr().out
    assert out == (
        f"2 images explained, 1 skipped (explanations.json says why); results in {tmp_path / 'out'}\n"
    )


def test_images_without_objects_are_no_failure(
    explain: Explain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain("maskrcnn", "model.roi.score_thresh_test=1") == 0
    captured = capsys.readouterr()
    assert "0 images explained, 2 with nothing to explain" in captured.out
    assert "nothing to explain: 0.png: the model finds no objects here" in captured.err


def test_activations_are_drawn(explain: Explain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("unet", "--activations", "encoder.1") == 0
    assert "2 images drawn; results in" in capsys.readouterr().out
    assert (tmp_path / "out" / "activations" / "1.png").is_file()
    assert (tmp_path / "out" / "kernels.png").is_file()


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("unet", ("--class", "nosuch"), "the model has no class 'nosuch'; expected one of: "),
        ("unet", ("--method", "gradcma"), "did you mean 'gradcam'"),
        ("unet", ("--layer", "encoder.77"), "the model has no layer 'encoder.77'. Hint: "),
        ("unet", ("--layer", "encoder.1", "--method", "saliency"), "looks at no layer of your choice"),
        ("unet", ("--object", "0"), "predicts classes of pixels, not objects. Hint: leave out --object"),
        ("unet", ("--object", "-1"), "expected a whole number of 0 or more, not '-1'"),
        ("unet", ("--point", "5;7"), "expected X,Y in pixels, such as 120,80, without spaces, not '5;7'"),
        ("unet", ("--box", "5,7,nan,9"), "expected X0,Y0,X1,Y1 in pixels"),
        ("unet", ("--box", "9,9,3,3"), "box 9,9,3,3 has no area"),
        ("unet", ("--point", "1,2", "--object", "0"), "not allowed with argument"),
        ("unet", ("--method", "cam"), "ends in global average pooling and one linear layer"),
        ("unet", ("--activations", "nosuch"), "no layer 'nosuch'"),
        ("unet", ("--activations", "encoder.1", "--class", "disc"), "so --class has no effect. Hint: "),
        ("sam2", (), "needs a prompt, whose answer is explained. Hint: give --point X,Y or --box"),
        ("classifier", ("--point", "3,4"), "the class of a whole image. Hint: leave out --point"),
    ],
)
def test_wrong_requests_say_what_to_do(
    explain: Explain,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    words: tuple[str, ...],
    message: str,
) -> None:
    assert explain(name, *words) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert message in error
    assert not (tmp_path / "out" / "overlays").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--point", "900,3"), "the point 900,3 is outside the image, which is 36 × 24 pixels"),
        (("--object", "99", "model.roi.score_thresh_test=0"), "there is no object 99: the model finds"),
    ],
)
def test_what_is_not_in_an_image_is_a_line(
    explain: Explain, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert explain("maskrcnn", *words) == 0
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_default_folder_names_run_and_method(
    explain: Explain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_run("unet", tmp_path / "runs" / "small")
    assert main(["explain", "runs/small", "photos", "--method", "saliency"]) == 0
    assert (tmp_path / "results" / "small-explained-saliency" / "sheet.jpg").is_file()
    assert main(["explain", "runs/small", "photos", "--method", "saliency"]) == 2


def test_runs_and_photos_in_the_wrong_order_are_noticed(
    explain: Explain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_run("unet", tmp_path / "run")
    assert main(["explain", str(tmp_path / "photos"), str(tmp_path / "run")]) == 2
    assert "the run comes first: toolkit explain" in " ".join(capsys.readouterr().err.split())


def test_images_of_a_dataset_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_run("unet", tmp_path / "run")
    words = ["--data", "shapes", "--limit", "1", "--draws", "2", "--check", "--masks", "8"]
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "run", *words, "--method", "drise", "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    assert "1 image explained" in captured.out
    assert "results/run-explained-drise" in captured.out
    assert "note: better than chance:" in captured.err
    assert "note: random weights:" in captured.err
    (entry,) = entries(tmp_path / "results" / "run-explained-drise")
    assert {*entry["scores"]} >= {"faithfulness", "random_weights"}  # type: ignore[arg-type,misc]
    assert entry["figures"]["masks"] == 8  # type: ignore[index]
