"""The planting step: a data file -> the same rows with wrong tokens, and a truth file that says where they are."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xtf.attribute import TopTokens
from xtf.config import ColumnsConfig, DataConfig, ModelConfig
from xtf.data import Conversation, DataReport, Row, check_row_file, read_named_conversations, to_conversation
from xtf.data.ids import USUAL, own_id
from xtf.display import html_facts
from xtf.errors import ConfigError, DataError
from xtf.files import write_text
from xtf.noise import Planting, Response, Texts, WrongSpan, plant_response
from xtf.noise.plant import char_spans
from xtf.noise.truth import TrueExample, TrueTurn, align, response_runs, response_text
from xtf.progress import progress
from xtf.tokens import TokenizedExample

_ALTERNATIVES = 6
_WORD = re.compile(r"\s?\w+|\s?[^\w\s]+|\s+")
"""Stands for tokens where no tokenizer is at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedFile:
    """What planting has written.

    Attributes:
        data: The rows with noise.
        truth: Where it is.
        examples: Rows read.
        noisy: Rows that have got noise.
        spans: Wrong spans of each kind.
        wrong_share: Share of response tokens that are wrong; of words and marks, where no tokenizer was given.
        report: What became of the rows.
    """

    data: Path
    truth: Path
    examples: int
    noisy: int
    spans: Mapping[str, int]
    wrong_share: float
    report: DataReport

    def _repr_html_(self) -> str:
        title = (
            f"examples with noise: {self.noisy:,} of {self.examples:,}; response tokens wrong: {self.wrong_share:.1%}"
        )
        return html_facts(title, {"rows": self.data, "truth": self.truth, **self.spans})


def truth_path(data: Path) -> Path:
    """Where the truth of a planted file lies."""
    return data.with_name(f"{data.stem}.truth.jsonl")


def plant_file(
    data: DataConfig, output: Path, planting: Planting, share: float = 1.0, model: ModelConfig | None = None
) -> PlantedFile:
    """Plant noise in the responses of ``data``; see :func:`xtf.plant`.

    Raises:
        ConfigError: ``output``, or the truth beside it, must not be written; see
            :func:`~xtf.data.outputs.check_row_file`.
        DataError: the data cannot be read.
    """
    for written in (output, truth_path(output)):
        check_row_file(written, data, "--output")
    planter = _Planter(planting, share, data.columns, _Reader(data, model) if model is not None else None)
    report = DataReport()
    rows: list[str] = []
    truths: list[str] = []
    with progress("Planting", data.limit, "examples") as advance:
        for name, row, conversation in read_named_conversations(data, report):
            value, turns = planter.plant(name, row, conversation)
            rows.append(json.dumps(_named(value, name, row, data.columns), ensure_ascii=False, default=str))
            truths.append(json.dumps(planter.truth(name, row, value, turns), ensure_ascii=False))
            advance(1)
    write_text(output, "".join(line + "\n" for line in rows))
    write_text(truth_path(output), "".join(line + "\n" for line in truths))
    return PlantedFile(
        data=output,
        truth=truth_path(output),
        examples=len(rows),
        noisy=planter.noisy,
        spans=dict(planter.spans.most_common()),
        wrong_share=planter.wrong / max(planter.tokens, 1),
        report=report,
    )


def _named(value: Any, name: str, row: Row, columns: ColumnsConfig) -> Any:
    """The row under the name of its example: one that files shared must not repeat in the file that is written."""
    if columns.id is None or own_id(row, columns) == name:
        return value
    key = columns.id if columns.id != "auto" else next((key for key in USUAL if key in value), USUAL[0])
    return {**value, key: name}


class _Planter:
    """Plants row by row, and counts."""

    def __init__(self, planting: Planting, share: float, columns: ColumnsConfig, reader: _Reader | None) -> None:
        without = [kind for kind in planting.kinds if reader is not None or not kind.needs]
        if not without:
            raise ConfigError(f"--kinds {planting.kinds[0].name}: needs the tokens of a model; give --model")
        self._planting = replace(planting, kinds=without)
        self._share, self._columns, self._reader = share, columns, reader
        self.noisy = self.tokens = self.wrong = 0
        self.spans: Counter[str] = Counter()

    def plant(self, name: str, row: Row, conversation: Conversation) -> tuple[Any, list[TrueTurn]]:
        """The row's value with noise, and the truth of each response."""
        changing, turns = _Row(row, conversation, self._columns), []
        chosen = self._planting.random(name, "share").random() < self._share
        seen_by_kinds = self._reader.responses(name, row) if self._reader is not None and chosen else _plain_response
        for number, turn in enumerate(conversation.responses()):
            text = conversation.messages[turn]["content"]
            wrong: list[WrongSpan] = []
            if chosen and text.strip():
                response = seen_by_kinds(number, text, self._planting.texts)
                noisy, wrong = plant_response(response, self._planting, f"{name}:{number}")
                if wrong and changing.exchange(turn, noisy):
                    text = noisy
                else:
                    wrong = []
            turns.append(TrueTurn(tuple(wrong), (), text))
            self.spans.update(span.kind for span in wrong)
        self.noisy += any(turn.bad for turn in turns)
        return changing.value, turns

    def truth(self, name: str, row: Row, value: Any, turns: Sequence[TrueTurn]) -> dict[str, Any]:
        """The row of the truth file; with ``tokens`` where a tokenizer is at hand."""
        shown = [{"response": t.response, "bad": [[s.start, s.end, s.kind] for s in t.bad]} for t in turns]
        found: dict[str, Any] = {"id": name, **(shown[0] if len(shown) == 1 else {"turns": shown})}
        if self._reader is not None:
            example = self._reader.example(name, replace(row, value=value))
            true = align(TrueExample(row.location, tuple(turns)), example, self._reader.pieces(example))
            found["tokens"] = [kind or None for kind in true.kinds[example.is_response]]
            self.tokens += int((true.wrong >= 0).sum())
            self.wrong += int((true.wrong == 1).sum())
        else:
            for turn in turns:
                words = _words(turn.response or "")
                self.tokens += len(words)
                self.wrong += sum(any(s < max(b.end, b.start + 1) and b.start < e for b in turn.bad) for s, e in words)
        return found


