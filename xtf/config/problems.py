"""What pydantic found wrong, as lines that say where and what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from xtf.errors import did_you_mean, listed

Problem = tuple[tuple[str, ...], str]
"""The path of a key, and what is wrong there; a text of several lines names its places itself."""


_ALTERNATIVE = re.compile(r"str|int|float|bool|(tuple|list|dict|literal|function-\w+)\[.*", re.DOTALL)
"""What pydantic puts into the place of a value for a type that it has tried."""


class SettingsError(ValueError):
    """Mistakes inside a section that pydantic did not read itself; ``problems`` are relative to that section.

    Texts may name whatever was given, also half a character, which pydantic could not take in a plain ``ValueError``.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        text = "\n".join(_lines(self.problems))
        super().__init__(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def validation_problems(error: ValidationError, root: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[str]:
    """One line for each pydantic error: key path (``prefix`` first), what was wrong, what is allowed."""
    return _lines([((*prefix, *path), text) for path, text in problems_of(error, root)])


def problems_of(error: ValidationError, root: type[BaseModel]) -> list[Problem]:
    """Each pydantic error as key path and text."""
    found: list[Problem] = []
    for item in error.errors():
        path = tuple(str(part) for part in item["loc"] if not _is_alternative(part))
        match item["type"]:
            case "value_error" if isinstance(item["ctx"]["error"], SettingsError):
                found += [((*path, *inner), text) for inner, text in item["ctx"]["error"].problems]
                continue
            case "extra_forbidden":
                text = f"unknown key {one_of(path[-1], _fields_at(root, item['loc'][:-1]))}"
            case "missing":
                text = "required, but not given"
            case "value_error":
                text = str(item["ctx"]["error"])
            case "literal_error":
                text = f"cannot be {one_of(item['input'], _quoted(item['ctx']['expected']))}"
            case "tuple_type" | "list_type" | "set_type":
                text = f"expected a list, such as [a, b], got {_short(item['input'])}"
            case "dict_type" | "model_type" | "mapping_type":
                fields = _fields_at(root, item["loc"]) if item["type"] == "model_type" else []
                example = f". Its keys: {', '.join(fields)}" if fields else ""
                text = f"expected a section of keys and values, got {_short(item['input'])}{example}"
            case "too_short" if not item["ctx"]["actual_length"]:
                if found and found[-1][0][: len(path)] == path:
                    continue  # what was given is wrong, and is said already
                text = "at least one value is needed"
            case "string_type":
                text = f"expected a text, got {_short(item['input'])}"
            case "int_parsing" | "float_parsing":
                kind = "a whole number" if item["type"] == "int_parsing" else "a number"
                text = f"expected {kind}, got {_short(item['input'])}{_as_number(str(item['input']), kind)}"
            case _:
                text = f"{item['msg'][0].lower()}{item['msg'][1:]}, got {_short(item['input'])}"
        if len(path) < len(item["loc"]) and found and found[-1][0] == path:
            found[-1] = (path, f"{found[-1][1]}; or {text}")  # a value that fits none of several types
        else:
            found.append((path, text))
    return found


def _is_alternative(part: int | str) -> bool:
    """Whether a part of pydantic's place names one type of several that a value may have, and no key."""
    return isinstance(part, str) and _ALTERNATIVE.fullmatch(part) is not None


def _as_number(text: str, kind: str) -> str:
    """How a number that a person has written is spelt here, if it can be told."""
    text = text.strip().lower()
    if text in ("none", "nil", "nothing", "never", "unlimited"):
        return ". For none at all: null"
    number = re.sub(r"(?<=\d)[,_' ](?=\d{3}\b)", "", text)
    if kind == "a number" and re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", text):
        number = text.replace(",", ".")
    scale = {"k": 1e3, "m": 1e6, "%": 0.01}.get(number[-1:], 1.0)
    try:
        value = float(number.rstrip("km% ")) * scale
    except ValueError:
        return ""
    if kind == "a whole number" and not value.is_integer():
        return ""
    return f". Write {int(value) if value.is_integer() else value}"


def one_of(given: object, allowed: Sequence[str]) -> str:
    """A wrong value, the closest allowed one, and all allowed ones."""
    return f"{_short(given)}.{did_you_mean(str(given), allowed)} Allowed: {listed(allowed)}"


def _lines(problems: Sequence[Problem]) -> list[str]:
    lines = []
    for path, text in problems:
        place = ".".join(path)
        lines += [f"{place}: {line}" if place else line for line in text.split("\n")]
    return lines


def _fields_at(root: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys allowed in the section that ``loc`` points to."""
    section = root
    for part in loc:
        field = section.model_fields.get(str(part))
        annotations = [field.annotation, *getattr(field.annotation, "__args__", ())] if field is not None else []
        section = next((a for a in annotations if isinstance(a, type) and issubclass(a, BaseModel)), section)
    return list(section.model_fields)


def _quoted(text: object) -> list[str]:
    return re.findall(r"'([^']+)'", str(text))


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"
