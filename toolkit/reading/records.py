"""Many records against one schema: all records of a list are checked, and all errors are reported at once.

::

    class Annotation(Schema):
        image_id: Id
        bbox: Annotated[list[Pixels], Field(min_length=4, max_length=4)] | None = None

    entries = records(data["annotations"], Annotation, source=str(path), kind="annotation", error=DataError)

raises, for a file with two errors::

    annotations.json has 2 errors:
      annotation 17 (id 42): bbox[2]: should be a valid number, not None
      annotation 30: image_id: missing
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from toolkit.errors import ToolkitError
from toolkit.reading.fields import shown
from toolkit.reading.files import MakeError
from toolkit.reading.memory import uncollected

T = TypeVar("T")

MOST_FAULTS = 20
"""Number of errors that a message lists; the others are counted."""

CHUNK = 4096
"""Records that are checked at a time: enough that the call costs nothing, few enough that copies stay small.
"""

HINT = "correct the file, or export it again"


@dataclass(frozen=True)
class Fault:
    """What is wrong with one record.

    Attributes:
        position: index of the record in its list, from 0.
        text: which record, which field, and what is wrong.
    """

    position: int
    text: str


@uncollected()
def records(
    entries: Any,
    schema: type[T],
    *,
    source: str,
    kind: str,
    error: MakeError,
    key: str = "id",
    hint: str = HINT,
    on_fault: Callable[[ToolkitError], None] | None = None,
) -> list[T]:
    """The records of a list, as objects of ``schema``.

    Args:
        entries: what the file contains where the list is expected.
        schema: a ``toolkit.reading.fields.Schema``, or anything else that pydantic checks.
        source: the file, for messages.
        kind: what one record is, such as "annotation".
        error: the kind of error to raise.
        key: the field that identifies a record besides its position.
        hint: what to do.
        on_fault: called with an error for each record with errors, which is then left out; without it, all
            errors are raised as one.

    Raises:
        ToolkitError: of the kind ``error``: when it is not a list, or, with all errors (the first 20 in
            words), when records do not fit.
    """
    good, faults = sift(entries, schema, source=source, kind=kind, error=error, key=key, hint=hint)
    if faults and on_fault is None:
        raise error(fault_list(source, [fault.text for fault in faults], hint))
    for fault in faults:
        assert on_fault is not None  # without it, they were raised
        on_fault(error(f"{source}: {fault.text}. Hint: {hint}"))
    return [record for _, record in good]


@uncollected()
def sift(
    entries: Any,
    schema: type[T],
    *,
    source: str,
    kind: str,
    error: MakeError,
    key: str = "id",
    hint: str = HINT,
) -> tuple[list[tuple[int, T]], list[Fault]]:
    """The records that fit, with their positions, and the errors of the others; arguments as for ``records``.

    Raises:
        ToolkitError: of the kind ``error``: when it is not a list.
    """
    good: list[tuple[int, T]] = []
    faults: list[Fault] = []
    for start, part, made, found in _in_chunks(entries, schema, source, kind, error, key, hint):
        if made is None:
            bad = {fault.position - start for fault in found}
            places = [place for place in range(len(part)) if place not in bad]
            made, _ = judge_all([part[place] for place in places], schema)
            good.extend((start + place, record) for place, record in zip(places, made, strict=True))
        else:
            good.extend(enumerate(made, start))
        faults.extend(found)
    return good, faults


@uncollected()
def check_records(
    entries: Any,
    schema: Any,
    *,
    source: str,
    kind: str,
    error: MakeError,
    key: str = "id",
    hint: str = HINT,
) -> None:
    """Check records that are used as they are; arguments as for ``records``. Takes memory for only a few
    thousand of them at a time.

    Raises:
        ToolkitError: of the kind ``error``, as ``records``.
    """
    faults = [
        fault
        for _, _, _, found in _in_chunks(entries, schema, source, kind, error, key, hint)
        for fault in found
    ]
    if faults:
        raise error(fault_list(source, [fault.text for fault in faults], hint))


def _in_chunks(
    entries: Any, schema: Any, source: str, kind: str, error: MakeError, key: str, hint: str
) -> Iterator[tuple[int, list[Any], list[Any] | None, list[Fault]]]:
    """Where each part of the list begins, the part, the objects made from it if all fit, and its errors."""
    if not isinstance(entries, list):
        raise error(f"{source}: expected a list of {kind} records, not {shown(entries)}. Hint: {hint}")
    for start in range(0, len(entries), CHUNK):
        part = entries[start : start + CHUNK]
        made, problem = judge_all(part, schema)
        if problem is None:
            yield start, part, made, []
        else:
            yield start, part, None, _by_record(problem, part, start, kind, key, _fields(schema))


def record(
    value: Any, schema: type[T], *, source: str, error: MakeError, name: str = "", hint: str = HINT
) -> T:
    """One record, such as a whole document; arguments as for ``records``, ``name`` precedes its errors.

    Raises:
        ToolkitError: of the kind ``error``, with all errors.
    """
    found: T
    found, faults = judge(value, schema)
    if faults:
        before = f"{name}: " if name else ""
        raise error(fault_list(source, [before + fault for fault in faults], hint))
    return found


def judge(value: Any, schema: Any) -> tuple[Any, list[str]]:
    """What ``schema`` makes of a value, and what is wrong with it, one of the two."""
    made, problem = judge_all([value], schema)
    if problem is None:
        return made[0], []
    return None, [explain(fault, skip=1, fields=_fields(schema)) for fault in _errors(problem)]


def judge_all(values: list[Any], schema: Any) -> tuple[list[Any], ValidationError | None]:
    """What ``schema`` makes of several values, none where one does not fit, and pydantic's list of errors."""
    try:
        return _adapter(schema).validate_python(values), None
    except ValidationError as problem:
        return [], problem


