"""Rows -> examples: recognise, tokenise, shorten, and account for every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from xtf.config import DataConfig
from xtf.data.conversation import Conversation, PreTokenized
from xtf.data.flag_names import OF_TURNS
from xtf.data.ids import ExampleIds
from xtf.data.report import Count, DataReport, LeftOut, Remark, RowError
from xtf.data.schema import Recognised, check_columns, recognise
from xtf.data.sources import Row, read_rows
from xtf.data.targets import TargetRules
from xtf.data.tokenise import ConversationTokenizer, LocatedTokens, Tokens
from xtf.data.verdicts import possible_verdicts_of_turns
from xtf.errors import DataError
from xtf.tokens import TokenizedExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Read = TypeVar("Read")


class TooLong(Exception):
    """A row that ``data.too_long: drop`` leaves out; no fault of the row."""


def read_examples(
    config: DataConfig,
    tokenizer: PreTrainedTokenizerBase,
    report: DataReport,
    rows: Any = None,
    *,
    start: int = 0,
    stop: int | None = None,
    seen: ExampleIds | None = None,
) -> Iterator[TokenizedExample]:
    """Yield the examples of ``config.path``, or of ``rows`` in memory, in the order of the rows.

    Args:
        config: Where and how to read; ``config.limit`` counts examples, not rows.
        tokenizer: A fast tokenizer, with its chat template if it has one.
        report: Receives what became of each row; complete when the iterator is exhausted.
        rows: A list or iterable of mappings, or a ``datasets.Dataset``, instead of ``config.path``.
        start: First row index wanted: rows before it are passed over unparsed.
        stop: Row index to stop before.
        seen: Ids of the examples before ``start``; a row that repeats one is skipped.

    Raises:
        DataError: no such file, an empty one, no usable row in the whole of it, or a bad row with ``on_error: stop``.
        ModelError: the tokenizer is not a fast one.
    """
    example = RowTokenizer(config, tokenizer, report)
    yield from _read(config, report, rows, start, stop, example, seen if seen is not None else ExampleIds())


def read_examples_with_rows(
    config: DataConfig, tokenizer: PreTrainedTokenizerBase, report: DataReport
) -> Iterator[tuple[TokenizedExample, Row]]:
    """As :func:`read_examples`, with the row that each example is read from."""
    example = RowTokenizer(config, tokenizer, report)

    def both(name: str, row: Row) -> tuple[TokenizedExample, Row]:
        return example(name, row), row

    yield from _read(config, report, None, 0, None, both, ExampleIds())


@dataclass(frozen=True, slots=True)
class LocatedExample:
    """An example and the text that it was made of; neither text nor places of a row that is tokens already."""

    example: TokenizedExample
    conversation: Conversation | None
    located: LocatedTokens | None


def read_located_examples(
    config: DataConfig, tokenizer: PreTrainedTokenizerBase, rows: Any = None
) -> Iterator[LocatedExample]:
    """As :func:`read_examples`, with the conversation of each example and where its tokens stand in the text."""
    report = DataReport()
    example = RowTokenizer(config, tokenizer, report)
    yield from _read(config, report, rows, 0, None, example.locate, ExampleIds())


class RowTokenizer:
    """Row -> example.

    Args:
        config: How to read.
        tokenizer: A fast tokenizer, with its chat template if it has one.
        report: Receives what became of each row that is used.

    Raises:
        ModelError: the tokenizer is not a fast one.
    """

    def __init__(self, config: DataConfig, tokenizer: PreTrainedTokenizerBase, report: DataReport) -> None:
        self._config, self._report = config, report
        self._tokenise = ConversationTokenizer(tokenizer, config)
        for cause in TargetRules.of(config).notes():
            report.decided.setdefault(cause, Count())

    def __call__(self, name: str, row: Row) -> TokenizedExample:
        """The row as the example of that name.

        Raises:
            RowError: the row cannot be used.
            TooLong: ``data.too_long: drop`` leaves it out.
        """
        recognised = _recognised(row, self._config)
        return self._example(name, row, recognised, self._tokenise(recognised.value))

    def locate(self, name: str, row: Row) -> LocatedExample:
        """The example with its text."""
        recognised = _recognised(row, self._config)
        if isinstance(recognised.value, PreTokenized):
            return LocatedExample(self._example(name, row, recognised, self._tokenise(recognised.value)), None, None)
        located = self._tokenise.locate(recognised.value)
        return LocatedExample(self._example(name, row, recognised, located.tokens), located.conversation, located)

    def _example(self, name: str, row: Row, recognised: Recognised, tokens: Tokens) -> TokenizedExample:
        result = _fitted(name, tokens, self._config, self._report, row.location)
        keys, hints = self._unread_keys(recognised.value)
        self._report.note(recognised.schema, (*recognised.unused, *keys))
        for remark in (*recognised.remarks, *tokens.remarks, *hints):
            self._report.warn(remark, row.location)
        for cause, count in tokens.targets.counts(slice(len(result))):
            self._report.decide(cause, row.location, count)
        return result

    def _unread_keys(self, value: Conversation | PreTokenized) -> tuple[list[str], list[Remark]]:
        """Keys of messages that nothing reads, and what to set for some of them."""
        if isinstance(value, PreTokenized) or value.is_text:
            return [], []
        known = [key for key in self._config.only if key.startswith(OF_TURNS)]
        keys = [key for key in self._tokenise.template.unread_keys(value) if f"{OF_TURNS}{key}" not in known]
        hints = list(possible_verdicts_of_turns(value.messages, keys)) if keys else []
        return [f"{OF_TURNS}{key}" for key in keys], hints


def read_conversations(config: DataConfig, report: DataReport, rows: Any = None) -> Iterator[tuple[str, Conversation]]:
    """Yield example id and conversation of each row; a row that is tokens already is skipped.

    Raises:
        DataError: as for :func:`read_examples`.
    """
    for name, _, conversation in read_named_conversations(config, report, rows):
        yield name, conversation


def read_named_conversations(
    config: DataConfig, report: DataReport, rows: Any = None
) -> Iterator[tuple[str, Row, Conversation]]:
    """As :func:`read_conversations`, with the row that each is read from; a :class:`RowError` is counted."""

    def conversation(name: str, row: Row) -> tuple[str, Row, Conversation]:
        recognised = _recognised(row, config)
        if isinstance(recognised.value, PreTokenized):
            raise RowError("tokens only, where text is needed")
        report.note(recognised.schema, recognised.unused)
        return name, row, recognised.value

    yield from _read(config, report, rows, 0, None, conversation, ExampleIds())


def read_named_rows(config: DataConfig, report: DataReport, rows: Any = None) -> Iterator[tuple[str, Row]]:
    """Yield example id and row of each row that can be understood, whatever its schema; nothing is tokenised.

    Raises:
        DataError: as for :func:`read_examples`.
    """

    def named(name: str, row: Row) -> tuple[str, Row]:
        _recognised(row, config)
        return name, row

    yield from _read(config, report, rows, 0, None, named, ExampleIds())


def response_texts(config: DataConfig) -> list[str]:
    """Return what the assistant says in each turn of ``config.path`` that is to be learnt; tool calls are not text.

    Raises:
        DataError: as for :func:`read_examples`.
    """
    return [
        conversation.messages[turn]["content"]
        for _, conversation in read_conversations(config, DataReport())
        for turn in conversation.responses()
        if conversation.messages[turn]["content"].strip() and conversation.weight(turn)
    ]


def _read(
    config: DataConfig,
    report: DataReport,
    rows: Any,
    start: int,
    stop: int | None,
    convert: Callable[[str, Row], Read],
    seen: ExampleIds,
) -> Iterator[Read]:
    check_columns(config.columns)
    used = 0
    for row in read_rows(config if rows is None else rows, report, start=start, stop=stop, on_error=config.on_error):
        try:
            name = seen.name(row, config.columns)
            result = convert(name, row)
        except TooLong:
            report.dropped_too_long += 1
            continue
        except RowError as error:
            error = error.at(row.location)
            if config.on_error == "stop" and not isinstance(error, LeftOut):
                raise error from None
            report.skip(error)
            continue
        seen.add(name, row.file)
        used += 1
        report.use(row.file)
        yield result
        if used == config.limit:
            return
    if not used and start == 0 and stop is None:
        place = config.place if rows is None else "rows"
        raise DataError("\n".join([f"{place}: no usable row.", *(f"  {line}" for line in report.lines())]))


def _recognised(row: Row, config: DataConfig) -> Recognised:
    """The row as it is understood; a RowError where ``data.preference`` refuses its kind."""
    recognised = recognise(row, config.columns, config.roles, config.only)
    if recognised.is_preference and config.preference == "refuse":
        raise RowError("preference data is refused (data.preference: refuse)", recognised.schema).at(row.location)
    return recognised


def _fitted(name: str, tokens: Tokens, config: DataConfig, report: DataReport, location: str) -> TokenizedExample:
    """Cut to ``max_length`` on the right, or refuse; a row must keep a token to learn from."""
    size = len(tokens.input_ids)
    is_long = size > config.max_length
    if is_long and config.too_long == "drop":
        raise TooLong
    keep = slice(config.max_length)
    whole = tokens.example(name)
    if not whole.is_learnable.any():
        causes = tokens.targets.counts(slice(None))
        for cause, count in causes:
            report.decide(cause, location, count)
        reason = "nothing in the row is to be learnt" if causes else "empty response"
        raise RowError(reason, ", ".join(cause for cause, _ in causes) or "only tokens of the template")
    result = tokens.example(name, keep) if is_long else whole
    if not result.is_learnable.any():
        raise RowError(
            "no response token within data.max_length",
            f"the response begins at token {int(np.argmax(whole.is_learnable)) + 1} of {size}",
        )
    report.truncated += is_long
    return result
