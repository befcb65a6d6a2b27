"""Every configuration that ships can be read, and opens with the command that runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import xtf
from xtf.api import plan_study

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs").glob("*.yaml"))
STUDIES = [path for path in FILES if path.stem.startswith("study")]
CONFIGS = [path for path in FILES if path not in STUDIES]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_can_be_planned(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert plan_study(path).trainings


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_loads(path: Path) -> None:
    config = xtf.load_config(path)
    assert set(config.thresholds) == set(config.attributes), "default cuts are filled in"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_opens_with_its_command(path: Path) -> None:
    first = path.read_text(encoding="utf-8").split("\n")[0]
    assert re.match(rf"# xtf (run|score|study) configs/{path.name}", first), first


def test_every_option_is_explained() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    from docs.make_reference import reference_page

    assert reference == reference_page(), "docs/reference.md is out of date: python docs/make_reference.py"
    assert not re.findall(r"^\| .*\|\s*\|$", reference, re.MULTILINE), "an option has no description"


def test_the_readme_shows_a_working_scorer() -> None:
    from xtf.attribute import registry

    code = next(
        block
        for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
        if "class Surprise" in block
    )
    namespace: dict[str, object] = {}
    exec(code, namespace)
    scorer = namespace["Surprise"]
    assert isinstance(scorer, type)
    assert registry.register(scorer) is registry.load("surprise")
