"""Explains the images of a folder, and writes maps and pictures.

::

    DIR/explanations.json        the model and the method; for each image its target, score, figures and files
    DIR/overlays/<name>.jpg      the map over the photo
    DIR/maps/<name>.npy          the map, float32 [H, W]
    DIR/maps/<name>.png          the map from its smallest to its largest value, 16 bits
    DIR/sheet.jpg                all of them side by side, with their targets
    DIR/activations/<name>.png   the channels of a layer, with ``activations``
    DIR/kernels.png              the kernels of the first layer, with ``activations``
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from toolkit.checkpoints import RunLike
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError, InvalidDataError, OutputError
from toolkit.explaining.activations import activations as layer_activations
from toolkit.explaining.activations import check_layer, first_kernels
from toolkit.explaining.document import (
    NOTHING_SHOWN,
    about_explanations,
    check_free,
    entry_of,
    target_words,
    write_document,
)
from toolkit.explaining.front import Explainer
from toolkit.explaining.images import ImageToExplain, images_of, samples_of
from toolkit.explaining.judging import Judge, JudgeOptions, Judgment, summary, summary_words
from toolkit.explaining.methods import DEFAULT
from toolkit.explaining.pictures import (
    captioned,
    channel_grid,
    draw_target,
    fitted,
    heat_map,
    kernel_grid,
    sheet_title,
)
from toolkit.explaining.subject import Effort
from toolkit.explaining.targets import Corners, NothingToExplainError, Point, Question
from toolkit.explaining.types import Explanation
from toolkit.inference.outputs import concerns_one_image
from toolkit.inference.predictor import Predictor, load
from toolkit.runtime.confine import check_name
from toolkit.runtime.files import atomic_write, into, remove_unfinished
from toolkit.runtime.locks import locked
from toolkit.runtime.memory import ran_out_of_memory
from toolkit.runtime.progress import Count
from toolkit.runtime.text import printable
from toolkit.types import Sample, TargetPart
from toolkit.visualization.drawing import fit_jpeg, write_picture
from toolkit.visualization.sheets import Cell, grid_sheet

_CELL = 320
_MOST_ROWS = 50
"""Maximum number of images on a contact sheet."""

NO_SCORES = JudgeOptions(draws=0)


@dataclass(frozen=True)
class ExplainedFolder:
    """The result of explaining images.

    Attributes:
        folder: where the files are.
        entries: what ``explanations.json`` says about each image, in order.
        explained: how many images have a map, or a grid of activations.
        empty: how many have nothing to explain.
        failed: how many could not be read or explained.
        notes: what else a reader should know.
    """

    folder: Path
    entries: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()

    def _count(self, status: str) -> int:
        return sum(entry["status"] == status for entry in self.entries)

    @property
    def explained(self) -> int:
        """See above."""
        return self._count("ok")

    @property
    def empty(self) -> int:
        """See above."""
        return self._count("empty")

    @property
    def failed(self) -> int:
        """See above."""
        return self._count("failed")


@dataclass
class _Sheet:
    """The rows of the contact sheet."""

    rows: list[list[Cell | None]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    subtitles: list[str] = field(default_factory=list)
    left_out: int = 0

    def add(self, sample: Sample, explanation: Explanation, title: str, subtitle: str) -> None:
        if len(self.rows) >= _MOST_ROWS:
            self.left_out += 1
            return
        outlined, drawn = fitted(sample.image, explanation.map, explanation.target, _CELL)
        self.rows.append([(outlined, None), (drawn, None)])
        self.titles.append(title)
        self.subtitles.append(subtitle)

    def write(self, path: Path, method: str) -> None:
        """Write the picture, if there are rows."""
        if self.rows:
            grid_sheet(
                ["target", method],
                self.rows,
                path,
                classes=(),
                palette=(),
                titles=self.titles,
                subtitles=self.subtitles,
                cell=_CELL,
            )


def explain_folder(
    run: Predictor | RunLike,
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    method: str = DEFAULT,
    class_name: str | None = None,
    object: int | None = None,
    point: Point | None = None,
    box: Corners | None = None,
    part: TargetPart = "class",
    layer: str | None = None,
    effort: Effort | None = None,
    scores: JudgeOptions | None = None,
    activations: str | None = None,
    data: Dataset | None = None,
    limit: int | None = None,
    progress: bool = True,
) -> ExplainedFolder:
    """Explain all images that files, folders and patterns refer to, and write maps and pictures to ``out``.

    An image that cannot be read, or has nothing to explain, such as no object, is recorded and skipped.

    Args:
        run: a ``Predictor``, or what ``toolkit.load`` takes.
        paths: files, folders, patterns and addresses of images; see ``toolkit.inference.sources``.
        out: the folder of the results; see ``toolkit.explaining.folder``.
        method, class_name, object, point, box, part, layer, effort: as for ``toolkit.explain``, for each
            image.
        scores: which scores of the maps are computed; None: those that the truth in ``data`` gives.
        activations: name of a layer, whose channels are drawn for each image instead of explaining it.
        data: a dataset whose images are explained instead of ``paths``; its truth is that of the pointing
            game.
        limit: the most images.
        progress: whether to show progress on standard error.

    Raises:
        UsageError: when there is no image, the model cannot be asked this, or ``out`` already contains
            results.
        OutputError: when a result cannot be written.
    """
    predictor, out = run if isinstance(run, Predictor) else load(run), Path(out)
    images = images_of(paths, out, predictor.scale) if data is None else samples_of(data)
    work: _Work
    if activations is None:
        question = Question(class_name, object, point, box, part)
        explainer = Explainer(predictor, question, method=method, layer=layer, effort=effort)
        work = _Explaining(out, Judge(explainer, scores or NO_SCORES, None if data is None else data.classes))
    else:
        work = _Activations(out, predictor, check_layer(predictor, activations))
    check_free(out)
    with locked(out):
        remove_unfinished(out)
        return _run(work, images[:limit], progress)


def _run(work: _Work, images: Sequence[ImageToExplain], progress: bool) -> ExplainedFolder:
    entries: list[dict[str, Any]] = []
    write_document(work.out, work.about, entries, finished=False)
    try:
        with Count("explaining", show=progress) as count:
            count.start(len(images))
            for image in images:
                entry = _attempt(work, image)
                entries.append(entry)
                if "error" in entry and progress:
                    word = "skipped" if entry["status"] == "failed" else "nothing to explain"
                    sys.stderr.write(printable(f"{word}: {entry['image']}: {entry['error']}") + "\n")
                count.advance()
        notes = (*work.finish(), *_on_empty_maps(entries))
    except BaseException:
        write_document(work.out, work.about, entries, finished=False)
        raise
    write_document(work.out, work.about, entries, finished=True)
    return ExplainedFolder(work.out, tuple(entries), notes)


def _on_empty_maps(entries: Sequence[dict[str, Any]]) -> Iterator[str]:
    count = sum(entry.get("note") == NOTHING_SHOWN for entry in entries)
    if count:
        have = "map has" if count == 1 else "maps have"
        yield f"{count} {have} no values above 0. Hint: use another --layer or --method"


def _attempt(work: _Work, image: ImageToExplain) -> dict[str, Any]:
    """The entry of an image, whose files are written."""
    base = {"image": image.name, "source": image.source}
    sample, reason = image.read()
    if sample is None:
        return base | {"status": "failed", "error": reason}
    try:
        check_name(work.out, image.stem)
        with into(work.out):
            return base | {"status": "ok"} | work.do(image.stem, sample)
    except NothingToExplainError as error:
        return base | {"status": "empty", "error": str(error)}
    except (InvalidDataError, DataError) as error:
        return base | {"status": "failed", "error": str(error)}
    except OutputError as error:
        if not concerns_one_image(error):
            raise
        return base | {"status": "failed", "error": str(error)}
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        size = "{1} × {0}".format(*sample.size)
        reason = f"memory ran out at {size} pixels. Hint: scale the image down, or use another --device"
    return base | {"status": "failed", "error": reason}


class _Work:
    """What is done with each image."""

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self.out, self.about = out, about

    def do(self, stem: str, sample: Sample) -> dict[str, Any]:
        """Write the files of an image; what the document says about it."""
        raise NotImplementedError

    def finish(self) -> Iterator[str]:
        """Write what is written once; yields notes."""
        raise NotImplementedError


class _Explaining(_Work):
    def __init__(self, out: Path, judge: Judge) -> None:
        explainer = judge.explainer
        self.explainer, self.judge, self.sheet = explainer, judge, _Sheet()
        self.judgments: list[Judgment] = []
        super().__init__(out, about_explanations(explainer.predictor, explainer))

    def do(self, stem: str, sample: Sample) -> dict[str, Any]:
        explanation = self.explainer.explain(sample)
        outputs = {
            "overlay": f"overlays/{stem}.jpg",
            "array": f"maps/{stem}.npy",
            "map": f"maps/{stem}.png",
        }
        judgment = self.judge.judge(sample, explanation)
        drawn = draw_target(heat_map(sample.image, explanation.map), explanation.target, sample.size)
        drawn = captioned(drawn, judgment.warnings())
        write_picture(self.out / outputs["overlay"], fit_jpeg(drawn))
        _write_array(self.out / outputs["array"], explanation.map)
        _write_16_bits(self.out / outputs["map"], explanation.map)
        classes = self.explainer.predictor.classes
        title = sheet_title(explanation, target_words(explanation.target, classes))
        self.sheet.add(sample, explanation, title, "; ".join(judgment.words()))
        self.judgments.append(judgment)
        scores = judgment.document()
        return entry_of(explanation, classes) | ({"scores": scores} if scores else {}) | {"outputs": outputs}

    def finish(self) -> Iterator[str]:
        self.sheet.write(self.out / "sheet.jpg", self.explainer.method.name)
        if self.sheet.left_out:
            yield f"sheet.jpg shows the first {_MOST_ROWS} images"
        found = summary(self.judgments)
        if found:
            self.about["summary"] = found
            yield from summary_words(found)


class _Activations(_Work):
    def __init__(self, out: Path, predictor: Predictor, layer: str) -> None:
        self.predictor, self.layer = predictor, layer
        super().__init__(out, about_explanations(predictor) | {"activations": layer})

    def do(self, stem: str, sample: Sample) -> dict[str, Any]:
        _, maps = layer_activations(self.predictor, sample, self.layer)
        path = f"activations/{stem}.png"
        write_picture(self.out / path, channel_grid(maps))
        return {"layer": self.layer, "shape": list(maps.shape), "outputs": {"activations": path}}

    def finish(self) -> Iterator[str]:
        found = first_kernels(self.predictor)
        if found is None:
            yield "no kernels are drawn: no convolution sees the three channels of the image"
            return
        name, kernels = found
        write_picture(self.out / "kernels.png", kernel_grid(kernels))
        self.about["kernels"] = {"layer": name, "shape": list(kernels.shape), "file": "kernels.png"}


def _write_array(path: Path, values: Tensor) -> None:
    with atomic_write(path) as file:
        np.lib.format.write_array(file, values.numpy(), allow_pickle=False)


def _write_16_bits(path: Path, values: Tensor) -> None:
    """Write a map as gray values from 0, its smallest value, to 65535, its largest."""
    low, high = float(values.min()), float(values.max())
    levels = (values.double() - low) / ((high - low) or 1.0) * 65535
    done, code = cv2.imencode(".png", levels.round().numpy().astype(np.uint16))
    if not done:
        raise OutputError(f"{path} cannot be written: the encoder refused it. Hint: scale the image down")
    with atomic_write(path) as file:
        file.write(code.tobytes())
