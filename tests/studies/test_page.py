"""The page, the figure and the words of a study: what they show, what they refuse to claim, and hostile names."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xtf.report import terminal, write_study
from xtf.studies.verdict import verdict_of

HOSTILE = "<script>alert(1)</script>\"'&\u202e</style>"
SVG = "{http://www.w3.org/2000/svg}"


def gain(value: float, reach: float, p: float, corrected: float | None = None) -> dict[str, Any]:
    return {
        "value": value,
        "low": value - reach,
        "high": value + reach,
        "error": reach / 2,
        "df": 20.0,
        "p": p,
        "seeds": 3,
        "items": 40,
        "p_corrected": p if corrected is None else corrected,
        "smallest_effect": reach * 1.5,
    }


def contrast(name: str, found: dict[str, Any], **others: Any) -> dict[str, Any]:
    keys = ("random_on_learnt", "random_on_retention", "random_on_answers", "full", "full_on_learnt", "full_on_answers")
    return {
        "arm": name,
        "against": f"random_of_{name}",
        "gain": found,
        "others": {**dict.fromkeys((*keys, "inverted")), "full": gain(0.01, 0.02, 0.3), **others},
        "recovered": {"value": 0.9, "low": 0.7, "high": 1.1, "note": ""},
    }


def study_of(name: str = "label_quality") -> dict[str, Any]:
    arm = {
        "arm": name,
        "role": "method",
        "of": name,
        "seeds": [0, 1, 2],
        "updates": 20,
        "tokens_response": 1000,
        "tokens_learnt": 900.0,
        "share_learnt": 0.9,
        "held_out": {"mean": 1.25, "by_seed": {}},
        "learnt": {"mean": 1.1, "by_seed": {}},
        "retention": {"mean": 4.0, "by_seed": {}},
        "right": {"mean": 0.5, "by_seed": {}},
        "answers": 20,
        "seconds": 60.0,
    }
    point = {"score": name, "masked": "worst", "share": 0.1, "gain": gain(0.02, 0.01, 0.01)}
    setting = {
        "name": name,
        "model": "m",
        "rows": 160,
        "planted": None,
        "held_out": {"rows": 40, "development": 0, "tokens": 2000, "in_training": 0},
        "retention": {"path": None, "texts": 32},
        "metric": name,
        "training": {},
        "fair": {"start": True, "rows": True, "order": True, "updates": True},
        "chosen": {},
        "arms": [arm],
        "gap": gain(0.03, 0.01, 0.001),
        "contrasts": [contrast(name, gain(0.027, 0.008, 0.001))],
        "curve": [{**point, "loss": arm["held_out"], "loss_at_random": arm["held_out"]}],
        "answers_above_floor": True,
        "verdict": [f"{name} beats all."],
    }
    return {
        "study": {"output": name},
        "trainings": {"planned": 9, "done": 8, "failed": 1},
        "comparisons": 1,
        "method": {"draws": 2000, "level": 0.95, "power": 0.8, "correction": "Holm", "floor": 0.05},
        "settings": [setting],
        "failed": [{"setting": name, "arm": name, "seed": 0, "why": f"diverged\n{name}"}],
    }


class Elements(HTMLParser):
    """The names of all elements, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: Path) -> Elements:
    elements = Elements()
    elements.feed(page.read_text(encoding="utf-8"))
    return elements


def test_no_probability_is_said_to_be_zero(tmp_path: Path) -> None:
    study = study_of()
    study["settings"][0]["contrasts"] = [contrast("sure", gain(0.03, 0.008, 1e-7)), contrast("unsure", gain(0, 1, 0.4))]
    out = StringIO()
    terminal.print_study(Console(file=out, width=80), study)
    for text in (parsed(write_study(study, tmp_path)).text, out.getvalue()):
        assert "< 0.001" in text
        assert "0.400" in text
        assert " 0.000" not in text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    plain = parsed(write_study(study_of(), tmp_path))
    hostile = parsed(write_study(study_of(HOSTILE), tmp_path))
    assert hostile.names == plain.names
    assert "script" not in hostile.names
    assert "\u202e" not in hostile.text
    assert hostile.text.count("<script>alert(1)</script>") > 10
    drawn = ET.parse(tmp_path / "study.svg")
    assert {element.tag.removeprefix(SVG) for element in drawn.iter()} <= {
        "svg",
        "g",
        "line",
        "circle",
        "text",
        "title",
    }


def test_the_page_shows_every_figure(tmp_path: Path) -> None:
    text = parsed(write_study(study_of(), tmp_path)).text
    for shown in ("+0.0270 [+0.0190, +0.0350]", "90% [70%, 110%]", "8 of 9 trainings done, 1 failed", "50.0%", "0.001"):
        assert shown in text, shown
    drawn = ET.parse(tmp_path / "study.svg").getroot()
    circles = drawn.findall(f".//{SVG}circle")
    assert len(circles) == 4  # a method against random and full, the gap, a point of the curve
    zero, tested = drawn.findall(f".//{SVG}line")[0], drawn.findall(f".//{SVG}g")[0].findall(f"{SVG}line")[0]
    assert float(tested.attrib["x1"]) > float(zero.attrib["x1"])  # an interval above zero is drawn right of it


def test_the_terminal_escapes_names_and_stays_within_80_columns() -> None:
    console = Console(file=StringIO(), width=80)
    terminal.print_study(console, study_of("a[red]\u202e\x1b[31m"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (gain(0.027, 0.008, 0.001), "beats a random mask of the same size by 0.0270 nats [0.0190, 0.0350]."),
        (gain(-0.027, 0.008, 0.001), "is worse than a random mask of the same size by 0.0270 nats [0.0190, 0.0350]."),
        (gain(0.01, 0.02, 0.3), "is not shown to differ from a random mask of the same size: +0.0100 nats"),
        (gain(0.02, 0.015, 0.02, 0.08), "among all comparisons of this study it may be chance (p = 0.08)"),
    ],
)
def test_a_verdict_claims_what_its_interval_allows(found: dict[str, Any], words: str) -> None:
    setting = study_of()["settings"][0]
    setting["contrasts"] = [contrast("novelty", found)]
    first = verdict_of(setting, 3)[0]
    assert first.startswith("novelty ")
    assert words in first
    assert ("beats" in first) == (found["p_corrected"] < 0.05 and found["value"] > 0)


def test_what_weakens_a_study_is_said() -> None:
    setting = study_of()["settings"][0]
    strong = verdict_of(setting, 3)
    assert any("recovers 90% of the gap [70%, 110%]" in line for line in strong)
    weak = copy.deepcopy(setting)
    weak["gap"] = gain(0.001, 0.01, 0.8)
    weak["contrasts"][0]["recovered"] = {"value": None, "low": None, "high": None, "note": "no gap"}
    weak["fair"]["order"] = False
    weak["answers_above_floor"] = False
    said = " ".join(verdict_of(weak, 1))
    for words in ("is not shown to gain", "One seed", "not comparable: they differ in order", "nearly all wrong"):
        assert words in said, words
    assert "recovers" not in said
