"""The base of all settings: typed, frozen classes that report all errors at once."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, create_model, model_validator
from pydantic.fields import FieldInfo

from toolkit.errors import ConfigError, UsageError
from toolkit.reading.fields import shown
from toolkit.reading.yaml_written import as_written, forget_text
from toolkit.wording import counted

if TYPE_CHECKING:
    from toolkit.registry.manifests import Manifest


SPELLINGS = {
    "colour": "color",
    "licence": "license",
    "centre": "center",
    "grey": "gray",
    "labelled": "labeled",
    "ise": "ize",
}
"""British spellings, which some settings had before the first release."""


class Settings(BaseModel):
    """Base of all settings: typed, frozen, and an unknown key is an error. The sentence below each field says
    what it does.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _as_declared(cls, values: Any) -> Any:
        """Text as it was written where a field is text: ``classes: [no, 007]`` are two names."""
        if not isinstance(values, dict):
            return forget_text(values)
        fields = cls.model_fields
        return {
            key: declared(fields[key].annotation, value) if key in fields else forget_text(value)
            for key, value in values.items()
        }

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Join the lines of a sentence that spans several lines of source code."""
        for field in cls.model_fields.values():
            field.description = " ".join(field.description.split()) if field.description else None


S = TypeVar("S", bound=Settings)


def with_fields(name: str, base: type[S], fields: Mapping[str, Any]) -> type[S]:
    """A subclass of a settings class that has more fields.

    Args:
        name: of the subclass.
        base: some of its fields may be replaced.
        fields: as ``pydantic.create_model`` takes them: name -> (type, default).
    """
    # Such a class has no source code with sentences, and pydantic's search for it looks at every module that
    # is loaded: with torch, that takes longer than anything else about settings.
    found = {"use_attribute_docstrings": False}
    return create_model(name, __base__=base, __cls_kwargs__=found, **dict(fields))


def settings_class(manifest: Manifest) -> type[Settings]:
    """The settings class that a manifest names, or the empty one."""
    cls = manifest.resolve(manifest.settings) if manifest.settings else Settings
    if not (isinstance(cls, type) and issubclass(cls, Settings)):
        raise UsageError(
            f"{manifest.kind} {manifest.name!r}: {manifest.settings} must be a subclass of"
            f" toolkit.config.Settings, not {cls!r}"
        )
    return cls


def declared(annotation: Any, value: Any) -> Any:
    """A value from YAML for a field of this type: as it was written if the field is text, otherwise without
    the memory of how it was written. Settings within the value do the same for their own fields.
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return declared(parts[0], value)
    if origin in (Union, types.UnionType):
        present = [part for part in parts if part is not type(None)]
        return declared(present[0], value) if len(present) == 1 else _unless_settings(annotation, value)
    if isinstance(value, dict) and origin in (dict, Mapping) and len(parts) == 2:
        return {declared(parts[0], key): declared(parts[1], item) for key, item in value.items()}
    if isinstance(value, list) and origin in (tuple, list, set, frozenset, Sequence):
        items = as_written(value) if _inner(parts) is str else value
        return [declared(_inner(parts), item) for item in items]
    if annotation is str:
        return as_written(value) if not isinstance(value, (list, dict)) else forget_text(value)
    return _unless_settings(annotation, value)


def _unless_settings(annotation: Any, value: Any) -> Any:
    return value if _flatten(annotation) else forget_text(value)


def _inner(parts: Sequence[Any]) -> Any:
    """The type of a sequence's items; Any if it depends on their position."""
    kinds = {part for part in parts if part is not Ellipsis}
    found = kinds.pop() if len(kinds) == 1 else Any
    return get_args(found)[0] if get_origin(found) is Annotated else found


def validate(cls: type[Any], tree: Mapping[str, Any], *, source: str) -> Any:
    """Build a settings object.

    Raises:
        ConfigError: lists all errors, with key, value and, for unknown keys, the nearest name.
    """
    try:
        return cls.model_validate(tree)
    except ValidationError as error:
        faults = [_explain(cls, fault) for fault in error.errors()]
        raise ConfigError(
            f"{source}: {counted(len(faults), 'error')}\n" + "\n".join(f"  {fault}" for fault in faults)
        ) from None


