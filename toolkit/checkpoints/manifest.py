"""What a checkpoint says of itself: everything that is needed to rebuild the model (plugin, its settings,
classes), and where the weights come from (dataset and its fingerprint, start weights and their license,
metrics).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, Strict

from toolkit.config.keys import section_faults
from toolkit.data.label_values import LabelValues
from toolkit.errors import CheckpointError
from toolkit.reading.fields import Count, Name, Number, Text, shown
from toolkit.reading.json_text import parse_json
from toolkit.reading.records import MOST_FAULTS, judge

FORMAT = 1
COPY_AGAIN = "copy or download the file again"

Part = Annotated[int, Strict(), Field(ge=0, le=255)]
"""Of a color."""


def _sections(config: Mapping[str, Any]) -> Mapping[str, Any]:
    faults = section_faults(config)
    if faults:
        raise ValueError("; ".join(faults))
    return config


def _label_values(values: Mapping[str, Any]) -> Mapping[str, Any]:
    LabelValues.from_dict(values)
    return values


@dataclass(frozen=True)
class CheckpointManifest:
    """What a checkpoint says of itself.

    Attributes:
        plugin: name of the plugin that built the model.
        task: what the model does, one of ``toolkit.registry.manifests.TASKS``.
        classes: the names that label indexes stand for.
        plugin_version: version of the plugin's network; a change means that older weights may not fit.
        plugin_code: hash of the plugin's files, see ``toolkit.registry.code``.
        model: the plugin's settings, as plain values.
        palette: one RGB color per class, or None for the default colors.
        label_values: the values of ``toolkit.data.label_values.LabelValues`` of the training data as plain
            values, where they have such label images.
        config: the settings of the whole run.
        dataset: name, split and fingerprint of the training data.
        start_weights: what training started from, with its license.
        metrics: figures on the validation split when the checkpoint was written.
        step: optimizer steps taken.
        toolkit: version of the toolkit that wrote the file.
        format: version of this manifest.
    """

    plugin: Name
    task: Name
    classes: tuple[Text, ...]
    plugin_version: Text = "1"
    model: Mapping[str, Any] = field(default_factory=dict)
    palette: tuple[tuple[Part, Part, Part], ...] | None = None
    label_values: Annotated[Mapping[str, Any], AfterValidator(_label_values)] | None = None
    config: Annotated[Mapping[str, Any], AfterValidator(_sections)] = field(default_factory=dict)
    dataset: Mapping[str, Text] = field(default_factory=dict)
    start_weights: Mapping[str, Text] = field(default_factory=dict)
    metrics: Mapping[str, Number | None] = field(default_factory=dict)
    step: Count = 0
    toolkit: Text = ""
    format: Count = FORMAT
    plugin_code: Text = ""

    def to_json(self) -> str:
        """The manifest as JSON."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str, source: Path) -> CheckpointManifest:
        """Read a manifest back.

        Somebody else may have written it, so every field is checked: the annotations of this class are the
        schema. Fields that it does not know are left out.

        Raises:
            CheckpointError: when it is no JSON, a field is missing or of another type (with all errors), or
                it is of a newer format.
        """
        where = f"the manifest in {source}"
        values = parse_json(text, where, "a description of the checkpoint", CheckpointError)
        version = values.get("format", 0) if isinstance(values, dict) else 0
        if isinstance(version, int) and version > FORMAT:
            raise CheckpointError(
                f"{source} was written by a newer version of the toolkit (format {shown(version)}; this"
                f" version reads {FORMAT}). Hint: upgrade the toolkit"
            )
        manifest: CheckpointManifest | None
        manifest, faults = judge(values, cls)
        if manifest is not None:
            counts = {"palette": ("colors", manifest.palette or None)}
            counts["label_values"] = ("values", manifest.label_values and manifest.label_values["classes"])
            count = len(manifest.classes)
            faults = [
                f"{name}: {len(given)} {what} for {count} classes"
                for name, (what, given) in counts.items()
                if given is not None and len(given) != count
            ]
        if faults or manifest is None:
            raise CheckpointError(
                f"{where} is damaged: {'; '.join(faults[:MOST_FAULTS])}. Hint: {COPY_AGAIN}"
            )
        return manifest


def license_of(manifest: CheckpointManifest | None) -> str:
    """The license of the weights that a checkpoint was trained from, as far as its manifest knows it;
    ``unknown`` otherwise.
    """
    return "unknown" if manifest is None else manifest.start_weights.get("license", "unknown")
