"""Rich's console, which takes the text of strangers for text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from toolkit.runtime.text import printable


class Terminal(Console):
    """A console that knows no markup, no emoji and no colors for numbers in text, and sends nothing that a
    terminal would obey but rich's own styles. What has a style is made of ``rich.text.Text``.

    Args:
        stderr: write to standard error.
        soft_wrap: leave long lines whole.
        file: where to, in place of a standard stream.
        width: in letters; that of the terminal when None.
        record: keep what is printed, for ``export_html``.
        force_terminal: send styles wherever it goes; None where it goes to a terminal.
        force_jupyter: show it in a notebook; None where there is one.
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
        """A plain string, such as a cell of a table, as it is going to be shown, so that it gets the room."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of text that something consists of, each fit to be shown."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
