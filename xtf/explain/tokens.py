"""Every token of one example, explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from xtf.characters import Spelt
from xtf.display import quoted
from xtf.explain.flips import Flip
from xtf.explain.measures import AttributeVerdict, Describe
from xtf.explain.outcomes import Outcomes
from xtf.explain.rulings import RULED
from xtf.explain.sentences import sentence
from xtf.labelling.rules import LabelRules
from xtf.labelling.shard import Labels, ScoredShard
from xtf.tokens import Ruling

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


@dataclass(frozen=True, slots=True)
class TokenExplanation:
    """One token: what became of it and why.

    Attributes:
        index: Position in the example.
        token_id: Its id.
        text: Its text; of a part of a character, such as an emoji of three tokens, the whole character.
        part: Which of the tokens of that text it is, from 1.
        parts: How many these are; 1 where the token stands alone.
        is_response: Whether it is a supervised target; if not, it has no verdicts.
        is_protected: Whether it is never masked.
        ruling: What flags of the data or rules of the user decided of it; "" if nothing.
        noise: Whether it is masked.
        weight: Its training weight.
        verdicts: One per attribute.
        combined: For ``weighted``, the verdict on the mean rank, which alone decides.
        rule: Which rule decided, in words.
        sentence: All of it in one sentence.
        flips: The moves that together turn the outcome; empty if none can.
        flip: The same in words, or None.
    """

    index: int
    token_id: int
    text: str
    part: int
    parts: int
    is_response: bool
    is_protected: bool
    ruling: str
    noise: bool
    weight: float
    verdicts: tuple[AttributeVerdict, ...]
    combined: AttributeVerdict | None
    rule: str
    sentence: str
    flips: tuple[Flip, ...]
    flip: str | None

    @property
    def spelt(self) -> Spelt:
        """Its text, and which part of it the token is."""
        return Spelt(self.text, self.part, self.parts)

    @property
    def name(self) -> str:
        """Its text in quotation marks, made safe to show, with its part if it is one."""
        return f"{quoted(self.text)}{self.spelt.suffix}"

    def _repr_html_(self) -> str:
        from xtf.explain.html import token_html

        return token_html(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from xtf.explain.terminal import token_parts

        yield from token_parts(self)


@dataclass(frozen=True, slots=True)
class ExampleExplanation:
    """One example, token by token.

    Attributes:
        example_id: Its id.
        tokens: All of them.
        noise_share: Of its response tokens.
        stale: Why this speaks of scores or cuts that have changed since, and what makes it again, in sentences.
    """

    example_id: str
    tokens: tuple[TokenExplanation, ...]
    noise_share: float
    stale: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: every float is finite or None."""
        return asdict(self)

    def _repr_html_(self) -> str:
        from xtf.explain.html import example_html

        return example_html(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from xtf.explain.terminal import example_text, is_plain, legend, stale_lines

        plain = is_plain(console)
        yield from stale_lines(self)
        yield example_text(self, plain)
        yield legend(self, plain)


def explain_example(
    rules: LabelRules,
    shard: ScoredShard,
    labels: Labels,
    texts: Sequence[Spelt],
    describe: Mapping[str, Describe] | None = None,
) -> ExampleExplanation:
    """Explain every token of a shard that holds one example.

    Args:
        rules: Fitted rules.
        shard: One example (``ScoredShard.example``).
        labels: What labelling wrote of it (``Labels.within``).
        texts: What each token spells.
        describe: Attribute name to what puts its scores into words; names may be missing.
    """
    if len(shard) != 1 or len(texts) != len(shard.input_ids):
        raise ValueError(
            f"expected one example and a text per token, got {len(shard)} examples, {len(shard.input_ids)} tokens "
            f"and {len(texts)} texts"
        )
    outcomes = Outcomes(rules, shard, labels, describe or {})
    tokens = tuple(_explain(outcomes, shard, labels, index, spelt) for index, spelt in enumerate(texts))
    response = sum(token.is_response for token in tokens)
    return ExampleExplanation(shard.example_ids[0], tokens, sum(token.noise for token in tokens) / max(response, 1))


def _explain(outcomes: Outcomes, shard: ScoredShard, labels: Labels, index: int, spelt: Spelt) -> TokenExplanation:
    found, combined = outcomes[index], outcomes.combined_at(index)
    ruling = Ruling(int(shard.rulings[index]))
    return TokenExplanation(
        index=index,
        token_id=int(shard.input_ids[index]),
        text=spelt.text,
        part=spelt.part,
        parts=spelt.parts,
        is_response=bool(shard.is_response[index]),
        is_protected=bool(shard.is_protected[index]),
        ruling=RULED[ruling].rule if ruling in RULED else "",
        noise=bool(labels.noise[index]),
        weight=float(labels.weights[index]),
        verdicts=tuple(reading.verdict() for reading in outcomes.readings(index)),
        combined=None if combined is None else combined.verdict(),
        rule=found.rule,
        sentence=sentence(f"{spelt.text!r}{spelt.suffix}", found.what, found.reason),
        flips=tuple(flip for reading in found.turning if (flip := reading.flip()) is not None),
        flip=found.flip,
    )
