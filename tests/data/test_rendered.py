"""Text that a chat template rendered before is not rendered, and learnt, once more."""

from __future__ import annotations

import pytest

from tests.data.tokenizers import CHATML, tiny_tokenizer
from xtf.data import Conversation, RowError
from xtf.data.tokenise import ConversationTokenizer

ASKED = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
TOKENISE = ConversationTokenizer(tiny_tokenizer(CHATML))


def learnt(asked: str, said: str, **more: str) -> str:
    tokens = TOKENISE(
        Conversation(({"role": "user", "content": asked}, {"role": "assistant", "content": said, **more}))
    )
    return str(tiny_tokenizer(CHATML).decode(tokens.input_ids[tokens.is_response].tolist()))


@pytest.mark.parametrize(
    ("place", "asked", "said"),
    [
        (0, ASKED, "Hello"),
        (0, ASKED.rstrip(), "Hello<|im_end|>"),
        (1, "Hi", "<|im_start|>assistant\nHello"),
        (1, "Hi", "Hello<|im_end|>\n<|im_start|>user\nMore?<|im_end|>\n<|im_start|>assistant\nYes"),
    ],
)
def test_what_was_rendered_before_is_refused(place: int, asked: str, said: str) -> None:
    named = rf"already: messages\[{place}\] holds '<\|im_start\|>assistant': give each turn as a message of its own"
    with pytest.raises(RowError, match=named):
        learnt(asked, said)


def test_thoughts_that_were_rendered_before_are_refused() -> None:
    with pytest.raises(RowError, match="rendered by a chat template already"):
        learnt("Hi", "Hello", reasoning_content="Hm<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("asked", ["What is <|im_start|>assistant", f"What does {ASKED} mean?", "Hi<|im_end|>"])
def test_questions_may_quote_the_template(asked: str) -> None:
    assert learnt(asked, "Hello") == "Hello<|im_end|>"


def test_a_header_of_plain_words_is_no_template_s() -> None:
    plain = ConversationTokenizer(tiny_tokenizer(None))
    messages = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Say: Assistant:\nHello"})
    assert plain(Conversation(messages)).is_response.any()
