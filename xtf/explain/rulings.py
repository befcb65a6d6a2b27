"""What flags of the data and rules of the user decided before anything was scored, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from xtf.display import counted, visible
from xtf.labelling.summary import RulingCount
from xtf.tokens import Ruling


class Words(NamedTuple):
    """Where a ruling comes from, why it holds (after the token's text), and what a count of its tokens is called."""

    rule: str
    reason: str
    counted: str


RULED = {
    Ruling.FLAGGED: Words(
        "a flag of the data", "is marked in the data as not learnt", "not learnt: marked in the data"
    ),
    Ruling.NEVER: Words("data.never_learn", "is named by data.never_learn", "never learnt: data.never_learn"),
    Ruling.ALWAYS: Words(
        "data.always_learn",
        "is named by data.always_learn, so that nothing masks it",
        "always learnt: data.always_learn",
    ),
    Ruling.EARLIER: Words(
        "data.learn: last_turn",
        "is of an earlier turn (data.learn: last_turn)",
        "not learnt: in earlier turns (data.learn: last_turn)",
    ),
}


def ruling_lines(rulings: Sequence[RulingCount]) -> list[str]:
    """How many tokens each ruling holds for, one sentence each."""
    return [f"{counted(one.tokens, 'token')} {RULED[Ruling[one.name.upper()]].counted}" for one in rulings]


_COUNTED = {"token": "one by one", "span": "in spans", "rule": "by rules for a token id"}


def decided_lines(manifest: Mapping[str, Any]) -> list[str]:
    """By whom the tokens of a run were decided, if people's verdicts are heeded: the cuts first."""
    entries = manifest.get("decided", [])
    if not entries:
        return []
    counts = manifest.get("counts", {})
    by_people = sum(one["tokens"] for one in entries)
    rest = counts.get("response_tokens", 0) - counts.get("protected_tokens", 0) - by_people
    lines = [f"decided by the cuts: {counted(rest, 'token')}"]
    for by in dict.fromkeys(one["by"] for one in entries):
        own = [one for one in entries if one["by"] == by]
        parts = ", ".join(f"{one['tokens']:,} {_COUNTED[one['grain']]}" for one in own)
        changed = sum(one["changed"] for one in own)
        lines.append(f"decided by {by}: {parts}; {changed:,} otherwise than the cuts")
    return lines


def arms_decided_lines(decided: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """How many tokens people decided in each labelling that arms learn, and how many otherwise than its cuts."""
    lines = []
    for name, entries in decided.items():
        tokens, changed = (sum(int(one[key]) for one in entries) for key in ("tokens", "changed"))
        lines.append(
            visible(f"{name}: {counted(tokens, 'token')} decided by people, {changed:,} otherwise than its cuts")
        )
    return lines


def decided_words(decider: tuple[str, str]) -> Words:
    """Where a person's verdict on a token comes from, and why it holds."""
    by, grain = decider
    of = {"token": "this token", "span": "its span", "rule": "every token of this id"}[grain]
    return Words(f"a verdict of {by}", f"is decided by {by}, for {of}", _COUNTED[grain])


def dropped_lines(manifest: Mapping[str, Any]) -> list[str]:
    """Which examples a run's ``labels/`` leaves out because nothing is left to learn: one line, or none."""
    count, names = manifest.get("counts", {}).get("rows_without_supervised_token", 0), manifest.get("dropped_rows", [])
    if not count:
        return []
    more = ", …" if count > len(names) else ""
    return [f"{counted(count, 'example')} without a token left to learn, not in labels/: {', '.join(names)}{more}"]
