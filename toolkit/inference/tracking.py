"""Prompted tracking: objects that were pointed out in some frames of a video, followed through all the
others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.formats.prompts import PromptFile
from toolkit.inference.frames import FrameFolder, VideoFile, open_frames
from toolkit.inference.inputs import InputImage, with_stems
from toolkit.inference.predictor import Predictor
from toolkit.inference.records import Record
from toolkit.inference.results import ResultFolder
from toolkit.models.capabilities import Trackable
from toolkit.types import Instances, Prediction, Prompts
from toolkit.visualization.palettes import default_palette


def track_video(
    predictor: Predictor,
    source: Path,
    prompts: Path,
    out: Path,
    *,
    overlays: bool = True,
    on_start: Callable[[int], None] | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> int:
    """Follow the objects that a file of prompts points out, and write the results of every frame under
    ``out``.

    In the results each object is a class of its own (``flask 1``, ``flask 2``), so that its color and number
    stay the same throughout.

    Args:
        predictor: of a model that can track.
        source: a video file, or a folder of images of one size.
        prompts: see ``toolkit.formats.prompts``; images are named by the number of the frame in a video, and
            by file name in a folder.
        out: the folder of the results; see ``toolkit.inference.results``.
        overlays: whether to draw the objects over the frames.
        on_start: called with the number of frames.
        on_record: called after each frame.

    Returns:
        The number of objects.

    Raises:
        UsageError: when the model cannot track, or ``out`` holds other results.
        DataError: when video or prompts are at fault.
        OutputError: when a result cannot be written.
    """
    model = predictor.model.capability(Trackable)
    if model is None:
        raise UsageError(
            f"{type(predictor.model).__name__} cannot follow objects through a video. Hint: name a run of a"
            " plugin that can, such as sam2"
        )
    frames = open_frames(source)
    file = PromptFile(prompts)
    file.assign(frames.names)
    given = _by_frame(file, frames)
    objects = _object_names(
        [label for groups in given.values() for group in groups for label in _labels(group)], file.classes
    )
    with ResultFolder(
        out,
        objects,
        default_palette(len(objects), first=1),
        model=predictor.name,
        about=predictor.about,
        overlays=overlays,
    ) as results:
        if on_start:
            on_start(len(frames))
        images = _images(frames, source)
        with predictor.computing():
            found = model.track(frames, given)
            for index, image in enumerate(images):
                sample = frames[index]
                if index < min(given):
                    prediction = Prediction(
                        sample.id,
                        sample.size,
                        instances=Instances.empty(sample.size, with_masks=True, with_scores=True),
                    )
                else:
                    prediction = next(found)
                record = results.write(image, sample, prediction, None)
                results.append(record)
                if on_record:
                    on_record(record)
        results.finish(image.name for image in images)
    return len(objects)


def _by_frame(file: PromptFile, frames: FrameFolder | VideoFile) -> dict[int, list[Prompts]]:
    """The prompts of the frames that have any; no other frame is decoded."""
    return {
        index: groups
        for index, name in enumerate(frames.names)
        if file.names_image(name) and (groups := file.groups(name, frames[index].size))
    }


def _labels(prompts: Prompts) -> list[int]:
    return [0] * len(prompts) if prompts.labels is None else prompts.labels.tolist()


def _object_names(labels: Sequence[int], classes: Sequence[str]) -> list[str]:
    """The class of each object, with a number where there are several."""
    counts, seen, names = Counter(labels), Counter[int](), []
    for label in labels:
        seen[label] += 1
        names.append(f"{classes[label]} {seen[label]}" if counts[label] > 1 else classes[label])
    return names


def _images(frames: FrameFolder | VideoFile, source: Path) -> list[InputImage]:
    """The frames, called so that no two have one name in the results."""
    if isinstance(frames, FrameFolder):
        found = [InputImage(path, path.name, path.name) for path in frames.paths]
        return with_stems(found)
    return [InputImage(source, name, name) for name in frames.names]
