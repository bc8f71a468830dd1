"""Which of the images at hand a name in a file means; more in test_prompts.py."""

from __future__ import annotations

import logging

import pytest

from toolkit.formats.image_names import ImageNames


def test_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "toolkit")
    entries = ["D:\\a\\1.png", "D:\\a\\2.png", "D:\\a\\3.png"]
    names = ImageNames(["x/1.png", "x/2.png", "x/3.png"], entries)
    assert [names.matches(entry) for entry in entries] == [["x/1.png"], ["x/2.png"], ["x/3.png"]]
    assert len(caplog.records) == 1


def test_escapes_are_decoded_in_paths_of_other_machines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "toolkit")
    names = ImageNames(["x/a b.png"], ["/data/upload/4/a%20b.png"])
    assert names.matches("/data/upload/4/a%20b.png") == ["x/a b.png"]
    assert ImageNames(["x/a b.png"], ["/u/a%20b.png", "/v/a b.png"]).matches("/v/a b.png") == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("entry", ["", "/", "\\", "C:\\", "b.png", "a.jpg", "z/a.png"])
def test_what_means_no_image(entry: str) -> None:
    assert ImageNames(["y/a.png"], ["z/a.png", "q/a.png"]).matches(entry) == []


def test_one_that_is_lost_among_others_is_not_looked_for_elsewhere() -> None:
    names = ImageNames(["x/1.png", "y/2.png"], ["x/1.png", "x/2.png"])
    assert names.matches("x/1.png") == ["x/1.png"]
    assert names.matches("x/2.png") == []


def test_frames_go_by_their_numbers() -> None:
    names = ImageNames(["0007.jpg", "0070.jpg"], ["7"])
    assert names.matches("7") == names.matches("00007.JPG") == ["0007.jpg"]
    assert names.examples == ["0007.jpg", "0070.jpg"]
