"""The page's data, sample and figures, and explanations in a notebook and a terminal, without a browser."""

from __future__ import annotations

import base64
import gzip
import json
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.report.made import made_run
from xtf.api import Run, label
from xtf.cli import app
from xtf.errors import RunError
from xtf.explain.marks import CLOSE, DIFFERS, MARKS, OPEN
from xtf.report import overview, write_report
from xtf.report.html.data import CHUNK, payload
from xtf.report.html.encode import TEXT, pack, script_json, smallest
from xtf.report.html.facts import ExampleFacts, FactsTable
from xtf.report.html.sample import choose
from xtf.report.html.survey import survey
from xtf.report.terminal import print_comparison


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_run(tmp_path_factory.mktemp("made") / "run")


def test_packed_columns_can_be_unpacked() -> None:
    columns = {
        "a": np.array([0.1, -np.inf, 3e38], np.float32),
        "b": np.array([True, False]),
        "c": smallest(np.array([1, 70000])),
        "d": np.zeros(0, np.uint16),
    }
    packed = pack(columns)
    data, at, found = gzip.decompress(base64.b64decode(packed["data"])), 0, {}
    for name, kind, length in packed["columns"]:
        width = int(kind[1])
        planes = np.frombuffer(data, np.uint8, length * width, at).reshape(width, length)
        found[name] = np.ascontiguousarray(planes.T).view(f"<{kind}").ravel()
        at += length * width
    assert at == len(data)
    assert found["a"].tolist() == columns["a"].tolist()
    assert found["b"].tolist() == [1, 0]
    assert found["c"].tolist() == [1, 70000]


