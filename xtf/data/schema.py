"""Row -> conversation, whatever the columns are called.

The table :data:`SCHEMAS` says which columns are recognised by themselves. To teach XTF another schema, add a line: the
columns by which it is known, and what reads them (:class:`Chat`, :class:`Pair`, :class:`Text`, :class:`Labelled`, or a
function of your own from :class:`Cells` to a conversation). Anything else is named by ``data.columns``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from xtf.config import ColumnsConfig
from xtf.data.asides import possible_asides
from xtf.data.cells import Cells
from xtf.data.conversation import Conversation, PreTokenized
from xtf.data.messages import NO_ROLES
from xtf.data.plain import TableRow, null_columns
from xtf.data.preference import NOTE, check_label, chosen_alone, preference_of
from xtf.data.pubmedqa import pubmedqa
from xtf.data.report import Remark, RowError
from xtf.data.row_tests import check_row
from xtf.data.sources import Row
from xtf.data.suggestion import columns_line
from xtf.data.text_rows import PLACEHOLDERS, Chat, Pair, Text, first_answer, has_placeholder, text_alone
from xtf.data.token_rows import MASKS, Labelled, Unlabelled
from xtf.data.value_tests import NO_TESTS
from xtf.data.verdicts import check_verdicts, possible_verdicts
from xtf.errors import DataError, listed


@dataclass(frozen=True, slots=True)
class Schema:
    """A way to name columns.

    Attributes:
        columns: It is recognised where all of them are there and not null.
        read: Makes a conversation, or tokens, of a row; raises RowError.
        note: What a user should know of it, for the data report.
    """

    columns: tuple[str, ...]
    read: Callable[[Cells], Conversation | PreTokenized]
    note: str = ""

    def fits(self, row: Cells) -> bool:
        """Whether the row has the columns."""
        return all(column in row for column in self.columns)

    def __str__(self) -> str:
        return _names(self) + (f" ({self.note})" if self.note else "")


def _names(schema: Schema) -> str:
    return " + ".join(schema.columns)


def _pair(prompt: str, response: str, more: str | None = None) -> Schema:
    return Schema((prompt, response), Pair(prompt, response, more))


PLAIN = "plain text: every token is a target"
NULL_ARGUMENTS = "arguments of a tool call that are null are left out, for a table does not tell them from absent ones"
PLACEHOLDER = f"{' or '.join(PLACEHOLDERS)} stands in the text, and the row has none: it is read as words"
TWO_SYSTEMS = "the messages begin with system text, and a column holds another: the messages' is used"
LOOKS_LIKE_TURNS = "plain text that looks like a conversation: the words of all who speak in it are learnt"
TURNS = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|turn>|<\|(?:user|assistant)\|>|\[/INST\]|<｜Assistant｜>|"
    r"###\s*(?:Assistant|Response)\s*:|(?:^|\n)\s*(?:Assistant|AI|GPT|Bot)\s*:|\bASSISTANT:|"
    r"\b(?:Human|User): [^\n]{1,2000}? (?:Assistant|AI|Bot):"
)
"""What stands before an answer in texts that were made of conversations."""
PACKED = (
    "several texts are packed in a row: they are scored as one, each after those before it; prepare without packing"
)
SCHEMAS = (
    Schema(("input_ids", "labels"), Labelled("input_ids", "labels")),
    *(Schema((ids, mask), Labelled(ids)) for ids in ("input_ids", "tokens") for mask in MASKS),
    Schema(("messages",), Chat("messages")),
    Schema(("conversations",), Chat("conversations")),  # ShareGPT
    Schema(("conversation",), Chat("conversation")),  # LMSYS-Chat, WildChat, Capybara
    Schema(("chat_rounds",), Chat("chat_rounds")),  # the medical dialogues of the XTF paper
    _pair("prompt", "completion"),
    _pair("prompt", "response"),
    _pair("prompt", "canonical_solution"),  # HumanEval
    _pair("instruction", "output", more="input"),  # Alpaca
    Schema(("instruction", "context", "response"), Pair("instruction", "response", more="context")),  # Dolly
    _pair("instruction", "response", more="input"),
    Schema(("question", "context", "long_answer", "final_decision"), pubmedqa),
    Schema(("question", "contexts", "long_answer", "final_decision"), pubmedqa),  # its file ori_pqal.json
    Schema(("question", "context", "answers"), Pair("context", "answers", "question", first_answer)),  # SQuAD
    Schema(("question", "context", "answer"), Pair("context", "answer", "question", first_answer)),
    _pair("question", "response"),  # OpenOrca
    Schema(("question", "answer"), Pair("question", "answer", None, first_answer)),  # GSM8K, NQ-Open, TriviaQA
    _pair("question", "solution"),
    _pair("question", "generated_solution"),  # OpenMathInstruct-1
    _pair("query", "response"),  # MetaMathQA
    _pair("query", "answer"),
    _pair("problem", "solution"),  # MATH, NuminaMath
    _pair("problem", "generated_solution"),  # OpenMathInstruct-2
    _pair("problem", "answer"),
    _pair("input", "output"),
    _pair("inputs", "targets"),  # FLAN, Aya
    _pair("text", "code"),  # MBPP
    Schema(("input_ids",), Unlabelled("input_ids"), "tokens without labels: every one is a target"),
    Schema(("text",), text_alone, PLAIN),
)
"""The first one that fits a row reads it; where none does, upper and lower case are taken for the same."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A row that was understood.

    Attributes:
        value: What it holds.
        schema: The columns by which it was recognised.
        unused: Columns that hold something and were not read.
        remarks: For the data report.
        is_preference: Whether the row says which of several answers is the good one.
    """

    value: Conversation | PreTokenized
    schema: str
    unused: tuple[str, ...]
    remarks: tuple[Remark, ...] = ()
    is_preference: bool = False


def check_columns(columns: ColumnsConfig) -> None:
    """Refuse a ``data.columns`` that names half of a schema.

    Raises:
        DataError: naming what is missing.
    """
    for first, second in (("prompt", "response"), ("input_ids", "labels")):
        for given, missing in ((first, second), (second, first)):
            if getattr(columns, given) is not None and getattr(columns, missing) is None:
                raise DataError(f"data.columns: {given!r} is given without {missing!r}; name both.")
    for name in ("input", "reasoning"):
        if getattr(columns, name) is not None and columns.prompt is None:
            raise DataError(f"data.columns: {name!r} is given without 'prompt' and 'response'; name all three.")
    sets = [name for name in ("messages", "prompt", "input_ids", "text") if getattr(columns, name) is not None]
    if len(sets) > 1:
        raise DataError(f"data.columns: {listed(map(repr, sets))} exclude each other; keep one.")


def recognise(
    row: Row, columns: ColumnsConfig, roles: Mapping[str, str] = NO_ROLES, only: Mapping[str, Any] = NO_TESTS
) -> Recognised:
    """Recognise the columns of ``row`` and read it; ``roles`` are ``data.roles``, ``only`` is ``data.only``.

    Raises:
        RowError: (a DataError) with place, reason and what was found, when the row holds no usable conversation; a
            LeftOut where it says itself, or ``data.only``, that it is not to be learnt.
    """
    cells = Cells(row.value, columns.system, roles, only)
    try:
        check_row(cells, only)
        liked = check_label(cells)
        check_verdicts(cells)
        nulls = null_columns(row.value)
        schema = _named(columns) or _preference(cells, nulls) or _fitting(cells)
        if schema is None:
            cells = cells.in_lower_case()
            schema = _preference(cells, nulls) or _fitting(cells)
        if schema is None:
            _refuse_null(cells, nulls)
            raise RowError("no known columns", f"{columns_line(row.value)} Known: {_known()}.")
        value = schema.read(cells)
    except RowError as error:
        raise error.at(row.location) from None
    unused = tuple(column for column in cells.unread() if column != columns.id)
    remarks = (*_remarks(row, cells, value, liked), *_hints(cells, unused, only, schema.read))
    is_preference = liked or schema.note == NOTE
    return Recognised(value, str(schema), unused, remarks, is_preference)


def _refuse_null(cells: Cells, nulls: Collection[str]) -> None:
    """Say so of a row that would be read if none of its columns held null."""
    for schema in SCHEMAS if len(cells) else ():
        missing = [column for column in schema.columns if column not in cells]
        if missing and set(missing) <= set(nulls):
            raise RowError("a column that is needed holds null", listed(map(repr, missing)))


def _preference(cells: Cells, nulls: Collection[str]) -> Schema | None:
    """The schema of a row with a rejected answer, or a column for one."""
    found = preference_of(cells) or chosen_alone(cells, nulls)
    return None if found is None else Schema(found.columns, found, NOTE)


def _remarks(row: Row, cells: Cells, value: Conversation | PreTokenized, liked: bool) -> Iterator[Remark]:
    if liked:
        yield Remark(NOTE)
    if isinstance(value, Conversation) and not value.is_text and value.messages[0]["role"] == "system":
        system = cells.system_prompt()
        if system.strip() not in ("", value.messages[0]["content"].strip()):
            yield Remark(TWO_SYSTEMS, f"not used: {system!r:.60}")
    if isinstance(row.value, TableRow) and row.value.null_arguments:
        yield Remark(NULL_ARGUMENTS, ", ".join(row.value.null_arguments))
    if isinstance(value, PreTokenized) and _is_packed(row):
        yield Remark(PACKED)
    if isinstance(value, Conversation) and value.is_text and TURNS.search(value.messages[0]["content"]):
        yield Remark(LOOKS_LIKE_TURNS, "to learn answers alone, give the turns as 'messages'")
    if isinstance(value, Conversation) and has_placeholder(value.messages):
        yield Remark(PLACEHOLDER)


def _hints(cells: Cells, unused: tuple[str, ...], only: Mapping[str, Any], read: Any) -> Iterator[Remark]:
    """What to set for columns that nothing reads and that may matter."""
    if unused:
        held = {column: cells.peek(column) for column in unused}
        yield from possible_verdicts(held, unused, only)
        yield from possible_asides(held, unused, read)


def _is_packed(row: Row) -> bool:
    """Whether TRL (``seq_lengths``), LLaMA-Factory (numbers in the mask) or positions that begin anew say so."""
    lengths, mask, positions = (row.value.get(name) for name in ("seq_lengths", "attention_mask", "position_ids"))
    if isinstance(lengths, list):
        return len(lengths) > 1
    if isinstance(mask, list) and max(map(int, mask), default=0) > 1:
        return True
    starts = pairwise(positions) if isinstance(positions, list) else ()
    return sum(pair == (0, 1) for pair in starts) > 1


def to_conversation(
    row: Row, columns: ColumnsConfig, roles: Mapping[str, str] = NO_ROLES, only: Mapping[str, Any] = NO_TESTS
) -> Conversation | PreTokenized:
    """As :func:`recognise`, what the row holds alone."""
    return recognise(row, columns, roles, only).value


def _named(columns: ColumnsConfig) -> Schema | None:
    """The schema that ``data.columns`` names."""
    if columns.input_ids and columns.labels:
        return Schema((columns.input_ids, columns.labels), Labelled(columns.input_ids, columns.labels))
    if columns.messages:
        return Schema((columns.messages,), Chat(columns.messages))
    if columns.prompt and columns.response:
        read = Pair(columns.prompt, columns.response, columns.input, reasoning=columns.reasoning)
        return Schema((columns.prompt, columns.response), read)
    return Schema((columns.text,), Text(columns.text), PLAIN) if columns.text else None


def _known() -> str:
    """The columns of all schemas; what goes with the same columns side by side."""
    last: dict[tuple[str, ...], list[str]] = {}
    for schema in SCHEMAS:
        last.setdefault(schema.columns[:-1], []).append(schema.columns[-1])
    return "; ".join(" + ".join((*first, "/".join(names))) for first, names in last.items())


def _fitting(cells: Cells) -> Schema | None:
    return next((schema for schema in SCHEMAS if schema.fits(cells)), None)