Seen = Callable[[int, str, Texts], Response]
"""Number and text of a response, and foreign texts -> what kinds see of it."""


class _Reader:
    """Tokens of rows, and what the model would rather write."""

    def __init__(self, data: DataConfig, model: ModelConfig) -> None:
        from xtf.data.tokenise import ConversationTokenizer
        from xtf.engine.fit import EngineFitContext
        from xtf.model import Embedder, load_model

        loaded = load_model(model)
        self._columns, self._roles = data.columns, data.roles
        self._tokenise = ConversationTokenizer(loaded.tokenizer, data)
        self._context = EngineFitContext([], loaded, Embedder(loaded))

    def example(self, name: str, row: Row) -> TokenizedExample:
        """The row's tokens, whole."""
        return self._tokenise(to_conversation(row, self._columns, self._roles)).example(name)

    def pieces(self, example: TokenizedExample) -> list[bytes]:
        """The bytes of its tokens."""
        return self._context.pieces(example.input_ids)

    def responses(self, name: str, row: Row) -> Seen:
        """What kinds see of the row's responses."""
        example = self.example(name, row)
        runs = response_runs(example)

        def response(number: int, text: str, texts: Texts) -> Response:
            ids = self._context.encode(text)
            pieces = self._context.pieces(ids)
            if response_text(pieces) != text:
                return _plain_response(number, text, texts)
            run = runs[number] if number < len(runs) else slice(0, 0)
            here = slice(run.start, run.start + len(ids))
            is_same = len(ids) > 0 and np.array_equal(example.input_ids[here], ids)
            rivals = partial(self._alternatives, example, here) if is_same else tuple
            return Response(text, char_spans(pieces), texts, self._context.vocabulary(), rivals)

        return response

    def _alternatives(self, example: TokenizedExample, here: slice) -> list[list[str]]:
        """For each token there, the texts that the model finds likeliest."""
        request = TopTokens(_ALTERNATIVES)
        ((_, signals),) = self._context.signals([example], {request})
        ids = signals[request][0, here].cpu().numpy().astype(np.int32)
        return [[self._context.decode(np.array([i], np.int32)) for i in row] for row in ids]


def _plain_response(number: int, text: str, texts: Texts) -> Response:
    return Response(text, _words(text), texts)


def _words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _WORD.finditer(text)]


class _Row:
    """A row whose responses can be exchanged, whatever its schema is."""

    def __init__(self, row: Row, conversation: Conversation, columns: ColumnsConfig) -> None:
        self.value: Any = copy.deepcopy(dict(row.value))
        self._row, self._conversation, self._columns = row, conversation, columns

    def exchange(self, turn: int, text: str) -> bool:
        """Put ``text`` in the place of a response; False if the row does not hold that response as one text.

        The right place is the one after whose change the row reads as the same conversation, with that response other.
        """
        wanted = [dict(message) for message in self._conversation.messages]
        old, wanted[turn]["content"] = wanted[turn]["content"], text
        for path in _paths(self.value, old):
            changed = _replaced(self.value, path, text)
            try:
                read = to_conversation(replace(self._row, value=changed), self._columns)
            except DataError:
                continue
            if isinstance(read, Conversation) and [dict(message) for message in read.messages] == wanted:
                self.value, self._conversation = changed, read
                return True
        return False


def _paths(value: Any, text: str, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where ``text`` stands in ``value``, last places first."""
    if value == text and isinstance(value, str):
        yield path
    elif isinstance(value, Mapping):
        for key in reversed(list(value)):
            yield from _paths(value[key], text, (*path, key))
    elif isinstance(value, list | tuple):
        for index in reversed(range(len(value))):
            yield from _paths(value[index], text, (*path, index))


def _replaced(value: Any, path: Sequence[Any], text: str) -> Any:
    """A copy of ``value`` with ``text`` at ``path``."""
    if not path:
        return text
    changed = dict(value) if isinstance(value, Mapping) else list(value)
    changed[path[0]] = _replaced(changed[path[0]], path[1:], text)
    return changed
