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
from pydantic import BaseModel, ConfigDict

from xtf.reference import Reference as Reference
from xtf.reference import Target as Target
from xtf.tokens import TokenBatch, TokenizedExample

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class LogProb:
    """Log-probability of each target token, ``(batch, seq)`` float32 in nats, ≤ 0, NaN off-response.

    ``model`` is ``None`` for the base model, or the reference model to use instead.
    """

    model: Reference | None = None


@dataclass(frozen=True, slots=True)
class Entropy:
    """Entropy of the prediction of each target, ``(batch, seq)`` float32 in nats, ≥ 0, NaN off-response.

    With ``top_k`` the distribution is first cut to its ``top_k`` most likely tokens and renormalised.
    """

    top_k: int | None = None


@dataclass(frozen=True, slots=True)
class AttentionReceived:
    """Attention that other positions pay to each response token, ``(batch, seq)`` float32, NaN off-response.

    Each value is a mean over heads and over ``layers`` (``"all"``, or indices where -1 is the last).

    * ``queries="response"``: summed over the *later response positions* ``i > j`` that look back at token ``j``,
      divided by what uniform attention over the keys visible to each ``i`` would have given ``j``. 1 means "as much
      as chance"; a token that no later response token can see has value 1.
    * ``queries="all"``: the mean over every position of the example (itself included) of the attention paid to ``j``.
    """

    layers: Literal["all"] | tuple[int, ...] = "all"
    queries: Literal["response", "all"] = "response"


@dataclass(frozen=True, slots=True)
class AttentionRowMean:
    """Mean over all keys of the attention that each response token *pays*, mean over heads and ``layers``.

    A softmax row sums to one, so every value is ``1 / seq``: a constant. It exists to reproduce released code.
    """

    layers: Literal["all"] | tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class AttentionToPrompt:
    """Share of each response token's attention that falls on prompt tokens, ``(batch, seq)`` float32 in [0, 1].

    Mean over heads and ``layers``; the row read for target ``i`` is the position that predicts it, ``i - 1``.
    """

    layers: Literal["all"] | tuple[int, ...] = "all"


@dataclass(frozen=True, slots=True)
class TokenEmbedding:
    """An embedding of each response token, ``(batch, seq, dim)`` float32; elsewhere NaN or unspecified.

    ``source`` is ``"hidden"`` (last hidden state of the base model with the token fed alone, no context),
    ``"hidden_stripped"`` (the same of the token that spells the text without surrounding white space, so that
    ``" the"`` and ``"the"`` collide), ``"input"`` (row of the input-embedding matrix), or ``"encoder:PATH"`` (a
    sentence-transformers model reads the whole example; each token gets the mean of the encoder tokens it overlaps).
    """

    source: str = "hidden"


@dataclass(frozen=True, slots=True)
class LossDerivative:
    """Derivative of each target token's loss along a task direction, ``(batch, seq)`` float32, NaN off-response.

    The value of token ``i`` is ``<grad l_i, P^-1 g>`` at the base model, with ``g`` the gradient of the mean loss over
    the response tokens of ``target``. A small step of training on the token changes the target's loss by minus the
    step size times this value, so higher means that the token helps more. In nats per unit step.

    Attributes:
        target: The trusted examples.
        parameters: ``linear``: the weights of the linear layers inside the decoder, those that LoRA adapts by default.
            ``last_k``: everything in the last ``k`` decoder layers. ``all``: every parameter. ``lora``: the A and B
            matrices of ``adapter``, at the adapted model; or of a fresh adapter of rank and alpha ``r``, whose B is
            zero: the model is then the base, A's gradient vanishes, and the value is that of ``linear`` seen through
            one random projection (from ``seed``) to rank ``r`` for each layer.
        k, r, seed: Layers for ``last_k``; rank and seed of the fresh adapter.
        adapter: An adapter that exists (``adapter``) or that the run trains (``train_on``, ``share``).
        preconditioner: ``P``, estimated on ``target`` (see :mod:`xtf.model.direction`).
        damping: For ``fisher_diagonal``: added to the diagonal, as a multiple of its mean.
        mode: ``forward``: exact, by forward-mode differentiation. ``finite``: central differences, two forward passes,
            right to about one part in 10,000 in float32. ``auto``: forward where the model's kernels allow it.
    """

    target: Target
    parameters: Literal["linear", "last_k", "all", "lora"] = "linear"
    k: int = 4
    r: int = 8
    seed: int = 0
    adapter: Reference | None = None
    preconditioner: Literal["none", "adam", "fisher_diagonal"] = "none"
    damping: float = 0.1
    mode: Literal["auto", "forward", "finite"] = "auto"


