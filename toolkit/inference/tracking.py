"""Prompted tracking: follows objects that were pointed out in some frames of a video through all the
others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.errors import DataError, UsageError
from toolkit.formats.prompt_records import UNNAMED
from toolkit.formats.prompts import PromptFile
from toolkit.inference.frames import FrameFolder, VideoFile, open_frames
from toolkit.inference.inputs import InputImage, with_stems
from toolkit.inference.predictor import Predictor
from toolkit.inference.records import Record
from toolkit.inference.results import ResultFolder
from toolkit.models.capabilities import Trackable
from toolkit.models.learned import check_tracking_learned
from toolkit.types import Instances, Prediction, Prompts
from toolkit.visualization.palettes import default_palette


def track_video(
    predictor: Predictor,
    source: Path,
    prompts: Path,
    out: Path,
    *,
    overlays: bool = True,
    on_frames: Callable[[Sequence[str]], None] | None = None,
    on_start: Callable[[int], None] | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> int:
    """Follow the objects that a file of prompts points out, and write the results of every frame to
    ``out``.

    In the results, each object is a separate class (``flask 1``, ``flask 2``), so that its color and number
    stay the same throughout, and has the id from the file. Prompts for an object in later frames
    correct it from there on.

    Args:
        predictor: of a model that can track.
        source: a video file, or a folder of images of one size.
        prompts: see ``toolkit.formats.prompt_records``; images are named by the number of the frame in a
            video, and by file name in a folder.
        out: the folder of the results; see ``toolkit.inference.results``.
        overlays: whether to draw the objects over the frames.
        on_frames: called with the names of the frames, before anything is tracked or written; may raise an
            error to refuse them.
        on_start: called with the number of frames.
        on_record: called after each frame.

    Returns:
        The number of objects.

    Raises:
        UsageError: when the model cannot track, or was not trained to, or ``out`` holds other results.
        DataError: when the video or the prompts are invalid.
        OutputError: when a result cannot be written.
    """
    model = predictor.model.capability(Trackable)
    if model is None:
        raise UsageError(
            "this model cannot track objects through a video. Hint: use a run of a"
            " plugin that can, such as sam2; exported models cannot"
        )
    name = predictor.name or type(predictor.model).__name__
    check_tracking_learned(model, predictor.about.get("start_weights", {}), name)
    frames = open_frames(source, predictor.scale)
    if on_frames:
        on_frames(frames.names)
    file = PromptFile(prompts)
    file.assign(frames.names)
    given = _by_frame(file, frames)
    classes = _classes_of(given, file.classes)
    ids = tuple(classes)
    objects = _object_names(classes, file.given_ids())
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
                    prediction = _with_ids(next(found), ids)
                record = replace(results.write(image, sample, prediction, None), frame=index)
                results.append(record)
                if on_record:
                    on_record(record)
        results.finish(image.name for image in images)
    return len(objects)


def _by_frame(file: PromptFile, frames: FrameFolder | VideoFile) -> dict[int, list[Prompts]]:
    """The prompts of the frames that have any, in the order of the file; no other frame is decoded."""
    return {
        index: one_by_one
        for index, name in enumerate(frames.names)
        if file.names_image(name) and (one_by_one := file.one_by_one(name, frames[index].size))
    }


def _classes_of(given: Mapping[int, Sequence[Prompts]], classes: Sequence[str]) -> dict[str, str]:
    """The class of each object by its id, in the order in which the objects are numbered.

    A correction may leave the class out.

    Raises:
        DataError: when an object has two classes.
    """
    found: dict[str, str] = {}
    for index in sorted(given):
        for prompts in given[index]:
            assert prompts.ids is not None
            assert prompts.labels is not None
            (each,), name = prompts.ids, classes[int(prompts.labels[0])]
            before = found.get(each, UNNAMED)
            if UNNAMED not in (before, name) and before != name:
                raise DataError(
                    f"the object {each!r} is called {before!r} and, in frame {index}, {name!r}; expected one"
                    " class. Hint: give different objects different ids"
                )
            found[each] = name if before == UNNAMED else before
    return found


def _object_names(classes: Mapping[str, str], given_ids: Collection[str]) -> list[str]:
    """The class of each object; if there are several of a class, with the given id, or else a number."""
    counts, seen, names = Counter(classes.values()), Counter[str](), []
    for each, name in classes.items():
        seen[name] += 1
        distinct = each if each in given_ids else str(seen[name])
        names.append(f"{name} {distinct}" if counts[name] > 1 else name)
    return names if len(set(names)) == len(names) else [f"{name} {i}" for i, name in enumerate(names, 1)]


def _with_ids(prediction: Prediction, ids: Sequence[str]) -> Prediction:
    """A prediction whose objects are labeled with their numbers, with their ids."""
    instances = prediction.instances
    if instances is None:
        return prediction
    named = replace(instances, ids=tuple(ids[number] for number in instances.labels.tolist()))
    return replace(prediction, instances=named)


def _images(frames: FrameFolder | VideoFile, source: Path) -> list[InputImage]:
    """The frames, with names that are unique in the results."""
    if isinstance(frames, FrameFolder):
        found = [InputImage(path, path.name, path.name) for path in frames.paths]
        return with_stems(found)
    return [InputImage(source, name, name) for name in frames.names]
