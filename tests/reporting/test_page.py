"""The page: one file that asks for nothing and shows everything as text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_cases import EVERY_KIND, Given, findings_of, with_label_maps
from support.browser import Browser

from toolkit.data.set_checks import Copy
from toolkit.evaluation.bootstrap import Difference
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.iou import IoU, IoUSettings
from toolkit.evaluation.report import Curve, Report
from toolkit.reporting.document import build_document
from toolkit.reporting.findings import Findings, Reference
from toolkit.reporting.near_copies import NearCopies
from toolkit.reporting.page import render

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><b>$x^2$</b>",
    "{{ 7 * 7 }} &amp; 'q'",
    "\u202egnp.exe\x1b[31m",
)
"""Names that somebody may give to classes and files."""


class Elements(HTMLParser):
    """The elements of a page, with their attributes, and its text without scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text.append(data)


def object_findings(classes: tuple[str, ...] = ("a", "b"), **changes: Any) -> Findings:
    """All kinds of errors, measured."""
    coco = Coco(CocoSettings(), classes)
    for sample, prediction in EVERY_KIND:
        coco.update([sample], [prediction])
    findings = findings_of(classes, EVERY_KIND, [coco.report()], name=changes.pop("name", "run"))
    return Findings(**{**vars(findings), **changes})


def pixel_findings(classes: tuple[str, ...] = ("background", "a", "b")) -> Findings:
    """Label maps with errors, measured."""
    rng = np.random.default_rng(0)
    pairs = []
    for i in range(3):
        truth = np.kron(rng.integers(0, 3, (4, 5)), np.ones((16, 16), int)).astype(np.uint8)
        pairs.append(with_label_maps(f"image {i}", truth, np.roll(truth, 9, axis=1)))
    iou = IoU(IoUSettings(), classes)
    iou.update(*zip(*pairs, strict=True))
    return findings_of(classes, pairs, [iou.report()])


def page_of(findings: Findings) -> str:
    return render(*build_document(findings))


def hostile_findings() -> Findings:
    """Hostile names everywhere: classes, images, the run, metrics, curves, notes and settings."""
    classes = HOSTILE[:2]
    pairs = []
    for i, (sample, prediction) in enumerate(EVERY_KIND):
        name = f"{i}{HOSTILE[i % len(HOSTILE)]}"
        sample = sample.with_(id=name, path=f"/x/{HOSTILE[i % len(HOSTILE)]}")
        pairs.append((sample, type(prediction)(name, prediction.size, instances=prediction.instances)))
    coco = Coco(CocoSettings(), classes)
    for sample, prediction in pairs:
        coco.update([sample], [prediction])
    group = f"{HOSTILE[0]}={HOSTILE[1]}"
    own = Report(
        HOSTILE[0],
        {name: 0.5 for name in HOSTILE} | {f"{HOSTILE[2]}[{group}]": 0.25},
        notes=HOSTILE,
        images=tuple(sample.id for sample, _ in pairs),
        per_image={HOSTILE[3]: [0.5] * len(pairs)},
        groups={group: 3},
        curves={name: Curve(name, name, [0.0, 1.0], {name: [0.0, 1.0]}) for name in HOSTILE},
    )
    findings = findings_of(classes, pairs, [coco.report(), own], name=HOSTILE[1])
    others = {HOSTILE[0]: Given(classes, [sample for sample, _ in pairs])}
    changes: dict[str, Any] = {
        "data": HOSTILE[2],
        "copies": NearCopies(
            HOSTILE[1], findings.dataset, [Copy(HOSTILE[1], 0, HOSTILE[0], 1)], others, {HOSTILE[0]: 1}
        ),
        "notes": HOSTILE,
        "settings": {name: name for name in HOSTILE},
        "model": {name: name for name in HOSTILE},
        "reference": Reference(HOSTILE[0], {HOSTILE[1]: 1.0}, {HOSTILE[1]: Difference(0.5, 0.1, 0.9)}),
        "figures": [{"step": step, f"val/{HOSTILE[0]}": 1.0, "loss": 1.0} for step in range(3)],
    }
    return Findings(**{**vars(findings), **changes})


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """A page of each kind; drawing its charts takes a second or two."""
    figures = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]
    return {
        "objects": page_of(object_findings(figures=figures)),
        "pixels": page_of(pixel_findings()),
        "hostile": page_of(hostile_findings()),
    }


