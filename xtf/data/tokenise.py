"""Conversation -> tokens with the response marked.

The whole text is tokenised once. Where a token would straddle the beginning of a turn (an answer that begins with a
newline, after a header that ends with one), the text is cut there, as it is in generation, where the prompt is
tokenised by itself; not with tokenizers that put a space before each piece. Tokens are marked by the characters they
hold:

* a token is *response* when it holds a character of an assistant turn, unless it is a token of the added vocabulary
  that began before the turn: that is the template's (a header that swallows the white space behind it);
* a response token is *protected* when it holds no character that the assistant wrote, or is an added token only partly
  made of written characters (an end-of-turn token that swallows white space before it).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtf.config import DataConfig
from xtf.data.conversation import Conversation, PreTokenized
from xtf.data.end_tokens import EndTokens
from xtf.data.markers import Piece, Span
from xtf.data.rendered import refuse_rendered
from xtf.data.report import Remark, RowError
from xtf.data.system import ChatSettings
from xtf.data.targets import NO_RULES, Region, TargetRules, Targets, TokenPlaces, apply_rules, decide_targets
from xtf.data.template import ChatTemplate
from xtf.data.token_checks import TokenChecks
from xtf.data.turns import Rendering, Turn, render, without
from xtf.errors import ModelError
from xtf.tokens import BoolArray, IntArray, Ruling, TokenizedExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NO_PROMPT = "tokens already: which of them are prompt is unknown, so data.prompt_weight is not applied"
NO_PREDICTION = "the first token of the text is response, and nothing predicts it: left out"


@dataclass(frozen=True, slots=True)
class Tokens:
    """``(seq,)`` arrays, as in TokenizedExample, what decided on targets, and remarks for the report."""

    input_ids: IntArray
    is_protected: BoolArray
    targets: Targets
    remarks: tuple[Remark, ...] = ()

    @property
    def is_response(self) -> BoolArray:
        """``(seq,)`` bool, the targets."""
        return self.targets.is_response

    def example(self, name: str, keep: slice = slice(None)) -> TokenizedExample:
        """The first of them as an example."""
        targets = self.targets
        return TokenizedExample(
            name,
            self.input_ids[keep],
            targets.is_response[keep],
            self.is_protected[keep],
            targets.weights[keep],
            targets.rulings[keep],
        )


@dataclass(frozen=True, slots=True)
class LocatedTokens:
    """Tokens of a conversation, and where their characters stand.

    Attributes:
        tokens: The tokens.
        conversation: What they were made of, without end tokens at the ends of answers.
        rendering: The text that the template makes, with its turns.
        offsets: ``(seq, 2)`` int64, the characters of each token in that text.
        places: The same, to look up; its ``is_response`` is what the turns hold, before flags and rules.
    """

    tokens: Tokens
    conversation: Conversation
    rendering: Rendering
    offsets: NDArray[np.int64]
    places: TokenPlaces


class ConversationTokenizer:
    """A tokenizer and its chat template, made ready to mark responses.

    Args:
        tokenizer: A fast tokenizer.
        data: Its ``template_args``, ``system`` and ``template_adds`` count, and what it says of learning; their
            defaults if left out.

    Raises:
        ModelError: the tokenizer cannot tell which characters its tokens stand for.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, data: DataConfig | None = None) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"tokenizer {getattr(tokenizer, 'name_or_path', '')!r} ({type(tokenizer).__name__}) is not a fast "
                "tokenizer: it does not tell which characters a token stands for. Use one that has a tokenizer.json."
            )
        self.template = ChatTemplate(tokenizer, data.template_args if data else None)
        self._settings = (
            ChatSettings(data.system, data.template_adds, data.prompt_weight > 0) if data else ChatSettings()
        )
        self._rules = TargetRules.of(data) if data else NO_RULES
        self._tokenizer = tokenizer
        backend = copy.deepcopy(tokenizer.backend_tokenizer)
        backend.post_processor = None  # adds nothing to a rendered chat; would cut white space from the offsets
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._special_ids = np.array(sorted(set(tokenizer.all_special_ids)), dtype=np.int32)
        self._added = tokenizer.added_tokens_decoder
        added_ids = list(self._added)
        special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._marks = np.array(sorted({*special, *tokenizer.all_special_ids}), dtype=np.int32)
        self._is_added = np.zeros(max([len(tokenizer), *(token_id + 1 for token_id in added_ids)]), dtype=np.bool_)
        self._is_added[added_ids] = True
        self._checks = TokenChecks.of(tokenizer, self.template)
        self._vocabulary = len(tokenizer)
        begins = tokenizer.bos_token_id is not None and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
        self._begin, self._end = str(tokenizer.bos_token) if begins else "", str(tokenizer.eos_token or "")
        self._end_tokens = EndTokens(self.template, self._end)

    def __call__(self, conversation: Conversation | PreTokenized) -> Tokens:
        """Tokenise a conversation, or complete what is tokens already.

        Raises:
            RowError: the row cannot be used.
        """
        if isinstance(conversation, PreTokenized):
            return self._pretokenized(conversation)
        return self.locate(conversation).tokens

    def locate(self, conversation: Conversation) -> LocatedTokens:
        """Tokenise a conversation, and tell where its tokens stand in the text.

        Raises:
            RowError: the row cannot be used.
        """
        cut: tuple[Remark, ...] = ()
        if conversation.is_text:
            rendering = self._plain_text(conversation)
        else:
            refuse_rendered(self.template, conversation)
            conversation, cut = self._end_tokens.without(conversation)
            rendering = render(self.template, conversation, self._settings)
        ids, offsets = self._encoded(rendering.text, [0])
        prompted = [turn for turn in rendering.turns if turn.is_assistant]
        starts = np.array([start for turn in prompted for start, _ in turn.spans], dtype=np.int64)
        straddled = starts[_straddled(offsets[~self._is_added[ids]], starts)]
        cuts = [int(start) for start in straddled]
        if cuts:
            cut_ids, cut_offsets = self._encoded(rendering.text, [0, *cuts])
            if self._decoded(cut_ids) == rendering.text:
                ids, offsets = cut_ids, cut_offsets
        is_response, is_written = self._marked(rendering, ids, offsets)
        for turn in rendering.turns:
            for span in turn.spans:
                self._check(rendering.text, span, ids, offsets, is_response)
        remarks = (*cut, *rendering.remarks)
        if is_response[:1].any():
            is_response[0] = False
            remarks = remarks if conversation.is_text else (*remarks, Remark(NO_PREDICTION))
        places = TokenPlaces(offsets, is_response, self._is_added[ids])
        targets = decide_targets(self._rules, conversation, rendering, places)
        always = targets.rulings == Ruling.ALWAYS
        is_protected = targets.is_response & (~is_written | always)
        tokens = Tokens(ids, is_protected, targets, (*remarks, *targets.remarks))
        return LocatedTokens(tokens, conversation, rendering, offsets, places)

    def _plain_text(self, conversation: Conversation) -> Rendering:
        """Text as it stands, between the tokens that begin and end a document in pre-training."""
        text = str(conversation.messages[0]["content"])
        before = self._begin if not text.startswith(self._begin) else ""
        after = self._end if not text.rstrip().endswith(self._end) else ""
        start, end = len(before), len(before + text)
        whole = before + text + after
        words = without((start, end), self.template.added_tokens_in(whole, (start, end)))
        piece = Piece("assistant", 0, "content", text, 0, len(text), "content")
        turn = Turn(((start, len(whole)),), tuple(words), 0, ((piece, (start, end)),))
        return Rendering(whole, (turn,), ())

    def _encoded(self, text: str, cuts: list[int]) -> tuple[IntArray, NDArray[np.int64]]:
        """Return ``(seq,)`` ids and ``(seq, 2)`` character spans of ``text``, tokenised in the parts between cuts."""
        ids: list[int] = []
        offsets: list[NDArray[np.int64]] = []
        for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True):
            encoding = self._backend.encode(text[start:end], add_special_tokens=False)
            ids += encoding.ids
            offsets.append(np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2) + start)
        return np.array(ids, dtype=np.int32), np.concatenate(offsets)

    def _decoded(self, ids: IntArray) -> str:
        return str(self._tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _marked(self, rendering: Rendering, ids: IntArray, offsets: NDArray[np.int64]) -> tuple[BoolArray, BoolArray]:
        """Return ``(seq,)`` bool: holds a character of an assistant turn, and one the assistant wrote."""
        size = len(rendering.text)
        in_turn = _counts(offsets, size, [span for turn in rendering.turns for span in turn.spans])
        in_words = _counts(offsets, size, [span for turn in rendering.turns for span in turn.written])
        lengths = offsets[:, 1] - offsets[:, 0]
        starts = np.array([start for turn in rendering.turns for start, _ in turn.spans], dtype=np.int64)
        straddles_start = np.searchsorted(starts, offsets[:, 1], "left") > np.searchsorted(
            starts, offsets[:, 0], "right"
        )
        is_added = self._is_added[ids]
        is_response = (in_turn > 0) & ~(straddles_start & is_added)
        return is_response, is_response & (in_words > 0) & ~(is_added & (in_words < lengths))

    def _check(self, text: str, span: Span, ids: IntArray, offsets: NDArray[np.int64], is_response: BoolArray) -> None:
        """Decoding the response tokens must give back the text they stand for."""
        low = int(np.searchsorted(offsets[:, 1], span[0], "right"))
        high = int(np.searchsorted(offsets[:, 0], span[1], "left"))
        own = low + np.flatnonzero(is_response[low:high])
        if own.size == 0:
            raise RowError("no token for an assistant turn", "the tokenizer drops its characters")
        first, last = int(own[0]), int(own[-1])
        expected, done = "", int(offsets[first, 0])
        for token in own[self._is_added[ids[own]]]:  # some of these swallow the white space around them
            start, end = (int(place) for place in offsets[token])
            added, own_text = self._added[int(ids[token])], text[max(start, done) : end]
            own_text = own_text.lstrip() if added.lstrip else own_text
            expected += text[done:start] + (own_text.rstrip() if added.rstrip else own_text)
            done = end
        expected += text[done : int(offsets[last, 1])]
        decoded = self._decoded(ids[first : last + 1])
        if decoded != expected and self._plain(decoded) != self._plain(expected):
            place = next((i for i, (a, b) in enumerate(zip(decoded, expected, strict=False)) if a != b), len(expected))
            raise RowError(
                "the tokenizer does not give the response back",
                f"wrote {expected[place : place + 12]!r}, decodes to {decoded[place : place + 12]!r}",
            )

    def _plain(self, text: str) -> str:
        """Return ``text`` as the tokenizer normalises it; decoders may drop a leading space."""
        normalizer = self._backend.normalizer
        text = text if normalizer is None else normalizer.normalize_str(text)
        return text.replace("▁", " ").lstrip(" ")

    def _pretokenized(self, row: PreTokenized) -> Tokens:
        outside = np.flatnonzero((row.input_ids < 0) | (row.input_ids >= self._vocabulary))
        if outside.size:
            place = int(outside[0])
            raise RowError(
                "a token id outside the vocabulary",
                f"{int(row.input_ids[place])} at position {place}; the tokenizer has {self._vocabulary} tokens",
            )
        if self._rules.last_turn_only:
            raise RowError("data.learn: last_turn cannot be told of a row that is tokens already")
        targets = Targets.usual(row.is_response.copy())
        where = np.flatnonzero(targets.is_response)
        self._weigh(targets, where, row)
        if self._rules.never or self._rules.always:
            self._apply_rules(targets, where, row.input_ids)
        if self._rules.prompt_weight:
            targets.remarks.append(Remark(NO_PROMPT))
        always = targets.rulings == Ruling.ALWAYS
        is_protected = targets.is_response & (np.isin(row.input_ids, self._special_ids) | always)
        return Tokens(row.input_ids, is_protected, targets, (*map(Remark, self._checks.remarks(row)), *targets.remarks))

    def _weigh(self, targets: Targets, where: NDArray[np.intp], row: PreTokenized) -> None:
        """Apply the weights that a row of tokens brings."""
        if row.weights is None:
            return
        weights = row.weights[where]
        targets.decide(where[weights == 0], Ruling.FLAGGED, "not learnt: 'weights' says so")
        other = (weights != 0) & (weights != 1)
        targets.weigh(where[other], weights[other], "weighted by 'weights'")

    def _apply_rules(self, targets: Targets, where: NDArray[np.intp], ids: IntArray) -> None:
        """Apply the user's rules to the text of each stretch of response tokens.

        Raises:
            RowError: the tokens of a stretch do not come back from its text, so characters cannot be told.
        """
        for run in np.split(where, np.flatnonzero(np.diff(where) > 1) + 1):
            text = self._decoded(ids[run])
            again, offsets = self._encoded(text, [0])
            if not np.array_equal(again, ids[run]):
                raise RowError(
                    "data.never_learn and data.always_learn cannot be applied to these tokens",
                    "they do not come back when their text is tokenised",
                )
            part = Targets.usual(np.ones(len(run), np.bool_))
            places = TokenPlaces(offsets, part.is_response, self._is_added[again])
            words = offsets[~np.isin(again, self._marks), 1]
            region = Region(text, (0, len(text)), int(words[-1]) if len(words) else len(text))
            apply_rules(part, places, self._rules, region)
            for number, cause in enumerate(part.causes, 1):
                mine = part.cause == number
                for ruling in np.unique(part.rulings[mine]):
                    targets.decide(run[mine & (part.rulings == ruling)], Ruling(int(ruling)), cause)


def _straddled(offsets: NDArray[np.int64], places: NDArray[np.int64]) -> BoolArray:
    """Return bool for each of the rising ``places``: a token holds characters on both sides of it."""
    token = np.searchsorted(offsets[:, 0], places, "left") - 1  # the last that begins before the place
    inside = token >= 0
    inside[inside] = offsets[token[inside], 1] > places[inside]
    return inside


def _counts(offsets: NDArray[np.int64], size: int, spans: list[Span]) -> NDArray[np.int64]:
    """Return ``(seq,)``: how many characters of each token lie within ``spans``."""
    inside = np.zeros(size + 1, dtype=np.int64)
    for start, end in spans:
        inside[start + 1 : end + 1] = 1
    total = np.cumsum(inside)
    return total[offsets[:, 1]] - total[offsets[:, 0]]
