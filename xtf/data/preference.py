"""Preference data: of a pair the chosen answer is learnt, the rejected one never; a rejected answer alone is left out.

Known forms, as TRL, LLaMA-Factory, axolotl, ms-swift and OpenAI document them: a prompt (text, messages, ShareGPT, an
instruction with its input, or OpenAI's ``input.messages``) beside a chosen and a rejected answer (text, one message, or
messages); whole conversations that share their prompt, also as text with ``Human:`` and ``Assistant:``; messages whose
last answer is the chosen one, beside a rejected answer; two answers in one list, the better first; and KTO's ``label``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from xtf.data.cells import Cells
from xtf.data.conversation import Conversation
from xtf.data.report import LeftOut, RowError
from xtf.data.suggestion import yaml_name
from xtf.data.text_rows import Pair
from xtf.errors import kind_of

NOTE = "preference data: the chosen answer is learnt, the rejected one never"
LABELS = (
    *("kto_tag", "kto_label", "label", "is_desirable", "desirable", "is_chosen", "chosen"),
    *("is_preferred", "preferred", "is_accepted", "accepted"),
)
BAD_LABELS = ("is_undesirable", "undesirable", "is_rejected", "rejected")
"""Columns that say whether an answer is a good one, or a bad one."""
ANSWERS_TOO = ("chosen", "rejected", "preferred", "accepted")
"""Those of them that hold the answer itself elsewhere: only true and false are a verdict."""
VERDICTS = {"true": True, "false": False, "desirable": True, "undesirable": False, "chosen": True, "rejected": False}
PROMPTS = (
    "conversations",
    "messages",
    "conversation",
    "prompt",
    "instruction",
    "question",
    "query",
    "problem",
    "input",
)
ANSWERS = ("output", "response", "completion", "answer", "answers", "responses")
_SPEAKER = re.compile(r"\n*\b(Human|Assistant): ?")
_KINDS = "response|answer|output|completion|message|messages|conversation|conversations"
_UNWANTED = re.compile(
    rf"(?:(?:{_KINDS})_)?(rejected|reject|non_preferred|unpreferred|dispreferred)(?:_(?:{_KINDS}))?", re.IGNORECASE
)
_WANTED = {
    "rejected": ("chosen", "accepted", "preferred", "selected"),
    "reject": ("chosen", "choose", "accept"),
    "non_preferred": ("preferred",),
    "unpreferred": ("preferred",),
    "dispreferred": ("preferred",),
}
"""What the good answer is called where the bad one is called so."""


class RejectedAnswer(LeftOut):
    """A row that holds only what must not be learnt; no fault of the row."""


@dataclass(frozen=True, slots=True)
class Preference:
    """Reads the chosen answer of a row.

    Attributes:
        rejected: Column of the rejected answer; None where it holds null.
        chosen: Column of the chosen one; None where it is the last of the row's own messages.
        prompt: Column of the prompt; None where both answers are whole conversations.
    """

    rejected: str | None
    chosen: str | None
    prompt: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        names = (self.prompt, self.chosen, self.rejected)
        return tuple(dict.fromkeys(column for column in names if column is not None))

    def __call__(self, row: Cells) -> Conversation:
        """Read one row; RowError says what is wrong with it."""
        rejected = None if self.rejected is None else _whole(row[self.rejected])
        answer: Any
        asked: Any = row[self.prompt] if self.prompt is not None else None
        tools = {}
        if isinstance(asked, Mapping):
            tools = {"tools": asked["tools"]} if "tools" in asked else {}
            asked = asked.get("messages")
        if self.chosen is None:
            asked, answer = _last_answer(asked)
        else:
            answer = _whole(row[self.chosen])
            if isinstance(answer, list) and not _is_answer(answer):
                asked, answer = _shared(answer, rejected)
            elif asked is None:
                asked, answer = _shared_text(answer, rejected)
        more = "input" if self.prompt == "instruction" else None
        return Pair("prompt", "completion", more)(row.with_columns(prompt=asked, completion=answer, **tools))


def preference_of(row: Cells) -> Preference | None:
    """The reader of a row that holds two answers, None for other rows.

    Raises:
        RowError: it has a rejected answer and none that is chosen.
    """
    for key in row:
        value = row.peek(key)
        unwanted = _UNWANTED.fullmatch(key) if isinstance(value, (str, list, tuple, Mapping)) else None
        if unwanted is None or key in PROMPTS:
            continue
        names = [key.replace(unwanted[1], name) for name in _WANTED[unwanted[1].lower()]]
        prompt = next((each for each in PROMPTS if each in row), None)
        wanted = next((name for name in names if name in row), None)
        if wanted is not None:
            return Preference(key, wanted, prompt)
        if not value:
            continue
        own = next((each for each in ANSWERS if each in row), None)
        if own is not None or prompt in PROMPTS[:3]:
            return Preference(key, own, prompt)
        if prompt is not None:
            how = f"to learn another column: data.columns: {{prompt: {yaml_name(prompt)}, response: …}}"
            raise RowError("a rejected answer without a chosen one", f"column {key!r}; {how}")
    return _two_answers(row)


def chosen_alone(row: Cells, nulls: Collection[str]) -> Preference | None:
    """The reader of a row whose rejected answer is null; None for other rows.

    Args:
        row: The row.
        nulls: Its columns that hold null, in lower case.
    """
    for column in nulls:
        unwanted = _UNWANTED.fullmatch(column)
        names = [column.replace(unwanted[1], name) for name in _WANTED[unwanted[1]]] if unwanted else ()
        wanted = next((name for name in names if isinstance(row.peek(name), (str, list, tuple, Mapping))), None)
        if wanted is not None:
            return Preference(None, wanted, next((each for each in PROMPTS if each in row), None))
    return None


def check_label(row: Cells) -> bool:
    """Whether the row says, as KTO has it, that its answer is a good one; False where it says nothing.

    Raises:
        RejectedAnswer: it says that the answer is a bad one.
    """
    names = {key.lower(): key for key in row if key not in row.settled}
    for name in (*LABELS, *BAD_LABELS):
        key = names.get(name, name)
        verdict = _verdict(row.peek(key) if name in names else None, name, "completion" in names)
        if verdict is not None:
            shown = row.get(key)
            if verdict == (name in BAD_LABELS):
                raise RejectedAnswer(
                    "a rejected answer of preference data is never learnt (KTO)", f"{key!r} is {str(shown).lower()}"
                )
            return True
    return False


def _verdict(value: Any, name: str, has_completion: bool) -> bool | None:
    """What a column says of the answer beside it, if anything: ``label: 1`` may be a class, ``chosen: 1`` a place."""
    if isinstance(value, bool) or name in ANSWERS_TOO:
        return value if isinstance(value, bool) else None
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("yes", "no"):
            return word == "yes" if name != "label" or has_completion else None
        value = VERDICTS.get(word, float(word) if word in ("-1", "0", "1") else None)
    if isinstance(value, bool):
        return value
    is_number = isinstance(value, (int, float)) and value in (-1, 0, 1)
    return bool(value > 0) if is_number and (name != "label" or has_completion) else None


def _two_answers(row: Cells) -> Preference | None:
    """LLaMA-Factory's former layout: the better answer first."""
    for key in ANSWERS:
        value = row.peek(key)
        if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(each, str) for each in value):
            prompt = next((each for each in PROMPTS if each in row), None)
            if prompt == "instruction":
                return _First(key, key, prompt)
    return None


