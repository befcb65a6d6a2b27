"""The signals that a scorer may ask the engine for, and the tensors that it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xtf.attribute.reference import Reference, Target
from xtf.tokens import TokenBatch

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
class SurpriseSpread:
    """Standard deviation of ``-log p`` under the prediction itself, ``(batch, seq)`` float32 in nats, NaN off-response.

    The surprise of a token drawn from the prediction has this spread around the entropy.
    """


@dataclass(frozen=True, slots=True)
class LogRank:
    """Logarithm of the target's rank among all tokens, ``(batch, seq)`` float32, 0 for the likeliest, NaN elsewhere."""


@dataclass(frozen=True, slots=True)
class MaxLogProb:
    """Log-probability of the likeliest token, ``(batch, seq)`` float32 in nats, ≤ 0, NaN off-response."""


@dataclass(frozen=True, slots=True)
class TopTokens:
    """Ids of the ``k`` likeliest tokens, likeliest first: ``(batch, seq, k)`` int64, -1 off-response."""

    k: int = 1


class Projection:
    """A linear map that a scorer learns in :meth:`Attribute.fit`: ``(x - mean) @ matrix``.

    Two projections are the same signal's only if they are one object. Until it is set, nothing is reduced.
    """

    def __init__(self) -> None:
        self.mean: torch.Tensor | None = None
        self.matrix: torch.Tensor | None = None

    def __repr__(self) -> str:
        return "Projection()"

    def set(self, mean: torch.Tensor, matrix: torch.Tensor) -> None:
        """Take ``(dim,)`` and ``(dim, k)`` float32."""
        self.mean, self.matrix = mean, matrix


@dataclass(frozen=True, slots=True)
class HiddenState:
    """Hidden state of one layer, beside each response token: ``(batch, seq, dim or k)`` float32, NaN off-response.

    The value at ``i`` is the state at position ``i + offset``, so that offset -1 is what predicts the token, 0 the
    token read, 1 the token after it read; 0 where that position is behind the example's last token.

    Attributes:
        layer: After so many layers (1 = the first), before any final norm; or as a share of all, above 0 up to 1.
        offset: At least -1.
        projection: Reduces each state inside the pass to ``k`` numbers; None, or one that is not set yet: all ``dim``.
    """

    layer: int | float
    offset: int = 0
    projection: Projection | None = None


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

    Mean over heads and ``layers``. The row read for target ``i`` is the position that predicts it, ``i - 1``; with
    ``row="own"`` it is ``i`` itself, what the token attends to once it has been read. ``model`` is ``None`` for the
    base model, or the reference model to use instead.
    """

    layers: Literal["all"] | tuple[int, ...] = "all"
    row: Literal["predicting", "own"] = "predicting"
    model: Reference | None = None


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
    LogProb
    | Entropy
    | SurpriseSpread
    | LogRank
    | MaxLogProb
    | TopTokens
    | HiddenState
    | AttentionReceived
    | AttentionRowMean
    | AttentionToPrompt
    | TokenEmbedding
    | LossDerivative
)


def model_of(request: SignalRequest) -> Reference | None:
    """The reference model that a request is about; None for the base."""
    return request.model if isinstance(request, LogProb | AttentionToPrompt) else None


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
