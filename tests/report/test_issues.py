"""The worst examples, in a terminal, in a notebook and as a table."""

from __future__ import annotations

import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
from rich.console import Console

from tests.report.made import made_run
from xtf.api import Run
from xtf.errors import ConfigError, RunError
from xtf.report.issues import Issues

THRESHOLDS = {"right": {"kind": "below", "cut": 0.2}, "novelty": {"kind": "bottom_share", "share": 0.3}}
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


@pytest.fixture(scope="module")
def issues(tmp_path_factory: pytest.TempPathFactory) -> Issues:
    names = [HOSTILE, *(f"made-{place}" for place in range(11))]
    run: Run = made_run(
        tmp_path_factory.mktemp("issues") / "run", thresholds=THRESHOLDS, kinds=("a typo", "a swap"), ids=names
    )
    return run.issues()


def test_the_worst_come_first_in_each_order(issues: Issues) -> None:
    assert len(issues) == 12
    spans = [one.worst_span for one in issues]
    assert spans == sorted(spans)
    assert issues[0].worst_span == pytest.approx(min(s.score for one in issues for s in one.spans if s.kind == "wrong"))
    for by, figure in (("wrong", "share_wrong"), ("useless", "share_useless")):
        shares = [getattr(one, figure) for one in issues.worst(12, by)]  # type: ignore[arg-type]
        assert shares == sorted(shares, reverse=True)
    with pytest.raises(ConfigError, match="Did you mean 'useless'"):
        issues.worst(3, "uselss")  # type: ignore[arg-type]


def test_an_example_is_found_by_its_id(issues: Issues) -> None:
    for place in (0, 5, -1):
        assert issues[issues[place].example_id] is issues[place]
    with pytest.raises(RunError, match="no example 'made-99'"):
        issues["made-99"]
    with pytest.raises(IndexError):
        issues[12]


def test_spans_say_where_they_stand_and_why(issues: Issues) -> None:
    for one in issues:
        explained = issues.run.explain(one.example_id)
        for span in one.spans:
            tokens = explained.tokens[span.start : span.stop]
            assert all(token.noise for token in tokens)
            lacks = {verdict.name for token in tokens for verdict in token.verdicts if verdict.lacking}
            assert ("right" in lacks) == (span.kind == "wrong")
            assert span.reason.startswith("right" if span.kind == "wrong" else "novelty")


def test_shown_with_hostile_data_escaped(issues: Issues) -> None:
    html = issues._repr_html_()
    assert "<img" not in html
    assert "<b>" in html
    assert "&lt;img" in html or HOSTILE not in [one.example_id for one in issues.worst()]
    console = Console(file=StringIO(), width=80)
    console.print(issues)
    file = console.file
    assert isinstance(file, StringIO)
    assert "1. " in file.getvalue()
    assert "\u202e" not in file.getvalue() + html


def test_show_prints_so_many(issues: Issues, capsys: pytest.CaptureFixture[str]) -> None:
    issues.show(2, by="wrong")
    out = capsys.readouterr().out
    assert "  2. " in out
    assert "  3. " not in out
    assert "10 more examples" in out


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
def test_show_never_fails_for_the_encoding(issues: Issues, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding=encoding, write_through=True))
    issues.show(1)
    assert "[[" in written.getvalue().decode(encoding)


def test_tables_hold_every_example(issues: Issues) -> None:
    frame = issues.to_pandas()
    assert list(frame["example_id"]) == [one.example_id for one in issues]
    assert frame["worst_span"].is_monotonic_increasing
    assert issues.to_arrow()["reason"].to_pylist() == [one.spans[0].reason if one.spans else None for one in issues]
    polars = pytest.importorskip("polars")
    other = issues.to_polars()
    assert isinstance(other, polars.DataFrame)
    assert other["share_wrong"].to_list() == frame["share_wrong"].tolist()


def test_whole_rows_can_be_dropped(issues: Issues) -> None:
    in_order = list(issues.run.example_ids())
    assert issues.kept() == in_order
    limit = sorted(one.share_wrong for one in issues)[5]
    within = {one.example_id for one in issues if one.share_wrong <= limit}
    assert issues.kept(max_wrong=limit) == [name for name in in_order if name in within]
    with pytest.raises(ConfigError, match="from 0 to 1"):
        issues.kept(max_useless=1.5)


def test_a_run_without_labels_cannot_be_ranked(tmp_path: Path) -> None:
    from xtf.api import open_run

    run = made_run(tmp_path / "run", examples=2)
    (run.path / "state" / "rules.json").unlink()
    with pytest.raises(RunError, match="no labels yet"):
        open_run(run.path).issues()
