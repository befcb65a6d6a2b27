"""What a scorer is: the :class:`Attribute` base class, and the signals it may ask the engine for.

A scorer declares the signals it needs (:meth:`Attribute.requires`) and turns them into one score per token
(:meth:`Attribute.score`). It never runs a model, opens a file or moves a tensor: the engine computes every requested
signal once per batch, however many scorers asked for it.

A *request* is a small frozen value such as ``LogProb()`` or ``AttentionReceived(layers=(0,))``. Two equal requests are
the same signal, and the request itself is the key under which the tensor arrives::

    class KnowledgeNovelty(Attribute[KnowledgeNoveltyParams]):
        def requires(self):
            return {LogProb()}

        def score(self, signals):
            return 1.0 - signals[LogProb()].exp()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from xtf.attribute.reference import Roles
from xtf.attribute.signals import SignalRequest, Signals
from xtf.config import with_lists
from xtf.tokens import TokenizedExample

if TYPE_CHECKING:
    import torch


def probability_text(probability: float, form: Literal[".2f", ".3g"] = ".3g") -> str:
    """A probability in words that never rounds to certainty: 0.99998 is ``over 0.999``, not 1."""
    text, least = format(probability, form), 10.0 ** -int(form[1])
    if probability < 1.0 and float(text) >= 1.0:
        return f"over {1.0 - least:g}"
    return f"under {least:g}" if probability > 0.0 and float(text) == 0.0 else text


@dataclass(frozen=True, slots=True)
class Detail:
    """What one more number of a token means, beside its score.

    Attributes:
        kind: ``category`` (an index into ``names``), ``probability``, or ``token`` (a token id).
        names: Of the categories, as people read them.
        unjudged: The category of tokens that the scorer had no means to judge; a run counts and names their examples.
    """

    kind: Literal["category", "probability", "token"]
    names: tuple[str, ...] = ()
    unjudged: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores with details.

    Attributes:
        score: ``(batch, seq)`` float32.
        details: Name of each of :meth:`Attribute.details` to ``(batch, seq)``, whole numbers for ``category`` and
            ``token``.
    """

    score: torch.Tensor
    details: Mapping[str, torch.Tensor]


class FitContext(Protocol):
    """What :meth:`Attribute.fit` may look at, once, before scoring. Provided by the engine."""

    @property
    def seed(self) -> int:
        """The run's seed."""

    @property
    def examples(self) -> Sequence[TokenizedExample]:
        """A fixed sample of the data: its first examples, the same for every process and every resumption."""

    def decode(self, ids: NDArray[np.int32]) -> str:
        """The text of ``(n,)`` token ids."""

    def encode(self, text: str) -> NDArray[np.int32]:
        """The ``(n,)`` token ids of a text as it would go on behind other text, without any that begin or end one."""

    def pieces(self, ids: NDArray[np.int32]) -> list[bytes]:
        """The bytes that each of ``(n,)`` tokens spells; one may hold part of a character."""

    def vocabulary(self) -> Sequence[str]:
        """The texts of all ordinary tokens: not special, and printable."""

    def signals(
        self, examples: Sequence[TokenizedExample], requests: AbstractSet[SignalRequest]
    ) -> Iterator[tuple[list[int], Signals]]:
        """Run the base model over examples that the scorer makes.

        Yields:
            Batches in any order: the positions of their examples, and the signals asked for.
        """

    def texts(self, path: str) -> list[str]:
        """The response texts of another data file, in any schema that ``data.path`` accepts, by ``data.columns``."""

    def embed_tokens(self, ids: NDArray[np.int64], source: str) -> torch.Tensor:
        """``(k, dim)`` float32 context-free embeddings of token ids (see :class:`TokenEmbedding`).

        With an encoder as source each id is embedded as its decoded text.
        """

    def embed_texts(self, texts: Sequence[str], source: str) -> torch.Tensor:
        """``(k, dim)`` float32, one embedding a text: the mean over its tokens, or the encoder's sentence embedding."""


