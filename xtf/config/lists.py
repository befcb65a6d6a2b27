"""Lists as people write them after ``--set`` and in YAML: ``0,1``, ``(0, 1)``, ``full xtf``, or a single value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from xtf.config.problems import SettingsError

_BRACKETS = {"(": ")", "[": "]"}
_UNIONS = (Union, UnionType)
_NAMES = re.compile(r"[\w.-]+")


def with_lists(fields: Mapping[str, FieldInfo], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` with each field that takes a list of plain values read as one; other values stay as they are.

    Raises:
        SettingsError: a range, as ``0-2``.
    """
    found = dict(given)
    for name in given.keys() & fields.keys():
        found[name] = as_list(given[name], fields[name].annotation)
        if found[name] is not given[name] and (spelt := _range(given[name])):
            raise SettingsError([((str(name),), f"cannot be {given[name]!r}. Write every value: {spelt}")])
    return found


def _range(value: Any) -> str | None:
    """The values that a text such as ``0-2`` or ``range(3)`` stands for, as they are to be written; None if none."""
    found = re.fullmatch(r"(\d{1,3})(?:-|\.\.|:)(\d{1,3})|range\((?:(\d{1,3}), *)?(\d{1,3})\)", str(value).strip())
    if found is None:
        return None
    first, last = int(found[1] or found[3] or 0), int(found[2]) if found[2] else int(found[4]) - 1
    return f"[{','.join(map(str, range(first, last + 1)))}]" if first <= last else None


def as_list(value: Any, annotation: Any) -> Any:
    """A text or a number as a list, if ``annotation`` takes lists of plain values and neither texts nor that word.

    >>> as_list("(0, 1)", tuple[int, ...]), as_list(0, tuple[int, ...]), as_list("full xtf", tuple[str, ...])
    (['0', '1'], [0], ['full', 'xtf'])
    >>> as_list("auto", Literal["auto"] | tuple[str, ...]), as_list("a, b", str | tuple[str, ...])
    ('auto', 'a, b')
    """
    kinds = _kinds(annotation)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    if str in kinds or not any(map(_is_plain_list, kinds)):
        return value
    if any(get_origin(kind) is Literal and value in get_args(kind) for kind in kinds):
        return value
    return words(value) if isinstance(value, str) else [value]


def words(text: str) -> list[str]:
    """The parts of a text that lists values, with or without brackets and quotation marks.

    >>> words("['full', \\"xtf\\"]"), words("0,"), words("")
    (['full', 'xtf'], ['0'], [])
    """
    text = text.strip()
    if text[:1] in _BRACKETS and text.endswith(_BRACKETS[text[0]]):
        text = text[1:-1]
    return [part.strip("'\"") for part in re.split(r"[,\s]+", text) if part]


def are_names(text: str) -> bool:
    """Whether a text lists several names and is no pattern.

    >>> are_names("q_proj,v_proj"), are_names("q_proj"), are_names(r".*\\.(q|v)_proj"), are_names("all-linear")
    (True, False, False, False)
    """
    found = words(text)
    return len(found) > 1 and all(map(_NAMES.fullmatch, found))


def _kinds(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, each without what :class:`typing.Annotated` adds."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in _UNIONS:
        return [kind for one in get_args(annotation) for kind in _kinds(one)]
    return [annotation]


def _is_plain_list(kind: Any) -> bool:
    arguments = get_args(kind)
    if get_origin(kind) is not tuple or arguments[1:] != (...,):
        return False
    return all(one in (str, int, float) or get_origin(one) is Literal for one in _kinds(arguments[0]))
