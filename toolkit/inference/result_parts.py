"""What one of several processes writes into a folder of results that another one has opened."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from toolkit.data.label_values import LabelValues
from toolkit.inference.record_writer import RecordWriter
from toolkit.inference.records import PARTS, Record
from toolkit.inference.results import ResultFolder
from toolkit.visualization.palettes import Palette


class ResultPart(ResultFolder):
    """The results of one process, with a manifest of its own, so that no two write the same file.

    Args:
        folder: the folder of the results, or its address; open elsewhere.
        classes, palette, model, label_values, overlays, draw_above: as in ``ResultFolder``.
        part: the name of the process, unique among those that write there.
        token: of the one that opened it, see ``ResultPlace.shared``.

    Raises:
        OutputError: when it is not the same folder, or cannot be written to.
    """

    def __init__(
        self,
        folder: Path | str,
        classes: Sequence[str],
        palette: Palette,
        *,
        part: str,
        token: str,
        model: str = "",
        label_values: LabelValues | None = None,
        overlays: bool = True,
        draw_above: float = 0.0,
    ) -> None:
        self._part, self._token = part, token
        super().__init__(
            folder,
            classes,
            palette,
            model=model,
            label_values=label_values,
            overlays=overlays,
            draw_above=draw_above,
        )

    @property
    def _manifest(self) -> Path:
        return self.folder / PARTS / f"{self._part}.jsonl"

    def _begin(self, stack: ExitStack, resume: bool) -> None:
        """Find the folder that was opened."""
        self.place.join(self._token, self._manifest)

    def _recorder(self) -> RecordWriter:
        return self.place.recorder(self._manifest, self._token)

    def check(self) -> None:
        """Check that it is still the folder that was opened, for the same command.

        Raises:
            OutputError: when it is not.
        """
        self.place.check(self._token)

    def append(self, record: Record) -> None:
        """As in ``ResultFolder``, with the name of the process."""
        super().append(replace(record, actor=self._part))

    def flush(self) -> None:
        """Wait until all that were appended are on the disk.

        Raises:
            OutputError: when one could not be recorded.
        """
        self._records.flush()
