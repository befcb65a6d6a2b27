"""Every kind of noise on small texts: what it changes, that it is deterministic, and what it leaves alone."""

from __future__ import annotations

import difflib
import re
from itertools import pairwise

import numpy as np
import pytest

from xtf.noise import Edit, Kind, Planting, Response, choose_kinds, known_kinds, plant_response, read_texts
from xtf.noise.code import looks_like_code, read_pieces
from xtf.noise.plant import apply_edits, choose_edits, trimmed

PROSE = (
    "Anna bought 12 apples for 3 dollars, and then she gave some of them to Peter. They were not ripe before Monday. "
    "Peter paid Anna 4.50 dollars for 1,200 grams, so the total cost is 12 * 3 = 36 dollars.\n"
    "Anna always adds the larger number first because it is the same. The answer is 36."
)
CODE = (
    "def mean(values, start=0):\n    total = 0\n    for i in range(len(values) - 1):\n"
    "        if values[i] >= start and i != 3:\n            total += values[i]\n    return max(total, 'none')\n"
)
IN_CODE = {name for name in known_kinds() if name.startswith("code_")} | {"off_by_one"}
ANYWHERE = {"uniform", "plausible", "digits", "off_domain", "boilerplate", "moved"}


def response(text: str) -> Response:
    spans = [match.span() for match in re.finditer(r"\s?\w+|[^\w\s]|\s", text)]
    return Response(text, spans, read_texts("judge"), ("zebra", " quartz", "%%"), lambda: [[" seven"]] * len(spans))


def proposals(kind: Kind, text: str, count: int = 40) -> list[Edit]:
    random = np.random.default_rng(0)
    return [edit for _, edit in zip(range(count), kind.propose(response(text), random), strict=False)]


@pytest.mark.parametrize("name", known_kinds())
def test_a_kind_proposes_edits_that_change_the_text(name: str) -> None:
    kind = known_kinds()[name]
    text = CODE if name in IN_CODE else PROSE
    found = proposals(kind, text)
    assert found
    for edit in found:
        assert 0 <= edit.start <= edit.end <= len(text)
        assert text[edit.start : edit.end] != edit.replacement
    assert found == proposals(kind, text), "the same generator, other edits"
    assert kind.fits(response(text))
    assert kind.label[0].islower()
    assert type(kind).__doc__


@pytest.mark.parametrize("name", known_kinds())
@pytest.mark.parametrize("text", ["", " ", "\n", ".", "x", "é", "🙂", "<b>&amp;</b>", "\u202e\u0000", "1", "```\n```"])
def test_a_kind_takes_any_text(name: str, text: str) -> None:
    for edit in proposals(known_kinds()[name], text):
        changed, wrong = apply_edits(text, [edit], name)
        assert changed != text
        assert len(wrong) == 1


@pytest.mark.parametrize("name", sorted(set(known_kinds()) - ANYWHERE))
def test_words_are_changed_in_prose_and_code_in_code(name: str) -> None:
    other = PROSE if name in IN_CODE else CODE
    assert proposals(known_kinds()[name], other) == []


def test_what_is_said_to_be_wrong_is_the_difference() -> None:
    """Against difflib: outside the wrong spans, the noisy text is the clean one."""
    for name, kind in known_kinds().items():
        text = CODE if name in IN_CODE else PROSE
        edits = choose_edits(response(text), kind, 0.2, np.random.default_rng(1))
        noisy, wrong = apply_edits(text, edits, name)
        kept, at = "", 0
        for span in wrong:
            kept += noisy[at : span.start]
            at = span.end
        kept += noisy[at:]
        matcher = difflib.SequenceMatcher(None, text, kept, autojunk=False)
        assert all(tag in ("equal", "delete") for tag, *_ in matcher.get_opcodes()), name


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("digits", r"[0-9]|[-+*/]"),
        ("function_word", r" ?[A-Za-z]+"),
        ("negation", r" not|[a-z]+|"),
        ("code_operator", r"[-+*/<>=!%&|]+|or|is not|min|all"),
        ("number", r"[\d,.]+|[A-Za-z]+"),
    ],
)
def test_replacements_look_like_what_they_replace(name: str, pattern: str) -> None:
    for edit in proposals(known_kinds()[name], CODE if name in IN_CODE else PROSE):
        assert re.fullmatch(pattern, edit.replacement), edit


def test_garbled_characters_are_utf8_read_as_windows_1252() -> None:
    """Read the other way round, each is the character that was meant: the same, or its typographic or accented form."""
    text = "It's \"good\" - a café – and Łódź is not far; we've 3 more."
    relatives = {
        "'": "’",
        '"': "“”",
        "-": "–—",
        " ": "\xa0",
        "a": "àáâä",
        "e": "èéêë",
        "i": "íîï",
        "n": "ñ",
        "o": "óôö",
    }
    seen: set[str] = set()
    for edit in proposals(known_kinds()["garbled"], text, 400):
        true = text[edit.start : edit.end]
        seen.add(true)
        if "\ufffd" in edit.replacement:
            continue  # a byte that Windows-1252 lacks: lost
        garbled = edit.replacement.replace("Â ", "Â\xa0")
        assert garbled.encode("cp1252").decode("utf-8") in relatives.get(true, true), edit
    assert {"'", '"', "-", "é", "–", "Ł", " "} <= seen


