"""What is odd about the targets of rows that somebody else has tokenised; such rows are used as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from xtf.data.conversation import Conversation, PreTokenized
from xtf.data.template import ChatTemplate, RefusedError
from xtf.tokens import BoolArray, IntArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EVERYTHING = "every token is a target: no prompt is masked"
HEADER = "the header of a turn is learnt, which the template supplies"
BEHIND = "tokens behind the end of a turn are learnt"
NO_END = "the last learnt turn ends without its end-of-turn token: a model does not learn to stop"
TWICE = "a turn ends in its end-of-turn token twice: a model learns both"
PADDING = "padding is learnt"
TWO_BEGINNINGS = "two beginning-of-text tokens"


@dataclass(frozen=True, slots=True)
class TokenChecks:
    """Looks at tokens and targets as the chat template and the tokenizer would have made them.

    Attributes:
        ends: Ids of the tokens that end a turn.
        header: Ids of the generation prompt, in their order.
        begin: Id of the beginning-of-text token.
        padding: Id of the padding token.
    """

    ends: IntArray
    header: IntArray
    begin: int | None
    padding: int | None

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> TokenChecks:
        """The checks for one tokenizer."""
        known = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}

        def ids(texts: Iterable[str]) -> set[int]:
            spans = ((text, span) for text in texts for span in template.added_tokens_in(text, (0, len(text))))
            return {known[text[start:end]] for text, (start, end) in spans}

        ends = ids(template.endings) | ({int(tokenizer.eos_token_id)} if tokenizer.eos_token_id is not None else set())
        header = tokenizer(_prompt(template), add_special_tokens=False)["input_ids"]
        end_ids, header_ids = (np.array(each, dtype=np.int32) for each in (sorted(ends), header))
        return cls(end_ids, header_ids, tokenizer.bos_token_id, tokenizer.pad_token_id)

    def remarks(self, row: PreTokenized) -> Iterator[str]:
        """Yield what is odd about a row."""
        ids, learnt = row.input_ids, row.is_response
        if self.begin is not None and len(ids) > 1 and ids[0] == ids[1] == self.begin:
            yield TWO_BEGINNINGS
        tail = len(ids) - int(np.argmax(ids[::-1] != ids[-1])) if np.any(ids != ids[-1]) else 0
        is_padded = self.padding is not None and ids[-1] == self.padding and len(ids) - tail > 1
        learns_padding = is_padded and bool(learnt[tail + 1 :].any())
        if learns_padding:
            yield PADDING
        if learnt[1:].all():
            yield EVERYTHING
            return
        yield from self._of_turns(ids, learnt)
        is_end = np.isin(ids[1:], self.ends) & (ids[1:] == ids[:-1])
        if not learns_padding and np.any(learnt[1:] & learnt[:-1] & is_end):
            yield TWICE

    def _of_turns(self, ids: IntArray, learnt: BoolArray) -> Iterator[str]:
        is_end = np.isin(ids, self.ends)
        if 0 < self.header.size <= ids.size:
            tokens, targets = (sliding_window_view(each, self.header.size) for each in (ids, learnt))
            if np.any(np.all(tokens == self.header, axis=1) & np.any(targets, axis=1)):
                yield HEADER
        if np.any(learnt[1:] & learnt[:-1] & is_end[:-1] & ~is_end[1:]):
            yield BEHIND
        last = int(np.flatnonzero(learnt)[-1])
        begin = int(np.flatnonzero(~learnt[:last])[-1]) + 1  # the first token is never learnt
        if self.ends.size and not is_end[begin : last + 1].any():
            yield NO_END


def _prompt(template: ChatTemplate) -> str:
    """What the generation prompt adds to a question."""
    question = Conversation(({"role": "user", "content": "Hi"},))
    try:
        bare, asked = template.text(question), template.text(question, prompt=True)
    except RefusedError:
        return ""
    return asked.removeprefix(bare) if asked.startswith(bare) else ""
