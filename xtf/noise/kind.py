"""What a kind of noise is: a small class that proposes wrong edits of a response."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from xtf.noise.texts import Texts

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters ``start`` to ``end`` of a response; equal ends insert.

    Attributes:
        start: First character replaced.
        end: The character behind the last one replaced.
        replacement: What stands there instead.
    """

    start: int
    end: int
    replacement: str


@dataclass(frozen=True)
class Response:
    """One response, as kinds see it.

    Attributes:
        text: Its text.
        spans: The characters ``(start, end)`` of each of its tokens.
        texts: Foreign text and stock phrases.
        vocabulary: Texts of ordinary tokens; empty where no tokenizer is at hand.
        alternatives: For each token, the texts that the model would rather write there; empty where no model is.
    """

    text: str
    spans: Sequence[Span]
    texts: Texts
    vocabulary: Sequence[str] = ()
    alternatives: Callable[[], Sequence[Sequence[str]]] = field(default=tuple)

    @cached_property
    def is_code(self) -> bool:
        """Whether it is program text rather than prose."""
        from xtf.noise.code import looks_like_code

        return looks_like_code(self.text)

    @cached_property
    def words(self) -> tuple[Span, ...]:
        """The characters of each word, outside code fences and formulas' markup."""
        from xtf.noise.words import find_words

        return find_words(self.text)


class Kind(ABC):
    """A kind of noise. Subclasses set :attr:`name` and :attr:`label`, and implement :meth:`propose`.

    Attributes:
        name: As in ``--kinds`` and truth files; equals the entry-point name.
        label: For people, with an article: "a changed number".
        needs: ``tokens`` (a tokenizer) or ``alternatives`` (a model), where it cannot do without.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Yield edits in random order, each of which makes the response wrong in this way; none where it cannot.

        Edits are of the response as it is, not of one another's result; of overlapping ones only the first is made.
        Every choice comes from ``random``. An edit must change the text.
        """

    def fits(self, response: Response) -> bool:
        """Whether the response has what this kind changes."""
        return next(self.propose(response, np.random.default_rng(0)), None) is not None


def shuffled(items: Sequence[Span], random: np.random.Generator) -> Iterator[Span]:
    """The items in random order."""
    return (items[int(i)] for i in random.permutation(len(items)))


def pick(options: Sequence[str], random: np.random.Generator) -> str:
    """One of ``options``."""
    return options[int(random.integers(len(options)))]
