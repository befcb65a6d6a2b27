"""Names by which rows and turns say whether they are good ones, where true and false are plainly a verdict."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from xtf.data.flag_names import plain_name
from xtf.data.value_tests import is_plain_truth, truth

_OF = r"(?:final_)?(?:answer|response|solution|output|completion|result|generation|code|tests?|row|example|sample)"
_IS = r"(?:(?:is|are|was|were|has|has_been|all)_)"
_GOOD = (
    r"correct|right|valid|good|accepted|approved|acceptable|pass|passed|passes|success|successful|succeeded|solved|"
    r"resolved|usable"
)
_BAD = (
    r"incorrect|wrong|invalid|bad|unacceptable|fail|failed|unsuccessful|hallucinated|hallucination|corrupt|corrupted|"
    r"broken|unusable"
)
_DROPPED = r"discard|discarded|drop|dropped|remove|removed|delete|deleted"
_CHOICE = r"keep|kept|include|included|select|selected"


def _named(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{_IS}?(?:{_OF}_)?{_IS}?(?:{words}))|(?:(?:is_)?(?:{words})_(?:{_OF}|all_tests))")


GOOD, BAD = _named(f"{_GOOD}|{_CHOICE}"), _named(f"{_BAD}|{_DROPPED}")
OF_TURNS = _named(_GOOD), BAD
CHOICES = re.compile(rf"correct|right|{_CHOICE}|{_DROPPED}")
"""Names that may hold a number instead, of the right choice or of what was kept or dropped, or the answer yes or no."""
ANSWERS = re.compile(rf"(?:correct|right|wrong|incorrect)_{_OF}")
"""Names of answers: ``correct_answer: false`` is what is right; only ``is_correct_answer`` judges."""
LABELS = re.compile(
    rf"(?:{_OF}_)?(?:label|verdict|judge?ment|status|quality|evaluation|annotation|feedback|rating|decision|thumbs?)"
)
REFUSALS = frozenset(("bad", "wrong", "incorrect", "rejected", "unacceptable", "invalid", "failed")) | {
    *("reject", "unusable", "discard", "discarded", "thumbs_down", "thumbs-down", "thumbs down")
}


def verdict_of(name: str, value: Any, of_turn: bool = False) -> bool | None:
    """Whether an entry calls what it stands beside good (True) or bad (False); None where it plainly says neither.

    Args:
        name: Of a column of a row, or a key of a turn.
        value: What it holds; a list says what all of its entries say.
        of_turn: Of a turn, ``keep`` and ``selected`` say nothing.
    """
    if isinstance(value, (list, tuple)):
        said_by_each = {verdict_of(name, each, of_turn) for each in value}
        return said_by_each.pop() if len(said_by_each) == 1 else None
    is_word = isinstance(value, str)
    if is_word and value.strip().lower() in REFUSALS and LABELS.fullmatch(plain_name(name)):
        return False
    meaning, may_choose = _meaning(name, of_turn)
    if meaning is None:
        return None
    said = truth(value) if is_plain_truth(value) or not may_choose else None
    return None if said is None else said == meaning


def is_verdict(name: str) -> bool:
    """Whether true, false or a word under a name may be a plain verdict on a turn."""
    return _meaning(name, True)[0] is not None or bool(LABELS.fullmatch(plain_name(name)))


@lru_cache(maxsize=4096)
def _meaning(name: str, of_turn: bool) -> tuple[bool | None, bool]:
    """What true under a name means, None if nothing, and whether a number or a word may be a choice instead."""
    plain = plain_name(name)
    if ANSWERS.fullmatch(plain):
        return None, False
    names = OF_TURNS if of_turn else (GOOD, BAD)
    meaning = next((good for good, each in zip((True, False), names, strict=True) if each.fullmatch(plain)), None)
    return meaning, bool(CHOICES.fullmatch(plain))
