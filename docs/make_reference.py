"""python docs/make_reference.py: write docs/reference.md from the configuration's own types."""

from __future__ import annotations

import inspect
import re
import types
import typing
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from xtf.config import CUTS, RULES, CombineConfig, PluginSection, RunConfig, StudyConfig
from xtf.config.kinds import Kinds
from xtf.scorer import Scorer

HEAD = """# Reference: every setting

Made from the types in `xtf/config/` and `xtf/labelling/` by `python docs/make_reference.py`. Every key can be
overridden on the command line: `--set data.limit=100`. Unknown keys are refused. Parameters of a scorer:
`xtf attributes NAME`. At the end: what `xtf.Scorer` can do, from `xtf/scorer.py`.
"""


def reference_page() -> str:
    """The page as Markdown."""
    lines = [HEAD]
    lines += _section("Top level", RunConfig)
    for name, field in RunConfig.model_fields.items():
        for section in _sections(field.annotation):
            if name not in ("thresholds", "arms"):
                lines += _section(f"`{name}`", section)
                for inner_name, inner in section.model_fields.items():
                    for nested in _sections(inner.annotation):
                        if inner_name != "threshold":
                            lines += _section(f"`{name}.{inner_name}`", nested)
        if name == "arms":
            for section in _sections(field.annotation):
                lines += _section("`arms.NAME`", section)
    lines.append("## `thresholds.NAME`\n")
    for kind in _own(CUTS):
        lines += _section(f"kind: `{kind}`", CUTS.load(kind), level=3)
    lines += _section("A study (`xtf study`)", StudyConfig)
    for name, field in StudyConfig.model_fields.items():
        for section in _sections(field.annotation):
            lines += _section(f"`{name}{'.NAME' if name in ('settings', 'arms') else ''}` of a study", section)
            for inner_name, inner in section.model_fields.items():
                for nested in _sections(inner.annotation) if name == "settings" else ():
                    lines += _section(f"`settings.NAME.{inner_name}` of a study", nested)
    lines += _methods("`xtf.Scorer`", Scorer)
    return "\n".join(lines).rstrip() + "\n"


def _own(kinds: Kinds) -> list[str]:
    """The kinds that come with XTF."""
    return [kind for kind in kinds.names() if kinds.load(kind).__module__.startswith("xtf.")]


def _section(title: str, section: type[BaseModel], level: int = 2) -> list[str]:
    about = (inspect.getdoc(section) or "").split("\n")[0]
    lines = [f"{'#' * level} {title}\n", f"{about}\n", "| key | type | default | meaning |", "|---|---|---|---|"]
    fields = dict(section.model_fields)
    for kind in _own(RULES) if section is CombineConfig else ():
        fields |= RULES.load(kind).model_fields
    for name, field in fields.items():
        if name != "kind":
            cells = (f"`{name}`", f"`{_type(field)}`", _default(field), field.description or "")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""] if len(lines) > 4 else [*lines[:2]]


def _methods(title: str, kind: type[Any]) -> list[str]:
    """What can be done with an object, from its signatures and docstrings."""
    about = (inspect.getdoc(kind) or "").split("\n")[0]
    lines = [f"## {title}\n", f"{about}\n", "| in Python | what |", "|---|---|"]
    for name, member in {kind.__name__: kind, **vars(kind)}.items():
        if name.startswith("_") and name != "__call__":
            continue
        words = (inspect.getdoc(member) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
        call = f"scorer.{name}"
        if not isinstance(member, property):
            target = getattr(member, "__func__", member)
            names = [n for n in inspect.signature(target).parameters if n not in ("self", "cls")]
            owner = "" if member is kind else "xtf.Scorer." if isinstance(member, classmethod) else "scorer."
            call = f"{'xtf.' if member is kind else owner}{name}({', '.join(names)})".replace(".__call__", "")
        lines.append(f"| `{call}` | {words} |")
    return [*lines, ""]


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for argument in get_args(annotation) for section in _sections(argument)]


def _type(field: FieldInfo) -> str:
    return _type_text(field.annotation)


def _type_text(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _type_text(arguments[0])
    if origin is typing.Literal:
        return " | ".join(str(argument) for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_type_text(argument) for argument in arguments)
    if origin in (tuple, dict):
        inner = ", ".join(_type_text(argument) for argument in arguments if argument is not Ellipsis)
        return f"{'list' if origin is tuple else 'mapping'}[{inner}]"
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type):
        if issubclass(annotation, PluginSection):
            return "cut"
        if issubclass(annotation, BaseModel):
            return "section"
        return {"str": "text", "bool": "yes/no"}.get(annotation.__name__, annotation.__name__)
    return re.sub(r"^typing\.", "", str(annotation)).lower()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    if value is None or isinstance(value, bool):
        return f"`{'null' if value is None else str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


if __name__ == "__main__":
    (Path(__file__).with_name("reference.md")).write_text(reference_page(), encoding="utf-8")