class AttributeParams(BaseModel):
    """Base of every scorer's parameters: unknown keys are refused, values are frozen, ``1,2`` is a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return with_lists(cls.model_fields, value) if isinstance(value, Mapping) else value


class NoParams(AttributeParams):
    """For scorers without parameters."""


P = TypeVar("P", bound=AttributeParams)


class Attribute(ABC, Generic[P]):
    """A scorer: one number per response token, higher = more worth learning.

    Subclasses set :attr:`name` and :attr:`Params`, and implement :meth:`requires` and :meth:`score`. The first line of
    the class docstring is shown by ``xtf attributes``.

    Attributes:
        name: The name used in configurations; equals the entry-point name.
        Params: The pydantic model of its parameters, validated before any model is loaded.
        is_probability: Whether a score is the probability that the token is right.
        normalise: What its paper divides the loss of an update by, when it masks or weights: ``kept``, the sum of the
            weights, or ``response``, all response tokens. The default of ``training.normalise``.
        rescores: Whether its paper scores anew at each step of training, by the model in training. People are then told
            that scores are frozen at the base, unless ``training.rescore_steps`` is set; it is also what lets a scorer
            that is fitted be fitted and scored anew then.
        base_stays: Whether the base is a model of the past to it, which stays the base in training. Such a scorer is
            scored anew only if a parameter names the model in training; to others the base is that model, on its way.
        roles: For a scorer that compares two models: which parameter is the newest, and which the earlier one.
        evidence: What studies have shown, in a sentence or two with figures and where they stand: training with and
            without the tokens that it finds, or how many planted mistakes are among them; empty where nobody has
            tried. Shown by ``xtf attributes NAME``.
    """

    name: ClassVar[str]
    Params: ClassVar[type[AttributeParams]] = NoParams
    is_probability: ClassVar[bool] = False
    normalise: ClassVar[Literal["kept", "response"]] = "kept"
    rescores: ClassVar[bool] = False
    base_stays: ClassVar[bool] = False
    roles: ClassVar[Roles | None] = None
    evidence: ClassVar[str] = ""

    def __init__(self, params: P) -> None:
        self.params = params

    @abstractmethod
    def requires(self) -> AbstractSet[SignalRequest]:
        """The signals :meth:`score` reads."""

    @abstractmethod
    def score(self, signals: Signals) -> torch.Tensor | Scored:
        """Return ``(batch, seq)`` float32 scores; only response positions are read, and they must be finite.

        A token's score may depend on its own example only, never on padding or on its neighbours in the batch. A
        scorer with :meth:`details` returns them beside the scores.
        """

    def rests_on(self) -> Sequence[type]:
        """Classes of other packages whose code decides scores, such as a metric: a change of it scores anew."""
        return ()

    @property
    def scores_prompts(self) -> bool:
        """Whether :meth:`score` is read, and finite, on tokens of prompts too: cuts may then be fitted over them."""
        return False

    def details(self) -> Mapping[str, Detail]:
        """More that :meth:`score` says of each token, by name; stored beside the scores, and shown."""
        return {}

    def default_cut(self) -> Mapping[str, Any]:
        """The cut used when a configuration gives none, written as in its ``thresholds`` section."""
        return {"kind": "never"}

    def fit(self, context: FitContext) -> None:
        """Prepare for scoring (prototypes, normalisers). Called again it must forget what it learned before."""

    def fit_passes(self, examples: int) -> int:
        """How many examples :meth:`fit` runs the model over when it may look at so many; for forecasts of time only."""
        return 0

    def state(self) -> dict[str, torch.Tensor]:
        """What :meth:`fit` learned, as tensors of any shape; kept with the run, so that a resumed one scores alike."""
        return {}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore what :meth:`state` returned, in the same shapes."""
        if state:
            raise NotImplementedError(f"{type(self).__name__} returns a state() but does not implement load_state()")

    def describe(self, score: float) -> str:
        """What this score means in plain words, for one token's explanation: no subject, no full stop."""
        return f"scores {score:.3g}"

    def describe_token(self, score: float, details: Mapping[str, str | float]) -> str:
        """As :meth:`describe`, with the token's details: the category's name, a probability, the text of a token."""
        return self.describe(score)
