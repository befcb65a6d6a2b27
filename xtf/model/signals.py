"""Every requested signal of a batch from one pass of the base model, and one of each reference model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import nullcontext, suppress

import torch
from torch import Tensor

from xtf.attribute import (
    AttentionReceived,
    AttentionRowMean,
    AttentionToPrompt,
    Entropy,
    HiddenState,
    LogProb,
    LogRank,
    LossDerivative,
    MaxLogProb,
    Reference,
    SignalRequest,
    Signals,
    SurpriseSpread,
    TokenEmbedding,
    TopTokens,
    model_of,
)
from xtf.errors import ModelError
from xtf.model.adapters import Adapter
from xtf.model.attention import AttentionMeter, AttentionRequest, Enough, chosen_layers, measuring
from xtf.model.direction import Direction
from xtf.model.embed import Embedder
from xtf.model.forward import Forward
from xtf.model.load import LoadedModel
from xtf.model.prediction import LOGITS_BYTES, PredictionRequest, predictions
from xtf.model.states import StateReader
from xtf.model.tangent import Tangent
from xtf.tokens import TokenBatch

ReferenceLoader = Callable[[Reference], LoadedModel | Adapter]
DirectionLoader = Callable[[LossDerivative], tuple[Direction, Adapter | None]]


class SignalPass:
    """Computes a fixed set of signals, batch after batch.

    Args:
        loaded: The base model.
        requests: The signals that :meth:`run` computes.
        reference_loader: Loads the reference models that requests name, or puts adapters on the base; each once, here.
        direction_loader: Returns the direction of a derivative, and the adapter that it is taken at if there is one.
        embedder: Shares its cache of embeddings with this pass; a new one is made if None.
        logits_bytes: Bound on the float32 logits held at once.
        block_bytes: Bound on the attention probabilities held at once; fitting the device if None.

    Raises:
        ModelError: when a model cannot answer a request: not causal, no such layer, or another vocabulary.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        requests: AbstractSet[SignalRequest],
        reference_loader: ReferenceLoader | None = None,
        *,
        direction_loader: DirectionLoader | None = None,
        embedder: Embedder | None = None,
        logits_bytes: int = LOGITS_BYTES,
        block_bytes: int | None = None,
    ) -> None:
        self.requests = frozenset(requests)
        self.device = loaded.device
        self._logits_bytes, self._block_bytes = logits_bytes, block_bytes
        predicted: list[PredictionRequest] = [
            r
            for r in self.requests
            if isinstance(r, LogProb | Entropy | SurpriseSpread | LogRank | MaxLogProb | TopTokens)
        ]
        attention: list[AttentionRequest] = [
            r for r in self.requests if isinstance(r, AttentionReceived | AttentionRowMean | AttentionToPrompt)
        ]
        asked = [*predicted, *attention]
        self._asked = [r for r in asked if model_of(r) is None]
        self._embedded = [r for r in self.requests if isinstance(r, TokenEmbedding)]
        self.embedder = embedder
        if self._embedded and embedder is None:
            self.embedder = Embedder(loaded)
        self._states = StateReader(loaded.model, [r for r in self.requests if isinstance(r, HiddenState)])
        self._base = Forward(loaded) if self._asked or self._states.requests else None
        self._references: dict[Reference, tuple[Forward, Adapter | None]] = {}
        for request in asked:
            reference = model_of(request)
            if reference is not None and reference not in self._references:
                self._references[reference] = _load_reference(reference, loaded, reference_loader)
        for one in attention:
            reference = model_of(one)
            forward = self._base if reference is None else self._references[reference][0]
            assert forward is not None
            chosen_layers(one, forward.layers)
        self._asked_of = {model: [r for r in asked if model_of(r) == model] for model in self._references}
        self.tangents: dict[LossDerivative, Tangent] = {}
        for derivative in (r for r in self.requests if isinstance(r, LossDerivative)):
            if direction_loader is None:
                raise ModelError(f"{derivative.target.shown}: this pass was given no direction to differentiate along")
            direction, adapter = direction_loader(derivative)
            self.tangents[derivative] = Tangent(loaded, derivative, direction, adapter, logits_bytes=logits_bytes)

    @torch.no_grad()
    def run(self, tokens: TokenBatch) -> Signals:
        """Return every requested signal of one batch.

        All are ``(batch, seq)`` float32, NaN off-response, but :class:`TokenEmbedding` and :class:`HiddenState`:
        ``(batch, seq, dim)``, and :class:`TopTokens`: ``(batch, seq, k)`` int64, -1 off-response. No value depends on
        padding, on the other examples of the batch, or on their order.
        """
        values: dict[SignalRequest, Tensor] = {}
        if self._base is not None:
            values.update(self._run_base(self._base, tokens))
        for reference, (forward, adapter) in self._references.items():
            with adapter.on() if adapter is not None else nullcontext():
                found = self._measured(forward, tokens, self._asked_of[reference])
            for request, value in found.items():
                _refuse_nan(reference, "loss" if isinstance(request, LogProb) else "attention", value, tokens)
            values |= found
        for derivative, tangent in self.tangents.items():
            values[derivative] = tangent.run(tokens)
        for embedding in self._embedded:
            assert self.embedder is not None
            values[embedding] = self.embedder.embed_batch(tokens, embedding.source)
        return Signals(tokens, values)

    def _run_base(self, forward: Forward, tokens: TokenBatch) -> dict[SignalRequest, Tensor]:
        if not self._states.requests:
            return self._measured(forward, tokens, self._asked)
        with self._states.reading():
            values = self._measured(forward, tokens, self._asked, stop_early=False)
        values.update((request, value) for request, value in self._states.results(tokens).items())
        return values

    def _measured(
        self,
        forward: Forward,
        tokens: TokenBatch,
        asked: Iterable[PredictionRequest | AttentionRequest],
        stop_early: bool = True,
    ) -> dict[SignalRequest, Tensor]:
        attention: list[AttentionRequest] = []
        predicted: list[PredictionRequest] = []
        for request in asked:
            if isinstance(request, AttentionReceived | AttentionRowMean | AttentionToPrompt):
                attention.append(request)
            else:
                predicted.append(request)
        if not attention:
            return self._predict(forward, tokens, predicted)
        meter = AttentionMeter(
            attention, forward.layers, tokens, block_bytes=self._block_bytes, stop_early=stop_early and not predicted
        )
        values: dict[SignalRequest, Tensor] = {}
        with measuring(forward.loaded.model, meter), suppress(Enough):
            values = self._predict(forward, tokens, predicted)
        values.update((request, value) for request, value in meter.results().items())
        return values

    def _predict(
        self, forward: Forward, tokens: TokenBatch, requests: Iterable[PredictionRequest]
    ) -> dict[SignalRequest, Tensor]:
        rows, project = forward.states(tokens.input_ids, tokens.attention_mask)
        wanted = tokens.is_response[:, 1:]
        targets = tokens.input_ids[:, 1:][wanted]
        found = predictions(rows[:, :-1][wanted], targets, project, forward.vocabulary, requests, self._logits_bytes)
        values: dict[SignalRequest, Tensor] = {}
        for request, column in found.items():
            empty: float = -1 if column.dtype == torch.int64 else torch.nan
            shape = (*tokens.input_ids.shape, *column.shape[1:])
            values[request] = torch.full(shape, empty, dtype=column.dtype, device=column.device)
            values[request][:, 1:][wanted] = column
        return values


