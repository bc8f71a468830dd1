"""Sphinx's settings for the docs site, which `make docs` builds; site.py collects its pages."""

from __future__ import annotations

from typing import Any

from sphinx.util.typing import restify

import toolkit

project = "toolkit"
author = "the toolkit's authors"
copyright = author
version = release = toolkit.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = "toolkit"
html_show_copyright = False

autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# A name is documented where it is defined, and not again where a package re-exports it in its __all__.
autodoc_default_options = {"members": True, "ignore-module-all": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = (
    True  # the attributes of a class stand in its docstring; a directive each would list them twice
)
napoleon_use_param = True
napoleon_use_rtype = False


def show_bases(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put the bases of a class above its docstring. Sphinx can do that, too, but also prints ``object``."""
    bases = [base for base in getattr(obj, "__bases__", ()) if base is not object]
    if what in ("class", "exception") and bases:
        lines[:0] = [f"Bases: {', '.join(restify(base, 'smart') for base in bases)}", ""]


def setup(app: Any) -> None:
    """Connect to Sphinx."""
    app.connect("autodoc-process-docstring", show_bases)


# names in signatures that several classes have, such as `images`: their links may lead to any of these
suppress_warnings = ["ref.python"]
