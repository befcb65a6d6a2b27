"""Who may import whom: the directions of docs/architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED_IN_ATTRIBUTES = {"xtf", "xtf.attribute", "xtf.tokens", "xtf.errors"}
LOW = {"tokens", "shard", "errors", "attribute", "threshold", "combine", "rules", "explain", "distribution"}
HIGH = {"cli", "runs", "engine", "training", "evaluation", "report", "render", "data", "model", "registry"}


def imports_of(path: Path, module_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if module_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def files_of(room: str) -> list[Path]:
    package = ROOT / "xtf" / room
    return sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]


@pytest.mark.parametrize("path", sorted((ROOT / "attributes").glob("*.py")), ids=lambda path: path.stem)
def test_scorers_see_only_the_contract(path: Path) -> None:
    ours = {name for name in imports_of(path) if name.split(".")[0] in ("xtf", "attributes")}
    assert ours <= ALLOWED_IN_ATTRIBUTES


@pytest.mark.parametrize("path", sorted((ROOT / "xtf").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_framework_knows_no_scorer(path: Path) -> None:
    assert not {name for name in imports_of(path) if name.split(".")[0] == "attributes"}


@pytest.mark.parametrize("room", sorted(LOW))
def test_lower_rooms_do_not_call_upper_ones(room: str) -> None:
    for path in files_of(room):
        modules = imports_of(path, module_level_only=True)  # showing itself, a value may call the renderer
        rooms = {name.split(".")[1] for name in modules if name.startswith("xtf.")}
        assert not rooms & HIGH, f"{path.name} imports {rooms & HIGH}"


@pytest.mark.parametrize("module", ["xtf", "xtf.config", "xtf.rules", "xtf.explain", "xtf.runs", "xtf.cli", "xtf.data"])
def test_reading_and_labelling_load_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
