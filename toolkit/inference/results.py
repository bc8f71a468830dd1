"""The folder that results are written to: label maps, overlays, objects, and the manifest that says what is
done.

::

    DIR/about.json               the model, its version and the toolkit's, the classes
    DIR/manifest.jsonl           one line per image, written as it finishes, in the order of the images
    DIR/manifests/<actor>.jsonl  those of several processes at work, which end up in manifest.jsonl
    DIR/labels/<name>.png        class indexes with the classes' colors as palette (semantic models)
    DIR/labels/classes.csv       what the values in them stand for
    DIR/instances/<name>.json    the objects of one image, as in COCO results (instance models)
    DIR/<kind>/…                 what the task of a plugin writes
    DIR/panoptic/<name>.png      segments as COCO writes them (panoptic segmentation); panoptic.json for all
    DIR/overlays/<name>.jpg      the prediction drawn over the photo
    DIR/predictions.json         everything in COCO's form, made when all images are done
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import toolkit
from toolkit import registry
from toolkit.data.image_files import RESULT_MANIFEST
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, OutputError, UsageError
from toolkit.formats.class_table import CLASS_TABLE, write_class_table
from toolkit.inference.findings import findings_of
from toolkit.inference.inputs import FileState, InputImage
from toolkit.inference.outputs import are_whole, concerns_one_image, remove_outputs, sizes_of, stem_of
from toolkit.inference.record_writer import RecordWriter
from toolkit.inference.records import Record, latest_records, parts_of, remove_parts, write_records
from toolkit.inference.result_options import check_about
from toolkit.inference.results_document import results_document
from toolkit.runtime.confine import check_name
from toolkit.runtime.files import atomic_write, into, remove_unfinished
from toolkit.runtime.locks import locked
from toolkit.types import VOID, Prediction, Sample
from toolkit.visualization.drawing import confident, fit_jpeg, overlay, write_picture
from toolkit.visualization.palettes import Palette

MANIFEST = RESULT_MANIFEST
PREDICTIONS = "predictions.json"
ABOUT = "about.json"


class ResultFolder:
    """Writes results, and knows what is done already.

    Args:
        folder: is created if missing.
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
        changed: names of images that were done before, but whose files have changed since.

    Raises:
        UsageError: when there are results already and ``resume`` is not asked for, or they are of another
            model or other options, or another process is writing there.
        OutputError: when the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
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
        self.draw_above = draw_above
        self.folder, self.classes, self.palette, self.model, self.overlays = (
            folder,
            classes,
            palette,
            model,
            overlays,
        )
        # A model of more classes than a label map can have gives none.
        self._values = label_values or LabelValues.indexes(min(len(classes), VOID))
        self._options = dict(options or {})
        self._about = {"toolkit": toolkit.__version__, "model": {"name": model, **(about or {})}}
        self._has_class_table = False
        self._done: dict[str, dict[str, Any]] = {}  # the record of each image that is done, by name
        self.changed: list[str] = []
        self._stems: dict[str, str] = {}  # the image whose outputs are called so
        self._files: dict[str, list[Path]] = {}  # of images that are written and not entered yet, by name
        with ExitStack() as stack:
            self._begin(stack, resume)
            self._records = stack.enter_context(RecordWriter(self._manifest))
            self._open = stack.pop_all()

    def _begin(self, stack: ExitStack, resume: bool) -> None:
        """Make the folder ours."""
        stack.enter_context(locked(self.folder))
        self._take_up(resume)

    def _all_records(self) -> list[dict[str, Any]]:
        return latest_records(self._manifest, *parts_of(self.folder))

    def _take_up(self, resume: bool) -> None:
        """Look at the results that are there, and go on with them."""
        folder, records = self.folder, self._all_records()
        for record in filter(self._is_complete, records):
            if record["model"] != self.model:  # first, since --resume would not help
                raise UsageError(
                    f"{folder} contains results of another model ({record['model']}, not {self.model}). Hint:"
                    " choose another --out"
                )
            self._done[record["image"]] = record
            for path in record["outputs"].values():
                self._stems.setdefault(stem_of(path), record["image"])
        if self._manifest.exists() and not resume:
            raise UsageError(
                f"{folder} already contains results. Hint: continue them with --resume, or choose another"
                " folder with --out"
            )
        if resume:
            remove_unfinished(folder)
        self._write_about()
        # Without the half of a line that a kill may have left at its end.
        write_records(self._manifest, records)
        remove_parts(folder)

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
        record = self._done.get(image.name)
        if record is None:
            return False
        if record["source"] != image.source:
            raise UsageError(
                f"{self.folder} contains results of another image named {image.name}: {record['source']}, not"
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
        outputs: dict[str, str] = {}
        try:
            self.claim(image)
            self._write_files(image, sample, prediction, outputs)
            sizes = sizes_of(self.folder, outputs)
        except DataError as error:
            return self.failed(image, str(error))
        except OutputError as error:
            if not concerns_one_image(error):
                raise
            remove_outputs(self.folder, outputs)
            return self.failed(image, f"the results of {image.where} cannot be written: {error}")
        found = findings_of(prediction, self.classes, self.draw_above)
        return Record(
            image.name,
            image.source,
            "ok",
            self.model,
            size=sample.size,
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

    def claim(self, image: InputImage) -> None:
        """Make sure that the outputs of an image lie in the folder, and replace those of no other image.

        Raises:
            DataError: when they do not, or would.
        """
        check_name(self.folder, image.stem)
        other = self._stems.setdefault(image.stem, image.name)
        if other != image.name:
            raise DataError(
                f"the results of {image.name} would have the same name, {image.stem}, as those of {other}."
                " Hint: rename one of the two, or give each a separate --out"
            )

    def _write_files(
        self, image: InputImage, sample: Sample, prediction: Prediction, outputs: dict[str, str]
    ) -> None:
        """Write the files of an image, and enter each in ``outputs`` when it is there."""
        with into(self.folder, sync=False) as written:
            stored, palette = self._as_stored(prediction)
            for write in registry.functions_for("write", prediction.fields()):
                outputs |= write(stored, self.folder, image.stem, palette)
            if self.overlays:
                shown = confident(prediction, self.draw_above)
                drawn = overlay(sample.image, shown, self.classes, self.palette, legend=True)
                path = f"overlays/{image.stem}.jpg"
                write_picture(self.folder / path, fit_jpeg(drawn))
                outputs["overlay"] = path
        # the writers of plugins may have written by other means
        self._files[image.name] = [*written, *(self.folder / path for path in outputs.values())]

    def _as_stored(self, prediction: Prediction) -> tuple[Prediction, Palette]:
        """A prediction with the values that its label image gets, and the colors by those values."""
        if prediction.label_map is None:
            return prediction, self.palette
        if not self._has_class_table:  # by every thread that comes before the first is done, all the same
            write_class_table(self.folder / "labels" / CLASS_TABLE, self.classes, self._values, self.palette)
            self._has_class_table = True
        if self._values.are_indexes:
            return prediction, self.palette
        encoded = self._values.encode(prediction.label_map)
        return replace(prediction, label_map=encoded), self._values.palette(self.palette)

    def _write_about(self) -> None:
        """Write ``about.json``; results that are there already must have the same options."""
        path = self.folder / ABOUT
        values = None if self._values.are_indexes else self._values.to_dict()
        if self._done:
            options = self._options | {"draw_above": self.draw_above}
            check_about(path, label_values=values, options=options)
        about = {"classes": list(self.classes), "draw_above": self.draw_above, "options": self._options}
        about |= {} if values is None else {"label_values": values}
        with atomic_write(path, "w") as file:
            json.dump(self._about | about, file, indent=2)
            file.write("\n")

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
        before = self._done.pop(record.image, None) if record.status == "failed" else None
        if before is not None:
            remove_outputs(self.folder, before["outputs"])

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
        order = {name: i for i, name in enumerate(names)}
        kept = (
            record for record in self._all_records() if record["status"] != "ok" or self._is_complete(record)
        )
        ordered = sorted(kept, key=lambda record: order.get(record["image"], -1))  # stable
        write_records(self._manifest, ordered)
        remove_parts(self.folder)
        done = [record for record in ordered if record["status"] == "ok"]
        with atomic_write(self.folder / PREDICTIONS, "w") as file:
            file.writelines(results_document(self.folder, done, self.classes, self._values, self._about))
        self._collect(done)

    def _collect(self, done: list[dict[str, Any]]) -> None:
        """Have tasks write what they write once for all images."""
        kinds = dict.fromkeys(kind for record in done for kind in record["outputs"])
        for collect in registry.functions_for("collect", kinds):
            collect(self.folder, done, self._about | {"classes": list(self.classes)})

    def _is_complete(self, record: dict[str, Any]) -> bool:
        """Whether the files of a record are there, and as large as when they were written."""
        outputs = record["outputs"] if record["status"] == "ok" else {}
        missing_overlay = self.overlays and "overlay" not in outputs
        return not missing_overlay and are_whole(self.folder, outputs, record.get("sizes") or {})
