"""What a template does with a short conversation, from which its habits are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probe:
    """What a template puts around the assistant's words in a short conversation.

    Attributes:
        opening: Before its words, behind the question's turn.
        tail: Behind its words, at the end of the text.
        prompt: The generation prompt.
        between: Behind its words, up to the next question.
        head: Before the first words of the conversation.
    """

    opening: str
    tail: str
    prompt: str
    between: str
    head: str


def common_prefix(first: str, second: str) -> str:
    """Return what two texts begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return first[: next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))]
