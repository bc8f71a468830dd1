"""Checks shared by plugins, datasets and evaluators: manifest and settings."""

from __future__ import annotations

from toolkit.config import settings_class
from toolkit.testing.checks import Case, expect, skip


def manifest_holds(case: Case) -> None:
    """Everything that the manifest names exists, and no requirement is missing."""
    manifest = case.manifest
    missing = manifest.missing_requirements()
    expect(not missing, f"it needs {', '.join(missing)}. Hint: {manifest.install_line()}")
    expect(
        callable(manifest.resolve(manifest.build)),
        f"build={manifest.build!r} is not callable",
    )
    settings_class(manifest)
    long = "\n" in manifest.summary or len(manifest.summary) > 120
    expect(
        not long,
        f"summary is {len(manifest.summary)} characters long. Hint: shorten it to one line of at most 120",
    )


def settings_are_documented(case: Case) -> None:
    """Each setting has a default and a docstring, and survives being written to YAML."""
    cls = settings_class(case.manifest)
    if not cls.model_fields:
        skip("there are no settings")
    without = [name for name, field in cls.model_fields.items() if not (field.description or "").strip()]
    expect(
        not without,
        f"{', '.join(without)} of {cls.__name__} has no docstring. Hint: write one under the field",
    )
    required = [name for name, field in cls.model_fields.items() if field.is_required()]
    expect(not required, f"{', '.join(required)} of {cls.__name__} has no default. Hint: give one that works")
    settings = cls()
    again = cls.model_validate(settings.model_dump(mode="json"))
    expect(again == settings, f"{cls.__name__}() becomes {again!r} after being written and read")
    expect(
        cls.model_config.get("extra") == "forbid",
        f"{cls.__name__} accepts unknown keys, so a typo in a setting goes unnoticed",
    )