def _refuse_nan(reference: Reference, what: str, values: Tensor, tokens: TokenBatch) -> None:
    bad = ~torch.isfinite(values) & tokens.is_response
    if not bad.any():
        return
    row, position = (int(index) for index in bad.nonzero()[0])
    hint = "Lower its learning_rate" if reference.is_trained_here else "Use another reference, or model.dtype: float32"
    raise ModelError(
        f"{reference.shown}: its {what} is {float(-values[row, position])} at example {tokens.example_ids[row]!r}, "
        f"position {position}; its weights have diverged. {hint}."
    )


def _load_reference(
    reference: Reference, base: LoadedModel, loader: ReferenceLoader | None
) -> tuple[Forward, Adapter | None]:
    if loader is None:
        raise ModelError(f"{reference.shown}: a reference model is needed, but this pass was given no way to load one")
    loaded = loader(reference)
    adapter = loaded if isinstance(loaded, Adapter) else None
    if not isinstance(loaded, Adapter):
        _refuse_other_ids(reference, base, loaded)
    try:
        with adapter.on() if adapter is not None else nullcontext():
            return Forward(base if isinstance(loaded, Adapter) else loaded), adapter
    except ModelError as error:
        raise ModelError(f"{reference.shown}: {error}") from error


def _refuse_other_ids(reference: Reference, base: LoadedModel, loaded: LoadedModel) -> None:
    ours, theirs = base.tokenizer.get_vocab(), loaded.tokenizer.get_vocab()
    if ours != theirs:
        different = sum(theirs.get(token) != token_id for token, token_id in ours.items())
        raise ModelError(
            f"{reference.shown}: the reference model reads other token ids than the base model ({different} of "
            f"{len(ours)} tokens differ). Use a reference with the same tokenizer."
        )
