"""Rules that keep code readable: few parameters, shapes and errors in docstrings, references that lead somewhere."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [*sorted((ROOT / "xtf").rglob("*.py")), *sorted((ROOT / "attributes").rglob("*.py"))]
MAIN_PATH = ("steps", "engine", "exporters", "labelling", "training", "evaluation", "report")
"""Rooms that a run goes through."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Found(NamedTuple):
    """A function and where it stands."""

    path: Path
    owner: ast.ClassDef | None
    node: Function

    def __str__(self) -> str:
        owner = f"{self.owner.name}." if self.owner else ""
        return f"{self.path.relative_to(ROOT)}:{self.node.lineno} {owner}{self.node.name}"


def functions(path: Path) -> Iterator[Found]:
    """The functions of a file and the methods of its classes, but for functions inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, Function):
            yield Found(path, None, node)
        elif isinstance(node, ast.ClassDef):
            yield from (Found(path, node, inner) for inner in node.body if isinstance(inner, Function))


def parameters(node: Function, *, keyword_only: bool = True) -> list[str]:
    arguments = [*node.args.posonlyargs, *node.args.args, *(node.args.kwonlyargs if keyword_only else ())]
    return [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]


def is_public(found: Found) -> bool:
    return not found.node.name.startswith("_") and not (found.owner and found.owner.name.startswith("_"))


def on_the_main_path(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return parts[0] == "xtf" and parts[1] in MAIN_PATH


def test_no_function_of_the_main_path_takes_more_than_five_parameters() -> None:
    long = [
        f"{found}: {', '.join(parameters(found.node))}"
        for path in SOURCES
        if on_the_main_path(path)
        for found in functions(path)
        if found.node.name != "__init__" and len(parameters(found.node)) > 5
    ]
    assert not long, "group what travels together:\n" + "\n".join(long)


def fields(owner: ast.ClassDef) -> list[str]:
    """The positional fields of a dataclass."""
    decorator = next((d for d in owner.decorator_list if "dataclass" in ast.unparse(d)), None)
    if decorator is None or "kw_only=True" in ast.unparse(decorator):
        return []
    annotated = [node for node in owner.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    positional = [
        node
        for node in annotated
        if "ClassVar" not in ast.unparse(node.annotation)
        and "kw_only=True" not in ast.unparse(node.value or node.target)
    ]
    return [node.target.id for node in positional if isinstance(node.target, ast.Name)]


def test_no_constructor_takes_more_than_six_positional_parameters() -> None:
    long = []
    for path in filter(on_the_main_path, SOURCES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                made = [inner for inner in node.body if isinstance(inner, Function) and inner.name == "__init__"]
                names = parameters(made[0], keyword_only=False) if made else fields(node)
                if len(names) > 6:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {', '.join(names)}")
    assert not long, "group them, or let them be given by name only (kw_only):\n" + "\n".join(long)


ARRAYS = re.compile(r"\b(Tensor|NDArray|FloatArray|BoolArray|IntArray|OffsetArray|ReasonArray|KeyArray|RulingArray)\b")
SHAPE = re.compile(r"``\([^`]*\)``|shape|``\(")


def overrides(found: Found) -> bool:
    """Whether the method's contract, shapes included, stands at the base class."""
    return found.owner is not None and bool(found.owner.bases) and ast.get_docstring(found.node) is None


def test_array_functions_say_their_shapes() -> None:
    silent = []
    for path in SOURCES:
        for found in functions(path):
            arguments = [*found.node.args.args, *found.node.args.kwonlyargs]
            types = [a.annotation for a in arguments] + [found.node.returns]
            text = " ".join(ast.unparse(one) for one in types if one is not None)
            words = ast.get_docstring(found.node) or ""
            if found.node.name == "__init__" and found.owner:
                words += ast.get_docstring(found.owner) or ""
            if is_public(found) and ARRAYS.search(text) and not SHAPE.search(words) and not overrides(found):
                silent.append(str(found))
    assert not silent, "a docstring that says no shape:\n" + "\n".join(silent)


def raised(node: Function) -> set[str]:
    """The kinds of errors of ours that a function raises itself, and lets out."""
    return {
        name
        for one in ast.walk(node)
        if isinstance(one, ast.Raise) and isinstance(one.exc, ast.Call)
        for name in [ast.unparse(one.exc.func).rpartition(".")[2]]
        if name in OUR_ERRORS
    }


OUR_ERRORS = set(
    re.findall(r"^class (\w+)\(", (ROOT / "xtf" / "errors.py").read_text(encoding="utf-8"), re.MULTILINE)
) | {"RowError", "SettingsError"}


def test_raised_errors_are_named() -> None:
    silent = []
    for path in SOURCES:
        for found in functions(path):
            words = ast.get_docstring(found.node) or ""
            if found.node.name == "__init__" and found.owner:
                words += ast.get_docstring(found.owner) or ""
            missing = {name for name in raised(found.node) if name not in words}
            if (
                is_public(found) and missing and not overrides(found) and path.parent.name != "cli"
            ):  # its words are help
                silent.append(f"{found}: {', '.join(sorted(missing))}")
    assert not silent, "errors that a docstring does not name:\n" + "\n".join(silent)


REFERENCE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([\w.]+)`")


def resolves(target: str, path: Path, owners: list[str]) -> bool:
    relative = path.relative_to(ROOT).with_suffix("")
    parts = ["xtf_attributes", *relative.parts[1:]] if relative.parts[0] == "attributes" else list(relative.parts)
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    names = target.split(".")
    for start in [module, *(getattr(module, owner) for owner in owners if hasattr(module, owner))]:
        if _has(start, names):
            return True
    for cut in range(len(names), 0, -1):
        try:
            found = importlib.import_module(".".join(names[:cut]))
        except ImportError:
            continue
        return _has(found, names[cut:])
    import xtf.attribute

    return _has(xtf.attribute, names)


def _has(start: object, names: list[str]) -> bool:
    for name in names:
        known = hasattr(start, name) or name in getattr(start, "__annotations__", {})
        known = known or name in getattr(start, "model_fields", {})
        if not known and not _set_in_init(start, name):
            return False
        start = getattr(start, name, None)
    return True


def _set_in_init(start: object, name: str) -> bool:
    code = getattr(getattr(start, "__init__", None), "__code__", None)
    return code is not None and name in code.co_names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_references_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    owners = re.findall(r"^class (\w+)", text, re.MULTILINE)
    dead = [target for target in REFERENCE.findall(text) if not resolves(target, path, owners)]
    assert not dead, f"references that lead nowhere: {dead}"