@pytest.mark.parametrize("kind", ["objects", "pixels", "hostile"])
def test_a_page_asks_for_nothing_and_runs_only_its_own_script(pages: dict[str, str], kind: str) -> None:
    page = pages[kind]
    elements = Elements(page)
    policy = next(
        found["content"]
        for _, found in elements.found
        if found.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (script,) = scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    for tag, found in elements.found:
        assert not [name for name in found if name.startswith("on")], tag
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            if found.get(name):
                assert str(found[name]).startswith(("#", "data:")), (tag, found[name])
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page


def test_hostile_names_are_text(pages: dict[str, str]) -> None:
    page = pages["hostile"]
    elements, expected = Elements(page), Elements(pages["objects"])
    assert {tag for tag, _ in elements.found} <= {tag for tag, _ in expected.found} | {
        "details",
        "summary",
        "pre",
    }
    assert all(
        found.get("src", "").startswith("data:image/jpeg") for tag, found in elements.found if tag == "img"
    )  # type: ignore[union-attr]
    text = "".join(elements.text)
    for name in HOSTILE[:4]:
        assert text.count(name) > 10
    assert "\\u202egnp.exe\\x1b[31m" in text
    assert not re.search("[\u202e\x1b]", page)


def test_the_sections_are_in_the_order_in_which_people_ask(pages: dict[str, str]) -> None:
    titles = re.findall(r"<h2>(.*?)</h2>", pages["objects"])
    assert titles == [
        "Metrics",
        "Classes",
        "Groups",
        "Score threshold",
        "Curves",
        "What goes wrong",
        "Single images",
        "The most telling errors",
        "Labels that may be wrong",
        "Training",
        "Data",
        "Settings and versions",
    ]
    titles = re.findall(r"<h2>(.*?)</h2>", pages["pixels"])
    assert "Score threshold" not in titles
    assert "What goes wrong" in titles


def test_a_page_of_nothing_is_one() -> None:
    page = page_of(findings_of(("a",), []))
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["Data", "Settings and versions"]


CHECK_CHARTS = """
[...document.querySelectorAll("svg.chart")].map((chart) => {
  const box = chart.getBoundingClientRect();
  return [box.width > 200 && box.height > 100, chart.querySelectorAll("path, use, image").length];
})
"""
SET = """
(() => {{
  const element = document.querySelector({selector});
  element.value = {value};
  element.dispatchEvent(new Event({event}, {{ bubbles: true }}));
}})()
"""


@pytest.mark.slow
def test_in_a_browser_everything_works_without_a_network(tmp_path: Path) -> None:
    findings = hostile_findings()
    path = tmp_path / "report.html"
    path.write_text(page_of(findings), encoding="utf-8")
    with Browser() as browser:
        browser.open(path)
        charts = browser.run(CHECK_CHARTS)
        assert len(charts) > 8
        assert all(is_large and parts > 5 for is_large, parts in charts)
        assert browser.run(
            "[...document.images].every((i) => i.complete && i.naturalWidth > 0 || i.loading === 'lazy')"
        )
        _check_slider(browser, build_document(findings)[0]["by_score"])
        _check_filters(browser)
        _check_sorting(browser)
        for width in (1280, 390):
            browser.open(path, width)
            assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.requests == []
        assert browser.complaints == []
        # that the policy holds, and that both lists would show it if it did not
        browser.run("fetch('http://example.org/').catch(() => 0)")
        browser.run(
            "document.body.insertAdjacentHTML('beforeend', '<img src=http://example.org/x onerror=alert(1)>')"
        )
        browser.run("new Promise((done) => setTimeout(done, 200))")
        assert any("Content Security Policy" in line for line in browser.complaints)


def _check_slider(browser: Browser, curves: Any) -> None:
    cells = """[...document.querySelectorAll("#at-score tbody tr")].map(
        (row) => [...row.querySelectorAll("td[data-curve]")].map((cell) => cell.textContent))"""
    line = 'Number(document.getElementById("score-line").getAttribute("x1"))'
    places = []
    for place in (0, 30, 75, 100):
        browser.run(SET.format(selector="'#score'", value=place / 100, event="'input'"))
        assert browser.run("document.getElementById('score-shown').textContent") == f"{place / 100:.2f}"
        shown = browser.run(cells)
        for row, expected in zip(shown, curves["lines"], strict=True):
            values = [expected[name][place] for name in ("precision", "recall", "f1")]
            assert row == ["–" if value is None else f"{value:.4f}" for value in values]
        places.append(browser.run(line))
    assert places == sorted(places)
    left, right = (
        float(browser.run(f"document.getElementById('by-score-tool').dataset.{side}"))
        for side in ("left", "right")
    )
    assert (places[0], places[-1]) == pytest.approx((left, right))


def _check_filters(browser: Browser) -> None:
    shown = """[...document.querySelectorAll("#error-cards li")].filter(
        (card) => card.getBoundingClientRect().height > 0)"""
    everything = browser.run(f"{shown}.length")
    browser.run(
        SET.format(selector="'#error-cards [data-filter=kind]'", value="'confused'", event="'change'")
    )
    assert set(browser.run(f"{shown}.map((c) => c.dataset.kind)")) == {"confused"}
    assert browser.run("document.querySelector('#error-cards .visible').textContent") == "1"
    browser.run(SET.format(selector="'#error-cards [data-filter=kind]'", value="''", event="'change'"))
    assert browser.run(f"{shown}.length") == everything
    choice = "document.querySelectorAll('#error-cards [data-filter=class] option')[1].value"
    name = browser.run(choice)
    browser.run(SET.format(selector="'#error-cards [data-filter=class]'", value=choice, event="'change'"))
    classes = browser.run(f"{shown}.map((c) => JSON.parse(c.dataset.classes))")
    assert 0 < len(classes) < everything
    assert all(name in each for each in classes)


def _check_sorting(browser: Browser) -> None:
    rows = 'document.querySelector("#classes table").tBodies[0].rows'
    column = f"[...{rows}].map((r) => Number(r.cells[1].dataset.value))"
    click = 'document.querySelectorAll("#classes button.sort")[1].click()'
    values = browser.run(column)
    browser.run(click)
    assert browser.run(column) == sorted(values, reverse=True)
    browser.run(click)
    assert browser.run(column) == sorted(values)
