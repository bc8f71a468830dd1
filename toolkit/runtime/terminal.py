"""Rich's console, with untrusted text shown as plain text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from toolkit.runtime.text import printable

UNBOUNDED = 10_000
"""Width of what is not a terminal, in characters."""


class Terminal(Console):
    """A console that does not interpret markup or emoji, does not color numbers in text, and sends no escape
    codes to the terminal except rich's own styles. Styled text is built with ``rich.text.Text``.

    Args:
        stderr: write to standard error.
        soft_wrap: do not break long lines.
        file: a file to write to instead of a standard stream.
        width: in characters; that of the terminal when None. In files and pipes, tables are as wide as they
            have to be, unless the variable ``COLUMNS`` says otherwise.
        record: keep what is printed, for ``export_html``.
        force_terminal: always send styles; when None, only to a terminal.
        force_jupyter: show it in a notebook; when None, if it runs in one.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        soft_wrap: bool = False,
        file: IO[str] | None = None,
        width: int | None = None,
        record: bool = False,
        force_terminal: bool | None = None,
        force_jupyter: bool | None = None,
    ) -> None:
        if width is None and file is None and not force_jupyter and "COLUMNS" not in os.environ:
            stream = sys.stderr if stderr else sys.stdout
            width = None if stream is not None and stream.isatty() else UNBOUNDED
        super().__init__(
            stderr=stderr,
            soft_wrap=soft_wrap,
            file=file,
            width=width,
            record=record,
            force_terminal=force_terminal,
            force_jupyter=force_jupyter,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """A plain string, such as a table cell, as it will be shown, so that it gets enough room."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of text that something consists of, each safe to show."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
