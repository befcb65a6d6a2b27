"""What pydantic found wrong, as lines that say where and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from xtf.config.base import Section
from xtf.config.cuts import Above, Below, BottomShare, Iqr, MultiOtsu, Never, Outside, TopShare
from xtf.errors import did_you_mean, listed


def validation_problems(error: ValidationError, root: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[str]:
    """One line for each pydantic error: key path (``prefix`` first), what was wrong, what is allowed."""
    lines = []
    for item in error.errors():
        path = [str(part) for part in item["loc"]]
        start = 2 if path[:1] == ["arms"] else 0
        if path[start : start + 1] == ["thresholds"] or path[start : start + 2] == ["combine", "threshold"]:
            path = path[: start + 2] + path[start + 3 :]  # pydantic inserts the name of the chosen cut
        place = ".".join((*prefix, *path))
        match item["type"]:
            case "extra_forbidden":
                text = f"unknown key {_one_of(path[-1], _fields_at(root, item['loc'][:-1]))}"
            case "missing":
                text = "required, but not given"
            case "value_error":
                text = str(item["ctx"]["error"])
            case "union_tag_invalid":
                text = f"no cut named {_one_of(item['ctx']['tag'], _quoted(item['ctx']['expected_tags']))}"
                place += ".kind"
            case "union_tag_not_found":
                text = "required: which cut to use, for example 'below' or 'iqr'"
                place += ".kind"
            case "literal_error":
                text = f"cannot be {_one_of(item['input'], _quoted(item['ctx']['expected']))}"
            case _:
                text = f"{item['msg'][0].lower()}{item['msg'][1:]}, got {_short(item['input'])}"
        lines += [f"{place}: {line}" if place else line for line in text.split("\n")]
    return lines


def _fields_at(root: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys allowed in the section that ``loc`` points to."""
    kinds: dict[str, type[Section]] = {
        str(kind.model_fields["kind"].default): kind
        for kind in (Below, Above, Outside, Iqr, MultiOtsu, BottomShare, TopShare, Never)
    }
    section = root
    for part in loc:
        if str(part) in kinds:
            section = kinds[str(part)]
            continue
        field = section.model_fields.get(str(part))
        annotations = [field.annotation, *getattr(field.annotation, "__args__", ())] if field is not None else []
        section = next((a for a in annotations if isinstance(a, type) and issubclass(a, BaseModel)), section)
    return list(section.model_fields)


def _quoted(text: object) -> list[str]:
    return re.findall(r"'([^']+)'", str(text))


def _one_of(given: object, allowed: Sequence[str]) -> str:
    return f"{_short(given)}.{did_you_mean(str(given), allowed)} Allowed: {listed(allowed)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
