"""What became of the tensors of a file when a model took them over."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.wording import some


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a file and of a model, by name.

    Attributes:
        loaded: taken over.
        reinitialized: left at their start values on purpose, for the reason ``why_anew``.
        missing: in the model, not in the file.
        unexpected: in the file, not in the model.
        mismatched: in both with shapes that differ for another reason; ``name: file shape -> model shape``.
        by_class: heads of which the rows of some classes were taken over, by the names of the classes.
        kept_classes: these classes.
        new_classes: classes that the file does not know, and so have start values.
        why_anew: the reason for ``reinitialized``, in words.
    """

    loaded: tuple[str, ...] = ()
    reinitialized: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    by_class: tuple[str, ...] = ()
    kept_classes: tuple[str, ...] = ()
    new_classes: tuple[str, ...] = ()
    why_anew: str = "because the classes differ"

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors loaded"]
        if self.by_class:
            kept, new = some(self.kept_classes, 10), some(self.new_classes, 10)
            lines.append(
                f"{len(self.by_class)} by class name ({some(self.by_class, 4)}): loaded {kept}"
                + f"; random {new}" * bool(new)
            )
        if self.reinitialized:
            lines.append(
                f"{len(self.reinitialized)} start from random values {self.why_anew}:"
                f" {some(self.reinitialized, 4)}"
            )
        for what, names in (
            ("missing in the file", self.missing),
            ("not used", self.unexpected),
            ("do not fit", self.mismatched),
        ):
            if names:
                lines.append(f"{len(names)} {what}: {some(names, 4)}")
        return "; ".join(lines)