def test_the_page_says_of_each_token_what_explain_says(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", examples=CHUNK + 1, combine={"rule": "weighted", "max_noise_share": 0.4})
    page = payload(run)["runs"][0]
    said = [json.loads(gzip.decompress(base64.b64decode(chunk))) for chunk in page["explanations"]["chunks"]]
    for place in (0, CHUNK - 1, CHUNK):
        texts, words = said[place // CHUNK]["texts"], said[place // CHUNK]["examples"][place % CHUNK]
        response = [token for token in run.explain(page["ids"][place]).tokens if token.is_response]
        for number, token in enumerate(response):
            verdicts = [*token.verdicts, *([token.combined] if token.combined else [])]
            assert (
                texts[words["sentences"][number]].replace(TEXT, f"{token.text!r}{token.spelt.suffix}") == token.sentence
            )
            assert texts[words["flips"][number]] == token.flip
            assert texts[words["rules"][number]] == token.rule
            assert [texts[column[number]] for column in words["meanings"]] == [one.meaning for one in verdicts]
            assert words["cuts"] == [one.cut for one in verdicts]
            for verdict, intervals in zip(verdicts, words["intervals"], strict=True):
                assert verdict.interval is None or list(verdict.interval) in intervals


def test_data_cannot_leave_their_element() -> None:
    hostile = {"</script>": "<!-- <script> & \u2028 ]]>"}
    text = script_json(hostile)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == hostile


def test_a_sample_mixes_chance_and_interest_within_the_budget() -> None:
    rng = np.random.default_rng(0)
    rows = [
        ExampleFacts(f"e{i}", 100, 50, int(masked), int(disagree))
        for i, (masked, disagree) in enumerate(rng.integers(0, 51, (500, 2)))
    ]
    facts = FactsTable.of(rows)
    sample = choose(facts, attributes=3, max_examples=100, max_values=100 * 6 * 80)
    assert sample == choose(facts, attributes=3, max_examples=100, max_values=100 * 6 * 80)
    assert len(sample.places) <= 80
    assert list(sample.places) == sorted(set(sample.places))
    assert set(sample.why) == {"random", "most masked", "least masked", "attributes disagree"}
    most = [rows[p].masked for p, why in zip(sample.places, sample.why, strict=True) if why == "most masked"]
    assert min(most) >= 45
    drawn = [rows[p].masked for p, why in zip(sample.places, sample.why, strict=True) if why == "random"]
    assert 15 < np.mean(drawn) < 35
    assert choose(FactsTable.of(rows[:50]), attributes=3).why == ("all",) * 50
    with pytest.raises(RunError, match="no example 'e1000'"):
        choose(facts, attributes=3, examples=["e1000"])


def test_correlation_is_that_of_ranks(run: Run) -> None:
    found = survey(run).correlation
    columns = [
        np.concatenate(
            [run.rules.distributions[name].percentile_of(s.scores[name][s.candidates()]) for s in run.shards()]
        )
        for name in run.rules.attributes
    ]
    assert np.allclose(np.array(found, dtype=float), np.corrcoef(np.stack(columns).astype(float)), atol=1e-3)


def test_json_gives_the_figures_of_the_overview(run: Run) -> None:
    result = CliRunner().invoke(app, ["report", str(run.path), "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.output)
    assert printed == json.loads(json.dumps(overview(run)))
    assert printed["summary"]["masked_tokens"] == run.summary().masked_tokens
    for attribute in printed["attributes"]:
        judged = sum(int(shard.candidates().sum()) for shard in run.shards())
        assert sum(attribute["histogram"]["counts"]) == judged


def test_high_shares_and_lost_rows_are_warned_of(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", thresholds={"novelty": {"kind": "below", "cut": 0.9}})
    report = {**run.manifest["data_report"], "truncated": 3}
    run.folder.update_manifest(data_report=report, attributes=[{"name": "novelty", "degenerate": "all are 1"}])
    said = "\n".join(overview(run)["warnings"])
    for part in ("does not tell tokens apart: all are 1", "response tokens are masked", "3 examples cut"):
        assert part in said


def test_metrics_are_in_the_figures(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    assert overview(run)["metrics"] is None
    run.folder.metrics_path.write_text(json.dumps({"arms": [], "note": "n"}), encoding="utf-8")
    assert overview(run)["metrics"] == {"arms": [], "note": "n", "lines": []}


def test_chosen_examples_alone_are_embedded(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "some.html"
    result = CliRunner().invoke(app, ["report", str(run.path), "-e", "made-0004", "-e", "made-0002", "-o", str(target)])
    assert result.exit_code == 0, result.output
    assert str(target) in result.output.replace("\n", "")
    payload = _payload(target)
    assert payload["runs"][0]["ids"] == ["made-0002", "made-0004"]
    assert payload["runs"][0]["why"] == ["chosen", "chosen"]
    data = tmp_path / "train.jsonl"
    data.write_text("{}", encoding="utf-8")
    result = CliRunner().invoke(app, ["report", str(run.path), "-o", str(data)])
    assert result.exit_code == 2
    assert data.read_text(encoding="utf-8") == "{}"


def test_the_page_asks_nothing_of_any_server(run: Run) -> None:
    path = write_report(run)
    assert path == run.path / "report.html"

    class Links(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found.extend(value or "" for name, value in attrs if name in ("src", "href", "srcset", "action"))

    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    assert links.found == ["data:,"]


def test_explanations_in_a_notebook_are_escaped(run: Run) -> None:
    explained = next(
        one
        for one in map(run.explain, run.example_ids())
        if any("<b>" in t.text for t in one.tokens) and one.noise_share
    )
    html = explained._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html.replace(f"<b>{explained.example_id}</b>", "")
    assert "line-through" in html
    assert any(mark.light in html for mark in MARKS)
    token = next(token for token in explained.tokens if token.is_response and "<" in token.text)
    assert "&lt;" in token._repr_html_()
    assert run.report()._repr_html_().startswith('<iframe srcdoc="')


def test_explanations_render_in_a_terminal(run: Run) -> None:
    explained = run.explain("made-0001")
    console = Console(file=StringIO(), width=200)
    console.print(explained)
    console.print(next(token for token in explained.tokens if token.noise))
    text = _written(console)
    assert OPEN in text
    assert CLOSE in text
    assert "lacks" in text


def test_runs_compared_in_a_terminal(tmp_path: Path) -> None:
    one, other = (made_run(tmp_path / name, examples=4) for name in ("one", "other"))
    label(other, ["thresholds.novelty.cut=0.4"])
    explained = [run.explain("made-0001") for run in (one, other)]
    differing = sum(a.noise != b.noise for a, b in zip(explained[0].tokens, explained[1].tokens, strict=True))
    result = CliRunner().invoke(app, ["compare", str(one.path), str(other.path), "-e", "made-0001"])
    assert result.exit_code == 0, result.output
    assert differing > 0
    assert result.output.count(DIFFERS) == 2 * differing + 1
    assert f"{differing} of " in result.output
    console = Console(file=StringIO(), width=200)
    print_comparison(
        console, [("one", explained[0]), ("longer", made_run(tmp_path / "x", seed=9).explain("made-0001"))]
    )
    assert "tokenise this example differently" in _written(console)


def _written(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _payload(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return json.loads(text.split('id="payload">')[1].split("</script>")[0])
