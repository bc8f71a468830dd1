"""What a run tells: on a terminal, redirected, and in train.log."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest
from rich.console import Console

from toolkit.errors import OutputError
from toolkit.training.log import LOG_FILE, RunLog, last_step, read_metrics

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "


def lines(folder: Path) -> list[str]:
    """train.log without the time stamps, each of which must be there."""
    text = (folder / LOG_FILE).read_text(encoding="utf-8").splitlines()
    assert all(re.match(STAMP, line) for line in text), text
    return [re.sub(f"^{STAMP}", "", line) for line in text]


def log(folder: Path | None, **options: object) -> RunLog:
    return RunLog(folder, **{"start": 0, "steps": 20, "batch_size": 8, "show_progress": True, **options})  # type: ignore[arg-type]


def test_redirected_a_run_says_every_so_often_how_far_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="toolkit"), log(tmp_path) as run:
        for step in range(1, 21):
            run.advance(step, 0.43211, 1e-3)
    said = [message for message in caplog.messages if message.startswith("step ")]
    assert len(said) == 10, "as few as a short run has"
    speed = r"loss 0\.4321  lr 1\.0e-03  [\d.]+ images/s"
    assert all(re.fullmatch(rf"step \d+/20  {speed}  (\d+ s left|done)", line) for line in said)
    assert said[-1].startswith("step 20/20")
    assert said[-1].endswith("done")
    assert lines(tmp_path) == said


def test_without_progress_the_lines_are_in_train_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="toolkit"), log(tmp_path, show_progress=False) as run:
        run.say("two\nlines")
        run.advance(20, 1.0, 0.1)
        run.warn("it explodes")
    assert caplog.messages == ["two\nlines", "warning: it explodes"]
    assert [line[:10] for line in lines(tmp_path)] == ["two", "lines", "step 20/20", "warning: i"]


def test_on_a_terminal_what_is_said_stands_above_the_bar(tmp_path: Path) -> None:
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    logger = logging.getLogger("toolkit")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        with log(tmp_path, console=Console(file=file, force_terminal=True, width=80)) as run:
            for step in range(1, 21):
                run.advance(step, 0.5, 0.01)
            run.say("a table\n" + "that is wide " * 10)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert ("that is wide " * 10).rstrip() in plain, "not broken at 80 columns"
    assert "20/20 done  loss 0.5000  lr 1.0e-02" in plain
    assert "step 10/20" not in plain, "the bar says that already"
    assert "step 10/20" in (tmp_path / LOG_FILE).read_text()


def test_a_resumed_run_goes_on_with_train_log_and_drops_later_figures(tmp_path: Path) -> None:
    with log(tmp_path) as run:
        for step in (1, 2, 3):
            run.write(step, {"loss": 1.0 / step})
        run.write(2, {"val/loss": 0.7})
        run.say("first part")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert last_step(tmp_path) == 3
    with log(tmp_path, start=2) as run:
        assert [list(values) for values in run.history.curves["loss"]] == [[1, 2], [1.0, 0.5]]
        assert [row["step"] for row in run.history.validations] == [2]
        run.say("second part")
    assert lines(tmp_path) == ["first part", "second part"]
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 2]


def test_the_error_that_ends_a_run_is_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError), log(tmp_path):
        raise ValueError("the loss is nan")
    assert lines(tmp_path) == ["error: the loss is nan"]


def test_other_processes_write_and_say_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="toolkit"), log(None) as run:
        run.advance(1, 1.0, 0.1)
        run.say("said")
        run.note("noted")
        run.warn("warned")
        run.write(1, {"loss": 1.0})
    assert caplog.messages == []
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        name = str(tmp_path / "train.log")

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    with log(tmp_path) as run:
        run.text.close()
        run.text = Full()  # type: ignore[assignment]
        with pytest.raises(OutputError, match=r"train\.log cannot be written: the disk is full"):
            run.say("anything")


ODD_LINES = (
    b'{"step": 3, "lo',
    '{"step": 3, "é": 1}'.encode()[:13],
    b"no record",
    b"[]",
    b"5",
    b"null",
    b"{}",
    b'{"loss": 1}',
    b'{"step": null}',
    b'{"step": "3"}',
    b'{"step": -3}',
    b'{"step": [3]}',
    b'{"step": 1e400}',
    b'{"step": 3, "loss": "low"}',
    b'{"step": 3, "loss": {"a": 1}}',
    b'{"step": 3, "loss": ' + b"[" * 100_000,
    b"\x00\xff",
    b"",
)


@pytest.mark.parametrize("odd", ODD_LINES)
def test_a_line_that_is_no_record_is_passed_over(tmp_path: Path, odd: bytes) -> None:
    good = [b'{"step": 1, "loss": 0.5, "val/x": null}', b'{"step": 2, "loss": 0.25}']
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([good[0], odd, good[1], odd]))
    expected = [{"step": 1, "loss": 0.5, "val/x": None}, {"step": 2, "loss": 0.25}]
    assert read_metrics(tmp_path) == expected
    assert last_step(tmp_path) == 2
    with log(tmp_path, start=2) as run:
        assert [list(values) for values in run.history.curves["loss"]] == [[1, 2], [0.5, 0.25]]
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_bytes().splitlines()] == expected
