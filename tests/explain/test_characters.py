"""Characters that a byte-level vocabulary splits over several tokens: shown once, with each token in reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.report.made import made_run
from tests.tiny import tiny_tokenizer
from xtf.api import Run
from xtf.characters import Spelt, readable, spell
from xtf.data.inspection import spell_tokens
from xtf.explain.terminal import print_explanation
from xtf.runs.issues import read_issues
from xtf.runs.vocabulary import read_vocabulary

TEXTS = ("Ask 🦙!", "今天 is 今日 today", "é👩\u200d🔧\u0301", "plain words")
PIECES = ("🦙".encode()[:3], "🦙".encode()[3:], b" so", b"<|end|>")


@pytest.fixture
def split(tmp_path: Path) -> Run:
    """A run whose tokens are drawn from a vocabulary that has an emoji in two pieces alone."""
    cuts = {"a": {"kind": "below", "cut": 0.2}}
    return made_run(tmp_path / "run", pieces=PIECES, ids=["one"], tokens=900, thresholds=cuts)


@pytest.mark.parametrize("text", TEXTS)
def test_what_tokens_spell_joins_to_the_text_and_counts_the_tokens_of_each_character(text: str) -> None:
    tokenizer = tiny_tokenizer()
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    ids, places = encoded["input_ids"], encoded["offset_mapping"]
    for spelt in (read_vocabulary(tokenizer).spell(np.array(ids)), spell_tokens(ids, tokenizer)):
        assert "".join(one.once for one in spelt) == text
        assert [one.text for one in spelt] == [text[start:stop] for start, stop in places]
        assert [one.parts for one in spelt] == [places.count(place) for place in places]
        assert [one.part for one in spelt] == [places[: i + 1].count(place) for i, place in enumerate(places)]


def test_bytes_that_spell_nothing_show_themselves_each_in_its_own_token() -> None:
    pieces = [b"\xe2\x82", b"<|end|>", b"\xff\xc3", b"a\xa4", b"\xf0\x9f"]
    assert spell(pieces) == [Spelt("<E2><82>"), Spelt("<|end|>"), Spelt("<FF><C3>"), Spelt("a<A4>"), Spelt("<F0><9F>")]
    assert readable("día".encode() + b"\xc3") == "día<C3>"


def test_a_listing_shows_a_character_once_and_each_of_its_tokens_with_its_own_verdict(split: Run) -> None:
    explanation = split.explain("one")
    tokens, console = explanation.tokens, Console(width=80, no_color=True)
    with console.capture() as capture:
        print_explanation(console, explanation, reasons=True)
    running, _, reasons = capture.get().partition("prompt · ")
    joined = b"".join(PIECES[one.token_id] for one in tokens)
    assert running.count("🦙") == joined.count("🦙".encode()) > 10
    assert "⟦🦙⟧₂" in running
    assert "🦙⟦₂⟧" in running
    halves = [one.noise for one in tokens if one.parts == 2]
    alike = [first == second for first, second in zip(halves[::2], halves[1::2], strict=True)]
    assert running.count("₂") == alike.count(False) > 0, "numbers only where the tokens of a character part ways"
    assert alike.count(True) > 0
    assert "₂ ₃ … more tokens of one character" in " ".join(reasons.split())
    for one in tokens:
        if one.is_response and one.parts == 2:
            assert f"{one.index:>4} {'Masked' if one.noise else 'Kept'}: '🦙' ({one.part}/2) " in reasons
            assert one.noise == one.verdicts[0].lacking


def test_a_span_is_told_in_whole_characters(split: Run) -> None:
    """Also where only the second token of an emoji is masked, or the first."""
    tokens = split.explain("one").tokens
    spans = [span for issue in read_issues(split) for span in issue.spans]
    edges = {(tokens[span.start].part, tokens[span.stop - 1].part) for span in spans}
    assert edges - {(1, 2)}
    for span in spans:
        start = span.start - (tokens[span.start].part == 2)
        stop = span.stop + (tokens[span.stop - 1].parts == 2 and tokens[span.stop - 1].part == 1)
        assert span.text == "".join(one.text for one in tokens[start:stop] if one.part == 1)
        assert all(not text.startswith("\ufffd") for text in (span.text, span.before, span.after))
