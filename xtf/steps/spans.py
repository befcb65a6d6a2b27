"""The step back: a file of masked characters -> tokens with labels, with any tokenizer and template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xtf.config import DataConfig
from xtf.data import (
    AppliedSpans,
    Conversation,
    ConversationTokenizer,
    DataReport,
    LocatedTokens,
    MaskedSpan,
    MaskedTurn,
    Row,
    RowError,
    SharedSpan,
    apply_spans,
    read_rows,
    to_conversation,
)
from xtf.data.flags import TurnWeight
from xtf.display import counted, html_facts
from xtf.errors import DataError, RunError, kind_of
from xtf.files import write_parquet
from xtf.progress import progress
from xtf.tokens import IntArray

if TYPE_CHECKING:
    import pyarrow as pa
    from transformers import PreTrainedTokenizerBase

ROWS_PER_FILE = 4096


class Relabelled(NamedTuple):
    """One row as tokens: ``(seq,)`` ids, which are learnt, and which straddle the edge of a span."""

    example_id: str
    input_ids: IntArray
    applied: AppliedSpans


@dataclass(kw_only=True)
class RelabelledFile:
    """What became of a file of spans.

    Attributes:
        files: What was written, none if nothing was asked for.
        rows: Rows with something to learn.
        tokens: Tokens of assistant turns that were named.
        learnt: Tokens learnt.
        straddling: Tokens that hold both masked and learnt characters; they are masked. With the tokenizer that the
            spans come from there are none.
        nothing_left: Rows without a learnt token, which are left out.
        report: What became of the other rows.
    """

    files: list[Path] = field(default_factory=list)
    rows: int = 0
    tokens: int = 0
    learnt: int = 0
    straddling: int = 0
    nothing_left: int = 0
    report: DataReport = field(default_factory=DataReport)

    def _repr_html_(self) -> str:
        counts = {"rows": self.rows, "straddling": self.straddling, "nothing left": self.nothing_left}
        files = {"files": list(self.files)}
        return html_facts(f"learnt: {self.learnt:,} of {counted(self.tokens, 'token')}", {**counts, **files})


def read_spans(data: DataConfig, tokenizer: PreTrainedTokenizerBase, report: DataReport) -> Iterator[Relabelled]:
    """Tokenise the rows of ``xtf export --to spans`` and mask what they say, in order.

    Args:
        data: ``path`` names the rows; its settings of the template count, those of learning do not.
        tokenizer: A fast tokenizer, with its chat template if it has one.
        report: Receives the rows that cannot be used.

    Raises:
        DataError: there is no such file, or a row holds no spans.
        ModelError: the tokenizer is not a fast one.
    """
    tokenise = ConversationTokenizer(tokenizer, data.model_copy(update=_UNRULED))
    for row in read_rows(data, report, on_error=data.on_error):
        turns = read_turns(row)
        try:
            conversation = _text_of(row, data)
            _check_places(conversation, turns, row.location)
            located: LocatedTokens = tokenise.locate(_asking(conversation, turns))
        except RowError as error:
            report.skip(error.at(row.location))
            continue
        name = str(row.value.get("id", row.index))
        report.use(row.file)
        yield Relabelled(name, located.tokens.input_ids, apply_spans(located, turns))


def _text_of(row: Row, data: DataConfig) -> Conversation:
    conversation = to_conversation(row, data.columns, data.roles, data.only)
    if not isinstance(conversation, Conversation):
        raise RowError("tokens only, where text is needed")
    return conversation


def _asking(conversation: Conversation, turns: Sequence[MaskedTurn]) -> Conversation:
    """The conversation without flags of its own, in which the turns of other speakers that are named are learnt too."""
    named = {turn.message for turn in turns}
    learning = (
        TurnWeight(flag="turns", is_named=True) if number in named and message["role"] != "assistant" else None
        for number, message in enumerate(conversation.messages)
    )
    return replace(conversation, learning=tuple(learning), context=0)


_UNRULED = {"learn": "all_turns", "never_learn": (), "always_learn": (), "prompt_weight": 0.0}
"""Settings that say what is learnt: the spans have said it already."""


def relabel_file(data: DataConfig, tokenizer: PreTrainedTokenizerBase, output: Path | None) -> RelabelledFile:
    """Tokenise a file of spans, and write ``output`` with the columns that ``labels/`` has for trainers.

    Raises:
        DataError: see :func:`read_spans`; or no row keeps a token.
        RunError: ``output`` holds files already.
    """
    if output is not None and (output.is_file() or (output.is_dir() and any(output.iterdir()))):
        raise RunError(f"{output}: there is something already. Choose another folder with --output")
    done = RelabelledFile()
    with progress("Tokenising", None, "rows") as advance:
        read = islice(read_spans(data, tokenizer, done.report), data.limit)
        rows = _counted(read, done, advance)
        for number, part in enumerate(iter(lambda: list(islice(rows, ROWS_PER_FILE)), [])):
            if output is not None:
                path = output / f"part-{number:05}.parquet"
                write_parquet(path, _table(part))
                done.files.append(path)
    if not done.rows:
        raise DataError(
            "\n".join([f"{data.place}: no row keeps a token.", *(f"  {one}" for one in done.report.lines())])
        )
    return done


def _counted(rows: Iterator[Relabelled], done: RelabelledFile, advance: Any) -> Iterator[Relabelled]:
    """Those rows that keep something to learn."""
    for row in rows:
        advance(1)
        if not row.applied.learnt.any():
            done.nothing_left += 1
            continue
        done.rows += 1
        done.tokens += len(row.input_ids)
        done.learnt += int(row.applied.learnt.sum())
        done.straddling += int(row.applied.straddling.sum())
        yield row


def _table(rows: Sequence[Relabelled]) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, list[Any]] = {
        "example_id": [row.example_id for row in rows],
        "input_ids": [row.input_ids for row in rows],
        "attention_mask": [np.ones(len(row.input_ids), np.int8) for row in rows],
        "labels": [np.where(row.applied.learnt, row.input_ids, -100).astype(np.int32) for row in rows],
        "assistant_masks": [row.applied.learnt.astype(np.int8) for row in rows],
    }
    return pa.table(columns)


def read_turns(row: Row) -> list[MaskedTurn]:
    """What a row says of its turns.

    Raises:
        DataError: naming file and line, where it holds something else.
    """
    turns = row.value.get("turns")
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        raise DataError(f"{row.location}: 'turns' is {kind_of(turns)}; expected the rows of xtf export --to spans")
    return [_turn(turn, f"{row.location}: turns[{number}]") for number, turn in enumerate(turns)]


def _turn(turn: Any, place: str) -> MaskedTurn:
    if not isinstance(turn, Mapping):
        raise DataError(f"{place} is {kind_of(turn)}; expected an object with 'message', 'masked' and 'rest_learnt'")
    message, masked, rest = turn.get("message"), turn.get("masked"), turn.get("rest_learnt")
    if not isinstance(message, int) or not isinstance(masked, Sequence) or not isinstance(rest, bool):
        raise DataError(f"{place} must have 'message' (a number), 'masked' (a list) and 'rest_learnt' (true or false)")
    shared = tuple(_shared(span, place) for span in turn.get("shared") or ())
    return MaskedTurn(message, tuple(MaskedSpan(*_span(span, place)) for span in masked), rest, 0, 0, shared)


def _shared(span: Any, place: str) -> SharedSpan:
    learnt = span.get("learnt") if isinstance(span, Mapping) else None
    if not isinstance(learnt, Sequence) or not all(isinstance(one, bool) for one in learnt):
        raise DataError(f"{place}: a shared span must have 'learnt', a list of true and false")
    return SharedSpan(*_span(span, place), tuple(learnt))


def _span(span: Any, place: str) -> tuple[str, int, int]:
    known = isinstance(span, Mapping) and isinstance(span.get("key"), str)
    edges = [span.get(name) for name in ("start", "end")] if known else []
    if not edges or not all(isinstance(edge, int) for edge in edges) or not 0 <= edges[0] < edges[1]:
        raise DataError(f"{place}: a span must have 'key' (a text), 'start' and 'end' (numbers, start below end)")
    return span["key"], edges[0], edges[1]


def _check_places(conversation: Conversation, turns: Sequence[MaskedTurn], location: str) -> None:
    for turn in turns:
        if not 0 <= turn.message < len(conversation.messages):
            raise DataError(f"{location}: message {turn.message} of {len(conversation.messages)} (from 0)")
        message = conversation.messages[turn.message]
        for key, end in [(span.key, span.end) for span in turn.masked] + [(one.key, one.end) for one in turn.shared]:
            size = len(str(message.get(key) or ""))
            if end > size:
                raise DataError(
                    f"{location}: a span ends at character {end} of {size} in {key!r} of message "
                    f"{turn.message}: the spans were made for another text"
                )