def test_leftovers_come_from_their_own_half_and_pairs_enclose_a_word() -> None:
    fit, judge = (set(read_texts(split).leftovers) for split in ("fit", "judge"))
    assert not fit & judge
    opened = {one.split(" … ")[0]: one.split(" … ")[1] for one in judge if " … " in one}
    found = proposals(known_kinds()["leftover"], PROSE, 400)
    for edit, behind in pairwise(found):
        assert edit.start == edit.end
        said = edit.replacement.strip()
        assert said in judge or said in opened or said in opened.values()
        if said in opened:
            assert behind.replacement == opened[said]
            assert PROSE[edit.start : behind.start].isalnum()
    assert any(" " in edit.replacement.strip() for edit in found), "scraps of more than a word"
    assert all(
        PROSE[edit.start - 1] in ".!?"
        for edit in found
        if " " in edit.replacement.strip() and "<" not in edit.replacement
    )


def test_an_edit_is_trimmed_to_what_it_changes() -> None:
    assert trimmed("total 48 clips", Edit(6, 8, "47")) == Edit(7, 8, "7")
    assert trimmed("she earns it", Edit(4, 9, "earn")) == Edit(8, 9, "")
    assert trimmed("aa", Edit(1, 1, "a")) == Edit(1, 1, "a"), "an insertion is wrong as a whole"
    assert trimmed("same", Edit(0, 4, "same")) is None


@pytest.mark.parametrize("name", known_kinds())
@pytest.mark.parametrize("rate", [0.05, 0.15])
def test_the_rate_is_met_on_average(name: str, rate: float) -> None:
    """Where the text has places enough: mean over many draws, in characters' share of tokens."""
    kind = known_kinds()[name]
    text = (CODE if name in IN_CODE else PROSE) * 3
    here = response(text)
    shares = []
    for seed in range(40):
        edits = choose_edits(here, kind, rate, np.random.default_rng(seed))
        chars = len(text) / len(here.spans)
        wrong = [trimmed(text, edit) for edit in edits]
        shares.append(sum(max(1.0, len(w.replacement) / chars) for w in wrong if w is not None) / len(here.spans))
    assert np.mean(shares) == pytest.approx(rate, rel=0.35) or (np.mean(shares) < rate and name in SCARCE)


SCARCE = {
    "code_operator",
    "code_constant",
    "code_call",
    "off_by_one",
    "swapped_names",
    "negation",
    "entity",
    "contradiction",
    "repeated",
}


def test_fit_and_judge_share_no_sentence() -> None:
    fit, judge = read_texts("fit"), read_texts("judge")
    assert len(fit.phrases) >= 40 <= len(judge.phrases)
    assert len(fit.passages) >= 30 <= len(judge.passages)

    def sentences(texts: tuple[str, ...]) -> set[str]:
        return {part.strip().lower() for text in texts for part in re.split(r"[.!?]\s", text) if part.strip()}

    def shingles(texts: tuple[str, ...]) -> set[tuple[str, ...]]:
        words = [re.findall(r"\w+", text.lower()) for text in texts]
        return {tuple(w[i : i + 6]) for w in words for i in range(len(w) - 5)}

    assert not sentences(fit.phrases + fit.passages) & sentences(judge.phrases + judge.passages)
    assert not shingles(fit.phrases + fit.passages) & shingles(judge.phrases + judge.passages)


def test_planting_depends_on_seed_and_name_alone() -> None:
    planting = Planting(choose_kinds(), 0.1, seed=4)
    first = plant_response(response(PROSE), planting, "row-1")
    plant_response(response(CODE), planting, "row-2")
    assert plant_response(response(PROSE), planting, "row-1") == first
    others = {plant_response(response(PROSE), planting, f"row-{i}")[0] for i in range(12)}
    assert len(others) > 8
    assert plant_response(response(PROSE), Planting(choose_kinds(), 0.1, seed=5), "row-1") != first


def test_code_is_told_from_prose() -> None:
    assert looks_like_code(CODE)
    assert looks_like_code("Here you are:\n```python\nx = 1\n```")
    assert looks_like_code("    return n + 1\n    x = 2\n")
    assert not looks_like_code(PROSE)
    assert not looks_like_code("Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\nShe earned 0.2 x 50 = 10.\n#### 10")
    assert not looks_like_code("")


def test_pieces_of_code_stand_where_they_are_said_to() -> None:
    for text in (CODE, "let x = a && b; // ünder\nif (x >= 10) { f(x); }", "Text\n```js\nconst é = 3;\n```\nmore"):
        pieces = read_pieces(text)
        assert pieces
        assert all(text[piece.start : piece.end] == piece.text for piece in pieces)
