"""The folder that results are written to: label maps, overlays, objects, and the manifest that says what is
done.

::

    DIR/about.json               the model, its version and the toolkit's, the classes
    DIR/manifest.jsonl           one line per image, written as it finishes, in the order of the images
    DIR/manifests/<actor>.jsonl  those of several processes at work, which end up in manifest.jsonl
    DIR/labels/<name>.png        class indexes with the classes' colors as palette (semantic models); .tif for
                                 images that do not fit into memory
    DIR/labels/classes.csv       what the values in them stand for
    DIR/instances/<name>.json    the objects of one image, as in COCO results (instance models)
    DIR/<kind>/…                 what the task of a plugin writes
    DIR/panoptic/<name>.png      segments as COCO writes them (panoptic segmentation); panoptic.json for all
    DIR/overlays/<name>.jpg      the prediction drawn over the photo
    DIR/unfinished/…             what is done of such images; removed when they are finished
    DIR/predictions.json         everything in COCO's form, made when all images are done
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import toolkit
from toolkit.data.image_files import RESULT_MANIFEST
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, OutputError, UsageError
from toolkit.inference.findings import Findings, findings_of
from toolkit.inference.inputs import FileState, InputImage
from toolkit.inference.name_digests import digests_of
from toolkit.inference.output_names import OutputNames
from toolkit.inference.outputs import concerns_one_image, sizes_of
from toolkit.inference.prediction_files import PredictionFiles
from toolkit.inference.record_writer import RecordWriter
from toolkit.inference.records import Record, write_records
from toolkit.inference.result_options import ABOUT, check_about, write_about
from toolkit.inference.results_document import write_documents
from toolkit.inference.store_places import place_of
from toolkit.inference.stored_records import StoredRecords
from toolkit.inference.window_journal import has_journals, remove_finished
from toolkit.runtime.files import into, remove_unfinished
from toolkit.types import VOID, Prediction, Sample, Size
from toolkit.visualization.palettes import Palette

MANIFEST = RESULT_MANIFEST


class ResultFolder:
    """Writes results, and knows what is done already.

    Args:
        folder: is created if missing; or the address of a folder in a store, see ``place_of``.
        classes: names of the classes, for ``predictions.json`` and the overlays.
        palette: one RGB color per class.
        model: identifies the weights, so that results of two models do not mix.
        about: what else is known about the model, for ``about.json`` and ``predictions.json``.
        label_values: which value stands for each class in the label images; its index when None.
        options: other options that change what is written, see ``toolkit.inference.result_options``.
        overlays: whether to draw the predictions over the photos.
        draw_above: score that an object needs to be drawn.
        resume: go on with the results that are there, rather than refuse to touch them.

    Attributes:
        place: where the results end up.
        folder: where files are written at first, see ``ResultPlace``.
        files: writes those of one prediction there.
        names: of the outputs.
        changed: names of images that were done before, but whose files have changed since.

    Raises:
        UsageError: when there are results already and ``resume`` is not asked for, or they are of another
            model or other options, or another process is writing there.
        OutputError: when the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path | str,
        classes: Sequence[str],
        palette: Palette,
        *,
        model: str = "",
        about: Mapping[str, Any] | None = None,
        label_values: LabelValues | None = None,
        options: Mapping[str, Any] | None = None,
        overlays: bool = True,
        draw_above: float = 0.0,
        resume: bool = False,
    ) -> None:
        self.place = place_of(folder)
        self.folder, self.draw_above, self.overlays = self.place.folder, draw_above, overlays
        self.classes, self.model = classes, model
        # A model of more classes than a label map can have gives none.
        self._values = label_values or LabelValues.indexes(min(len(classes), VOID))
        self.files = PredictionFiles(
            self.folder, classes, palette, self._values, overlays=overlays, draw_above=draw_above
        )
        self._options = dict(options or {})
        self._about = {"toolkit": toolkit.__version__, "model": {"name": model, **(about or {})}}
        self._done = StoredRecords()  # of the images that are done
        self._undone: set[str] = set()  # those that have failed since
        self.changed: list[str] = []
        self.names = OutputNames(self.folder)
        self._files: dict[str, list[Path]] = {}  # of images that are written and not entered yet, by name
        with ExitStack() as stack:
            self._begin(stack, resume)
            self._records = stack.enter_context(self._recorder())
            self._open = stack.pop_all()

    def _begin(self, stack: ExitStack, resume: bool) -> None:
        """Make the folder ours."""
        stack.enter_context(self.place.opened())
        self._take_up(stack, resume)

    def _recorder(self) -> RecordWriter:
        return self.place.recorder(self._manifest)

    def _take_up(self, stack: ExitStack, resume: bool) -> None:
        """Look at the results that are there, and go on with them."""
        manifests = self.place.manifests()
        records = stack.enter_context(contextlib.closing(StoredRecords(manifests)))
        known = records.kept(self._is_complete)
        self._done = known.done()
        for record in self._done:
            if record["model"] != self.model:  # first, since --resume would not help
                raise UsageError(
                    f"{self.place} contains results of another model ({record['model']}, not {self.model})."
                    " Hint: choose another --out"
                )
            self.names.keep(record)
        if any(map(Path.exists, manifests)) and not resume:
            raise UsageError(
                f"{self.place} already contains results. Hint: continue them with --resume, or choose another"
                " folder with --out"
            )
        if resume:
            remove_unfinished(self.folder)
        self._write_about()
        # Without the half of a line that a kill may have left at its end.
        write_records(self._manifest, known.lines())
        self.place.keep_manifest()

    @property
    def has_indexes(self) -> bool:
        """Whether label images have the indexes of the classes."""
        return self._values.are_indexes

    @property
    def _manifest(self) -> Path:
        return self.folder / MANIFEST

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def is_done(self, image: InputImage) -> bool:
        """Whether an image's results are there, and the image is still the same.

        Raises:
            UsageError: when results of this name are there, but of an image elsewhere.
        """
        record = self._before(image.name)
        if record is None:
            return False
        if record["source"] != image.source:
            raise UsageError(
                f"{self.place} contains results of another image named {image.name}: {record['source']}, not"
                f" {image.source}. Hint: choose another --out"
            )
        before, now = (record.get("source_bytes"), record.get("source_modified")), image.state()
        if now is None or None in before or before == (now.size, now.modified):
            return True
        self.changed.append(image.name)
        return False

    def write(
        self,
        image: InputImage,
        sample: Sample,
        prediction: Prediction,
        window: int | None,
        *,
        state: FileState | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> Record:
        """Write the files of one image; may be called from several threads. Does not enter the record in the
        manifest. An image whose outputs cannot be called as it is becomes a failed one.

        Args:
            image: where the image is, and what it is called.
            sample: the image as the model got it.
            prediction: of the image.
            window: side of the sliding window in pixels, if there was one.
            state: of the image's file when it was read, by which ``is_done`` knows it again.
            notes: what of the file the model did not get.

        Returns:
            The image's record; one that has failed when files of its name cannot be written.

        Raises:
            OutputError: when no file can be written, such as on a full disk.
        """

        def fill(outputs: dict[str, str]) -> Findings:
            self.files.write(image.stem, sample, prediction, outputs)
            return findings_of(prediction, self.classes, self.draw_above)

        return self.write_with(image, fill, sample.size, window, state=state, notes=notes)

    def write_with(
        self,
        image: InputImage,
        fill: Callable[[dict[str, str]], Findings],
        size: Size,
        window: int | None,
        *,
        state: FileState | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> Record:
        """Like ``write``, with a function that writes the files of the image.

        Args:
            image, window, state, notes: as for ``write``.
            fill: writes files in the folder, enters each in its argument, by kind, when it is there, and
                returns what was found.
            size: height and width of the image, in pixels.

        Raises:
            OutputError: as ``write``.
        """
        outputs: dict[str, str] = {}
        try:
            self.names.claim(image)
            with into(self.folder, sync=False) as written:
                found = fill(outputs)
            # the writers of plugins may have written by other means
            self._files[image.name] = [*written, *(self.folder / path for path in outputs.values())]
            sizes = sizes_of(self.folder, outputs)
        except DataError as error:
            return self.failed(image, str(error))
        except OutputError as error:
            if not concerns_one_image(error):
                raise
            self.place.remove(outputs)
            return self.failed(image, f"the results of {image.where} cannot be written: {error}")
        return Record(
            image.name,
            image.source,
            "ok",
            self.model,
            size=size,
            window=window,
            objects=found.objects,
            found=found.found,
            best_score=found.best_score,
            pixels=found.pixels,
            outputs=outputs,
            sizes=sizes,
            source_bytes=None if state is None else state.size,
            source_modified=None if state is None else state.modified,
            notes=notes or {},
        )

    def _write_about(self) -> None:
        """Write ``about.json``; results that are there already must have the same options."""
        values = None if self._values.are_indexes else self._values.to_dict()
        if self._done or has_journals(self.folder):
            options = self._options | {"draw_above": self.draw_above}
            check_about(self.folder / ABOUT, label_values=values, options=options)
        about = {"classes": list(self.classes), "draw_above": self.draw_above, "options": self._options}
        about |= {} if values is None else {"label_values": values}
        with into(self.folder, sync=False) as written:
            write_about(self.folder / ABOUT, self._about | about)
        self.place.keep(written)

    def failed(self, image: InputImage, error: str) -> Record:
        """The record of an image that could not be predicted. What was written for an image that it was
        before is removed.
        """
        record = Record(image.name, image.source, "failed", self.model, error)
        self.settle(record)
        return record

    def settle(self, record: Record) -> None:
        """Remove what was written for the image that a failed one was before; for records of images that
        other processes predicted.
        """
        before = self._before(record.image) if record.status == "failed" else None
        if before is not None:
            self._undone.add(record.image)
            self.place.remove(before["outputs"])

    def _before(self, name: str) -> dict[str, Any] | None:
        """The record of an image that was done before, and is still."""
        return None if name in self._undone else self._done.get(name)

    def append(self, record: Record) -> None:
        """Enter an image in the manifest, soon, when its files are on the disk. From then on it is done, even
        if the program is killed.

        Raises:
            OutputError: when the manifest, or a file of an earlier image, cannot be written.
        """
        self._records.add(record, self._files.pop(record.image, ()))

    def finish(self, names: Iterable[str]) -> None:
        """Bring the manifest into the order of the images (results of others first) and write
        ``predictions.json``.

        Args:
            names: of the images.

        Raises:
            OutputError: when a file cannot be written.
        """
        self._records.close()
        with contextlib.closing(StoredRecords(self.place.manifests())) as records:
            self._put_together(records, names)

    def _put_together(self, records: StoredRecords, names: Iterable[str]) -> None:
        ordered = records.kept(self._is_complete).in_order(digests_of(names))
        write_records(self._manifest, ordered.lines())
        self.place.keep_manifest()
        done = ordered.done()
        self._write_documents(done)
        if has_journals(self.folder):
            remove_finished(self.folder, {record["image"]: record for record in done})

    def _write_documents(self, done: Sequence[dict[str, Any]]) -> None:
        """Write ``predictions.json``, and what tasks write once for all images."""
        readable = self.place.with_files(done)
        with into(self.folder, sync=False) as written:
            write_documents(self.folder, done, self.classes, self._values, self._about, readable)
        self.place.keep(written)

    def _is_complete(self, record: dict[str, Any]) -> bool:
        """Whether the files of a record that says so are there, and as large as when they were written."""
        outputs = record["outputs"]
        missing_overlay = self.overlays and "overlay" not in outputs
        return not missing_overlay and self.place.are_whole(outputs, record.get("sizes") or {})
