"""Verdicts given on the page: chosen, downloaded, and heeded by the labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.report.conftest import Open
from tests.report.made import made_run
from xtf.api import Run, label
from xtf.report import write_report


def opened(run: Run, open_page: Open, example: str, token: int) -> Any:
    page = open_page(write_report(run), f"#example={example}&token={token}")
    page.wait_for_selector("#verdicts li")
    return page


def press(page: Any, grain: str, answer: str) -> None:
    page.click(f'#verdicts button[data-grain="{grain}"][data-answer="{answer}"]')


def downloaded(page: Any) -> Path:
    with page.expect_download() as waiting:
        page.click("#download-verdicts")
    assert waiting.value.suggested_filename == "verdicts.json"
    return Path(waiting.value.path())


def test_a_token_a_span_and_a_rule(tmp_path: Path, open_page: Open) -> None:
    run = made_run(tmp_path / "run", examples=6)
    example = "made-0002"
    tokens = run.explain(example).tokens
    free = [one for one in tokens if one.is_response and not one.is_protected]
    masked = next(one for one in free if one.noise)
    page = opened(run, open_page, example, masked.index)
    assert page.locator("#download-verdicts").is_hidden()
    press(page, "token", "reject")
    press(page, "rule", "accept")
    start = stop = masked.index
    while tokens[start - 1] in free and tokens[start - 1].noise:
        start -= 1
    while tokens[stop + 1] in free and tokens[stop + 1].noise:
        stop += 1
    spans = page.locator('#verdicts button[data-grain="span"][data-answer="accept"]')
    assert spans.count() == (1 if stop > start else 0)
    page.fill("#verdicts-by", "anna")
    file = downloaded(page)
    given = json.loads(file.read_text(encoding="utf-8"))
    assert (given["xtf_verdicts"], given["by"]) == (1, "anna")
    assert [(one["grain"], one["answer"], one["decided"]) for one in given["verdicts"]] == [
        ("token", "reject", "keep"),
        ("rule", "accept", "mask"),
    ]
    label(run, verdicts=file)
    after = run.explain(example).tokens
    assert not after[masked.index].noise
    for name in run.example_ids():
        for one in run.explain(name).tokens:
            if one.token_id == masked.token_id and one.is_response and not one.is_protected:
                assert one.noise == ((name, one.index) != (example, masked.index))
    assert {one["by"] for one in run.manifest["decided"]} == {"anna"}


def test_spans_undo_and_what_is_remembered(tmp_path: Path, open_page: Open) -> None:
    run = made_run(tmp_path / "run", examples=4)
    example = "made-0001"
    tokens = run.explain(example).tokens
    free = [one.is_response and not one.is_protected for one in tokens]
    kept = next(
        i for i in range(len(tokens) - 1) if free[i] and free[i + 1] and not (tokens[i].noise or tokens[i + 1].noise)
    )
    page = opened(run, open_page, example, kept)
    press(page, "span", "reject")
    press(page, "token", "accept")
    page.click("#verdicts summary")
    page.click("#verdicts .undo >> nth=1")
    page.reload()
    page.wait_for_selector("#verdicts li")
    given = json.loads(downloaded(page).read_text(encoding="utf-8"))["verdicts"]
    assert [(one["grain"], one["decided"]) for one in given] == [("span", "mask")]
    start, size = given[0]["start"], len(given[0]["token_ids"])
    assert start <= kept < start + size
    assert all(free[i] and not tokens[i].noise for i in range(start, start + size))
    assert "--verdicts verdicts.json" in page.inner_text("#verdicts code")


def test_tokens_that_cannot_be_masked_ask_for_no_verdict(tmp_path: Path, open_page: Open) -> None:
    run = made_run(tmp_path / "run", examples=3)
    last = len(run.explain("made-0001").tokens) - 1
    page = open_page(write_report(run), f"#example=made-0001&token={last}", width=390)
    page.wait_for_selector("#verdicts")
    assert page.locator("#verdicts li").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
