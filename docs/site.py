"""Collects the pages of the docs site in one folder for Sphinx: ``python docs/site.py FOLDER``.

They are the pages of this folder, the READMEs of the repository, of the plugins and of the datasets, and
the API reference, one page for each public module, made from the docstrings. All but the last link to each
other as files of the repository, so that the links work there too; here they are rewritten to pages of the
site.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "toolkit"
TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
GUIDE = (
    *("tutorial", "using", "training", "evaluating", "inference", "measuring", "explaining", "exporting"),
    *("serve", "annotate", "machines", "data", "python", "screens", "plugins", "settings", "cli"),
)
BEHIND = ("design", "benchmarks", "contributing", "changelog")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
NOT_THERE = re.compile(r"\[([^\]]*)\]\((?!\w+:)[^)\s]*(?:\.py|LICENSE)\)")


def written_pages() -> dict[str, str]:
    """Handwritten pages: path in the repository -> path in the site."""
    found = dict(TOP)
    found |= {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    for kind in ("plugins", "datasets"):
        for path in sorted((ROOT / kind).glob("*/README.md")):
            found[path.relative_to(ROOT).as_posix()] = f"{kind}/{path.parent.name}.md"
    return found


def modules() -> dict[str, str]:
    """The modules in the reference: path in the repository -> path in the site. The command line has its own
    page; plugins and datasets are used by name.
    """
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        private = any(part.startswith("_") and part != "__init__" for part in parts)
        if private or parts[0] in ("cli", "plugins", "datasets") or "templates" in parts:
            continue
        name = ".".join(["toolkit", *(part for part in parts if part != "__init__")])
        found[path.relative_to(ROOT).as_posix()] = f"reference/{name}.rst"
    return found


def for_site(text: str, source: str) -> str:
    """The text of a page with its links rewritten to the site's pages.

    Args:
        text: Markdown.
        source: the page's path in the repository.
    """
    pages, here = written_pages(), written_pages()[source]
    known = pages | modules()

    def turn(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        site = known.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(site, posixpath.dirname(here) or ".") + (match[2] or "")

    return NOT_THERE.sub(r"\1", LINK.sub(turn, text))  # code without a page is named only


def menu(caption: str, entries: list[str]) -> str:
    """A section of the sidebar menu."""
    lines = "\n".join(entries)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def menus() -> str:
    """The whole menu, which Sphinx expects at the end of the first page."""
    sites = [site.removesuffix(".md") for site in written_pages().values()]
    parts = {
        "Guide": [name for name in GUIDE if f"{name}.md" in written_pages().values()],
        "Models": [site for site in sites if site.startswith("plugins/")],
        "Datasets": [site for site in sites if site.startswith("datasets/")],
        "Python": ["reference/index"],
        "Project": list(BEHIND),
    }
    return "".join(menu(caption, entries) for caption, entries in parts.items())


def reference_index() -> str:
    """The overview page: the names that ``toolkit`` itself exports, and where each is documented."""
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    homes = re.findall(r'^    "(\w+)": "([\w.]+)",$', text, re.MULTILINE)
    rows = [f"   * - ``toolkit.{name}``\n     - :doc:`toolkit.{home}`" for name, home in homes]
    table = ".. list-table::\n   :header-rows: 1\n\n   * - name\n     - documented in\n" + "\n".join(rows)
    entries = "\n".join(f"   {posixpath.basename(site).removesuffix('.rst')}" for site in modules().values())
    tree = f".. toctree::\n   :maxdepth: 1\n\n{entries}"
    return f"Python API\n==========\n\n{table}\n\nModules\n-------\n\n{tree}\n"


def collect(folder: Path) -> None:
    """Write all pages to a folder, replacing its contents."""
    shutil.rmtree(folder, ignore_errors=True)
    for source, site in written_pages().items():
        path = folder / site
        path.parent.mkdir(parents=True, exist_ok=True)
        text = for_site((ROOT / source).read_text(encoding="utf-8"), source)
        path.write_text(text + (menus() if site == "index.md" else ""), encoding="utf-8")
    for picture in (ROOT / "docs").glob("*.jpg"):
        shutil.copy(picture, folder / picture.name)
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("*.py", ".*"))
    (folder / "reference").mkdir()
    for site in modules().values():
        name = posixpath.basename(site).removesuffix(".rst")
        page = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n"
        (folder / site).write_text(page, encoding="utf-8")
    (folder / "reference" / "index.rst").write_text(reference_index(), encoding="utf-8")


if __name__ == "__main__":
    collect(Path(sys.argv[1]))
