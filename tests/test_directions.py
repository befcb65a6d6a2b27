"""Who may import whom: the list of rooms in docs/architecture.md, against every import of the package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED_IN_ATTRIBUTES = {"xtf", "xtf.attribute", "xtf.noise", "xtf.tokens", "xtf.errors"}
DOORS = {"__init__", "__main__"}
"""Above all rooms: what ``import xtf`` and ``python -m xtf`` open."""


def rooms() -> list[str]:
    """The rooms of docs/architecture.md, top first."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listing = text.split("```")[1].split("attributes/ ")[0]
    return [name.removesuffix(".py").rstrip("/") for name in re.findall(r"^  ([a-z_]+(?:/|\.py)) ", listing, re.M)]


HEIGHT = {room: height for height, room in enumerate(reversed(rooms()))}


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, at the top, inside functions and for types only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.level == 1 and path.parent.parent.name == "attributes":
                continue  # between the files of one scorer
            assert node.level == 0, f"{path}: relative import"
            inside = node.module == "xtf" and path.parent.name != "attributes"
            found.update(f"xtf.{alias.name}" for alias in node.names) if inside else found.add(node.module)
    return found


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "xtf").parts[0].removesuffix(".py")


SOURCES = sorted((ROOT / "xtf").rglob("*.py"))


def test_the_list_names_every_room() -> None:
    assert {room_of(path) for path in SOURCES} - DOORS == set(HEIGHT)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_goes_up(path: Path) -> None:
    here = room_of(path)
    modules = {name for name in imports_of(path) if name.split(".")[0] == "xtf"}
    below = {name.split(".")[1] for name in modules if "." in name} - {here}
    if here not in DOORS:
        assert "xtf" not in modules, "names its own package's door"
        assert {room for room in below if HEIGHT[room] > HEIGHT[here]} == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_framework_knows_no_scorer(path: Path) -> None:
    assert not {name for name in imports_of(path) if name.split(".")[0] in ("attributes", "xtf_attributes")}


@pytest.mark.parametrize("path", sorted((ROOT / "attributes").rglob("*.py")), ids=lambda path: path.stem)
def test_scorers_see_only_the_contract(path: Path) -> None:
    ours = {name for name in imports_of(path) if name.split(".")[0] in ("xtf", "attributes", "xtf_attributes")}
    assert ours <= ALLOWED_IN_ATTRIBUTES


@pytest.mark.parametrize(
    "module", ["xtf", "xtf.config", "xtf.labelling", "xtf.explain", "xtf.runs", "xtf.api", "xtf.cli", "xtf.data"]
)
def test_reading_and_labelling_load_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