class _First(Preference):
    """The first of two answers in one column."""

    __slots__ = ()

    def __call__(self, row: Cells) -> Conversation:
        answer = row[str(self.chosen)][0]
        return Pair(str(self.prompt), "completion", "input")(row.with_columns(completion=answer))


def _whole(value: Any) -> Any:
    """One message as a list of one; text and lists as they are; text of a whole conversation as messages."""
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, str) and _SPEAKER.match(value) and "Assistant:" in value:
        parts = _SPEAKER.split(value)[1:]
        return [{"from": who.lower(), "value": said} for who, said in zip(parts[::2], parts[1::2], strict=True)]
    return list(value) if isinstance(value, (list, tuple)) else value


def _is_answer(messages: list[Any]) -> bool:
    """Whether there are no words of the one who asks; anything that is no message is left to the reader of messages."""
    roles = [str(each.get("role", each.get("from", ""))).lower() for each in messages if isinstance(each, Mapping)]
    return not {"user", "human", "system"}.intersection(roles)


def _shared(chosen: list[Any], rejected: Any) -> tuple[list[Any], list[Any]]:
    """What both conversations begin with, and how the chosen one goes on."""
    shared = _alike(chosen, rejected if isinstance(rejected, list) else [])
    turns = [place for place, message in enumerate(chosen) if _is_answer([message])]
    if not turns:
        raise RowError("no assistant turn", "in the chosen conversation")
    shared = min(shared, turns[-1]) if shared else turns[-1]
    return chosen[:shared], chosen[shared:]


def _shared_text(chosen: Any, rejected: Any) -> tuple[str, str]:
    """The same of two texts: the prompt is what they begin with, up to the last white space."""
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise RowError("a preference pair without a prompt", f"chosen is {kind_of(chosen)}")
    shared = chosen[: _alike(chosen, rejected)]
    cut = len(shared.rstrip()) if shared[-1:].isspace() else max(shared.rfind(" "), shared.rfind("\n"))
    if cut <= 0 or not chosen[cut:].strip():
        raise RowError("a preference pair without a prompt", "the two answers begin with nothing in common")
    return chosen[:cut], chosen[cut:].strip()


def _alike(first: Sequence[Any], second: Sequence[Any]) -> int:
    """How many items two sequences begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _last_answer(messages: Any) -> tuple[list[Any], list[Any]]:
    if not isinstance(messages, (list, tuple)) or not messages or not _is_answer([messages[-1]]):
        raise RowError("a rejected answer without a chosen one", "the messages do not end with an answer")
    return list(messages[:-1]), [messages[-1]]