def check_unique(
    values: Sequence[Any], source: str, kind: str, error: MakeError, key: str = "id", hint: str = HINT
) -> None:
    """Check that no value occurs twice, as one that tells records apart must not.

    Raises:
        ToolkitError: of the kind ``error``, with every record that repeats one.
    """
    first: dict[Any, int] = {}
    faults = []
    for position, value in enumerate(values):
        before = first.setdefault(value, position)
        if before != position:
            faults.append(f"{kind} {position} has the {key} {shown(value)}, as {kind} {before} has")
    if faults:
        raise error(fault_list(source, faults, hint))


def fault_list(source: str, faults: Sequence[str], hint: str = HINT) -> str:
    """The message for errors in one file: a sentence for one, otherwise one line each for the first 20."""
    if len(faults) == 1:
        return f"{source}: {faults[0]}. Hint: {hint}"
    lines = [f"  {fault}" for fault in faults[:MOST_FAULTS]]
    if len(faults) > MOST_FAULTS:
        lines.append(f"  … and {len(faults) - MOST_FAULTS:,} more")
    return "\n".join([f"{source} has {len(faults):,} errors:", *lines, f"Hint: {hint}"])


def explain(fault: Any, skip: int = 0, fields: Sequence[str] = ()) -> str:
    """An error of pydantic's as ``field: what is wrong, not value``, without the first ``skip`` steps of the
    field's path; ``fields`` are the fields that the record can have.
    """
    where = path_of(fault["loc"][skip:])
    if fault["type"] == "missing":
        return f"{where}: missing"
    if fault["type"] == "extra_forbidden":
        known = f"; expected one of: {', '.join(fields)}" if fields and len(fault["loc"]) == skip + 1 else ""
        return f"{where}: unknown field{known}"
    if fault["type"] in ("too_short", "too_long"):
        ends, context = ("at least", "min_length"), fault["ctx"]
        if fault["type"] == "too_long":
            ends = ("at most", "max_length")
        return f"{where}: expected {ends[0]} {context[ends[1]]} items, not {shown(fault['input'])}"
    if fault["type"] in (
        "dict_type",
        "typed_dict_type",
        "model_type",
        "model_attributes_type",
        "dataclass_type",
    ):
        message = "expected an object with fields"
    else:
        message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    own_words = fault["type"] == "value_error" and not message.startswith("should ")
    sentence = f"{message[0].lower()}{message[1:]}" + ("" if own_words else f", not {shown(fault['input'])}")
    return f"{where}: {sentence}" if where else sentence


def path_of(steps: Sequence[Any]) -> str:
    """``("segmentation", 0, 3)`` as ``segmentation[0][3]``. Tags of unions and names of pydantic's functions
    are not part of the record; they are in angle brackets or contain a parenthesis, and are left out.
    """
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif not (str(step).startswith("<") or "(" in str(step)):
            text += f"{'.' * bool(text)}{shown(step).strip(chr(39))}"
    return text


def _fields(schema: Any) -> list[str]:
    """The fields that a record of a schema can have, as files spell them; none where that is not known."""
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return []
    return [field.alias or name for name, field in schema.model_fields.items()]


def _by_record(
    problem: ValidationError, part: list[Any], start: int, kind: str, key: str, fields: Sequence[str]
) -> list[Fault]:
    """One error per record: the first ones that pydantic found in it, and how many more there are."""
    by_place: dict[int, list[Any]] = {}
    for fault in _errors(problem):
        by_place.setdefault(fault["loc"][0], []).append(fault)
    return [
        Fault(
            start + place,
            f"{name_of(part[place], start + place, kind, key)}: {'; '.join(_texts(found, fields))}",
        )
        for place, found in by_place.items()
    ]


def _texts(faults: Sequence[Any], fields: Sequence[str], most: int = 3) -> Iterator[str]:
    for fault in faults[:most]:
        yield explain(fault, skip=1, fields=fields)
    if len(faults) > most:
        yield f"and {len(faults) - most} more"


def name_of(entry: Any, position: int, kind: str, key: str = "id") -> str:
    """What a record is called in messages: ``annotation 17 (id 42)``."""
    value = entry.get(key) if isinstance(entry, dict) else None
    return f"{kind} {position}" + (f" ({key} {shown(value)})" if value is not None else "")


def _errors(problem: ValidationError) -> list[Any]:
    """All errors, except that a list is too short where that is because of its items that are wrong."""
    errors = problem.errors(include_url=False)
    places = [fault["loc"] for fault in errors]
    return [
        fault
        for fault in errors
        if fault["type"] != "too_short"
        or not any(
            len(place) > len(fault["loc"]) and place[: len(fault["loc"])] == fault["loc"] for place in places
        )
    ]


@lru_cache(maxsize=64)
def _adapter(schema: Any) -> TypeAdapter[list[Any]]:
    return TypeAdapter(list[schema])
