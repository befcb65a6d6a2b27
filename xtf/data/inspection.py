"""A look at the first examples, token by token, before anything costly runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from xtf.characters import Spelt
from xtf.config import DataConfig
from xtf.data.reader import read_examples
from xtf.data.report import DataReport
from xtf.data.row_tests import REASON as ASKED
from xtf.display import counted, html_box, visible
from xtf.progress import progress
from xtf.tokens import Ruling, TokenizedExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class TokenView:
    """One token as a person reads it.

    Of a character that is split over several tokens each holds the whole as ``text``, ``part`` (from 1) of ``parts``;
    what is no character shows as ``�``. ``weight`` is what it counts for in training unless it is masked, ``ruling``
    the name of a :class:`~xtf.tokens.Ruling` in small letters.
    """

    token_id: int
    text: str
    is_response: bool
    is_protected: bool
    weight: float
    ruling: str
    part: int = 1
    parts: int = 1

    @property
    def shown(self) -> str:
        """What stands for it in a running text, made safe to show."""
        return visible(Spelt(self.text, self.part, self.parts).shown, keep_newlines=True)


@dataclass(frozen=True, slots=True)
class ExampleView:
    """One example, token by token."""

    example_id: str
    tokens: tuple[TokenView, ...]

    def _repr_html_(self) -> str:
        shown = ((token.is_response, escape(token.shown)) for token in self.tokens)
        text = "".join(f"<mark>{text}</mark>" if is_response else text for is_response, text in shown)
        return html_box(self.example_id, f'<div style="white-space:pre-wrap">{text}</div>')


@dataclass(frozen=True, slots=True)
class Inspection:
    """The first examples and the counts over all that were read.

    Attributes:
        examples: The first ones, token by token.
        report: What became of the rows read.
        tokens: Tokens of the examples read.
        response_tokens: Supervised ones among them.
        protected_tokens: Response tokens that no rule may call noise.
        longest: Tokens of the longest example.
        has_chat_template: Whether the tokenizer brought a chat template, or the plain one was used.
        stopped_early: Whether reading ended before the data did, so that nothing is known of the rest.
    """

    examples: tuple[ExampleView, ...]
    report: DataReport
    tokens: int
    response_tokens: int
    protected_tokens: int
    longest: int
    has_chat_template: bool
    stopped_early: bool

    @property
    def learnt_share(self) -> float:
        """Share of the tokens that are learnt."""
        return self.response_tokens / max(self.tokens, 1)

    def faults(self) -> list[str]:
        """What ``--strict`` does not let pass: rows left out or cut, and rows with a warning."""
        left_out = {"rows dropped as too long": self.report.dropped_too_long, "rows cut": self.report.truncated}
        skipped = {reason: each.count for reason, each in self.report.skipped.items() if not reason.startswith(ASKED)}
        counts = left_out | skipped
        counts |= {remark: count.count for remark, count in self.report.warnings.items()}
        return [f"{name} ({count})" for name, count in counts.items() if count]

    def _repr_html_(self) -> str:
        title = f"{counted(self.tokens, 'token')}, {self.response_tokens:,} of them learnt ({self.learnt_share:.1%})"
        lines = "".join(f"<div>{escape(visible(line))}</div>" for line in self.report.lines())
        return html_box(title, lines + "".join(example._repr_html_() for example in self.examples))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        examples = [asdict(example) for example in self.examples]
        counts = {name: getattr(self, name) for name in ("tokens", "response_tokens", "protected_tokens", "longest")}
        template = {"has_chat_template": self.has_chat_template, "stopped_early": self.stopped_early}
        return {"examples": examples, "report": self.report.to_dict(), **counts, **template}


LOOK = (1000, 500_000)
"""Examples and tokens after which a look at data ends: seconds, however much there is."""


def inspect_examples(
    config: DataConfig,
    tokenizer: PreTrainedTokenizerBase,
    count: int = 3,
    rows: Any = None,
    limits: tuple[int, int] | None = LOOK,
) -> Inspection:
    """Read some examples and show the first ``count``.

    Args:
        config: Where and how to read.
        tokenizer: The model's tokenizer.
        count: How many to show token by token.
        rows: Rows in memory, instead of ``config.path``.
        limits: Examples and tokens after which to stop; None reads all.

    Raises:
        DataError: as for :func:`xtf.data.read_examples`.
    """
    report = DataReport()
    most_examples, most_tokens = limits or (None, None)
    stopped = False
    views: list[ExampleView] = []
    totals = np.zeros(3, dtype=np.int64)
    longest = 0
    with progress("Reading", most_examples, "examples") as advance:
        for example in read_examples(config, tokenizer, report, rows):
            if len(views) < count:
                views.append(_view(example, tokenizer))
            totals += (len(example), example.is_response.sum(), example.is_protected.sum())
            longest = max(longest, len(example))
            advance(1)
            if report.examples == most_examples or (most_tokens is not None and totals[0] >= most_tokens):
                stopped = True
                break
    tokens, response, protected = (int(total) for total in totals)
    has_template = bool(getattr(tokenizer, "chat_template", None))
    return Inspection(tuple(views), report, tokens, response, protected, longest, has_template, stopped)


def _view(example: TokenizedExample, tokenizer: PreTrainedTokenizerBase) -> ExampleView:
    ids = example.input_ids.tolist()
    columns = (example.is_response.tolist(), example.is_protected.tolist(), example.weights.tolist())
    names = {int(ruling): ruling.name.lower() for ruling in Ruling}
    rulings = map(names.__getitem__, example.rulings.tolist())
    tokens = zip(ids, spell_tokens(ids, tokenizer), *columns, rulings, strict=True)
    views = (
        TokenView(one, spelt.text, is_response, is_protected, weight, ruling, spelt.part, spelt.parts)
        for one, spelt, is_response, is_protected, weight, ruling in tokens
    )
    return ExampleView(example.example_id, tuple(views))


_BROKEN = "\N{REPLACEMENT CHARACTER}"
_LONGEST = 16
"""Tokens that are tried together for characters, of which each has four bytes at most."""


def spell_tokens(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[Spelt]:
    """What each token of an example spells; a character that is split over several is told to each of them."""
    texts, found = token_texts(ids, tokenizer), list[Spelt]()
    while (start := len(found)) < len(ids):
        text, size = texts[start], 1
        if _BROKEN in text:
            for more in range(2, min(_LONGEST, len(ids) - start) + 1):
                joined = _decoded(ids[start : start + more], tokenizer)
                if _BROKEN not in joined:
                    text, size = joined, more
                    break
        found += [Spelt(text, part, size) for part in range(1, size + 1)]
    return found


def _decoded(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def token_texts(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the text of each token by itself, with the leading space that some decoders drop."""
    known: dict[int, str] = {}
    for token_id in set(ids):
        text = _decoded([token_id], tokenizer)
        piece = str(tokenizer.convert_ids_to_tokens(token_id))
        known[token_id] = f" {text}" if piece.startswith("▁") and not text.startswith(" ") else text
    return [known[token_id] for token_id in ids]
