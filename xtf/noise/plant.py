"""Planting noise: wrong edits of responses, whose places are then known exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xtf.noise.kind import Edit, Kind, Response, Span
from xtf.noise.texts import Split, Texts, read_texts
from xtf.tokens import TokenizedExample

_MOST_PROPOSALS = 400
"""Proposals of one kind that are looked at in one response."""


class Coder(Protocol):
    """Between text and tokens; :class:`xtf.attribute.FitContext` is one."""

    def encode(self, text: str) -> NDArray[np.int32]:
        """The ``(n,)`` token ids of a text, without any that begin or end a sequence."""

    def pieces(self, ids: NDArray[np.int32]) -> list[bytes]:
        """The bytes that each of ``(n,)`` tokens spells."""

    def vocabulary(self) -> Sequence[str]:
        """The texts of all ordinary tokens."""


@dataclass(frozen=True, slots=True)
class WrongSpan:
    """Characters that are wrong; equal ends mark a gap: what follows it is wrong where it stands.

    Attributes:
        start: The first of them.
        end: The character behind the last of them.
        kind: Name of the kind of noise.
    """

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Planted:
    """An example with noise in its response.

    Attributes:
        example: It, with its former id.
        kinds: ``(seq,)`` int16: -1 where the token is as it was, else the index of its kind among those planted.
    """

    example: TokenizedExample
    kinds: NDArray[np.int16]


Predict = Callable[[TokenizedExample], Sequence[Sequence[str]]]
"""An example -> for each of its tokens, the texts that the model would rather write there."""


@dataclass(frozen=True, slots=True)
class Planting:
    """What is planted, and how much.

    Attributes:
        kinds: The kinds to choose from; each response gets one of those that fit it.
        rate: Share of a response's tokens that is to be wrong, on average, where the text has places enough.
        seed: With the example's id, decides everything.
        split: Which half of foreign texts and phrases is drawn on.
    """

    kinds: Sequence[Kind]
    rate: float = 0.1
    seed: int = 0
    split: Split = "judge"

    @property
    def texts(self) -> Texts:
        """The foreign texts and phrases."""
        return read_texts(self.split)

    def random(self, *parts: object) -> np.random.Generator:
        """A generator that depends on the seed and ``parts`` alone."""
        digest = hashlib.sha256(repr((self.seed, *parts)).encode("utf-8", "surrogatepass")).digest()
        return np.random.default_rng(list(digest))


def plant_response(response: Response, planting: Planting, name: str) -> tuple[str, list[WrongSpan]]:
    """Plant one kind of noise in a response, the first in random order that fits it.

    Where a single edit of that kind is more than the rate allows, the response gets it with the probability that keeps
    the mean at the rate, and stays clean otherwise.

    Args:
        response: The response as it is.
        planting: What to plant.
        name: Names the response, so that the choice depends on nothing else.

    Returns:
        The text with noise, and what of it is wrong, in order; unchanged and empty if no kind fits.
    """
    random = planting.random(name)
    for place in random.permutation(len(planting.kinds)):
        kind = planting.kinds[int(place)]
        if kind.fits(response):
            edits = choose_edits(response, kind, planting.rate, planting.random(name, kind.name))
            return apply_edits(response.text, edits, kind.name)
    return response.text, []


def choose_edits(response: Response, kind: Kind, rate: float, random: np.random.Generator) -> list[Edit]:
    """Edits that do not overlap, in order, which together make about ``rate`` of the response's tokens wrong.

    An edit that would lead beyond the rate is made with a probability that keeps the mean at the rate.
    """
    budget = rate * len(response.spans)
    chars = max(len(response.text), 1) / max(len(response.spans), 1)
    chosen: list[Edit] = []
    for _, edit in zip(range(_MOST_PROPOSALS), kind.propose(response, random), strict=False):
        if budget <= 0.0:
            break
        wrong = trimmed(response.text, edit)
        if wrong is None or any(_touch(edit, other) for other in chosen):
            continue
        cost = max(1.0, len(wrong.replacement) / chars)
        if cost > budget and random.random() >= budget / cost:
            break
        chosen.append(edit)
        budget -= cost
    return sorted(chosen, key=lambda edit: (edit.start, edit.end))


def _touch(edit: Edit, other: Edit) -> bool:
    return edit.start <= other.end and other.start <= edit.end


def trimmed(text: str, edit: Edit) -> Edit | None:
    """The edit without what it leaves as it was at both ends; None if it changes nothing."""
    old, new = text[edit.start : edit.end], edit.replacement
    if old == new:
        return None
    if edit.start == edit.end:
        return edit  # an insertion is wrong as a whole
    shorter = min(len(old), len(new))
    left = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    right = next((i for i in range(shorter - left) if old[-1 - i] != new[-1 - i]), shorter - left)
    return Edit(edit.start + left, edit.end - right, new[left : len(new) - right])


def apply_edits(text: str, edits: Sequence[Edit], kind: str) -> tuple[str, list[WrongSpan]]:
    """Make ``edits``, which are in order and do not overlap; return the text and what of it is wrong."""
    parts: list[str] = []
    spans: list[WrongSpan] = []
    done = length = 0
    for edit in edits:
        wrong = trimmed(text, edit)
        assert wrong is not None  # chosen edits change the text
        parts += [text[done : wrong.start], wrong.replacement]
        start = length + wrong.start - done
        length = start + len(wrong.replacement)
        spans.append(WrongSpan(start, length, kind))
        done = wrong.end
    return "".join([*parts, text[done:]]), spans


# -- tokens ------------------------------------------------------------------------------------------------------------


def char_spans(pieces: Sequence[bytes]) -> list[Span]:
    """The characters ``(start, end)`` of the decoded text that each token spells, wholly or in part."""
    joined = b"".join(pieces)
    starts = np.frombuffer(joined, np.uint8) & 0xC0 != 0x80  # of characters, in well-formed UTF-8
    before = np.concatenate([[0], np.cumsum(starts)])
    spans, at = [], 0
    for piece in pieces:
        begin, at = at, at + len(piece)
        inside = begin < len(joined) and not starts[begin] and begin > 0
        spans.append((int(before[begin]) - inside, int(before[at])))
    return spans


def mark_tokens(spans: Sequence[Span], wrong: Sequence[WrongSpan], index: Callable[[str], int]) -> NDArray[np.int16]:
    """``(tokens,)`` int16: the index of the kind of a wrong span that the token overlaps, -1 elsewhere.

    A gap marks the token that begins at it, or holds it.
    """
    kinds = np.full(len(spans), -1, np.int16)
    for one in wrong:
        end = max(one.end, one.start + 1)
        for place, (first, last) in enumerate(spans):
            if first < end and one.start < last:
                kinds[place] = index(one.kind)
    return kinds


def plant_examples(
    examples: Sequence[TokenizedExample], coder: Coder, planting: Planting, predict: Predict | None = None
) -> list[Planted]:
    """Plant noise in the response tokens of copies of ``examples``; prompts and protected tokens stay as they are.

    Each run of response tokens between prompts or protected tokens is one response. One whose tokens do not come back
    when its text is encoded again is left as it is.
    """
    return [_plant_example(example, coder, planting, predict) for example in examples]


def _plant_example(example: TokenizedExample, coder: Coder, planting: Planting, predict: Predict | None) -> Planted:
    names = [kind.name for kind in planting.kinds]
    ids: list[NDArray[np.int32]] = []
    kinds: list[NDArray[np.int16]] = []
    response_mask: list[NDArray[np.bool_]] = []
    protected: list[NDArray[np.bool_]] = []
    for start, end, is_text in _runs(example):
        own = example.input_ids[start:end]
        marks = np.full(end - start, -1, np.int16)
        if is_text:
            changed = _plant_run(example, (start, end), coder, planting, predict)
            if changed is not None:
                own, wrong = changed
                marks = mark_tokens(char_spans(coder.pieces(own)), wrong, names.index)
        whole = len(own) == end - start
        ids.append(own)
        kinds.append(marks)
        response_mask.append(example.is_response[start:end] if whole else np.ones(len(own), np.bool_))
        protected.append(example.is_protected[start:end] if whole else np.zeros(len(own), np.bool_))
    copy = TokenizedExample(
        example.example_id, np.concatenate(ids), np.concatenate(response_mask), np.concatenate(protected)
    )
    return Planted(copy, np.concatenate(kinds))


def _runs(example: TokenizedExample) -> Iterator[tuple[int, int, bool]]:
    """Start, end and whether it is text to plant in, of each stretch of alike tokens."""
    text = example.is_response & ~example.is_protected
    ends = [*np.flatnonzero(text[1:] != text[:-1]) + 1, len(text)]
    start = 0
    for end in ends:
        if end > start:
            yield start, int(end), bool(text[start])
        start = int(end)


def _plant_run(
    example: TokenizedExample, run: Span, coder: Coder, planting: Planting, predict: Predict | None
) -> tuple[NDArray[np.int32], list[WrongSpan]] | None:
    start, end = run
    own = example.input_ids[start:end]
    pieces = coder.pieces(own)
    try:
        text = b"".join(pieces).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not np.array_equal(coder.encode(text), own):
        return None
    response = Response(
        text,
        char_spans(pieces),
        planting.texts,
        coder.vocabulary(),
        (lambda: predict(example)[start:end]) if predict is not None else tuple,
    )
    noisy, wrong = plant_response(response, planting, f"{example.example_id}:{start}")
    return (coder.encode(noisy), wrong) if wrong else None
