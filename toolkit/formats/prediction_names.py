"""Which image a prediction is of, by name: never one for two, and never one of two at random.

Predictions are called by the image's path below some folder, with or without its suffix and with or without
the subfolders of the data set. A name is shortened only as long as it still means one image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from toolkit.errors import DataError
from toolkit.formats.regions import sample_id
from toolkit.wording import counted, some


class Names:
    """Predictions by the names that they have on disk.

    Args:
        names: of the images that they are of: paths with ``/``, with or without suffix; each once.
        source: the file or folder that has them, for messages.
    """

    def __init__(self, names: Iterable[str], source: Path) -> None:
        self.source = source
        self._names = dict.fromkeys(names)
        self._without_suffix: dict[str, list[str]] = defaultdict(list)
        for name in self._names:
            self._without_suffix[sample_id(name)].append(name)

    def find(self, sample: str) -> str | None:
        """The prediction of a sample; None where there is none.

        It is looked for by the whole id, then without the suffix, then by the last part of the id in the same
        way: predictions may have been made without the subfolders of the data set.

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
        # an id with a suffix is that of one of two images, and the prediction of the other is not its own
        found = [name for name in found if wanted == sample_id(wanted) or name == sample_id(name)]
        if len(found) > 1:
            raise DataError(
                f"{self.source} has {len(found)} predictions that could belong to the image {sample}:"
                f" {', '.join(found[:3])}. Hint: remove those of other images, or name them after the images"
                " with their suffix"
            )
        return found[0] if found else None

    def match(self, samples: Sequence[str]) -> dict[str, str]:
        """The prediction of each sample that has one.

        Args:
            samples: their ids.

        Raises:
            DataError: when several could be meant, or one would be of two samples; names them.
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
                    f"{self.source} has one prediction, {name}, that could belong to both {owners[name]}"
                    f" and {sample}. Hint: name predictions after the images, in the same subfolders and,"
                    " where two images differ in that alone, with their suffix"
                )
            owners[name] = sample
        return {sample: name for name, sample in owners.items()}

    def others(self, matched: Iterable[str]) -> list[str]:
        """The predictions that are of none of the samples.

        Args:
            matched: those that are of one.
        """
        known = set(matched)
        return [name for name in self._names if name not in known]


def say_left_out(say: Callable[[str], None], source: Path, others: Sequence[str]) -> None:
    """Say that predictions of images that the data set lacks do not count, if there are any.

    Args:
        say: is called with the line.
        source: the file or folder that has them.
        others: what they are called.
    """
    if others:
        verb = "is" if len(others) == 1 else "are"
        say(
            f"{source}: {counted(len(others), 'prediction')} {verb} ignored, because their images are not in"
            f" this split: {some(others)}"
        )
