"""The code that a scorer's scores come from: its own module, and the modules of its package that this one uses."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any


def source_of(scorer: type[Any]) -> list[str]:
    """The source texts that decide what ``scorer`` computes, in a fixed order, and its distribution's version.

    Followed are imports, at the top or inside functions, of modules that belong to the scorer's own top-level package
    or lie in the same folder. Other packages count by the version of the distribution that brings the scorer, as their
    makers know it; XTF's own code is digested by the engine.
    """
    module = inspect.getmodule(scorer)
    if module is None or module.__name__ == "__main__":
        return [_of_class(scorer)]
    found: dict[str, str] = {}
    _follow(module, module, found)
    return [*(found[name] for name in sorted(found)), _version_of(module)]


def _follow(module: ModuleType, start: ModuleType, found: dict[str, str]) -> None:
    """Add the source of ``module``, and of what it imports beside ``start``, to ``found``."""
    if module.__name__ in found:
        return
    try:
        found[module.__name__] = text = inspect.getsource(module)
    except (OSError, TypeError):  # a module of compiled code, or an empty one
        found[module.__name__] = ""
        return
    for name in _imported(text, module):
        other = sys.modules.get(name)
        if other is not None and _beside(other, start):
            _follow(other, start, found)


def _imported(text: str, module: ModuleType) -> Iterator[str]:
    package = (module.__package__ or "").split(".")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _beside(module: ModuleType, start: ModuleType) -> bool:
    if module.__name__.partition(".")[0] == start.__name__.partition(".")[0]:
        return True
    file, here = getattr(module, "__file__", None), getattr(start, "__file__", None)
    return bool(file and here) and Path(str(file)).parent == Path(str(here)).parent


def _version_of(module: ModuleType) -> str:
    for distribution in packages_distributions().get(module.__name__.partition(".")[0], []):
        try:
            return f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            continue
    return ""


def _of_class(scorer: type[Any]) -> str:
    try:
        return inspect.getsource(scorer)
    except (OSError, TypeError):  # typed at a prompt: no source text exists
        functions = (member for _, member in sorted(vars(scorer).items()) if inspect.isfunction(member))
        return "".join(function.__code__.co_code.hex() + repr(function.__code__.co_consts) for function in functions)
