"""Every requested signal of a batch from one pass of the base model, and one of each reference model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress

import torch
from torch import Tensor

from xtf.attribute import (
    AttentionReceived,
    AttentionRowMean,
    AttentionToPrompt,
    Entropy,
    LogProb,
    Reference,
    SignalRequest,
    Signals,
    TokenEmbedding,
)
from xtf.errors import ModelError
from xtf.model.attention import AttentionMeter, AttentionRequest, Enough, chosen_layers, measuring
from xtf.model.embed import Embedder
from xtf.model.forward import Forward
from xtf.model.head import LOGITS_BYTES, PredictionRequest, predictions
from xtf.model.load import LoadedModel
from xtf.tokens import TokenBatch

ReferenceLoader = Callable[[Reference], LoadedModel]


class SignalPass:
    """Computes a fixed set of signals, batch after batch.

    Args:
        loaded: The base model.
        requests: The signals that :meth:`run` computes.
        reference_loader: Loads the reference models that requests name; each is loaded once, here.
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
        embedder: Embedder | None = None,
        logits_bytes: int = LOGITS_BYTES,
        block_bytes: int | None = None,
    ) -> None:
        self.requests = frozenset(requests)
        self.device = loaded.device
        self._logits_bytes, self._block_bytes = logits_bytes, block_bytes
        predicted: list[PredictionRequest] = [r for r in self.requests if isinstance(r, LogProb | Entropy)]
        self._predicted = [r for r in predicted if not _reference(r)]
        self._attention: list[AttentionRequest] = [
            r for r in self.requests if isinstance(r, AttentionReceived | AttentionRowMean | AttentionToPrompt)
        ]
        self._embedded = [r for r in self.requests if isinstance(r, TokenEmbedding)]
        self.embedder = embedder
        if self._embedded and embedder is None:
            self.embedder = Embedder(loaded)
        needed = bool(self._predicted or self._attention)
        self._base = Forward(loaded) if needed else None
        if self._base is not None:
            for attention in self._attention:
                chosen_layers(attention, self._base.layers)
        self._references: dict[Reference, Forward] = {}
        for request in predicted:
            reference = _reference(request)
            if reference is not None and reference not in self._references:
                self._references[reference] = _load_reference(reference, loaded, reference_loader)

    @torch.no_grad()
    def run(self, tokens: TokenBatch) -> Signals:
        """Return every requested signal of one batch.

        All are ``(batch, seq)`` float32, NaN off-response, but :class:`TokenEmbedding`: ``(batch, seq, dim)``, NaN on
        padding. No value depends on padding, on the other examples of the batch, or on their order.
        """
        values: dict[SignalRequest, Tensor] = {}
        if self._base is not None:
            values.update(self._run_base(self._base, tokens))
        for reference, forward in self._references.items():
            request = LogProb(reference)
            values[request] = self._predict(forward, tokens, [request])[request]
        for embedding in self._embedded:
            assert self.embedder is not None
            values[embedding] = self.embedder.embed_batch(tokens, embedding.source)
        return Signals(tokens, values)

    def _run_base(self, forward: Forward, tokens: TokenBatch) -> dict[SignalRequest, Tensor]:
        values: dict[SignalRequest, Tensor] = {}
        if not self._attention:
            return self._predict(forward, tokens, self._predicted)
        meter = AttentionMeter(
            self._attention,
            forward.layers,
            tokens,
            block_bytes=self._block_bytes,
            stop_early=not self._predicted,
        )
        with measuring(forward.loaded.model, meter), suppress(Enough):
            values = self._predict(forward, tokens, self._predicted)
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
            values[request] = torch.full(tokens.input_ids.shape, torch.nan, device=column.device)
            values[request][:, 1:][wanted] = column
        return values


def _reference(request: PredictionRequest) -> Reference | None:
    return request.model if isinstance(request, LogProb) else None


def _load_reference(reference: Reference, base: LoadedModel, loader: ReferenceLoader | None) -> Forward:
    if loader is None:
        raise ModelError(f"{reference.path}: a reference model is needed, but this pass was given no way to load one")
    loaded = loader(reference)
    ours, theirs = base.tokenizer.get_vocab(), loaded.tokenizer.get_vocab()
    if ours != theirs:
        different = sum(theirs.get(token) != token_id for token, token_id in ours.items())
        raise ModelError(
            f"{reference.path}: the reference model reads other token ids than the base model ({different} of "
            f"{len(ours)} tokens differ). Use a reference with the same tokenizer."
        )
    return Forward(loaded)