SignalRequest = (
    LogProb | Entropy | AttentionReceived | AttentionRowMean | AttentionToPrompt | TokenEmbedding | LossDerivative
)


class Signals(Mapping[SignalRequest, "torch.Tensor"]):
    """The tensors of one batch, keyed by request; ``tokens`` is the batch they speak of. Treat as read-only."""

    def __init__(self, tokens: TokenBatch, values: Mapping[SignalRequest, torch.Tensor]) -> None:
        self.tokens = tokens
        self._values = dict(values)

    def __getitem__(self, request: SignalRequest) -> torch.Tensor:
        try:
            return self._values[request]
        except KeyError:
            have = ", ".join(str(key) for key in self._values) or "none"
            raise KeyError(f"{request} was not requested; add it to requires(). Requested: {have}") from None

    def __iter__(self) -> Iterator[SignalRequest]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class FitContext(Protocol):
    """What :meth:`Attribute.fit` may look at, once, before scoring. Provided by the engine."""

    @property
    def seed(self) -> int:
        """The run's seed."""

    @property
    def examples(self) -> Sequence[TokenizedExample]:
        """A fixed sample of the data: its first examples, the same for every process and every resumption."""

    def decode(self, ids: NDArray[np.int32]) -> str:
        """The text of token ids."""

    def texts(self, path: str) -> list[str]:
        """The response texts of another data file, in any schema that ``data.path`` accepts."""

    def embed_tokens(self, ids: NDArray[np.int64], source: str) -> torch.Tensor:
        """``(k, dim)`` float32 context-free embeddings of token ids (see :class:`TokenEmbedding`).

        With an encoder as source each id is embedded as its decoded text.
        """

    def embed_texts(self, texts: Sequence[str], source: str) -> torch.Tensor:
        """``(k, dim)`` float32, one embedding a text: the mean over its tokens, or the encoder's sentence embedding."""


class AttributeParams(BaseModel):
    """Base of every scorer's parameters: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    """

    name: ClassVar[str]
    Params: ClassVar[type[AttributeParams]] = NoParams

    def __init__(self, params: P) -> None:
        self.params = params

    @abstractmethod
    def requires(self) -> AbstractSet[SignalRequest]:
        """The signals :meth:`score` reads."""

    @abstractmethod
    def score(self, signals: Signals) -> torch.Tensor:
        """Return ``(batch, seq)`` float32 scores; only response positions are read, and they must be finite.

        A token's score may depend on its own example only, never on padding or on its neighbours in the batch.
        """

    def default_threshold(self) -> Mapping[str, Any]:
        """The cut used when a configuration gives none, written as in its ``thresholds`` section."""
        return {"kind": "never"}

    def fit(self, context: FitContext) -> None:
        """Prepare for scoring (prototypes, normalisers). Called again it must forget what it learned before."""

    def state(self) -> dict[str, torch.Tensor]:
        """What :meth:`fit` learned, as tensors; saved in the run folder so that a resumed run scores alike."""
        return {}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore what :meth:`state` returned."""
        if state:
            raise NotImplementedError(f"{type(self).__name__} returns a state() but does not implement load_state()")

    def describe(self, score: float) -> str:
        """What this score means in plain words, for one token's explanation: no subject, no full stop."""
        return f"scores {score:.3g}"
