"""Matches predictions with images by name: never one prediction with two images, and never at random.

Predictions are named after the image's path below some folder, with or without its suffix and with or without
the subfolders of the dataset. A name is shortened only as long as it still identifies one image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from toolkit.errors import DataError
from toolkit.formats.regions import sample_id
from toolkit.wording import counted, some


class Names:
    """Predictions by their names on disk.

    Args:
        names: names of the images that they belong to: paths with ``/``, with or without suffix; each once.
        source: the file or folder that contains them, for messages.
        what: what it has for each image, for messages.
    """

    def __init__(self, names: Iterable[str], source: Path, what: str = "prediction") -> None:
        self.source, self._what = source, what
        self._names = dict.fromkeys(names)
        self._without_suffix: dict[str, list[str]] = defaultdict(list)
        for name in self._names:
            self._without_suffix[sample_id(name)].append(name)

    def find(self, sample: str) -> str | None:
        """The prediction of a sample; None if there is none.

        It is searched for by the whole id, then without the suffix, then by the last part of the id in the
        same way: predictions may have been made without the subfolders of the dataset.

        Args:
            sample: its id.

        Raises:
            DataError: when several could be meant.
        """
        found = self._find(sample, sample)
        return self._find(PurePosixPath(sample).name, sample) if found is None else found

    def _find(self, wanted: str, sample: str) -> str | None:
        if wanted in self._names:
            return wanted
        found = self._without_suffix.get(sample_id(wanted), [])
        # an id with a suffix belongs to one of two images, and the prediction of the other one is not its own
        found = [name for name in found if wanted == sample_id(wanted) or name == sample_id(name)]
        if len(found) > 1:
            raise DataError(
                f"{self.source} has {len(found)} {self._what}s that could belong to the image {sample}:"
                f" {', '.join(found[:3])}. Hint: remove those of other images, or name them after the images"
                " with their suffix"
            )
        return found[0] if found else None

    def match(self, samples: Sequence[str]) -> dict[str, str]:
        """The prediction of each sample that has one.

        Args:
            samples: their ids.

        Raises:
            DataError: when several could be meant, or one would belong to two samples; names them.
        """
        whole = {sample: self._find(sample, sample) for sample in samples}
        found = self._each_once((sample, name) for sample, name in whole.items() if name is not None)
        taken = set(found.values())
        rest = ((each, self._find(PurePosixPath(each).name, each)) for each in samples if each not in found)
        return found | self._each_once((each, name) for each, name in rest if name and name not in taken)

    def _each_once(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        owners: dict[str, str] = {}
        for sample, name in pairs:
            if name in owners:
                raise DataError(
                    f"{self.source} has one {self._what}, {name}, that could belong to both {owners[name]}"
                    f" and {sample}. Hint: name {self._what}s after the images, in the same subfolders and,"
                    " where two images differ in that alone, with their suffix"
                )
            owners[name] = sample
        return {sample: name for name, sample in owners.items()}

    def others(self, matched: Iterable[str]) -> list[str]:
        """The predictions that belong to none of the samples.

        Args:
            matched: the predictions that belong to one.
        """
        known = set(matched)
        return [name for name in self._names if name not in known]


def say_left_out(say: Callable[[str], None], source: Path, others: Sequence[str]) -> None:
    """Report predictions of images that are not in the dataset, which do not count, if there are any.

    Args:
        say: called with the line.
        source: the file or folder that contains them.
        others: their names.
    """
    if others:
        verb = "is" if len(others) == 1 else "are"
        say(
            f"{source}: {counted(len(others), 'prediction')} {verb} ignored, because their images are not in"
            f" this split: {some(others)}"
        )