def leaves(cls: type[Settings], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting of a class by its full key; nested settings are replaced by their own fields."""
    for name, field in cls.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings) and inner is not Settings:
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _explain(cls: type[BaseModel], fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{key}: {_unknown(cls, fault['loc'])}"
    if fault["type"] == "union_tag_invalid":
        known = [tag.strip().strip("'") for tag in fault["ctx"]["expected_tags"].split(",")]
        return f"{key}: unknown name {fault['ctx']['tag']!r}{_suggestion(fault['ctx']['tag'], known)}"
    if fault["type"] == "missing":
        return f"{key}: missing"
    message = _expected(fault) or fault["msg"].removeprefix("Value error, ")
    given = "" if isinstance(fault["input"], dict) else f", not {shown(fault['input'])}"
    # an error about several settings together has no key
    return f"{key}: " * bool(key) + f"{message[0].lower()}{message[1:]}{given}"


_EXPECTED = {
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list, such as [a, b]"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type"),
        "keys and values, such as {key: value}",
    ),
    "finite_number": "a finite number",
    "string_type": "text",
}
"""What pydantic's kinds of errors expect, in words that require no knowledge of Python."""

_BOUNDS = {
    "greater_than": ("gt", "a number above {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "a number below {}"),
    "less_than_equal": ("le", "{} or less"),
    "literal_error": ("expected", "{}"),
}
"""The same for errors that come with a bound or with the values to choose from."""


def _expected(fault: Any) -> str:
    """What was expected, in plain words; empty if pydantic's own message is best."""
    if fault["type"] in _BOUNDS:
        name, words = _BOUNDS[fault["type"]]
        bound = fault["ctx"][name]
        return f"expected {words.format(f'{bound:g}' if isinstance(bound, float) else bound)}"
    expected = _EXPECTED.get(fault["type"], "")
    return f"expected {expected}" if expected else ""


def _unknown(cls: type[BaseModel], path: Sequence[Any]) -> str:
    keys = [key for key, _ in leaves(cls)] if issubclass(cls, Settings) else []
    return f"unknown key{suggest_key(str(path[-1]), _fields_at(cls, path[:-1]), keys)}"


def suggest_key(name: str, fields: Sequence[str], keys: Sequence[str]) -> str:
    """What a wrong key was probably meant to be.

    Args:
        name: the last step of the key, or a bare key.
        fields: the fields at its place.
        keys: the full keys elsewhere; one that ends in the name is preferred to one of ``fields`` that is
            merely similar.
    """
    spelling = american(name)
    if spelling != name and spelling in fields:
        return f"; it is spelled {spelling!r}"
    exact = [key for key in keys if f".{key}".endswith(f".{spelling}")]
    near = difflib.get_close_matches(spelling, fields, n=1, cutoff=0.5)
    ends = {key.rpartition(".")[2]: key for key in reversed(keys)}
    last = spelling.rpartition(".")[2]
    like = [ends[end] for end in difflib.get_close_matches(last, list(ends), n=1, cutoff=0.6)]
    meant = exact[:3] or near or like
    if meant:
        return f"; did you mean {' or '.join(repr(key) for key in meant)}?"
    return f"; expected one of: {', '.join(fields)}" if fields else ". Hint: toolkit settings lists all"


def american(name: str) -> str:
    """A name in American spelling."""
    for british, spelling in SPELLINGS.items():
        name = name.replace(british, spelling)
    return name


def _suggestion(name: str, known: Sequence[str]) -> str:
    """What a wrong name was probably meant to be, or all known names."""
    return suggest_key(name, known, ())


def _fields_at(cls: Any, path: Sequence[Any]) -> list[str]:
    """Names of the fields of the settings class that a path of keys leads to."""
    for part in path:
        for candidate in (cls, *get_args(cls)):
            fields = getattr(candidate, "model_fields", {})
            if part in fields:
                cls = fields[part].annotation
                break
        else:  # an index into a sequence, a key of a mapping, or the tag of a union
            choices = [a for a in _flatten(cls) if isinstance(part, int) or _tag(a) == part]
            inner = get_args(cls)[get_origin(cls) is dict :]  # the values of a mapping, not its keys
            cls = choices[0] if len(choices) == 1 else next(iter(inner), None)
    return sorted({name for leaf in _flatten(cls) for name in leaf.model_fields})


def _flatten(annotation: Any) -> list[Any]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [leaf for inner in get_args(annotation) for leaf in _flatten(inner)]


def _tag(cls: Any) -> Any:
    field = getattr(cls, "model_fields", {}).get("name")
    return next(iter(get_args(field.annotation)), None) if field else None
